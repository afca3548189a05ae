//! `portolan plan`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{anyhow, ensure};
use clap::{Args, ValueEnum};

use super::compose_files::{ComposeFiles, read};
use super::connection::ControlPlane;
use crate::admin::pb;
use crate::admin::policies::from_message;
use crate::lint::exposed;
use crate::plan::{self, Running, Settings};

/// Something would change.
const DIFFERS: u8 = 2;
/// The answer lists every container: so long it may be, in bytes.
const LONGEST_ANSWER: usize = 256 << 20;

/// Say what would change if Compose files were brought up.
///
/// Asks the running control plane what there is, and lays what `docker compose up` would make of the files over it: routes, services,
/// endpoints and weights that are added, changed or removed, and which requests something else answers. Nothing is changed. What it must
/// guess, such as addresses of containers that are not there yet, it says.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where nothing would change, 2 where something would, 1 where it cannot be told, or the command is wrong.\n\n    \
                  portolan plan\n    \
                  portolan plan --format json compose.yml compose.prod.yml"
)]
pub(super) struct Plan {
    #[command(flatten)]
    files: ComposeFiles,

    /// In what form it is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Take it that containers of services which are not in the files are removed, as `up --remove-orphans` does.
    #[arg(long)]
    remove_orphans: bool,

    #[command(flatten)]
    control_plane: ControlPlane,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

impl Plan {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let policies = self.files.policies().map_err(|error| anyhow!("{error}"))?;
        let resolved = self.files.resolve().await.map_err(|error| anyhow!("{error}"))?;
        let told = |status: tonic::Status| self.control_plane.told(&status);
        let mut client = self.control_plane.inspect()?.max_decoding_message_size(LONGEST_ANSWER);
        let view = client.get_view(pb::GetViewRequest { containers: true }).await;
        let view = view.map_err(told)?.into_inner();
        ensure!(
            !view.label_prefix.is_empty(),
            "the control plane at {} is older than this command",
            self.control_plane.address
        );
        let policies = match policies {
            Some(policies) => policies,
            None => {
                let policies = client.get_policies(pb::GetPoliciesRequest {}).await.map_err(told)?;
                Arc::new(from_message(policies.into_inner()))
            }
        };
        let settings =
            Settings { profiles: self.files.active(&resolved.loaded), remove_orphans: self.remove_orphans };
        let ports = |service: &_| exposed(service, &resolved.loaded, &read);
        let plan = plan::of(&Running::new(view, policies), &resolved.project, &settings, &ports);
        match self.format {
            Format::Text => print!("{}", plan.text()),
            Format::Json => println!("{}", serde_json::to_string_pretty(&plan)?),
        }
        Ok(if plan.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
    }
}
