//! The engine, as far as we use it: three questions.

use std::collections::HashMap;

use anyhow::Context;
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::net::{TcpStream, UnixStream};
use tracing::{info, warn};

use crate::inventory::WorkloadId;

use super::convert::{self, Container};
use super::event::{self, Event};
use super::list::{self, Pipe};
use super::steps::{List, Version};

type Connect = Box<dyn Fn() -> Result<Docker, Error> + Send + Sync>;
type Dialled = BoxFuture<'static, std::io::Result<Box<dyn Pipe>>>;
type Dial = Box<dyn Fn() -> Dialled + Send + Sync>;

/// A Docker Engine, connected or not.
pub(super) struct Engine {
    host: String,
    connect: Connect,
    /// A connection for a question that is not bollard's to ask.
    dial: Dial,
    docker: Option<Docker>,
}

impl Engine {
    /// The engine at `host`; whether it is there is seen when it is connected.
    pub(super) fn new(host: &str) -> anyhow::Result<Self> {
        match Docker::connect_with_host(host) {
            // The form of the address is all that matters here: an engine may be started later than we are.
            Ok(_) | Err(Error::SocketNotFoundError(_)) => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("DOCKER_HOST={host:?} is not an engine's address; write unix:///path or tcp://host:port")
                });
            }
        }
        let (address, dialled) = (host.to_owned(), host.to_owned());
        Ok(Self::with(
            host,
            move || Docker::connect_with_host(&address),
            move || dial(dialled.clone()).boxed(),
        ))
    }

    /// An engine that is reached by `connect` and `dial`, and called `host` in the log.
    pub(super) fn with(
        host: &str,
        connect: impl Fn() -> Result<Docker, Error> + Send + Sync + 'static,
        dial: impl Fn() -> Dialled + Send + Sync + 'static,
    ) -> Self {
        Self { host: host.to_owned(), connect: Box::new(connect), dial: Box::new(dial), docker: None }
    }

    fn docker(&self) -> anyhow::Result<&Docker> {
        self.docker.as_ref().context("not connected")
    }

    /// Connects, and agrees on a version of the API.
    pub(super) async fn connect(&mut self) -> anyhow::Result<Version> {
        let docker = (self.connect)()?.negotiate_version().await?;
        let version = docker.version().await?;
        info!(
            host = self.host,
            engine = version.version.as_deref().unwrap_or("unknown"),
            engine_api = version.api_version.as_deref().unwrap_or("unknown"),
            agreed_api = %docker.client_version(),
            "connected to the Docker Engine"
        );
        let agreed = docker.client_version().to_string();
        self.docker = Some(docker);
        Ok(Version { engine: version.version, api: version.api_version, agreed })
    }

    /// The events from `since` (seconds since the Unix epoch) on; nothing is sent before it is polled.
    pub(super) fn events(&self, since: i64) -> anyhow::Result<BoxStream<'static, anyhow::Result<Event>>> {
        let filters =
            HashMap::from([("type", vec!["container", "network"]), ("event", event::ACTIONS.to_vec())]);
        let options = EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build();
        let events = self.docker()?.events(Some(options));
        Ok(Box::pin(events.filter_map(|message| async {
            match message {
                Ok(message) => event::read(&message).map(Ok),
                Err(error) => Some(Err(error.into())),
            }
        })))
    }

    /// All containers, also those that do not run.
    pub(super) async fn list(&self) -> anyhow::Result<List> {
        self.docker()?;
        let pipe =
            (self.dial)().await.with_context(|| format!("cannot reach the engine at {}", self.host))?;
        list::all(pipe).await.context("cannot list the containers")
    }

    /// One container, or nothing where it is gone or of no interest.
    pub(super) async fn inspect(&self, id: &WorkloadId) -> anyhow::Result<Option<Container>> {
        let answer = self.docker()?.inspect_container(&id.0, None::<InspectContainerOptions>).await;
        let told = match answer {
            Ok(answer) => convert::container(answer).map_err(|missing| missing.to_string()),
            // It died between the list, or its event, and this question.
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error @ (Error::JsonDataError { .. } | Error::JsonSerdeError { .. })) => {
                Err(error.to_string())
            }
            Err(error) => return Err(error).with_context(|| format!("cannot inspect container {}", id.0)),
        };
        // One container that cannot be understood must not keep the others from being seen.
        Ok(told.unwrap_or_else(|reason| {
            warn!(container = &*id.0, "passed over, the engine's answer on it cannot be used: {reason}");
            None
        }))
    }
}

/// A connection to the engine at `host`, which bollard has found to be an address.
async fn dial(host: String) -> std::io::Result<Box<dyn Pipe>> {
    match host.split_once("://") {
        Some(("unix", path)) => Ok(Box::new(UnixStream::connect(path).await?)),
        Some((_, address)) => Ok(Box::new(TcpStream::connect(host_and_port(address)).await?)),
        None => Err(std::io::Error::other("not an address")),
    }
}

/// Where bollard connects to for what stands after `tcp://`: a URL's host and port, without its path, at port 80 if it
/// names none (RFC 9110 section 4.2.1).
fn host_and_port(address: &str) -> String {
    let authority = address.split('/').next().unwrap_or_default();
    // A colon inside brackets is one of an IPv6 address (RFC 3986 section 3.2.2).
    let after_host = authority.rsplit(']').next().unwrap_or_default();
    if after_host.contains(':') { authority.to_owned() } else { format!("{authority}:80") }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn an_address_is_read_as_a_url_is() {
        for (address, wanted) in [
            ("guard:2375", "guard:2375"),
            ("guard:2375/", "guard:2375"),
            ("guard:2375/a/path", "guard:2375"),
            ("guard", "guard:80"),
            ("guard/", "guard:80"),
            ("[::1]:2375", "[::1]:2375"),
            ("[::1]", "[::1]:80"),
        ] {
            assert_eq!(host_and_port(address), wanted, "{address}");
        }
    }
}
