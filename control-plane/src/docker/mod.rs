//! The Docker provider: what the engine says, as an inventory. The only place that names bollard.
//!
//! ```text
//! engine (I/O) --> watcher (loop) --> view (pure: list is the truth, events are hints) --> Inventory
//!                    convert, listed, event (pure: JSON to our own types)
//!                    looks (which containers are being inspected)
//! ```

mod convert;
mod engine;
mod event;
mod listed;
mod looks;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod script;
mod view;
mod watcher;

use tokio_util::sync::CancellationToken;

use crate::provider::{Outlet, Provider};

use engine::Engine;
use watcher::Watcher;

/// Watches a Docker Engine.
#[derive(Debug)]
pub struct DockerProvider {
    engine: Engine,
}

impl DockerProvider {
    /// A provider for the engine at `host`, as in `DOCKER_HOST`: `unix:///var/run/docker.sock`, `tcp://host:2375`.
    ///
    /// # Errors
    ///
    /// `host` is of no such form. Whether anybody answers there is seen later.
    pub fn new(host: &str) -> anyhow::Result<Self> {
        Ok(Self { engine: Engine::new(host)? })
    }
}

impl Provider for DockerProvider {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn run(self, outlet: Outlet, stop: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = stop.cancelled() => {}
            () = Watcher::new(self.engine, outlet).run() => {}
        }
        Ok(())
    }
}
