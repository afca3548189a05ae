//! `bench xds`: everything that is measured of the xDS server, with the goals the project has set itself.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use envoy_types::pb::envoy::config::core::v3::Node;

use crate::campaign::{Campaign, Measured};
use crate::client::{Role, Subscriptions, typical_ack};
use crate::micro::{self, Micro};
use crate::report::{Of, Report, Row};
use crate::server::Kind;
use crate::stats::Summary;
use crate::usage::allow_many_files;
use crate::world::World;

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
        let subscriptions = Arc::new(Subscriptions::new(node(), world.assignments(), world.routes()));
        for clients in self.clients.iter().copied() {
            eprintln!("==> {clients} clients, {} changes", self.rounds);
            let campaign = Campaign {
                kind: Kind::Xds,
                role: Role::Xds(Arc::clone(&subscriptions)),
                message_bytes: 0,
                clients,
                rounds: self.rounds,
                arriving: self.arriving,
            };
            let xds = campaign.run().await?;
            eprintln!("==> {clients} clients, HTTP/2 alone");
            let role = Role::Floor(typical_ack());
            let message_bytes = xds.message_bytes;
            let floor = Campaign { kind: Kind::Floor, role, message_bytes, ..campaign }.run().await?;
            report.rows.extend(streams(clients, &xds, &floor));
        }
        print!("{report}");
        if let Some(path) = self.json {
            let json = serde_json::to_vec_pretty(&report)?;
            std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Who the clients say they are; each has an id of its own.
fn node() -> Node {
    Node { cluster: "edge".to_owned(), user_agent_name: "envoy".to_owned(), ..Default::default() }
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
    ];
    rows.into_iter().flatten().collect()
}

fn streams(clients: usize, xds: &Measured, floor: &Measured) -> Vec<Row> {
    let n = Some(clients);
    let single = |figure, unit, xds: f64, floor: f64| Row::single(figure, n, unit, xds).floor(floor);
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    let mut rows = Vec::new();
    if let Some(latency) = Row::millis("snapshot to last ACK", n, &xds.latencies) {
        let floor = Summary::of(floor.latencies.iter().map(|time| time.as_secs_f64() * 1e3));
        let latency = match clients {
            100 => latency.goal(Of::Median, 5.0),
            1000 => latency.goal(Of::Median, 40.0).goal(Of::P99, 150.0),
            _ => latency,
        };
        rows.push(latency.floor(floor.map_or(0.0, |floor| floor.median)));
    }
    rows.push(
        single(
            "CPU of the server, a client and change",
            "us",
            micros(xds.cpu_per_client),
            micros(floor.cpu_per_client),
        )
        .goal(Of::Median, 35.0),
    );
    rows.push(single(
        "CPU of the clients, a client and change",
        "us",
        micros(xds.client_cpu),
        micros(floor.client_cpu),
    ));
    rows.push(
        single("memory of the server, a client", "KiB", xds.kib_per_client, floor.kib_per_client)
            .goal(Of::Median, 60.0),
    );
    rows.push(single("bytes to a client, a change", "B", xds.bytes_to_client, floor.bytes_to_client));
    rows.push(single("bytes from a client, a change", "B", xds.bytes_to_server, floor.bytes_to_server));
    rows.push(
        Row::single("responses to an equal snapshot", n, "", xds.unchanged as f64).goal(Of::Median, 1.0),
    );
    rows.extend(Row::millis("all messages to the next snapshot, CPU, while serving", n, &xds.builds));
    let seconds = |measured: &Measured| measured.arrival.as_secs_f64();
    rows.push(single("all clients come and have everything", "s", seconds(xds), seconds(floor)));
    let cpu = |measured: &Measured| measured.arrival_cpu.as_secs_f64() * 1e3 / clients as f64;
    rows.push(single("CPU of the server for that, a client", "ms", cpu(xds), cpu(floor)));
    rows
}
