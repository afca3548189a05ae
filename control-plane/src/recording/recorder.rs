//! The recorder: what those hold who have something to record.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};
use xds_server::{Kind, Snapshot};

use crate::docker::Step;
use crate::inventory::Inventory;
use crate::model::{Kept, Problem};
use crate::overrides::Overrides;
use crate::policies;
use crate::publish::View;

use super::hide::Hide;
use super::line::{Decisions, End, Head, Line, Policies, Published, SCHEMA, Settings, Told, What};
use super::writer::Writer;

/// What the name of a recording ends in.
pub(super) const SUFFIX: &str = "jsonl";
/// Room for the line that says that there is no more.
const LAST_LINE: u64 = 64;
/// Lines that may wait for the disk.
const LINES: usize = 65_536;
/// Bytes that may wait for the disk: one that is so slow would take all memory.
pub(super) const WAITING: usize = 16 << 20;

/// Where and how much is recorded.
#[derive(Debug, Clone)]
pub struct Target {
    /// The folder; it is made where it is not there.
    pub folder: PathBuf,
    /// How many bytes all recordings in the folder may have together.
    pub limit: u64,
}

/// Writes down what happens; by default nothing. All clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Option<Arc<Shared>>);

/// What the recorder and its writer share.
#[derive(Debug)]
pub(super) struct Shared {
    began: Instant,
    lines: mpsc::Sender<Box<[u8]>>,
    /// Bytes that may still be written; none where the recording has ended.
    room: AtomicU64,
    /// Bytes that wait for the disk.
    pub(super) waiting: AtomicUsize,
    hide: Hide,
    said: watch::Sender<Said>,
}

/// What the recording says already.
#[derive(Debug, Default)]
struct Said {
    facts: Option<Arc<Inventory>>,
    decisions: Overrides,
    policies: Option<policies::State>,
}

impl Said {
    /// Whether these are the policies that it says.
    fn has(&self, policies: Option<&policies::State>) -> bool {
        match (&self.policies, policies) {
            (Some(said), Some(policies)) => {
                Arc::ptr_eq(&said.policies, &policies.policies)
                    && Arc::ptr_eq(&said.problems, &policies.problems)
            }
            (said, policies) => said.is_none() && policies.is_none(),
        }
    }
}

impl Target {
    /// Begins a recording with these settings.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to, or is full already.
    pub fn open(self, settings: Settings) -> anyhow::Result<(Recorder, Writer)> {
        let folder = self.folder.display();
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make the folder {folder} to record in"))?;
        let used =
            size(&self.folder).with_context(|| format!("cannot look into {folder} to record in it"))?;
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let head =
            Head { schema: SCHEMA, portolan: env!("CARGO_PKG_VERSION").to_owned(), began: now, settings };
        let first = json(&head)?;
        let room = self.limit.saturating_sub(used + first.len() as u64 + LAST_LINE);
        if room == 0 {
            bail!(
                "the recordings in {folder} have {used} bytes, and may have {} together: move them away, or raise --record-limit",
                self.limit
            );
        }
        let (mut file, path) = create(&self.folder, &head.began.replace(':', "-"))
            .with_context(|| format!("cannot record in {folder}"))?;
        file.write_all(&first).with_context(|| format!("cannot write {}", path.display()))?;
        info!(file = %path.display(), "everything that decides on what is served is recorded, without secrets");
        let (lines, receiver) = mpsc::channel(LINES);
        let shared = Arc::new(Shared {
            began: Instant::now(),
            lines,
            room: AtomicU64::new(room),
            waiting: AtomicUsize::new(0),
            hide: Hide::new(&head.settings.label_prefix),
            said: watch::Sender::default(),
        });
        let writer = Writer::new(file, path, first.len() as u64, receiver, Arc::clone(&shared));
        Ok((Recorder(Some(shared)), writer))
    }
}

/// The bytes of all recordings in a folder.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if Path::new(&entry.file_name()).extension().is_some_and(|suffix| suffix == SUFFIX) {
            sum += entry.metadata()?.len();
        }
    }
    Ok(sum)
}

/// A file that was not there before.
fn create(folder: &Path, name: &str) -> std::io::Result<(File, PathBuf)> {
    let mut number = 1;
    loop {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{suffix}.{SUFFIX}"));
        match File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            made => return Ok((made?, path)),
        }
    }
}

pub(super) fn json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

impl Recorder {
    /// Whether anything is recorded.
    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The engine said something, and it was taken in at `at`.
    pub(crate) fn note(&self, at: Instant, step: impl FnOnce(&Hide) -> Step) {
        if let Some(shared) = &self.0 {
            shared.write(at, || What::Engine(step(&shared.hide)));
        }
    }

    /// What the engine says is, all in all, `facts`.
    pub(crate) fn made(&self, facts: &Arc<Inventory>) {
        if let Some(shared) = &self.0 {
            shared.said.send_modify(|said| said.facts = Some(Arc::clone(facts)));
        }
    }

    /// The first view goes on from this.
    pub(crate) fn kept(&self, kept: &[Kept]) {
        let Some(shared) = self.0.as_ref().filter(|_| !kept.is_empty()) else { return };
        let hidden = |kept: &Kept| Kept { workload: shared.hide.workload(&kept.workload), ..kept.clone() };
        shared.write(Instant::now(), || What::Kept(kept.iter().map(hidden).collect()));
    }

    /// This is what a view is made of, and this is the view; nothing where none could be made.
    pub(crate) fn published(
        &self,
        facts: &Arc<Inventory>,
        decisions: &Overrides,
        policies: Option<&policies::State>,
        view: Option<&View>,
    ) {
        let Some(shared) = &self.0 else { return };
        let at = Instant::now();
        let mut of_facts = false;
        shared.said.send_modify(|said| {
            if !said.has(policies) {
                shared.write(at, || What::Policies(policies.map(|policies| shared.policies(policies))));
                said.policies = policies.cloned();
            }
            if said.decisions != *decisions {
                shared.write(at, || What::Decisions(Decisions::of(decisions)));
                said.decisions = decisions.clone();
            }
            let is_known =
                said.facts.as_ref().is_some_and(|known| Arc::ptr_eq(known, facts) || known == facts);
            if !is_known {
                let workloads = facts.workloads.values().map(|workload| shared.hide.workload(workload));
                shared.write(at, || What::Facts(workloads.collect()));
                said.facts = None;
            }
            of_facts = !is_known;
        });
        shared.write(at, || What::Published(shared.version(of_facts, view)));
    }
}

impl Shared {
    /// Writes a line, if there is room for it.
    fn write(&self, at: Instant, what: impl FnOnce() -> What) {
        let room = self.room.load(Ordering::Relaxed);
        if room == 0 {
            return;
        }
        let t = at.saturating_duration_since(self.began).as_nanos();
        let line = Line { t: u64::try_from(t).unwrap_or(u64::MAX), what: what() };
        let Ok(bytes) = json(&line) else { return self.end("something cannot be written as JSON") };
        let size = bytes.len() as u64;
        if size > room {
            let last = json(&Line { what: What::End(End::Full), ..line }).unwrap_or_default();
            self.end("it is as large as --record-limit lets it be");
            self.send(last);
        } else {
            self.room.store(room - size, Ordering::Relaxed);
            self.send(bytes);
        }
    }

    fn send(&self, line: Vec<u8>) {
        let size = line.len();
        let waiting = self.waiting.fetch_add(size, Ordering::Relaxed) + size;
        if waiting > WAITING || self.lines.try_send(line.into()).is_err() {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            self.end("the disk is too slow");
        }
    }

    /// Whether anything is written still.
    pub(super) fn is_open(&self) -> bool {
        self.room.load(Ordering::Relaxed) > 0
    }

    /// Nothing is written any more, and here is why.
    pub(super) fn end(&self, why: &str) {
        if self.room.swap(0, Ordering::Relaxed) > 0 {
            warn!("the recording ends here, and what is served goes on: {why}");
        }
    }

    /// The time of now, as a line has it.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn policies(&self, said: &policies::State) -> Policies {
        let policies = &said.policies;
        let has_secrets = !policies.certificates.is_empty() || !policies.auth.is_empty();
        // A file of comments alone says nothing.
        let file = serde_saphyr::from_str(said.good.reveal()).ok();
        if has_secrets || file.is_none() {
            self.hide.note();
        }
        let there = policies.certificates.iter().filter(|(_, each)| each.pair.is_some());
        let secrets = self.hide.secrets(said.now.reveal());
        let told = |problem: &Problem| Told {
            of: problem.workload.clone(),
            reason: self.hide.told(&problem.reason, &secrets),
            fix: self.hide.told(&problem.fix, &secrets),
        };
        Policies {
            file: self.hide.policies("", file.unwrap_or_default()),
            certificates: there.map(|(name, _)| name.clone()).collect(),
            mistakes: said.problems.iter().map(told).collect(),
        }
    }

    fn version(&self, of_facts: bool, view: Option<&View>) -> Published {
        let version = view.map(|view| view.snapshot.version().to_string());
        let parts = view.filter(|_| self.hide.has_hidden()).map(|view| parts(&view.snapshot));
        Published { of_facts, version, parts: parts.unwrap_or_default() }
    }
}

/// A version of each part of a snapshot.
pub(super) fn parts(snapshot: &Snapshot) -> std::collections::BTreeMap<String, String> {
    let of_kind = |kind: Kind| {
        let all = snapshot
            .section(kind)
            .values()
            .map(|resource| format!("{}\0{}\n", resource.name(), resource.version()));
        (kind.to_string(), format!("{:016x}", xxhash_rust::xxh3::xxh3_64(all.collect::<String>().as_bytes())))
    };
    Kind::ALL.into_iter().map(of_kind).collect()
}

impl Decisions {
    fn of(decisions: &Overrides) -> Self {
        let weight = |(service, version, weight): (&str, &str, crate::overrides::Weight)| {
            (service.to_owned(), version.to_owned(), weight.share)
        };
        Self {
            drained: decisions.drained.iter().cloned().collect(),
            weights: decisions.weights().map(weight).collect(),
        }
    }
}
