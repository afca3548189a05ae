//! The server under test, in this process: it serves whatever the test publishes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use envoy_types::pb::envoy::config::core::v3::Node;
use portolan::admin;
use stack::ports::Reserved;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use xds_server::{
    Clients, Resource, ServeError, ServeOptions, Snapshot, SnapshotReceiver, SnapshotSource, XdsService,
    serve,
};

use super::LIMIT;

/// An xDS server on a port that it keeps over restarts.
#[derive(Debug)]
pub struct ControlPlane {
    port: Reserved,
    nodes: Vec<&'static str>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    runtime: Runtime,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), ServeError>>,
    snapshots: BTreeMap<&'static str, watch::Sender<Option<Arc<Snapshot>>>>,
    clients: Clients,
}

/// Another snapshot for each node.
#[derive(Debug)]
struct ByNode(BTreeMap<&'static str, SnapshotReceiver>);

impl SnapshotSource for ByNode {
    fn for_node(&self, node: &Node) -> SnapshotReceiver {
        // A node that nobody thought of is never told anything.
        self.0.get(node.id.as_str()).cloned().unwrap_or_else(|| watch::channel(None).1)
    }
}

impl ControlPlane {
    /// Starts one that knows these nodes, and has nothing to say yet.
    pub fn start(nodes: &[&'static str]) -> Result<Self> {
        let mut plane = Self { port: Reserved::new()?, nodes: nodes.to_vec(), running: None };
        plane.restart()?;
        Ok(plane)
    }

    pub const fn port(&self) -> u16 {
        self.port.port()
    }

    /// What comes after what this node has now: these resources.
    pub fn publish(&self, node: &str, resources: Vec<Resource>) -> Result<()> {
        self.publish_in_a_row(node, [resources])
    }

    /// Several snapshots, one after another, of which every client is in time for the last only.
    pub fn publish_in_a_row(
        &self,
        node: &str,
        worlds: impl IntoIterator<Item = Vec<Resource>>,
    ) -> Result<()> {
        let snapshots = self.running()?.snapshots.get(node).context("there is no such node")?;
        let mut newest = snapshots.borrow().as_deref().cloned().unwrap_or_default();
        for resources in worlds {
            newest = newest.next(resources)?;
        }
        snapshots.send_replace(Some(Arc::new(newest)));
        Ok(())
    }

    /// Who is connected.
    pub fn clients(&self) -> Result<Clients> {
        Ok(self.running()?.clients.clone())
    }

    fn running(&self) -> Result<&Running> {
        self.running.as_ref().context("the server is stopped")
    }

    /// Starts it anew on the same port: nothing of what it knew before is left.
    pub fn restart(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(async { self.port.listen() })?;
        let channels = self.nodes.iter().map(|node| (*node, watch::channel(None)));
        let (mut snapshots, mut source) = (BTreeMap::new(), BTreeMap::new());
        for (node, (sender, receiver)) in channels {
            snapshots.insert(node, sender);
            source.insert(node, receiver);
        }
        let stop = CancellationToken::new();
        let service = XdsService::new(ByNode(source), Default::default(), "test", stop.clone());
        let clients = service.clients();
        let routes =
            service.routes().add_service(admin::reflection()).add_service(admin::reflection_v1alpha());
        // A stop that had to be forced is seen as one that took too long.
        let options = ServeOptions { stop_deadline: LIMIT, ..Default::default() };
        let mut tasks = JoinSet::new();
        tasks.spawn_on(serve(listener, routes, options, stop.clone()), runtime.handle());
        self.running = Some(Running { runtime, stop, tasks, snapshots, clients });
        Ok(())
    }

    /// Stops it as an operator would: its streams end themselves.
    pub fn stop(&mut self) -> Result<()> {
        let Running { runtime, stop, mut tasks, .. } =
            self.running.take().context("it is stopped already")?;
        stop.cancel();
        let stopped = runtime.block_on(async { tokio::time::timeout(LIMIT / 2, tasks.join_next()).await });
        stopped.context("the server does not stop by itself")?.context("it did not run")???;
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    }

    /// Ends it without a word: its connections are cut.
    pub fn kill(&mut self) -> Result<()> {
        let Running { runtime, .. } = self.running.take().context("it is stopped already")?;
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    }
}
