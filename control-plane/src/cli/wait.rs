//! `portolan wait`.

use std::time::Duration;

use clap::Args;

use super::connection::ControlPlane;
use super::missing::unrouted;
use crate::admin::pb::endpoint::State;

/// Wait until requests for a service reach all its replicas; exit code 0, or 1 with what is missing.
///
/// A service is routed when at least one of its containers is ready, none is starting still, and every connected Envoy
/// has acknowledged its endpoints and its routes.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where it is routed, 1 where not within the time, with what is missing; 2 where the command is wrong.\n\n\
                        For scripts and CI:\n\n    \
                        docker compose up -d && portolan wait --routed frontend && ./run-the-tests"
)]
pub(super) struct Wait {
    /// The service, as in the Compose file, or with its project: shop/frontend.
    #[arg(long, value_name = "SERVICE", required = true)]
    routed: String,

    /// Wait for exactly this many replicas.
    #[arg(long, value_name = "N")]
    replicas: Option<usize>,

    /// How long to wait.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = lifecycle::duration::parse)]
    timeout: Duration,

    #[command(flatten)]
    control_plane: ControlPlane,
}

impl Wait {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let asked = &self.routed;
        let missing = |status: &_| unrouted(asked, status, self.replicas);
        let found = self.control_plane.until(asked, self.timeout, missing).await;
        let found = found.map_err(|error| error.context(format!("{asked} is not routed")))?;
        let endpoints = found.service.map(|service| service.endpoints).unwrap_or_default();
        let ready = endpoints.iter().filter(|endpoint| endpoint.state() == State::Ready).count();
        println!(
            "{asked} is routed: ready replicas {ready}, clients that acknowledged them {}",
            found.clients.len()
        );
        Ok(())
    }
}
