//! The app, the clients, and a round of all proxies.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use stack::ports;
use stack::process::Process;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::HOST;
use super::app::App;
use super::config::Places;
use super::load::{Load, Loaded, Said};
use super::proxy::Proxy;
use super::table::Measured;
use crate::probe::Probe;
use crate::usage::{Usage, process_cpu};

/// Nothing takes longer to start.
pub(super) const START: Duration = Duration::from_secs(20);
/// Addresses of the app, as of two containers.
const APP: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 16, 0, 1), Ipv4Addr::new(127, 16, 0, 2)];

/// Where clients and app are, and what is kept for the proxies.
#[derive(Debug)]
pub(super) struct Bed {
    core: usize,
    app: Process,
    endpoints: [SocketAddr; 2],
    /// CPU time of all clients so far.
    clients: Duration,
    folder: TempDir,
    given: usize,
}

impl Bed {
    /// Starts the app on `core`, where the clients will be as well.
    pub(super) async fn start(core: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = ports::free()?;
        let endpoints = APP.map(|address| SocketAddr::from((address, port)));
        let this = std::env::current_exe()?;
        let mut app = Process::start("app", folder.path(), Path::new(TASKSET), |command| {
            command.args(on_core(core)).arg(this).args(App::words(&endpoints));
        })?;
        for endpoint in endpoints {
            until_listening(endpoint, &mut app, START).await?;
        }
        Ok(Self { core, app, endpoints, clients: Duration::ZERO, folder, given: 0 })
    }

    /// Ports and a folder for one more proxy.
    pub(super) fn places(&mut self) -> anyhow::Result<Places> {
        self.given += 1;
        let folder = self.folder.path().join(format!("proxy-{}", self.given));
        std::fs::create_dir(&folder)?;
        Ok(Places { port: ports::free()?, admin: ports::free()?, app: self.endpoints, folder })
    }

    /// Asks proxies as `load` says; what came of it for each.
    pub(super) async fn load(&mut self, load: &Load) -> anyhow::Result<Vec<Loaded>> {
        let this = std::env::current_exe()?;
        let mut command = Command::new(TASKSET);
        command
            .args(on_core(self.core))
            .arg(this)
            .args(load.words()?)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = command.kill_on_drop(true).output().await.context("cannot start the clients")?;
        ensure!(output.status.success(), "the clients have ended with {}", output.status);
        let said: Said = serde_json::from_slice(&output.stdout).context("what the clients say is no JSON")?;
        self.clients += said.cpu;
        Ok(said.of)
    }

    /// One round of all proxies, in turns.
    pub(super) async fn round(
        &mut self,
        proxies: &mut [Proxy],
        load: &Load,
    ) -> anyhow::Result<Vec<Measured>> {
        let before = proxies.iter_mut().map(Proxy::cpu).collect::<anyhow::Result<Vec<_>>>()?;
        let loaded = self.load(load).await?;
        // The turn before those that count is in the CPU time as well.
        let time = load.turn * (load.turns + 1);
        let mut measured = Vec::new();
        for ((proxy, loaded), before) in proxies.iter_mut().zip(loaded).zip(before) {
            let cpu = proxy.cpu()?.saturating_sub(before);
            proxy.forget_log()?;
            ensure!(loaded.answers > 0, "{} has answered no request", proxy.address);
            measured.push(Measured {
                per_second: loaded.per_second,
                micros: cpu.as_secs_f64() * 1e6 / loaded.answers as f64,
                busy: cpu.as_secs_f64() / time.as_secs_f64(),
                failures: loaded.failures,
            });
        }
        Ok(measured)
    }

    /// CPU time of everything that belongs to the measurement, so far.
    pub(super) fn used(&self, proxies: &mut [Proxy]) -> anyhow::Result<Duration> {
        let mut used = process_cpu() + self.clients + Usage::of(self.app.id())?.cpu;
        for proxy in proxies {
            used += proxy.usage()?.cpu;
        }
        Ok(used)
    }
}

/// Asks whoever is at `address` until it answers as the app does.
pub(super) async fn until_answered(address: SocketAddr, patience: Duration) -> anyhow::Result<()> {
    let asking =
        move || Probe::open(address, patience)?.until_answered(&[HOST.to_owned()], patience).map(drop);
    spawn_blocking(asking).await?
}

/// Waits until somebody, which is to be `process`, listens at `address`.
pub(super) async fn until_listening(
    address: SocketAddr,
    process: &mut Process,
    patience: Duration,
) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while tokio::net::TcpStream::connect(address).await.is_err() {
        process.check()?;
        if Instant::now() > end {
            bail!("{} does not listen within {} s:\n{}", process.name(), patience.as_secs(), process.log());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// What runs the program that follows its words on one core alone.
pub(super) const TASKSET: &str = "taskset";

/// The first words of [`TASKSET`].
pub(super) fn on_core(core: usize) -> [String; 2] {
    ["--cpu-list".to_owned(), core.to_string()]
}
