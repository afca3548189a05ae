//! The file as it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Auth, Exposure, Hidden, Mistake, Policies, State, parse};
use crate::file::Changes;
use crate::inventory::WorkloadId;
use crate::model::Problem;

/// The newest state of the policies file.
pub type PoliciesReceiver = watch::Receiver<State>;

/// A policies file that is followed, and the files it names.
#[derive(Debug)]
pub struct PoliciesFile {
    path: PathBuf,
    states: watch::Sender<State>,
    /// What the file said when it was right last, without what the files that it names say.
    words: Policies,
    /// Its text then.
    good: Hidden,
    /// Where others can ask for what it has, if it is known that they can.
    exposure: Option<Exposure>,
}

impl PoliciesFile {
    /// Reads the file at `path` for the first time.
    ///
    /// # Errors
    ///
    /// It cannot be read or has a mistake in it: to begin without what it says would open what it closes. A file that it names may be
    /// at fault: what that is about is not there then.
    pub fn open(path: PathBuf) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the policies file {}", path.display()))?;
        match parse(&text) {
            Ok(words) => {
                let good = Hidden::new(&text);
                let mut file = Self { path, states: watch::Sender::default(), words, good, exposure: None };
                file.look();
                Ok(file)
            }
            Err(mistakes) => {
                let all: Vec<String> =
                    mistakes.iter().map(|each| format!("{}:{each}", path.display())).collect();
                bail!("{}", all.join("\n"))
            }
        }
    }

    /// The same, where what is sent to Envoy can be asked for there by others: a problem, if there is a secret among it.
    #[must_use]
    pub fn exposed(mut self, exposure: Option<Exposure>) -> Self {
        if exposure.is_some() {
            self.exposure = exposure;
            self.look();
        }
        self
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
            for file in self.words.files() {
                changes.also(&beside(&self.path, file));
            }
            self.look();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = changes.next() => {}
            }
        }
    }

    /// Reads everything again, and publishes it where it says something else than before. These are a few small files; every few seconds
    /// that is less than to find out which of them changed.
    pub(super) fn look(&mut self) {
        let read = std::fs::read_to_string(&self.path);
        let now = Hidden::new(read.as_deref().unwrap_or_default());
        let mut mistakes = match read {
            Ok(text) => match parse(&text) {
                Ok(words) => {
                    (self.words, self.good) = (words, now.clone());
                    Vec::new()
                }
                Err(mistakes) => mistakes,
            },
            Err(error) => vec![Mistake {
                place: None,
                reason: format!("the policies file cannot be read: {error}"),
                fix: "put it back; the last good one stands".to_owned(),
            }],
        };
        let is_faulty = !mistakes.is_empty();
        let mut policies = self.words.clone();
        mistakes.extend(policies.fill(&self.path, &self.states.borrow().policies));
        let count = mistakes.len();
        mistakes.extend(self.exposure.and_then(|exposure| exposure.mistake(&policies)));
        let problems = mistakes.into_iter().map(|mistake| problem(&self.path, mistake)).collect();
        let (policies, problems) = (Arc::new(policies), Arc::new(problems));
        let state = State { policies, problems, good: self.good.clone(), now };
        self.states.send_if_modified(|last| {
            let differs = !last.is_as(&state);
            if differs && is_faulty {
                // What is wrong is told as problems are.
                warn!(file = %self.path.display(), "the policies file has mistakes in it; the last good one stands");
            }
            if differs {
                info!(file = %self.path.display(), mistakes = count, "policies file read");
                *last = state;
            } else {
                (last.good, last.now) = (state.good, state.now);
            }
            differs
        });
    }
}

/// A path as the file has it: a relative one begins at the file's own folder.
pub(super) fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new(".")).join(path)
}

impl Policies {
    /// The files that it names.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let certificates =
            self.certificates.values().flat_map(|each| [each.chain.as_path(), each.key.as_path()]);
        certificates.chain(self.auth.values().filter_map(Auth::file).map(PathBuf::as_path))
    }

    /// Takes in what the files say that it names; where one is at fault, what it said before. `file` is the policies file.
    fn fill(&mut self, file: &Path, last: &Self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (name, certificate) in &mut self.certificates {
            certificate.chain = beside(file, &certificate.chain);
            certificate.key = beside(file, &certificate.key);
            certificate.pair = certificate.read().map_or_else(
                |(reason, fix)| {
                    let before = last.certificates.get(name).and_then(|last| last.pair.clone());
                    let stands = if before.is_some() { "; the last good one stands" } else { "" };
                    let reason = format!("the certificate {name}: {reason}{stands}");
                    mistakes.push(Mistake { place: None, reason, fix });
                    before
                },
                Some,
            );
        }
        for (name, auth) in &mut self.auth {
            auth.beside(file);
            if let Err((reason, stands, fix)) = auth.fill(last.auth.get(name)) {
                let stands = if stands { "the last good ones stand" } else { "what it guards is closed" };
                mistakes.push(Mistake {
                    place: None,
                    reason: format!("the policy {name}: {reason}; {stands}"),
                    fix,
                });
            }
        }
        mistakes
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
