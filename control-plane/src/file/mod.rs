//! The file provider: the label vocabulary from a watched YAML file, for what does not run in Docker.
//!
//! ```yaml
//! services:
//!   frontend:
//!     labels: { portolan.host: frontend.localhost }
//!     endpoints: ["127.0.0.1:9001", { address: "127.0.0.1:9002", name: frontend-b, health: unhealthy }]
//! ```
//!
//! A service with no endpoints keeps its routes; they answer 503.

mod schema;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::provider::{Outlet, Provider};

pub use schema::parse;
pub(crate) use schema::place;
pub(crate) use watch::Changes;

/// Reads a services file each time it changes.
#[derive(Debug)]
pub struct FileProvider {
    path: PathBuf,
}

impl FileProvider {
    /// A provider for the file at `path`, which may appear later.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    async fn read(&self) -> anyhow::Result<String> {
        tokio::fs::read_to_string(&self.path)
            .await
            .with_context(|| format!("cannot read {}", self.path.display()))
    }

    /// Publishes what `text` says where that is new, and says whether it could be read; a mistake is told, and the last
    /// good view stands.
    fn publish(&self, text: &str, hint: Option<Instant>, outlet: &Outlet) -> bool {
        match parse(text) {
            Ok(inventory) => {
                let inventory = Arc::new(inventory);
                if outlet.publish_since(&inventory, hint) {
                    info!(file = %self.path.display(), endpoints = inventory.workloads.len(), "services file read");
                }
                true
            }
            Err(mistake) => {
                let stands = if outlet.has_view() { "; the last good one stands" } else { "" };
                warn!("{}:{mistake}{stands}", self.path.display());
                false
            }
        }
    }
}

impl Provider for FileProvider {
    fn name(&self) -> &'static str {
        "file"
    }

    async fn run(self, outlet: Outlet, stop: CancellationToken) -> anyhow::Result<()> {
        let mut changes = watch::Changes::of(&self.path)?;
        let mut last: Option<Result<String, String>> = None;
        let mut holds = false;
        let mut hint = None;
        loop {
            let now = Instant::now();
            let read = self.read().await.map_err(|error| format!("{error:#}"));
            // Editors touch a file several times for one change: only what it says counts.
            if last.as_ref() != Some(&read) {
                holds = match &read {
                    Ok(text) => self.publish(text, hint, &outlet),
                    Err(error) => {
                        warn!("{error}; waiting for it");
                        false
                    }
                };
                last = Some(read);
            }
            if holds {
                outlet.confirm(now);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                next = changes.next() => hint = next,
            }
        }
    }
}

#[cfg(test)]
mod tests;
