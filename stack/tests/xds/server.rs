//! The server under test, in this process: it serves whatever snapshot the test publishes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use stack::ports::Reserved;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use xds_server::{Resource, Snapshot, XdsService};

use super::LIMIT;

/// An xDS server on a port that it keeps over restarts.
#[derive(Debug)]
pub struct ControlPlane {
    port: Reserved,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    runtime: Runtime,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
}

impl ControlPlane {
    /// Starts one that has nothing to say yet.
    pub fn start() -> Result<Self> {
        let mut plane = Self { port: Reserved::new()?, running: None };
        plane.restart()?;
        Ok(plane)
    }

    pub const fn port(&self) -> u16 {
        self.port.port()
    }

    /// The successor of what there is now: these resources.
    pub fn publish(&self, resources: impl IntoIterator<Item = Resource>) -> Result<()> {
        let running = self.running.as_ref().context("the server is stopped")?;
        let current = running.snapshots.borrow().clone();
        let next = current.as_deref().unwrap_or(&Snapshot::default()).next(resources)?;
        running.snapshots.send_replace(Some(Arc::new(next)));
        Ok(())
    }

    /// Starts it anew on the same port: nothing of what it knew before is left.
    pub fn restart(&mut self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(async { self.port.listen() })?;
        let (snapshots, snapshots_rx) = watch::channel(None);
        let stop = CancellationToken::new();
        let service = XdsService::new(snapshots_rx, Default::default(), "test", stop.clone());
        let stopped = stop.clone().cancelled_owned();
        let task = runtime.spawn(
            Server::builder()
                .add_service(service.aggregated())
                .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stopped),
        );
        self.running = Some(Running { runtime, stop, task, snapshots });
        Ok(())
    }

    /// Stops it as an operator would: its streams end themselves.
    pub fn stop(&mut self) -> Result<()> {
        let Running { runtime, stop, task, .. } = self.running.take().context("it is stopped already")?;
        stop.cancel();
        runtime
            .block_on(async { tokio::time::timeout(LIMIT, task).await })
            .context("the server does not stop")???;
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
