//! `bench docker`: what a control plane costs that watches a Docker Engine with many containers, at rest and at work.
//!
//! ```text
//!   bench docker (the engine, simulated)  <---- its API on a Unix socket ---->  portolan serve (the measured process)
//! ```

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, ValueEnum};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::engine::{Api, Calls, Container, ENGINE_20_10, ENGINE_29, Engine, Health};
use crate::plane::{self, Plane};
use crate::report::{Of, Report, Row, write_json};

/// Everything that was told has been taken in by then.
const SETTLE: Duration = Duration::from_secs(2);
/// SIGTERM, as the engine writes it in its events.
const TERM: u8 = 15;

/// Measure a control plane that watches an engine with many containers.
///
/// The engine is simulated; the control plane is the binary `portolan` beside this one, built in the same way.
#[derive(Debug, Args)]
pub(crate) struct Suite {
    /// Numbers of containers to measure with, in a list with commas.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1000,10000")]
    containers: Vec<usize>,

    /// How many containers a service has.
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    replicas: usize,

    /// How long to watch it rest, in seconds; more than 60, so that a comparison with the whole list is in it.
    #[arg(long, value_name = "SECONDS", default_value = "70")]
    rest: u64,

    /// Events of each kind.
    #[arg(long, value_name = "NUMBER", default_value = "500")]
    events: usize,

    /// Events a second.
    #[arg(long, value_name = "NUMBER", default_value = "50")]
    rate: u32,

    /// Which engine to be.
    #[arg(long, value_enum, default_value = "20.10")]
    engine: Version,

    /// The control plane to measure [default: the binary portolan beside this one].
    #[arg(long, value_name = "FILE")]
    portolan: Option<PathBuf>,

    /// Options of its `serve` besides those for its ports, such as --state-file=FILE.
    #[arg(long = "serve", value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,

    /// Write the figures to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Version {
    #[value(name = "20.10")]
    V20,
    #[value(name = "29")]
    V29,
}

impl Version {
    const fn api(self) -> Api {
        match self {
            Self::V20 => ENGINE_20_10,
            Self::V29 => ENGINE_29,
        }
    }
}

impl Suite {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.replicas > 0 && self.rate > 0, "--replicas and --rate are at least 1");
        let mut report = Report::default();
        for containers in self.containers.iter().copied() {
            report.rows.extend(self.measure(containers).await?);
        }
        print!("{report}");
        write_json(self.json.as_deref(), &report)
    }

    async fn measure(&self, containers: usize) -> anyhow::Result<Vec<Row>> {
        eprintln!("==> {containers} containers, {} a service", self.replicas);
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("docker.sock");
        let engine = Engine::listen(&socket, self.engine.api(), self.project(containers))?;
        let mut plane = Plane::start(plane::binary(self.portolan.as_deref())?, folder.path(), &self.options)?;
        let begun = Instant::now();
        plane.until_ready().await?;
        let ready = begun.elapsed();
        sleep(SETTLE).await;
        let (first, calls) = (plane.usage()?, engine.calls());
        let row = |figure: &str, unit, value: f64| Row::single(figure, Some(containers), unit, value);
        let mut rows = vec![
            row("start to the first view", "s", ready.as_secs_f64()),
            row("CPU for that", "ms", first.cpu.as_secs_f64() * 1e3),
            row("calls for that, a container", "", calls.all() as f64 / containers as f64),
        ];

        let resting = self.rest(&engine, &mut plane).await?;
        let percent = resting.cpu.as_secs_f64() / resting.wall.as_secs_f64() * 1e2;
        rows.push(row("CPU at rest, probes each second", "% of a core", percent).goal(Of::Median, 2.0));
        rows.push(row(
            "calls at rest, a minute",
            "",
            resting.calls.all() as f64 * 60.0 / resting.wall.as_secs_f64(),
        ));
        rows.push(row("probe events sent to it", "", resting.told as f64).goal(Of::Median, 1.0));
        for (kind, events, busy) in [
            ("health", self.events, self.flap(&engine, &mut plane, containers).await?),
            ("stop and start", self.events, self.restart(&engine, &mut plane, containers).await?),
        ] {
            let idle = resting.cpu.as_secs_f64() / resting.wall.as_secs_f64() * busy.wall.as_secs_f64();
            let each = (busy.cpu.as_secs_f64() - idle) / events as f64;
            rows.push(row(&format!("CPU an event: {kind}"), "ms", each * 1e3).goal(Of::Median, 1.0));
            let looks = busy.calls.inspect as f64 / events as f64;
            rows.push(row(&format!("calls an event: {kind}"), "", looks).goal(Of::Median, 1.0));
        }
        let resident = plane.usage()?.resident_kib as f64 / 1024.0;
        let limit = if containers <= 1_000 { 15.0 } else { 50.0 };
        rows.push(row("resident memory", "MiB", resident).goal(Of::Median, limit));
        plane.stop().await?;
        Ok(rows)
    }

    fn project(&self, containers: usize) -> Vec<Container> {
        let envoy = Container::new(0, "shop", "envoy", 1).label("portolan.proxy", "true");
        let replicas = (1..=containers).map(|n| {
            let (service, number) = ((n - 1) / self.replicas, (n - 1) % self.replicas + 1);
            let index = u32::try_from(n).unwrap_or(u32::MAX);
            Container::new(index, "shop", &format!("web-{service}"), number)
                .label("portolan.host", &format!("web-{service}.localhost"))
        });
        std::iter::once(envoy).chain(replicas).collect()
    }

    /// Nothing changes; every container runs its health check each second.
    async fn rest(&self, engine: &Engine, plane: &mut Plane) -> anyhow::Result<Spent> {
        eprintln!("    at rest for {} s", self.rest);
        let meter = Meter::start(engine, plane).await?;
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..self.rest {
            seconds.tick().await;
            engine.probe_all().await;
        }
        meter.read(engine, plane).await
    }

    /// Containers here and there get unhealthy and healthy again: one event each.
    async fn flap(&self, engine: &Engine, plane: &mut Plane, containers: usize) -> anyhow::Result<Spent> {
        eprintln!("    {} changes of health", self.events);
        let meter = Meter::start(engine, plane).await?;
        let mut pace = self.pace();
        for n in 0..self.events {
            pace.tick().await;
            let health = if n % 2 == 0 { Health::Unhealthy } else { Health::Healthy };
            engine.turn(1 + (n / 2 * 7) % containers, health).await;
        }
        sleep(SETTLE).await;
        meter.read(engine, plane).await
    }

    /// Containers here and there are stopped and started again: kill, die, start, healthy, and what the networks tell.
    async fn restart(&self, engine: &Engine, plane: &mut Plane, containers: usize) -> anyhow::Result<Spent> {
        eprintln!("    {} events of stops and starts", self.events);
        let meter = Meter::start(engine, plane).await?;
        let mut pace = self.pace();
        for n in 0..self.events {
            pace.tick().await;
            let container = 1 + (n / 4 * 7) % containers;
            match n % 4 {
                0 => drop(engine.kill(container, TERM).await),
                1 => engine.die(container).await,
                2 => drop(engine.start(container).await),
                _ => engine.turn(container, Health::Healthy).await,
            }
        }
        sleep(SETTLE).await;
        meter.read(engine, plane).await
    }

    fn pace(&self) -> tokio::time::Interval {
        let mut pace = interval(Duration::from_secs(1) / self.rate);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace
    }
}

/// What was spent in some time.
struct Spent {
    wall: Duration,
    cpu: Duration,
    calls: Calls,
    /// Events that were sent.
    told: u64,
}

struct Meter {
    began: Instant,
    cpu: Duration,
    calls: Calls,
    told: u64,
}

impl Meter {
    async fn start(engine: &Engine, plane: &mut Plane) -> anyhow::Result<Self> {
        let told = engine.told().await;
        Ok(Self { began: Instant::now(), cpu: plane.usage()?.cpu, calls: engine.calls(), told })
    }

    async fn read(self, engine: &Engine, plane: &mut Plane) -> anyhow::Result<Spent> {
        Ok(Spent {
            wall: self.began.elapsed(),
            cpu: plane.usage()?.cpu.saturating_sub(self.cpu),
            calls: engine.calls().since(self.calls),
            told: engine.told().await - self.told,
        })
    }
}
