//! The file as it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Mistake, State, parse};
use crate::file::Changes;
use crate::inventory::WorkloadId;
use crate::model::Problem;

/// The newest state of the policies file.
pub type PoliciesReceiver = watch::Receiver<State>;

/// A policies file that is followed.
#[derive(Debug)]
pub struct PoliciesFile {
    path: PathBuf,
    states: watch::Sender<State>,
    last: Result<String, String>,
}

impl PoliciesFile {
    /// Reads the file at `path` for the first time.
    ///
    /// # Errors
    ///
    /// It cannot be read or has a mistake in it: to begin without what it says would open what it closes.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the policies file {}", path.display()))?;
        match parse(&text) {
            Ok(policies) => {
                let state = State { policies: Arc::new(policies), problems: Arc::default() };
                Ok(Self { path, states: watch::Sender::new(state), last: Ok(text) })
            }
            Err(mistakes) => {
                let all: Vec<String> =
                    mistakes.iter().map(|each| format!("{}:{each}", path.display())).collect();
                bail!("{}", all.join("\n"))
            }
        }
    }

    /// What the file says, now and later.
    #[must_use]
    pub fn subscribe(&self) -> PoliciesReceiver {
        self.states.subscribe()
    }

    /// Follows the file until `stop` is cancelled.
    ///
    /// # Errors
    ///
    /// Files cannot be watched on this system.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut changes = Changes::of(&self.path)?;
        loop {
            let read = tokio::fs::read_to_string(&self.path).await;
            let read = read.map_err(|error| error.to_string());
            if self.last != read {
                self.publish(&read);
                self.last = read;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = changes.next() => {}
            }
        }
    }

    fn publish(&self, read: &Result<String, String>) {
        let found = match read {
            Ok(text) => parse(text),
            Err(error) => Err(vec![Mistake {
                place: None,
                reason: format!("the policies file cannot be read: {error}"),
                fix: "put it back; the last good one stands".to_owned(),
            }]),
        };
        self.states.send_modify(|state| match found {
            Ok(policies) => {
                info!(file = %self.path.display(), "policies file read");
                *state = State { policies: Arc::new(policies), problems: Arc::default() };
            }
            Err(mistakes) => {
                warn!(file = %self.path.display(), mistakes = mistakes.len(), "the policies file has mistakes; the last good one stands");
                let problems = mistakes.into_iter().map(|mistake| problem(&self.path, mistake));
                state.problems = Arc::new(problems.collect());
            }
        });
    }
}

/// A mistake, as one of the file.
fn problem(path: &Path, mistake: Mistake) -> Problem {
    let name = path
        .file_name()
        .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    let place =
        mistake.place.map(|(line, column)| format!("line {line}, column {column}: ")).unwrap_or_default();
    let id = WorkloadId(path.display().to_string().into());
    Problem::of(name, id, format!("{place}{}", mistake.reason), mistake.fix)
}
