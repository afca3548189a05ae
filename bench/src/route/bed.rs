//! One proxy on one engine, and what is done to it.
//!
//! ```text
//!   Engine (simulated) --events--> Portolan --xDS--> Envoy <--- Probe asks, each 0.2 ms
//!      ^                              or Traefik       |
//!   containers start, are killed                       +------> Upstream: the app of every container
//! ```

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::edge::{Edge, System};

use super::upstream::Upstream;
use crate::engine::{Container, ENGINE_29, Engine};
use crate::probe::{Outcome, PATIENCE, Probe, pause};
use crate::usage::Usage;

/// SIGTERM, as the engine writes it in its events.
const TERM: u8 = 15;
/// Between one container and the next: all is quiet by then.
const QUIET: Duration = Duration::from_millis(200);
/// How long an app that was told to stop goes on, to finish what it has.
const GRACE: Duration = Duration::from_secs(1);
/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// The name of the service that loses a container now and then.
const SHRINKING: &str = "shrinking";

/// What came of containers that were started.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// From each start event to the first answer.
    pub(super) routed: Vec<Duration>,
    /// How far apart the last two looks were.
    pub(super) apart: Vec<Duration>,
    pub(super) failures: u64,
    /// CPU of what watches Docker for it, and of what answers requests: Traefik is both.
    pub(super) watcher: Duration,
}

/// A proxy that runs, on an engine with some services.
#[derive(Debug)]
pub(super) struct Bed {
    system: System,
    engine: Engine,
    upstream: Upstream,
    pub(super) edge: Edge,
    probe: Option<Probe>,
    created: u32,
    /// Between the creation of a container and its start.
    gap: Duration,
    _folder: TempDir,
}

impl Bed {
    /// Starts `system` beside `services` of one container each, and waits until all are routed. Containers that come later are
    /// started `gap` after they were created.
    pub(super) async fn start(
        system: System,
        services: usize,
        gap: Duration,
        portolan: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let upstream = Upstream::listen().await?;
        let mut created = 0;
        let mut next = |service: &str, number| {
            created += 1;
            container(system, created, service, number, upstream.port)
        };
        let mut containers = vec![Container::new(0, "shop", "envoy", 1).label("portolan.proxy", "true")];
        containers.extend((0..services).map(|n| next(&format!("old-{n}"), 1)));
        containers.extend((1..=2).map(|number| next(SHRINKING, number)));
        let engine = Engine::listen(&folder.path().join("docker.sock"), ENGINE_29, containers)?;
        let edge = Edge::start(system, folder.path(), portolan).await?;
        let mut bed = Self { system, engine, upstream, edge, probe: None, created, gap, _folder: folder };
        bed.probe = Some(bed.connect().await?);
        let hosts = (0..services).map(|n| host(&format!("old-{n}"))).chain([host(SHRINKING)]).collect();
        bed.until_answered(hosts).await?;
        // What is left to do after the first answers is not of this measurement.
        sleep(Duration::from_secs(2) + 2 * system.delay()).await;
        Ok(bed)
    }

    async fn connect(&mut self) -> anyhow::Result<Probe> {
        let end = Instant::now() + LIMIT;
        loop {
            match Probe::open(self.edge.address, PATIENCE) {
                Ok(probe) => return Ok(probe),
                Err(error) if Instant::now() > end => return Err(error.context("the proxy does not listen")),
                Err(_) => self.edge.check()?,
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks in a thread of its own until all hosts are answered.
    async fn until_answered(&mut self, hosts: Vec<String>) -> anyhow::Result<Outcome> {
        let mut probe = self.probe.take().context("the probe has failed before")?;
        let (outcome, probe) = spawn_blocking(move || (probe.until_answered(&hosts, LIMIT), probe)).await?;
        self.probe = Some(probe);
        outcome
    }

    /// Starts `count` containers, `at_once` at a time, each of a service of its own.
    pub(super) async fn start_containers(&mut self, count: usize, at_once: usize) -> anyhow::Result<Started> {
        let mut started = Started::default();
        let before = self.edge.watcher()?.cpu;
        for round in 0..count / at_once {
            let (mut hosts, mut numbers) = (Vec::new(), Vec::new());
            for n in 0..at_once {
                self.created += 1;
                let service = format!("new-{at_once}-{round}-{n}");
                let container = container(self.system, self.created, &service, 1, self.upstream.port);
                numbers.push(self.engine.create(container).await);
                hosts.push(host(&service));
            }
            sleep(self.gap).await;
            let mut probe = self.probe.take().context("the probe has failed before")?;
            let names = hosts.clone();
            let asking = spawn_blocking(move || (probe.until_answered(&names, LIMIT), probe));
            // It asks already when the event comes.
            sleep(Duration::from_millis(5)).await;
            let mut told = Vec::new();
            for n in numbers {
                told.push(self.engine.start(n).await);
            }
            let (outcome, probe) = asking.await?;
            self.probe = Some(probe);
            let Outcome { firsts, failures } = outcome?;
            for (host, first) in firsts {
                let n = hosts.iter().position(|known| *known == host).context("a host nobody asked for")?;
                started.routed.push(first.at.saturating_duration_since(told[n]));
                started.apart.push(first.apart);
            }
            started.failures += failures;
            sleep(QUIET).await;
        }
        started.watcher = self.edge.watcher()?.cpu.saturating_sub(before);
        Ok(started)
    }

    /// How long a request to a service that is routed takes.
    pub(super) async fn floor(&mut self, count: usize) -> anyhow::Result<Vec<Duration>> {
        let mut probe = self.probe.take().context("the probe has failed before")?;
        let (times, probe) = spawn_blocking(move || {
            let ask = |_| {
                pause();
                let began = Instant::now();
                probe.ask(&host(SHRINKING)).map(|_| began.elapsed())
            };
            let times: anyhow::Result<Vec<_>> = (0..count).map(ask).collect();
            (times, probe)
        })
        .await?;
        self.probe = Some(probe);
        times
    }

    /// Kills one of the two containers of a service under a steady load, `rounds` times; each time the last request that
    /// it was sent, since the event. It dies a second after that.
    pub(super) async fn kill_containers(&mut self, rounds: usize) -> anyhow::Result<Vec<Duration>> {
        let mut probe = self.probe.take().context("the probe has failed before")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let load = spawn_blocking(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = probe.ask(&host(SHRINKING)) {
                    return (Err(error), probe);
                }
                pause();
            }
            (Ok(()), probe)
        });
        let mut times = Vec::with_capacity(rounds);
        let killed = self.kill_under_load(rounds, &mut times).await;
        stop.store(true, Ordering::Relaxed);
        let (loaded, probe) = load.await?;
        self.probe = Some(probe);
        killed.and(loaded).map(|()| times)
    }

    async fn kill_under_load(&self, rounds: usize, times: &mut Vec<Duration>) -> anyhow::Result<()> {
        // The last of those that were there from the start.
        let index = self.engine.find("shop-shrinking-2").await.context("no container to kill")?;
        let address = address(u32::try_from(index)?);
        let asked = || self.upstream.asked(address).map_or(0, |asked| asked.times);
        for _ in 0..rounds {
            let end = Instant::now() + LIMIT;
            let before = asked();
            // It takes its share of the load.
            while asked() < before + 50 {
                ensure!(Instant::now() < end, "the container is not asked within {} s", LIMIT.as_secs());
                sleep(Duration::from_millis(5)).await;
            }
            let told = self.engine.kill(index, TERM).await;
            sleep(GRACE).await;
            self.engine.die(index).await;
            sleep(QUIET + self.system.delay()).await;
            let last = self.upstream.asked(address).context("it was asked before")?.last;
            times.push(last.saturating_duration_since(told));
            self.engine.start(index).await;
        }
        Ok(())
    }

    /// How much of the CPU what watches Docker takes while nothing happens, in percent of one core.
    pub(super) async fn rest(&mut self, time: Duration) -> anyhow::Result<f64> {
        let (began, before) = (Instant::now(), self.edge.watcher()?.cpu);
        sleep(time).await;
        let spent = self.edge.watcher()?.cpu.saturating_sub(before);
        Ok(spent.as_secs_f64() / began.elapsed().as_secs_f64() * 1e2)
    }

    pub(super) fn memory(&mut self) -> anyhow::Result<(Usage, Usage)> {
        Ok((self.edge.watcher()?, self.edge.proxy()?))
    }
}

fn host(service: &str) -> String {
    format!("{service}.localhost")
}

/// Every container has an address of its own on loopback.
fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 16, 0, 0)) + index)
}

fn container(system: System, index: u32, service: &str, number: usize, port: u16) -> Container {
    let container = Container::new(index, "shop", service, number).at(address(index), port).unchecked();
    system.labelled(container, &host(service), port)
}
