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
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::provider::{InventorySender, Provider};

pub use schema::parse;

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

    /// Publishes what `text` says where that is new; a mistake is told, and the last good view stands.
    fn publish(&self, text: &str, sender: &InventorySender) {
        match parse(text) {
            Ok(inventory) => {
                let inventory = Arc::new(inventory);
                let changed = sender.send_if_modified(|last| {
                    let differs = last.as_ref() != Some(&inventory);
                    if differs {
                        *last = Some(Arc::clone(&inventory));
                    }
                    differs
                });
                if changed {
                    info!(file = %self.path.display(), endpoints = inventory.workloads.len(), "services file read");
                }
            }
            Err(mistake) => {
                let stands = if sender.borrow().is_some() { "; the last good one stands" } else { "" };
                warn!("{}:{mistake}{stands}", self.path.display());
            }
        }
    }
}

impl Provider for FileProvider {
    fn name(&self) -> &'static str {
        "file"
    }

    async fn run(self, sender: InventorySender, stop: CancellationToken) -> anyhow::Result<()> {
        let mut changes = watch::Changes::of(&self.path)?;
        let mut last: Option<Result<String, String>> = None;
        loop {
            let read = self.read().await.map_err(|error| format!("{error:#}"));
            // Editors touch a file several times for one change: only what it says counts.
            if last.as_ref() != Some(&read) {
                match &read {
                    Ok(text) => self.publish(text, &sender),
                    Err(error) => warn!("{error}; waiting for it"),
                }
                last = Some(read);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = changes.next() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
