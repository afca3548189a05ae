//! The engine, as far as we use it: three questions.

use std::collections::HashMap;

use anyhow::Context;
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use tracing::{info, warn};

use crate::inventory::WorkloadId;

use super::convert::{self, Container};
use super::event::{self, Event};
use super::listed;
use super::steps::{List, Version};

type Connect = Box<dyn Fn() -> Result<Docker, Error> + Send + Sync>;

/// A Docker Engine, connected or not.
pub(super) struct Engine {
    host: String,
    connect: Connect,
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
        let address = host.to_owned();
        Ok(Self::with(host, move || Docker::connect_with_host(&address)))
    }

    /// An engine that is reached by `connect`, and called `host` in the log.
    pub(super) fn with(
        host: &str,
        connect: impl Fn() -> Result<Docker, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { host: host.to_owned(), connect: Box::new(connect), docker: None }
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
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let list = self.docker()?.list_containers(Some(options)).await;
        let list = list.context("cannot list the containers")?;
        Ok(list.iter().filter_map(listed::read).collect())
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

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("host", &self.host).finish_non_exhaustive()
    }
}
