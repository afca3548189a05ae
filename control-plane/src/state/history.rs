//! The timeline, beside the saved view: who asks after a restart what happened before it is told.
//!
//! The newest changes as JSON, put in their place as the saved view is, at most once a second and off the path of what is
//! served.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::file::replace;
use super::{blocking, pause};
use crate::timeline::{Entry, Kind, Timeline};

/// Another shape is another version.
const SCHEMA: u32 = 1;
/// No timeline is longer, unless its labels are: 500 entries of 32 KiB.
const MAX_BYTES: u64 = 16 << 20;

#[derive(Serialize, Deserialize)]
struct Saved {
    schema: u32,
    /// The oldest first.
    entries: Vec<Change>,
}

#[derive(Serialize, Deserialize)]
struct Change {
    number: u64,
    /// Milliseconds since the Unix epoch.
    at: u64,
    kind: Kind,
    subject: String,
    text: String,
}

/// Where the timeline is kept between two runs.
#[derive(Debug, Clone)]
pub struct HistoryFile(PathBuf);

impl HistoryFile {
    /// The one that belongs to the saved view at `view`.
    #[must_use]
    pub fn beside(view: &Path) -> Self {
        let mut path = OsString::from(view);
        path.push(".timeline");
        Self(path.into())
    }

    /// What earlier runs have seen. A file that cannot be used is told of, and is none.
    #[must_use]
    pub fn load(&self) -> Timeline {
        match read(&self.0) {
            Ok(entries) => Timeline::after_restart(entries),
            Err(error) if error.kind() == ErrorKind::NotFound => Timeline::default(),
            Err(error) => {
                let path = self.0.display();
                warn!("what happened before is not known, {path} cannot be used: {error}");
                Timeline::default()
            }
        }
    }

    /// Saves the timeline as it grows, until `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// None: a file that cannot be written is told of, and the control plane works without it.
    pub async fn keep(self, timeline: Timeline, stop: CancellationToken) -> anyhow::Result<()> {
        let mut changes = timeline.changes();
        // What was loaded is saved once more: it may have been put right.
        let mut saved = 0;
        let mut failing = false;
        loop {
            changes.borrow_and_update();
            let newest = timeline.newest();
            let began = Instant::now();
            if newest != saved {
                saved = newest;
                let told = failing;
                failing = !self.save(&timeline, told).await;
                if told && !failing {
                    info!(file = %self.0.display(), "the timeline is saved again");
                }
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            // A stop ends both waits, and then what came last is saved at once.
            tokio::select! {
                () = stop.cancelled() => continue,
                () = tokio::time::sleep(pause(began)) => {}
            }
            tokio::select! {
                () = stop.cancelled() => {}
                // Never an error: `timeline` holds the sending end.
                _ = changes.changed() => {}
            }
        }
    }

    /// Whether it could be done; why not is told if it was not `told`.
    async fn save(&self, timeline: &Timeline, told: bool) -> bool {
        let (path, mut entries) = (self.0.clone(), timeline.entries());
        entries.reverse();
        match blocking(move || write(&path, entries)).await {
            Some(Ok(())) => true,
            Some(Err(error)) if !told => {
                let path = self.0.display();
                warn!("the timeline cannot be saved in {path}: {error}; it will be lost with a restart");
                false
            }
            Some(Err(_)) | None => false,
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let length = fs::metadata(path)?.len();
    if length > MAX_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has {length} bytes")));
    }
    let saved: Saved = serde_json::from_slice(&fs::read(path)?)?;
    if saved.schema != SCHEMA {
        let wrong = format!("it is of version {}, and this is version {SCHEMA}", saved.schema);
        return Err(io::Error::new(ErrorKind::InvalidData, wrong));
    }
    let entry = |Change { number, at, kind, subject, text }: Change| {
        let at = UNIX_EPOCH.checked_add(Duration::from_millis(at)).unwrap_or(UNIX_EPOCH);
        Entry { number, at, kind, subject, text }
    };
    Ok(saved.entries.into_iter().map(entry).collect())
}

fn write(path: &Path, entries: Vec<Entry>) -> io::Result<()> {
    let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let change = |Entry { number, at, kind, subject, text }: Entry| Change {
        number,
        at: u64::try_from(since(at)).unwrap_or(u64::MAX),
        kind,
        subject,
        text,
    };
    let json =
        serde_json::to_vec(&Saved { schema: SCHEMA, entries: entries.into_iter().map(change).collect() })?;
    replace(path, |mut file| {
        file.write_all(&json)?;
        file.sync_all()
    })
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;

    fn told(timeline: &Timeline) -> Vec<(u64, String)> {
        timeline.entries().into_iter().map(|entry| (entry.number, entry.text)).collect()
    }

    #[tokio::test]
    async fn what_happened_is_known_after_a_restart_and_goes_on_by_its_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let file = HistoryFile::beside(&folder.path().join("view"));
        let timeline = file.load();
        assert!(timeline.entries().is_empty(), "no file yet");
        let at = UNIX_EPOCH + Duration::from_millis(1_764_513_017_123);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(file.clone().keep(timeline.clone(), stop.clone()));
        for number in 1..=503 {
            timeline.push(at, Kind::Rotation, "web-1", format!("text {number}"));
        }
        stop.cancel();
        tasks.join_next().await.unwrap().unwrap().unwrap();

        let loaded = file.load();
        assert!(loaded.entries() == timeline.entries(), "{:?}", told(&loaded));
        assert_eq!(loaded.entries()[0].at, at);
        loaded.push(at, Kind::Client, "edge", "connected".to_owned());
        assert_eq!(told(&loaded)[..2], [(504, "connected".to_owned()), (503, "text 503".to_owned())]);
        assert_eq!((loaded.entries().len(), told(&loaded)[499].0), (500, 5), "the oldest made room");
    }

    #[tokio::test]
    async fn a_file_that_is_something_else_is_nothing_and_makes_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view.timeline");
        let file = HistoryFile::beside(&folder.path().join("view"));
        let entry = r#"{"number":7,"at":0,"kind":"client","subject":"edge","text":"left"}"#;
        let other_kind = entry.replace("client", "later");
        for text in [
            "",
            "{}",
            "no",
            &format!(r#"{{"schema":2,"entries":[{entry}]}}"#),
            &format!(r#"{{"schema":1,"entries":[{other_kind}]}}"#),
            &format!(r#"{{"schema":1,"entries":[{entry}"#),
        ] {
            fs::write(&path, text).unwrap();
            assert!(file.load().entries().is_empty(), "{text:?}");
        }
        // Numbers with gaps, and more than there may be.
        let gaps =
            format!(r#"{{"schema":1,"entries":[{entry},{}]}}"#, entry.replace('7', "18446744073709551615"));
        fs::write(&path, gaps).unwrap();
        let timeline = file.load();
        assert_eq!(told(&timeline), [(2, "left".to_owned()), (1, "left".to_owned())]);
        timeline.push(UNIX_EPOCH, Kind::Client, "edge", "came".to_owned());
        let stop = CancellationToken::new();
        stop.cancel();
        file.clone().keep(timeline.clone(), stop).await.unwrap();
        assert_eq!(told(&file.load()), told(&timeline));
    }
}
