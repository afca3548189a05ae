//! The Docker provider: what the engine says, as an inventory. The only place that names bollard.
//!
//! ```text
//! engine (I/O) --> watcher (loop) --> view (pure: list is the truth, events are hints) --> Inventory
//!                    convert, listed, event (pure: JSON to our own types)
//!                    list, elements (the list of all, read as it comes)
//!                    looks (which containers are being inspected)
//!                    steps (what of it a recording holds, and how it is played again)
//! ```

mod convert;
mod elements;
mod engine;
mod event;
mod list;
mod listed;
mod looks;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod script;
mod steps;
mod view;
mod watcher;

use tokio_util::sync::CancellationToken;

use crate::provider::{Outlet, Provider};
use crate::recording::Recorder;

use engine::Engine;
use watcher::Watcher;

pub(crate) use steps::{Player, Step};

/// Watches a Docker Engine.
#[derive(Debug)]
pub struct DockerProvider {
    engine: Engine,
    recorder: Recorder,
}

impl DockerProvider {
    /// A provider for the engine at `host`, as in `DOCKER_HOST`: `unix:///var/run/docker.sock`, `tcp://host:2375`.
    ///
    /// # Errors
    ///
    /// `host` is of no such form. Whether anybody answers there is seen later.
    pub fn new(host: &str) -> anyhow::Result<Self> {
        Ok(Self { engine: Engine::new(host)?, recorder: Recorder::default() })
    }

    /// The same, with what the engine says in a recording.
    #[must_use]
    pub fn recorded(mut self, recorder: Recorder) -> Self {
        self.recorder = recorder;
        self
    }
}

impl Provider for DockerProvider {
    fn name(&self) -> &'static str {
        "docker"
    }

    async fn run(self, outlet: Outlet, stop: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = stop.cancelled() => {}
            () = Watcher::new(self.engine, outlet, self.recorder).run() => {}
        }
        Ok(())
    }
}
