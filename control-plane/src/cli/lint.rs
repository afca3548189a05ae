//! `portolan lint`.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::compose_files::{ComposeFiles, read};
use crate::lint::report::{Format, Report};
use crate::lint::{self, Settings};
use crate::model;

/// Check the labels of Compose files before they are brought up.
///
/// Reads the files as docker compose resolves them, and tells each mistake with its place, why it is one, and what to do: what a
/// running control plane would tell of the containers, and what only the files show.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where there is nothing to tell, 1 where there are findings (notes are none), 2 where the files cannot be \
                  checked, or the command is wrong.\n\n    \
                  portolan lint\n    \
                  portolan lint compose.yml compose.prod.yml\n    \
                  portolan lint --format sarif compose.yml > portolan.sarif"
)]
pub(super) struct Lint {
    #[command(flatten)]
    files: ComposeFiles,

    /// In what form findings are printed.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,

    /// Network that Envoy is on (its full name), where Envoy is not in these files; may be given several times.
    #[arg(long = "proxy-network", value_name = "NETWORK")]
    proxy_networks: Vec<String>,

    /// The host name of the dashboard, which no container may claim.
    #[arg(long, env = "PORTOLAN_DASHBOARD_HOST", value_name = "HOST", default_value = "dashboard.localhost")]
    dashboard_host: String,

    /// What every label begins with.
    #[arg(long, env = "PORTOLAN_LABEL_PREFIX", value_name = "PREFIX", default_value = "portolan")]
    label_prefix: String,
}

/// The files cannot be checked.
const UNCHECKED: u8 = 2;

impl Lint {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let resolved = match self.files.policies() {
            Ok(policies) => self.files.resolve().await.map(|resolved| (resolved, policies)),
            Err(error) => Err(error),
        };
        let report = match resolved {
            Ok((resolved, policies)) => {
                let settings = Settings {
                    model: model::Options {
                        label_prefix: self.label_prefix,
                        reserved_host: self.dashboard_host,
                        policies: policies.unwrap_or_default(),
                    },
                    profiles: self.files.active(&resolved.loaded),
                    proxy_networks: self.proxy_networks.into_iter().collect(),
                };
                Report {
                    outcome: Ok(lint::check(&resolved.project, &resolved.loaded, &settings, &read)),
                    services: resolved.project.services.len(),
                    by_compose: resolved.by_compose,
                }
            }
            Err(error) => Report { outcome: Err(error), services: 0, by_compose: false },
        };
        // What a person redirects are findings; that there are none because of a mistake is another matter.
        let is_error = report.outcome.is_err() && self.format == Format::Human;
        let is_terminal =
            if is_error { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        let colored = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let text = report.print(self.format, colored);
        match is_error {
            true => std::io::stderr().write_all(text.as_bytes())?,
            false => std::io::stdout().write_all(text.as_bytes())?,
        }
        Ok(match (&report.outcome, report.count()) {
            (Err(_), _) => ExitCode::from(UNCHECKED),
            (Ok(_), 0) => ExitCode::SUCCESS,
            (Ok(_), _) => ExitCode::FAILURE,
        })
    }
}
