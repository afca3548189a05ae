//! The measured process: a server of one kind, told over its control socket what to do.

mod floor;
mod xds;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::control::{Command, Line, Reply, Round};
use crate::gauge::Gauge;
use crate::usage::{Usage, allow_many_files, thread_cpu};

/// A round that takes longer than this will not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The xDS server as the control plane runs it.
    Xds,
    /// HTTP/2 with nothing in it: what any server on this machine takes to exchange messages of the same sizes.
    Floor,
}

/// A server that can be told to say something new to all of its clients.
trait Subject {
    type Prepared;

    /// Makes the next thing to say.
    fn prepare(&mut self) -> anyhow::Result<Self::Prepared>;

    /// Says it.
    fn publish(&mut self, prepared: Self::Prepared);

    /// Says again what was said last, made anew.
    fn republish(&mut self) -> anyhow::Result<()>;
}

/// Serves until the process at `control` is gone. `bytes` is the size of the floor's message.
pub(crate) async fn run(kind: Kind, control: SocketAddr, bytes: usize) -> anyhow::Result<()> {
    allow_many_files()?;
    let mut line = Line::new(TcpStream::connect(control).await.context("nobody is there to command this")?)?;
    let listener = xds_server::listen((Ipv4Addr::LOCALHOST, 0).into())?;
    let address = listener.local_addr()?;
    let gauge = Arc::new(Gauge::default());
    let stop = CancellationToken::new();
    match kind {
        Kind::Xds => {
            let (subject, serving) = xds::start(listener, &gauge, &stop)?;
            line.say(&Reply::Listening(address)).await?;
            tokio::select! {
                ended = serving => ended.context("the xDS server ended"),
                ended = obey(subject, &gauge, line) => ended,
            }
        }
        Kind::Floor => {
            let (subject, serving) = floor::start(listener, &gauge, bytes);
            line.say(&Reply::Listening(address)).await?;
            tokio::select! {
                ended = serving => ended.context("the HTTP/2 server ended"),
                ended = obey(subject, &gauge, line) => ended,
            }
        }
    }
}

async fn obey(mut subject: impl Subject, gauge: &Gauge, mut line: Line) -> anyhow::Result<()> {
    while let Some(command) = line.hear().await? {
        let reply = match command {
            Command::Change { clients } => Reply::Round(round(&mut subject, gauge, clients).await?),
            Command::Republish => {
                subject.republish()?;
                Reply::Totals(gauge.totals())
            }
            Command::Totals => Reply::Totals(gauge.totals()),
            Command::Usage => Reply::Usage(Usage::now()?),
        };
        line.say(&reply).await?;
    }
    Ok(())
}

async fn round<S: Subject>(subject: &mut S, gauge: &Gauge, clients: u64) -> anyhow::Result<Round> {
    let before = thread_cpu();
    let prepared = subject.prepare()?;
    let build_cpu = thread_cpu().saturating_sub(before);
    gauge.expect(clients);
    let start = Instant::now();
    subject.publish(prepared);
    let end = tokio::time::timeout(PATIENCE, gauge.reached()).await.with_context(|| {
        format!("not all of {clients} clients answered within {} s: {:?}", PATIENCE.as_secs(), gauge.totals())
    })?;
    let end = end.context("the gauge is gone")?;
    Ok(Round { latency: end.duration_since(start), build_cpu })
}
