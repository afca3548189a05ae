//! The last view that was known to be right, in a file: what a control plane starts from while its source is away.
//!
//! ```text
//! provider --> Outlet --> facts --> publish --> views
//!                ^          |          ^          | what is kept
//!                |          v          |          v
//!        stand in, if no    file, at most once a second, off the path of what is served
//!        view comes soon
//! ```
//!
//! The file holds facts as the provider gave them, labels and all, and no environment: that is never asked for. Beside them,
//! those to which routes go back that are kept although no container asks for them now: a restart takes none of them away.

mod decisions;
mod file;
mod history;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::inventory::Inventory;
use crate::model::Kept;
use crate::provider::{InventoryReceiver, Outlet};
use crate::publish::ViewReceiver;

pub use decisions::DecisionsFile;
pub use file::Saved;
use file::Unusable;
pub use history::HistoryFile;

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
    /// What the file says is kept, until there is a view.
    kept: Vec<Kept>,
}

impl Keeper {
    /// A keeper for the views of the provider `source`, in the file at `path`.
    #[must_use]
    pub fn new(path: PathBuf, source: &'static str) -> Self {
        // Why a file cannot be used is told when it is needed.
        let kept = file::load_kept(&path, source).unwrap_or_default();
        Self { path, source, kept }
    }

    /// What an earlier run kept although nobody asked for it any more.
    #[must_use]
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// Lets the saved facts stand in where none come soon, and saves those that come, with what the views keep besides,
    /// until `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// None: a file that cannot be read or written is told of, and the control plane works without it.
    pub async fn run(
        self,
        outlet: Outlet,
        mut facts: InventoryReceiver,
        views: ViewReceiver,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let first = tokio::time::timeout(AWAY_AFTER, facts.wait_for(Option::is_some));
        let is_away = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            first = first => first.is_err(),
        };
        let stand_in = if is_away { self.stand_in(&outlet).await } else { None };
        self.follow(facts, views, stand_in, stop).await;
        Ok(())
    }

    /// Publishes the saved view, if there is one and still no other.
    async fn stand_in(&self, outlet: &Outlet) -> Option<Arc<Inventory>> {
        let Self { path, source, .. } = self.clone();
        let loaded = blocking(move || file::load(&path, source)).await?;
        let path = self.path.display();
        match loaded {
            // Nothing is not worth having, and would take everything away.
            Ok(Saved { inventory, .. }) if inventory.workloads.is_empty() => None,
            Ok(Saved { inventory, at, .. }) => {
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
        mut facts: InventoryReceiver,
        mut views: ViewReceiver,
        saved: Option<Arc<Inventory>>,
        stop: CancellationToken,
    ) {
        let mut saved = saved;
        let mut saved_kept = self.kept.clone();
        let mut failing = false;
        loop {
            let now = facts.borrow_and_update().clone();
            // Before there is a view, what is kept is what was.
            let kept = views.borrow_and_update().as_ref().map(|view| view.model.kept());
            let kept = kept.unwrap_or_else(|| saved_kept.clone());
            let began = Instant::now();
            let is_saved = |now: &Arc<Inventory>| saved.as_ref().is_some_and(|saved| Arc::ptr_eq(saved, now));
            if let Some(now) = now.filter(|now| !is_saved(now) || kept != saved_kept) {
                let told = failing;
                failing = !self.save(Arc::clone(&now), kept.clone(), told).await;
                if told && !failing {
                    info!(file = %self.path.display(), "the view is saved again");
                }
                (saved, saved_kept) = (Some(now), kept);
            }
            if stop.is_cancelled() {
                return;
            }
            // A stop ends both waits, and then the last view is saved at once.
            tokio::select! {
                () = stop.cancelled() => continue,
                () = tokio::time::sleep(pause(began)) => {}
            }
            tokio::select! {
                () = stop.cancelled() => {}
                changed = facts.changed() => if changed.is_err() {
                    return stop.cancelled().await;
                },
                changed = views.changed() => if changed.is_err() {
                    return stop.cancelled().await;
                },
            }
        }
    }

    /// Whether it could be done; why not is told if it was not `told`.
    async fn save(&self, facts: Arc<Inventory>, kept: Vec<Kept>, told: bool) -> bool {
        let Self { path, source, .. } = self.clone();
        let saved = blocking(move || file::save(&path, source, &facts, &kept)).await;
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

/// How long to wait before the next write, where the last one began at `began`.
fn pause(began: Instant) -> Duration {
    PAUSE.max(began.elapsed() * PAUSE_FACTOR)
}

/// The answer of `work`, which may wait for a disk; nothing where it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests;
