//! `portolan logs`.

mod filter;
mod line;

use std::io::Write as _;
use std::process::Stdio;

use anstream::adapter::strip_str;
use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::rollout::Compose;
use filter::{Filter, StatusFilter};
use line::Line;

/// Follow the access log: one request a line, in columns.
///
/// Runs `docker compose logs -f --no-log-prefix envoy`, or reads standard input with `-`. What is no line of the access log, such
/// as Envoy's own warnings, goes to standard error as it is.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where the log ended or its reader left, 1 where it cannot be read; 2 where the command is wrong.\n\n    \
                  portolan logs\n    portolan logs --host shop.localhost --status 404,5xx\n    \
                  portolan logs --service backend --format json | jq .duration_ms\n    \
                  docker compose logs --no-log-prefix envoy | portolan logs -\n\n\
                  The columns are: time, status, duration, method, the container that answered, host and path; and why Envoy answered \
                  itself, where it did. Colours only on a terminal, and not where NO_COLOR is set."
)]
pub(super) struct Logs {
    /// `-` to read standard input.
    #[arg(value_name = "-", value_parser = ["-"], hide_possible_values = true)]
    input: Option<String>,

    /// Only requests for this host, or for those under it: shop.localhost, *.shop.localhost. Several: any of them.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    host: Vec<String>,

    /// Only requests that were answered so: 404, 5xx. Several: any of them.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<StatusFilter>,

    /// Only requests to this service: as Compose calls it, or as Portolan does (project/service). Several: any of them.
    #[arg(long, value_name = "SERVICE", value_delimiter = ',')]
    service: Vec<String>,

    /// How requests are shown: in columns, or as the lines of JSON that they are.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    /// How much of what is there to begin with; `all` for all of it.
    #[arg(long, value_name = "LINES", default_value = "100")]
    tail: String,

    /// The Compose service that runs Envoy.
    #[arg(long, value_name = "SERVICE", default_value = "envoy")]
    envoy: String,

    #[command(flatten)]
    compose: Compose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Logs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let printer = Printer {
            filter: Filter { hosts: self.host, statuses: self.status, services: self.service },
            format: self.format,
        };
        if self.input.is_some() {
            return printer.print(tokio::io::stdin()).await.map(drop);
        }
        let mut command = self.compose.command();
        command.args(["logs", "--follow", "--no-log-prefix", "--tail", &self.tail, &self.envoy]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().context(
            "cannot run docker; where it is not, give the log on standard input: docker compose logs --no-log-prefix envoy | portolan logs -",
        )?;
        match printer.print(child.stdout.take().context("docker compose has no output")?).await? {
            End::OfLog => {
                let status = child.wait().await.context("docker compose is lost")?;
                ensure!(status.success(), "docker compose logs: {status}");
                Ok(())
            }
            // It is ended by our leaving.
            End::OfReader => Ok(()),
        }
    }
}

/// Why there is no more to print.
enum End {
    OfLog,
    OfReader,
}

struct Printer {
    filter: Filter,
    format: Format,
}

impl Printer {
    /// Until `input` ends, or nobody reads what is printed.
    async fn print(&self, input: impl AsyncRead + Unpin) -> anyhow::Result<End> {
        let mut input = BufReader::new(input);
        let mut bytes = Vec::new();
        while input.read_until(b'\n', &mut bytes).await.context("cannot read the log")? > 0 {
            // Compose erases the line that it begins with, whatever it writes to. A line of Envoy's holds no such thing raw.
            let text = strip_str(&String::from_utf8_lossy(&bytes)).to_string();
            match self.one(text.trim_end_matches(['\n', '\r'])) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(End::OfReader),
                printed => printed?,
            }
            bytes.clear();
        }
        Ok(End::OfLog)
    }

    fn one(&self, text: &str) -> std::io::Result<()> {
        let Some(line) = Line::read(text) else {
            return if text.is_empty() { Ok(()) } else { writeln!(anstream::stderr(), "{text}") };
        };
        if !self.filter.takes(&line) {
            return Ok(());
        }
        match self.format {
            Format::Text => writeln!(anstream::stdout(), "{}", line.in_columns()),
            Format::Json => writeln!(std::io::stdout(), "{text}"),
        }
    }
}
