//! `bench xds`: everything that is measured of the xDS server, with the goals the project has set itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::child::Server;
use crate::client::{Role, Subscriptions, typical_ack};
use crate::crowd::Crowd;
use crate::micro::{self, Micro};
use crate::node;
use crate::report::{Of, Report, Row, write_json};
use crate::server::Kind;
use crate::stats::Summary;
use crate::usage::{Others, allow_many_files, process_cpu};
use crate::world::World;

/// Changes of one server before it is the other one's turn: what else the machine does is to fall on both.
const TURN: usize = 20;

/// Numbers of clients for which there are goals.
const MANY: usize = 100;
const VERY_MANY: usize = 1_000;

/// Measure the xDS server: from a changed endpoint to the last client's acknowledgement, and what a client costs.
#[derive(Debug, Args)]
pub(crate) struct Suite {
    /// Numbers of clients to measure with, in a list with commas.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,100,1000")]
    clients: Vec<usize>,

    /// Changes to measure, for each number of clients.
    #[arg(long, value_name = "NUMBER", default_value = "200")]
    rounds: usize,

    /// How many clients connect at a time.
    #[arg(long, value_name = "NUMBER", default_value = "50")]
    arriving: usize,

    /// Run the xDS server under this command, as in --under "perf record -g".
    #[arg(long, value_name = "COMMAND", value_delimiter = ' ')]
    under: Vec<String>,

    /// Write the figures to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Suite {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        allow_many_files()?;
        let mut report = Report::default();
        eprintln!("==> Making snapshots");
        report.rows.extend(snapshots(&micro::measure()?));
        let world = World::new();
        let subscriptions = Subscriptions::new(node::like_envoys(), world.assignments(), world.routes());
        let role = Role::Xds(Arc::new(subscriptions));
        for clients in self.clients.iter().copied() {
            report.rows.extend(self.streams(clients, &role).await?);
        }
        print!("{report}");
        write_json(self.json.as_deref(), &report)
    }

    async fn streams(&self, clients: usize, role: &Role) -> anyhow::Result<Vec<Row>> {
        eprintln!("==> {clients} clients come");
        let server = Server::start(Kind::Xds, 0, &self.under).await?;
        let mut xds = Crowd::gather(server, role, clients, self.arriving).await?;
        xds.change(TURN).await?;
        let bytes = xds.changes.message_bytes / xds.changes.responses.max(1);
        let answer = Role::Floor(typical_ack());
        let bytes = usize::try_from(bytes)?;
        let server = Server::start(Kind::Floor, bytes, &[]).await?;
        let mut floor = Crowd::gather(server, &answer, clients, self.arriving).await?;

        eprintln!("==> {clients} clients, {} changes, and the same over HTTP/2 alone", self.rounds);
        let ours = async |xds: &mut Crowd, floor: &mut Crowd| -> anyhow::Result<Duration> {
            Ok(xds.server_cpu().await? + floor.server_cpu().await? + process_cpu())
        };
        let others = Others::from_now(ours(&mut xds, &mut floor).await?)?;
        xds.changes = Default::default();
        let mut left = self.rounds;
        while left > 0 {
            let turn = left.min(TURN);
            xds.change(turn).await?;
            floor.change(turn).await?;
            left -= turn;
        }
        let share = others.percent(ours(&mut xds, &mut floor).await?)?;
        let unchanged = xds.unchanged().await?;
        let mut rows = rows(clients, &xds, &floor);
        let row = |figure, unit, value| Row::single(figure, Some(clients), unit, value);
        rows.push(row("responses to an equal snapshot", "", unchanged as f64).goal(Of::Median, 1.0));
        rows.push(row("other programs meanwhile, of one core", "%", share));
        xds.disperse().await?;
        floor.disperse().await?;
        Ok(rows)
    }
}

fn snapshots(micro: &Micro) -> Vec<Row> {
    let rows = [
        Row::millis("messages to the first snapshot, CPU", None, &micro.build)
            .map(|row| row.goal(Of::Median, 100.0)),
        Row::millis("containers to the first snapshot, CPU", None, &micro.pipeline)
            .map(|row| row.goal(Of::Median, 100.0)),
        Row::millis("the changed message to bytes, CPU", None, &micro.encode)
            .map(|row| row.goal(Of::P99, 1.0)),
        Row::millis("the same and the next snapshot, CPU", None, &micro.change)
            .map(|row| row.goal(Of::Median, 1.0)),
        Row::millis("all messages to the next snapshot, CPU", None, &micro.next),
        Row::millis("containers to the next snapshot, CPU", None, &micro.pipeline_next),
        Row::micros("a session alone, a client and change, CPU", None, &micro.session),
    ];
    rows.into_iter().flatten().collect()
}

fn rows(clients: usize, xds: &Crowd, floor: &Crowd) -> Vec<Row> {
    let both = |figure, unit, of: &dyn Fn(&Crowd) -> f64| {
        Row::single(figure, Some(clients), unit, of(xds)).floor(of(floor))
    };
    let each = |crowd: &Crowd, total: f64| total / crowd.changes.responses.max(1) as f64;
    let micros = |crowd: &Crowd, total: Duration| each(crowd, total.as_secs_f64() * 1e6);
    let mut rows = Vec::new();
    rows.extend(latency(clients, xds, floor));
    let cpu = both("CPU of the server, a client and change", "us", &|crowd| micros(crowd, crowd.changes.cpu));
    // What a change costs however many clients there are falls on few of them otherwise.
    rows.push(if clients >= MANY { cpu.goal(Of::Median, 35.0) } else { cpu });
    rows.push(both("CPU of the clients, a client and change", "us", &|crowd| {
        micros(crowd, crowd.changes.client_cpu)
    }));
    let memory =
        both("memory of the server, a client", "KiB", &|crowd| crowd.arrival.kib as f64 / clients as f64);
    rows.push(if clients >= VERY_MANY { memory.goal(Of::Median, 60.0) } else { memory });
    rows.push(both("the same, at its highest while they came", "KiB", &|crowd| {
        crowd.arrival.peak_kib as f64 / clients as f64
    }));
    rows.push(both("bytes to a client, a change", "B", &|crowd| {
        each(crowd, crowd.changes.bytes_to_clients as f64)
    }));
    rows.push(both("bytes from a client, a change", "B", &|crowd| {
        each(crowd, crowd.changes.bytes_to_server as f64)
    }));
    rows.push(both("all clients come and have everything", "s", &|crowd| crowd.arrival.time.as_secs_f64()));
    rows.push(both("CPU of the server for that, a client", "ms", &|crowd| {
        crowd.arrival.cpu.as_secs_f64() * 1e3 / clients as f64
    }));
    rows.extend(Row::millis("the next snapshot, CPU, serving", Some(clients), &xds.changes.builds));
    rows
}

fn latency(clients: usize, xds: &Crowd, floor: &Crowd) -> Option<Row> {
    let row = Row::millis("snapshot to last ACK", Some(clients), &xds.changes.latencies)?;
    let floor = Summary::of(floor.changes.latencies.iter().map(|time| time.as_secs_f64() * 1e3))?;
    let row = match clients {
        MANY => row.goal(Of::Median, 5.0),
        VERY_MANY => row.goal(Of::Median, 40.0).goal(Of::P99, 150.0),
        _ => row,
    };
    Some(row.floor(floor.median))
}
