//! `bench route`: from Docker's event to the first answer through the proxy, and to the last request that a container is
//! sent which was told to stop. Portolan with its Envoy, and Traefik on the same engine, one after the other.

mod bed;
mod edge;
mod table;
mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use crate::report::{Of, write_json};
use crate::stats::Summary;
use crate::usage::{Others, allow_many_files, process_cpu};
use bed::Bed;
use edge::System;
use table::Table;

/// What is told of a container that starts: that it was created, has joined its network, and was started.
const EVENTS: usize = 3;

/// Measure how long it takes until a container that starts is answered for, and one that stops is left alone.
///
/// The engine and the apps are simulated, everything between them is real: the binary `portolan` beside this one, Envoy, and
/// Traefik for comparison (fetched where they are not installed).
#[derive(Debug, Args)]
pub(crate) struct Suite {
    /// Numbers of services that are there already, in a list with commas.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "0,1000")]
    services: Vec<usize>,

    /// Containers to start one by one, and as many again in bunches.
    #[arg(long, value_name = "NUMBER", default_value = "50")]
    containers: usize,

    /// Containers in a bunch.
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    bunch: usize,

    /// From the creation of a container to its start. The engines that were recorded for the tests took 330 to 530 ms, and Envoy has
    /// that time to read the routes of a new host.
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = humantime::parse_duration)]
    gap: Duration,

    /// Containers to kill under load.
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    kills: usize,

    /// How long to watch it rest, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    rest: u64,

    /// Traefik's providersThrottleDuration, in a list with commas: its own default, and one that holds nothing up.
    #[arg(long, value_name = "DURATIONS", value_delimiter = ',', default_value = "2s,1ms", value_parser = humantime::parse_duration)]
    throttles: Vec<Duration>,

    /// Measure Portolan alone.
    #[arg(long)]
    alone: bool,

    /// The control plane to measure [default: the binary portolan beside this one].
    #[arg(long, value_name = "FILE")]
    portolan: Option<PathBuf>,

    /// Write the figures to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Suite {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.bunch > 0 && self.bunch <= self.containers, "--bunch is from 1 to --containers");
        allow_many_files()?;
        let mut systems = vec![System::Portolan];
        if !self.alone {
            match stack::tools::TRAEFIK.find() {
                Ok(_) => systems
                    .extend(self.throttles.iter().map(|throttle| System::Traefik { throttle: *throttle })),
                Err(error) => eprintln!("Traefik is left out: {error:#}"),
            }
        }
        let mut tables = Vec::new();
        for services in self.services.iter().copied() {
            let mut table = Table::new(services, systems.iter().map(|system| system.name()).collect());
            for (column, system) in systems.iter().copied().enumerate() {
                eprintln!("==> {services} services, {}", system.name());
                self.measure(system, services, column, &mut table).await?;
            }
            print!("{table}");
            tables.push(table);
        }
        write_json(self.json.as_deref(), &tables)
    }

    async fn measure(
        &self,
        system: System,
        services: usize,
        column: usize,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let millis = |times: &[Duration]| Summary::of(times.iter().map(|time| time.as_secs_f64() * 1e3));
        let single = |value: f64| Summary::of([value]);
        let mut bed = Bed::start(system, services, self.gap, self.portolan.as_deref()).await?;
        let rest = bed.rest(Duration::from_secs(self.rest)).await?;
        table.put(column, "CPU at rest, of a core", "%", single(rest), &[(Of::Median, 0.1)]);
        let others = Others::from_now(ours(&mut bed, system)?)?;
        let floor = bed.floor(500).await?;
        table.put(column, "a request to a host that is routed", "ms", millis(&floor), &[]);

        let one = bed.start_containers(self.containers, 1).await?;
        let goals = [(Of::Median, 5.0), (Of::P99, 15.0)];
        table.put(column, "start to first answer, one by one", "ms", millis(&one.routed), &goals);
        table.put(column, "of that, between the last two looks", "ms", millis(&one.apart), &[]);
        let cpu = one.watcher.as_secs_f64() * 1e3 / (EVENTS * self.containers) as f64;
        // Traefik's figure has in it what it spends on the requests.
        table.put(column, "CPU of what watches Docker, an event", "ms", single(cpu), &[(Of::Median, 1.0)]);
        let many = bed.start_containers(self.containers, self.bunch).await?;
        table.put(
            column,
            "start to first answer, in bunches",
            "ms",
            millis(&many.routed),
            &[(Of::P99, 25.0)],
        );
        let failures = (one.failures + many.failures) as f64;
        table.put(column, "answers meanwhile but 200, 404, 503", "", single(failures), &[(Of::Median, 1.0)]);
        let killed = bed.kill_containers(self.kills).await?;
        table.put(column, "kill to the last request sent there", "ms", millis(&killed), &[(Of::Median, 5.0)]);

        let (watcher, proxy) = bed.memory()?;
        let limit = if services <= 1_000 { 15.0 } else { 50.0 };
        let mib = |kib: u64| single(kib as f64 / 1_024.0);
        table.put(
            column,
            "memory of what watches Docker",
            "MiB",
            mib(watcher.resident_kib),
            &[(Of::Median, limit)],
        );
        table.put(column, "memory of what answers", "MiB", mib(proxy.resident_kib), &[]);
        let share = others.percent(ours(&mut bed, system)?)?;
        table.put(column, "other programs meanwhile, of a core", "%", single(share), &[]);
        Ok(())
    }
}

/// CPU of everything that belongs to the measurement.
fn ours(bed: &mut Bed, system: System) -> anyhow::Result<Duration> {
    let (watcher, proxy) = bed.memory()?;
    let both = match system {
        System::Portolan => watcher.cpu + proxy.cpu,
        System::Traefik { .. } => proxy.cpu,
    };
    Ok(both + process_cpu())
}
