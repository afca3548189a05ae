//! The gRPC side of the commands that talk to a running control plane.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::admin::pb::admin_service_client::AdminServiceClient;
use crate::admin::pb::inspect_service_client::InspectServiceClient;
use crate::admin::{Token, pb};

/// How long a connection may take; the control plane is near.
const CONNECT: Duration = Duration::from_secs(2);
/// How long after a failed attempt the next one follows.
const PAUSE: Duration = Duration::from_millis(200);

/// Where the control plane is.
#[derive(Debug, Clone, Args)]
pub(super) struct ControlPlane {
    /// The control plane to talk to (its gRPC port).
    #[arg(long, env = "PORTOLAN_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1:18000")]
    pub(super) address: String,

    /// The file with the control plane's token, where changes need one.
    #[arg(long, env = "PORTOLAN_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

/// A client that says the token, if it knows one.
type Admin = AdminServiceClient<InterceptedService<Channel, Authorization>>;

/// What goes with each request for a change.
#[derive(Debug, Clone)]
pub(super) struct Authorization(Option<MetadataValue<Ascii>>);

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl ControlPlane {
    /// A channel that connects when it is used, and again whenever it must.
    fn channel(&self) -> anyhow::Result<Channel> {
        let address = &self.address;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .with_context(|| format!("{address:?} is not an address; write host:port"))?;
        Ok(endpoint.connect_timeout(CONNECT).connect_lazy())
    }

    pub(super) fn admin(&self) -> anyhow::Result<Admin> {
        let token = self.admin_token_file.as_deref().map(Token::read).transpose()?;
        let value = token.map(|token| MetadataValue::try_from(token.bearer())).transpose()?;
        let value = value.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(AdminServiceClient::with_interceptor(self.channel()?, Authorization(value)))
    }

    pub(super) fn inspect(&self) -> anyhow::Result<InspectServiceClient<Channel>> {
        Ok(InspectServiceClient::new(self.channel()?))
    }

    /// What went wrong, for a person.
    pub(super) fn told(&self, status: &Status) -> anyhow::Error {
        match status.code() {
            Code::Unavailable if std::error::Error::source(status).is_some() => anyhow!(
                "no control plane at {}; is it running, and is its gRPC port published there? (--address)",
                self.address
            ),
            Code::Unimplemented => {
                anyhow!("the control plane at {} is older than this command", self.address)
            }
            _ => anyhow!("{}", status.message()),
        }
    }

    /// Follows a service until `missing` finds nothing missing any more.
    ///
    /// # Errors
    ///
    /// What is missing still after `timeout`, one thing a line; or at once what no waiting will change.
    pub(super) async fn until(
        &self,
        service: &str,
        timeout: Duration,
        missing: impl Fn(&pb::WatchServiceResponse) -> Vec<String>,
    ) -> anyhow::Result<pb::WatchServiceResponse> {
        let end = Instant::now() + timeout;
        let mut last = vec![format!("no word from the control plane at {}", self.address)];
        loop {
            let attempt = self.follow(service, &missing, &mut last);
            let Ok(outcome) = tokio::time::timeout_at(end, attempt).await else {
                let seconds = timeout.as_secs_f32();
                bail!("not within {seconds} s:\n{}", as_list(&last));
            };
            match outcome {
                Ok(found) => return Ok(found),
                Err(status) if matches!(status.code(), Code::FailedPrecondition | Code::Unimplemented) => {
                    return Err(self.told(&status));
                }
                Err(status) => {
                    last = vec![self.told(&status).to_string()];
                    tokio::time::sleep_until((Instant::now() + PAUSE).min(end)).await;
                }
            }
        }
    }

    async fn follow(
        &self,
        service: &str,
        missing: impl Fn(&pb::WatchServiceResponse) -> Vec<String>,
        last: &mut Vec<String>,
    ) -> Result<pb::WatchServiceResponse, Status> {
        let mut client = self.inspect().map_err(|error| Status::failed_precondition(format!("{error:#}")))?;
        let request = pb::WatchServiceRequest { service: service.to_owned() };
        let mut stream = client.watch_service(request).await?.into_inner();
        while let Some(found) = stream.message().await? {
            *last = missing(&found);
            if last.is_empty() {
                return Ok(found);
            }
        }
        Err(Status::unavailable("the control plane ended the answer"))
    }
}

fn as_list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}
