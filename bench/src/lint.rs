//! `bench lint`: how long `portolan lint` takes for many services, as the person who waits for it sees it: a whole process, from its
//! start to its end.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use tokio::process::Command;
use tokio::time::Instant;

use crate::plane;
use crate::report::{Of, Report, Row, write_json};

/// What the project has set itself for 1,000 services, in milliseconds.
const GOAL: f64 = 200.0;

/// Measure how long `portolan lint` takes.
#[derive(Debug, Args)]
pub(crate) struct Suite {
    /// Number of services in the file.
    #[arg(long, value_name = "NUMBER", default_value = "1000")]
    services: usize,

    /// How often each thing is done.
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    rounds: usize,

    /// The binary to measure [default: the binary portolan beside this one].
    #[arg(long, value_name = "FILE")]
    portolan: Option<PathBuf>,

    /// Write the figures to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Suite {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let portolan = plane::binary(self.portolan.as_deref())?;
        let folder = tempfile::tempdir()?;
        let mut report = Report::default();
        for (figure, timeout, code) in
            [("without a mistake", "10s", 0), ("with a mistake in every service", "10 parsecs", 1)]
        {
            std::fs::write(folder.path().join("compose.yml"), file(self.services, timeout))?;
            let lint = |compose| {
                let mut command = Command::new(&portolan);
                command.args(["lint", "--compose", compose]);
                command
            };
            let times = self.times(folder.path(), code, || lint("never")).await?;
            let row = Row::millis(&format!("lint {figure}"), Some(self.services), &times);
            report.rows.extend(row.map(|row| row.goal(Of::Median, GOAL)));
            if !is_compose_there().await {
                eprintln!("SKIPPED: there is no docker compose, so its part is not measured");
                continue;
            }
            let times = self.times(folder.path(), code, || lint("always")).await?;
            report.rows.extend(Row::millis("the same, asking docker compose", Some(self.services), &times));
            let config = || {
                let mut command = Command::new("docker");
                command.args(["compose", "--profile", "*", "config", "--format", "json"]);
                command
            };
            let times = self.times(folder.path(), 0, config).await?;
            report.rows.extend(Row::millis("docker compose config alone", Some(self.services), &times));
        }
        print!("{report}");
        write_json(self.json.as_deref(), &report)
    }

    async fn times(
        &self,
        folder: &Path,
        code: i32,
        command: impl Fn() -> Command,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(self.rounds);
        for _ in 0..self.rounds {
            let mut command = command();
            command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
            let begun = Instant::now();
            let output = command.output().await.context("cannot run it")?;
            times.push(begun.elapsed());
            ensure!(
                output.status.code() == Some(code),
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(times)
    }
}

async fn is_compose_there() -> bool {
    let version = Command::new("docker").args(["compose", "version"]).stdin(Stdio::null()).output().await;
    version.is_ok_and(|version| version.status.success())
}

/// A Compose file as people write them: an anchor, lists and maps, variables, networks, a health check.
fn file(services: usize, timeout: &str) -> String {
    let mut text = "x-web: &web\n  image: shop/web:${TAG:-latest}\n  networks: [edge]\n  healthcheck: { test: [CMD, /web, health] }\n\n\
                    services:\n  envoy:\n    image: envoyproxy/envoy\n    labels: { portolan.proxy: \"true\" }\n    networks: [edge]\n"
        .to_owned();
    for number in 0..services {
        let _ = write!(
            text,
            "  web-{number}:\n    <<: *web\n    labels:\n      portolan.host: web-{number}.localhost\n      portolan.path: ~/(a|b)/[0-9]+$$\n      \
             portolan.port: \"8080\"\n      portolan.timeout: {timeout}\n    deploy: {{ replicas: 2 }}\n    environment:\n      - NAME=web-{number}\n"
        );
    }
    text + "networks:\n  edge: {}\n"
}
