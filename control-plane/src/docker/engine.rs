//! The engine, as far as we use it: three questions.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use tracing::info;

use crate::inventory::WorkloadId;

use super::convert::{self, Container, Listed};
use super::event::{self, Event};

/// A Docker Engine, or what stands in for one in a test.
pub(super) trait Engine: Send + Sync + 'static {
    /// Connects, and agrees on a version of the API.
    fn connect(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// The events from `since` (seconds since the Unix epoch) on; nothing is sent before it is polled.
    fn events(&self, since: i64) -> BoxStream<'static, anyhow::Result<Event>>;

    /// All containers, also those that do not run.
    fn list(&self) -> impl Future<Output = anyhow::Result<BTreeMap<WorkloadId, Listed>>> + Send;

    /// One container, or nothing where it is gone.
    fn inspect(
        &self,
        id: &WorkloadId,
        listed: Listed,
    ) -> impl Future<Output = anyhow::Result<Option<Container>>> + Send;
}

/// The real one.
#[derive(Debug)]
pub(super) struct Bollard {
    host: String,
    docker: Docker,
}

impl Bollard {
    pub(super) fn new(host: &str) -> anyhow::Result<Self> {
        let docker = Docker::connect_with_host(host).with_context(|| {
            format!("DOCKER_HOST={host:?} is not an engine's address; write unix:///path or tcp://host:port")
        })?;
        Ok(Self { host: host.to_owned(), docker })
    }
}

impl Engine for Bollard {
    async fn connect(&mut self) -> anyhow::Result<()> {
        let docker = Docker::connect_with_host(&self.host)?.negotiate_version().await?;
        let version = docker.version().await?;
        info!(
            host = self.host,
            engine = version.version.as_deref().unwrap_or("unknown"),
            engine_api = version.api_version.as_deref().unwrap_or("unknown"),
            agreed_api = %docker.client_version(),
            "connected to the Docker Engine"
        );
        self.docker = docker;
        Ok(())
    }

    fn events(&self, since: i64) -> BoxStream<'static, anyhow::Result<Event>> {
        let filters =
            HashMap::from([("type", vec!["container", "network"]), ("event", event::ACTIONS.to_vec())]);
        let options = EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build();
        let events = self.docker.events(Some(options));
        Box::pin(events.filter_map(|message| async {
            match message {
                Ok(message) => event::read(&message).map(Ok),
                Err(error) => Some(Err(error.into())),
            }
        }))
    }

    async fn list(&self) -> anyhow::Result<BTreeMap<WorkloadId, Listed>> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let list = self.docker.list_containers(Some(options)).await.context("cannot list the containers")?;
        Ok(list.iter().filter_map(convert::listed).collect())
    }

    async fn inspect(&self, id: &WorkloadId, listed: Listed) -> anyhow::Result<Option<Container>> {
        match self.docker.inspect_container(&id.0, None::<InspectContainerOptions>).await {
            Ok(answer) => Ok(Some(convert::container(answer, listed)?)),
            // It died between the list, or its event, and this question.
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot inspect container {}", id.0)),
        }
    }
}
