//! The measured process, from outside.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use tokio::net::TcpListener;
use tokio::process::{Child, Command as Process};

use crate::control::{Command, Line, Reply, Round, Totals};
use crate::server::Kind;
use crate::usage::Usage;

/// Making the first snapshot takes a fraction of this.
const START: Duration = Duration::from_secs(30);
/// A profiler writes down what it saw.
const STOP: Duration = Duration::from_secs(60);

/// A server in a process of its own, so that its CPU and memory are its own.
#[derive(Debug)]
pub(crate) struct Server {
    /// Killed when this is dropped.
    process: Child,
    line: Line,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts this same program as a server, `under` another one (a profiler) where that is not empty.
    pub(crate) async fn start(kind: Kind, message_bytes: usize, under: &[String]) -> anyhow::Result<Self> {
        let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let name = kind.to_possible_value().context("a kind without a name")?;
        let this = std::env::current_exe()?.into_os_string();
        let mut words = under.iter().map(OsString::from).chain([this]);
        let mut process = Process::new(words.next().context("no program")?)
            .args(words)
            .arg("serve")
            .args(["--kind", name.get_name()])
            .args(["--control", &control.local_addr()?.to_string()])
            .args(["--message-bytes", &message_bytes.to_string()])
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server's process")?;
        let started = async {
            let (socket, _) = control.accept().await?;
            let mut line = Line::new(socket)?;
            match line.hear().await? {
                Some(Reply::Listening(address)) => Ok((line, address)),
                other => bail!("the server's process begins with {other:?}"),
            }
        };
        let (line, address) = tokio::select! {
            started = tokio::time::timeout(START, started) => started.context("the server does not start")??,
            ended = process.wait() => bail!("the server's process ended at once: {}", ended?),
        };
        Ok(Self { process, line, address })
    }

    /// Lets the server end by itself, as a profiler needs it to.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Self { mut process, line, .. } = self;
        drop(line);
        let ended =
            tokio::time::timeout(STOP, process.wait()).await.context("the server does not stop")??;
        anyhow::ensure!(ended.success(), "the server's process ended with {ended}");
        Ok(())
    }

    async fn ask(&mut self, command: Command) -> anyhow::Result<Reply> {
        self.line.say(&command).await?;
        self.line.hear().await?.with_context(|| format!("the server's process ended on {command:?}"))
    }

    pub(crate) async fn change(&mut self, clients: u64) -> anyhow::Result<Round> {
        match self.ask(Command::Change { clients }).await? {
            Reply::Round(round) => Ok(round),
            other => bail!("unexpected: {other:?}"),
        }
    }

    pub(crate) async fn republish(&mut self) -> anyhow::Result<Totals> {
        match self.ask(Command::Republish).await? {
            Reply::Totals(totals) => Ok(totals),
            other => bail!("unexpected: {other:?}"),
        }
    }

    pub(crate) async fn totals(&mut self) -> anyhow::Result<Totals> {
        match self.ask(Command::Totals).await? {
            Reply::Totals(totals) => Ok(totals),
            other => bail!("unexpected: {other:?}"),
        }
    }

    pub(crate) async fn usage(&mut self) -> anyhow::Result<Usage> {
        match self.ask(Command::Usage).await? {
            Reply::Usage(usage) => Ok(usage),
            other => bail!("unexpected: {other:?}"),
        }
    }
}
