//! The last view that was known to be right, in a file: what a control plane starts from while its source is away.
//!
//! ```text
//! provider --> Outlet --> views --> publish
//!                ^          |
//!                |          v   at most once a second, off the path of what is served
//!        stand in, if no    file
//!        view comes soon
//! ```
//!
//! The file holds facts as the provider gave them, labels and all, and no environment: that is never asked for.

mod decisions;
mod file;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::inventory::Inventory;
use crate::provider::{InventoryReceiver, Outlet};

pub use decisions::DecisionsFile;
pub use file::Saved;
use file::Unusable;

/// A source that has shown nothing for this long is away: an engine that is there has been listed by then.
const AWAY_AFTER: Duration = Duration::from_secs(2);
/// How long at least between two writes,
const PAUSE: Duration = Duration::from_secs(1);
/// and how many times longer than the last write took: a large file on a slow disk is written less often.
const PAUSE_FACTOR: u32 = 20;

/// The last view that a control plane saved at `path`, for whoever asks when none runs.
///
/// # Errors
///
/// Why it cannot be used, as the end of a sentence.
pub fn saved(path: &Path) -> Result<Saved, String> {
    file::load_any(path).map_err(|error| error.to_string())
}

/// Keeps the last view in a file.
#[derive(Debug, Clone)]
pub struct Keeper {
    path: PathBuf,
    source: &'static str,
}

impl Keeper {
    /// A keeper for the views of the provider `source`, in the file at `path`.
    #[must_use]
    pub const fn new(path: PathBuf, source: &'static str) -> Self {
        Self { path, source }
    }

    /// Lets the saved view stand in where none comes soon, and saves those that come, until `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// None: a file that cannot be read or written is told of, and the control plane works without it.
    pub async fn run(
        self,
        outlet: Outlet,
        mut views: InventoryReceiver,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let first = tokio::time::timeout(AWAY_AFTER, views.wait_for(Option::is_some));
        let is_away = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            first = first => first.is_err(),
        };
        let stand_in = if is_away { self.stand_in(&outlet).await } else { None };
        self.follow(views, stand_in, stop).await;
        Ok(())
    }

    /// Publishes the saved view, if there is one and still no other.
    async fn stand_in(&self, outlet: &Outlet) -> Option<Arc<Inventory>> {
        let Self { path, source } = self.clone();
        let loaded = blocking(move || file::load(&path, source)).await?;
        let path = self.path.display();
        match loaded {
            // Nothing is not worth having, and would take everything away.
            Ok(Saved { inventory, .. }) if inventory.workloads.is_empty() => None,
            Ok(Saved { inventory, at }) => {
                let inventory = Arc::new(inventory);
                if outlet.stand_in(Arc::clone(&inventory)) {
                    warn!(file = %path, saved = %humantime::format_rfc3339_seconds(at), containers = inventory.workloads.len(), "{} has shown nothing yet; what was saved earlier stands in", self.source);
                }
                Some(inventory)
            }
            Err(Unusable::Missing) => None,
            Err(reason) => {
                warn!("the saved view in {path} is ignored: {reason}");
                None
            }
        }
    }

    /// Saves what comes; `saved` is in the file already.
    async fn follow(
        &self,
        mut views: InventoryReceiver,
        saved: Option<Arc<Inventory>>,
        stop: CancellationToken,
    ) {
        let mut saved = saved;
        let mut failing = false;
        loop {
            let view = views.borrow_and_update().clone();
            let began = Instant::now();
            if let Some(view) =
                view.filter(|view| saved.as_ref().is_none_or(|saved| !Arc::ptr_eq(saved, view)))
            {
                let told = failing;
                failing = !self.save(Arc::clone(&view), told).await;
                if told && !failing {
                    info!(file = %self.path.display(), "the view is saved again");
                }
                saved = Some(view);
            }
            if stop.is_cancelled() {
                return;
            }
            // A stop ends both waits, and then the last view is saved at once.
            let pause = PAUSE.max(began.elapsed() * PAUSE_FACTOR);
            tokio::select! {
                () = stop.cancelled() => continue,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = stop.cancelled() => {}
                changed = views.changed() => if changed.is_err() {
                    return stop.cancelled().await;
                },
            }
        }
    }

    /// Whether it could be done; why not is told if it was not `told`.
    async fn save(&self, view: Arc<Inventory>, told: bool) -> bool {
        let Self { path, source } = self.clone();
        let saved = blocking(move || file::save(&path, source, &view)).await;
        match saved {
            Some(Ok(())) => true,
            Some(Err(error)) if !told => {
                warn!(
                    "the view cannot be saved in {}: {error}; a start without {} will have nothing",
                    self.path.display(),
                    self.source
                );
                false
            }
            Some(Err(_)) | None => false,
        }
    }
}

/// The answer of `work`, which may wait for a disk; nothing where it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests;
