//! The measured control plane: the binary `portolan`, in a process of its own.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::usage::Usage;

/// The first view of 10,000 containers takes a fraction of this.
const START: Duration = Duration::from_secs(120);
/// Processes that are asked to stop and do not are killed after this.
const STOP: Duration = Duration::from_secs(10);

/// Where the control plane is: `chosen`, or the binary `portolan` beside this one, built in the same way.
pub(crate) fn binary(chosen: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match chosen {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("portolan"),
    };
    let how = "build it with: cargo build --release -p portolan -p bench";
    ensure!(path.is_file(), "there is no control plane at {}; {how}", path.display());
    Ok(path)
}

/// The measured control plane. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Plane {
    process: Child,
    binary: PathBuf,
    address: String,
    log: PathBuf,
}

impl Plane {
    pub(crate) fn start(binary: PathBuf, folder: &Path, options: &[String]) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let log = folder.join("portolan.log");
        let output = std::fs::File::create(&log)?;
        let process = Command::new(&binary)
            .args(["serve", "--listen", &address, "--docker-host"])
            .arg(format!("unix://{}", folder.join("docker.sock").display()))
            .env("PORTOLAN_HTTP_LISTEN", "127.0.0.1:0")
            .args(options)
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self { process, binary, address, log })
    }

    /// The port of its gRPC.
    pub(crate) fn port(&self) -> anyhow::Result<u16> {
        Ok(self.address.parse::<std::net::SocketAddr>()?.port())
    }

    pub(crate) async fn until_ready(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + START;
        loop {
            if let Some(status) = self.process.try_wait()? {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the control plane has ended ({status}):\n{log}");
            }
            let health =
                Command::new(&self.binary).args(["health", "--address", &self.address]).output().await?;
            if health.status.success() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "the control plane is not ready within {} s", START.as_secs());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn usage(&mut self) -> anyhow::Result<Usage> {
        Usage::of(self.process.id().context("the control plane has ended")?)
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.process.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(rustix::process::Pid::from_raw).context("the control plane has ended")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        if tokio::time::timeout(STOP, self.process.wait()).await.is_err() {
            self.process.kill().await?;
        }
        Ok(())
    }
}
