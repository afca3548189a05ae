//! The Docker provider: what the engine says, as an inventory. The only place that names bollard.
//!
//! ```text
//! engine (I/O) --> watcher (loop) --> view (pure: list is the truth, events are hints) --> Inventory
//!                    convert, event (pure: JSON to our own types)
//! ```

mod convert;
mod engine;
mod event;
mod view;
mod watcher;

use tokio_util::sync::CancellationToken;

use crate::provider::{InventorySender, Provider};

use engine::Bollard;
use watcher::Watcher;

/// Watches a Docker Engine.
#[derive(Debug)]
pub struct DockerProvider {
    engine: Bollard,
}

impl DockerProvider {
    /// A provider for the engine at `host`, as in `DOCKER_HOST`: `unix:///var/run/docker.sock`, `tcp://host:2375`.
    ///
    /// # Errors
    ///
    /// `host` is of no such form. Whether anybody answers there is seen later.
    pub fn new(host: &str) -> anyhow::Result<Self> {
        Ok(Self { engine: Bollard::new(host)? })
    }
}

impl Provider for DockerProvider {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn run(self, sender: InventorySender, stop: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = stop.cancelled() => {}
            () = Watcher::new(self.engine, sender).run() => {}
        }
        Ok(())
    }
}
