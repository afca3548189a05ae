//! `portolan health`.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Ask a running control plane, or any HTTP address, whether it is well; exit code 0 or 1.
///
/// A health check for containers without a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where it is well, 1 where it is not, or does not answer in time; 2 where the command is wrong.\n\n    \
                  portolan health\n    portolan health --http http://127.0.0.1:9901/ready"
)]
pub(super) struct Health {
    /// The control plane to ask (grpc.health.v1).
    #[arg(long, env = "PORTOLAN_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1:18000")]
    address: String,

    /// Ask this URL, and no control plane; anything but 200 is a failure.
    #[arg(long, value_name = "URL")]
    http: Option<String>,

    /// How long to wait for an answer.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = lifecycle::duration::parse)]
    timeout: Duration,
}

impl Health {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match &self.http {
            Some(url) => lifecycle::health::check(url, self.timeout).await,
            None => self.ask().await,
        }
    }

    async fn ask(&self) -> anyhow::Result<()> {
        let address = &self.address;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .with_context(|| format!("{address:?} is not an address; write host:port"))?
            .connect_timeout(self.timeout)
            .timeout(self.timeout);
        let channel = endpoint.connect().await.with_context(|| format!("no control plane at {address}"))?;
        let answer = HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await
            .with_context(|| format!("the control plane at {address} does not answer"))?;
        match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => bail!(
                "the control plane at {address} is {}: it has no view of the containers yet",
                other.as_str_name()
            ),
        }
    }
}
