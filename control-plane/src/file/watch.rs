//! Hints that a file may have changed. The file itself is the truth: a hint too many does no harm, and one that is
//! lost is made up for by a look every few seconds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A source of hints; it ends its watch when it is dropped.
pub(crate) struct Changes {
    hints: mpsc::Receiver<Instant>,
    watcher: RecommendedWatcher,
    directories: BTreeSet<PathBuf>,
}

impl Changes {
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        // One waiting hint says as much as many; the first one says when it began.
        let (sender, hints) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = sender.try_send(Instant::now());
            }
        })
        .context("cannot watch files on this system")?;
        let mut changes = Self { hints, watcher, directories: BTreeSet::new() };
        changes.also(path);
        Ok(changes)
    }

    /// Hints about the file at `path` as well.
    pub(crate) fn also(&mut self, path: &Path) {
        // The directory, because editors put a new file in the old one's place.
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A directory that is not there yet is looked for every few seconds instead.
        if !self.directories.contains(directory)
            && self.watcher.watch(directory, RecursiveMode::NonRecursive).is_ok()
        {
            self.directories.insert(directory.to_owned());
        }
    }

    /// Waits for the next hint, and says when it came: nothing where it is only time to look again.
    pub(crate) async fn next(&mut self) -> Option<Instant> {
        tokio::time::timeout(LOOK_AGAIN, self.hints.recv()).await.ok().flatten()
    }
}
