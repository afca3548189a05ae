//! What was decided by hand, beside the saved view: it outlives a restart, or that would undo it without a word.
//!
//! A few lines of JSON, put in their place as the saved view is.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::file::replace;
use crate::inventory::WorkloadId;
use crate::overrides::{End, MAX_WEIGHT, Overrides, Weight};

/// Another shape is another version.
const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Saved {
    schema: u32,
    drained: Vec<WorkloadId>,
    weights: Vec<Share>,
}

#[derive(Serialize, Deserialize)]
struct Share {
    service: String,
    version: String,
    weight: u32,
    /// Milliseconds since the Unix epoch.
    until: Option<u64>,
}

/// Where decisions are kept between two runs.
#[derive(Debug, Clone)]
pub struct DecisionsFile(PathBuf);

impl DecisionsFile {
    /// The one that belongs to the saved view at `view`.
    #[must_use]
    pub fn beside(view: &Path) -> Self {
        let mut path = OsString::from(view);
        path.push(".decisions");
        Self(path.into())
    }

    /// What an earlier run has decided and is still in force. A file that cannot be used is told of, and is none.
    #[must_use]
    pub fn load(&self) -> Overrides {
        let path = self.0.display();
        match read(&self.0) {
            Ok(decisions) => {
                let (drained, weights) = (decisions.drained.len(), decisions.weights().count());
                if drained + weights > 0 {
                    info!(file = %path, drained, weights, "what was decided by hand stands");
                }
                decisions
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Overrides::default(),
            Err(error) => {
                warn!("what was decided by hand before is not known, {path} cannot be used: {error}");
                Overrides::default()
            }
        }
    }

    /// Saves `decisions`; why it cannot be is told.
    pub fn save(&self, decisions: &Overrides) {
        if let Err(error) = write(&self.0, decisions) {
            let path = self.0.display();
            warn!("what is decided by hand cannot be saved in {path}: {error}; a restart will undo it");
        }
    }
}

fn read(path: &Path) -> io::Result<Overrides> {
    let saved: Saved = serde_json::from_slice(&fs::read(path)?)?;
    if saved.schema != SCHEMA {
        let wrong = format!("it is of version {}, and this is version {SCHEMA}", saved.schema);
        return Err(io::Error::new(ErrorKind::InvalidData, wrong));
    }
    let mut decisions = Overrides::default();
    decisions.drained.extend(saved.drained);
    let now = SystemTime::now();
    for Share { service, version, weight, until } in saved.weights {
        let wall = until.map(|until| UNIX_EPOCH.checked_add(Duration::from_millis(until)).unwrap_or(now));
        let left = wall.map(|wall| wall.duration_since(now).unwrap_or_default());
        if left == Some(Duration::ZERO) || weight > MAX_WEIGHT {
            continue;
        }
        decisions.set_weight(&service, &version, Weight { share: weight, end: left.map(End::after) });
    }
    Ok(decisions)
}

fn write(path: &Path, decisions: &Overrides) -> io::Result<()> {
    let share = |(service, version, weight): (&str, &str, Weight)| {
        let since = |end: End| end.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Share {
            service: service.to_owned(),
            version: version.to_owned(),
            weight: weight.share,
            until: weight.end.map(|end| u64::try_from(since(end).as_millis()).unwrap_or(u64::MAX)),
        }
    };
    let saved = Saved {
        schema: SCHEMA,
        drained: decisions.drained.iter().cloned().collect(),
        weights: decisions.weights().map(share).collect(),
    };
    let json = serde_json::to_vec_pretty(&saved)?;
    replace(path, |mut file| {
        file.write_all(&json)?;
        file.sync_all()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_decided_is_there_after_a_restart_unless_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = DecisionsFile::beside(&folder.path().join("view"));
        assert_eq!(file.load(), Overrides::default(), "no file yet");
        let mut decisions = Overrides::default();
        decisions.drained.insert(WorkloadId("abc".into()));
        decisions.set_weight("shop/web", "v2", Weight { share: 10, end: None });
        let hour = Some(End::after(Duration::from_secs(3_600)));
        decisions.set_weight("shop/web", "v3", Weight { share: 0, end: hour });
        let over = Some(End { wall: UNIX_EPOCH, ..End::after(Duration::from_secs(60)) });
        decisions.set_weight("shop/web", "v4", Weight { share: 5, end: over });
        file.save(&decisions);

        let loaded = file.load();
        assert_eq!(loaded.drained, decisions.drained);
        assert_eq!(loaded.weight("shop/web", "v2"), decisions.weight("shop/web", "v2"));
        assert_eq!(loaded.weight("shop/web", "v4"), None, "its time was over");
        let left = loaded.weight("shop/web", "v3").unwrap().end.unwrap();
        let left = left.wall.duration_since(SystemTime::now()).unwrap();
        assert!(left > Duration::from_secs(3_000) && left <= Duration::from_secs(3_600), "{left:?}");
    }

    #[test]
    fn a_file_that_is_something_else_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = DecisionsFile::beside(&folder.path().join("view"));
        for text in ["", "{}", "no", r#"{"schema":2,"drained":[],"weights":[]}"#] {
            fs::write(folder.path().join("view.decisions"), text).unwrap();
            assert_eq!(file.load(), Overrides::default(), "{text:?}");
        }
    }
}
