//! A recording, played again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::Instant;
use xds_server::Snapshot;

use crate::docker::Player;
use crate::inventory::{Inventory, WorkloadId};
use crate::model::Problem;
use crate::overrides::{Overrides, Weight};
use crate::policies::{self, Hidden, Pair};
use crate::provider::{InventoryReceiver, port};
use crate::publish::{Publisher, View};

use super::line::{Decisions, Line, Policies, Published, Told, What};
use super::read::Recording;
use super::recorder::parts;
use super::said;

/// What a replay has come to.
#[derive(Debug)]
pub struct Replay {
    /// What would be served; nothing before the first time.
    pub view: Option<Arc<View>>,
    /// What happened, line by line.
    pub steps: Vec<Step>,
}

/// One line of the recording, played.
#[derive(Debug)]
pub struct Step {
    /// Its number in the file, from 1.
    pub line: usize,
    /// How long after the beginning.
    pub at: Duration,
    /// What happened, in words.
    pub what: String,
    /// How it compares to what was served then, where something was.
    pub outcome: Option<Outcome>,
}

/// Whether the same came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The same, byte for byte.
    Same,
    /// The same but for these parts, of which something is not in the recording because it is secret.
    SameButFor(Vec<String>),
    /// Something else.
    Other {
        /// The version that was served.
        served: String,
        /// The one that comes out here.
        here: String,
    },
}

impl Replay {
    /// What would be served.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.view.as_ref().map(|view| &*view.snapshot)
    }

    /// What keeps containers from being routed as their labels say.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        self.view.as_ref().map_or(&[], |view| &view.model.problems)
    }

    /// The first line at which something else comes out than was served.
    #[must_use]
    pub fn difference(&self) -> Option<&Step> {
        self.steps.iter().find(|step| matches!(step.outcome, Some(Outcome::Other { .. })))
    }

    /// The parts of what is served now that cannot be compared.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        match self.steps.iter().rev().find_map(|step| step.outcome.as_ref()) {
            Some(Outcome::SameButFor(parts)) => parts,
            _ => &[],
        }
    }
}

/// Plays a recording up to the line `last`, or all of it.
///
/// # Errors
///
/// A line cannot have come after those before it, in this version of the program; with its number.
pub fn replay(recording: &Recording, last: Option<usize>) -> anyhow::Result<Replay> {
    let mut stage = Stage::new(recording);
    let mut steps = Vec::new();
    for (number, line) in recording.lines.iter().filter(|(number, _)| last.is_none_or(|last| *number <= last))
    {
        let outcome = stage.play(line).with_context(|| format!("{}:{number}", recording.path.display()))?;
        let what = said::of(&line.what);
        steps.push(Step { line: *number, at: Duration::from_nanos(line.t), what, outcome });
    }
    Ok(Replay { view: stage.view, steps })
}

/// Everything between the engine and what is served, without either.
struct Stage {
    /// What the times of the recording are counted from.
    began: Instant,
    player: Player,
    said: InventoryReceiver,
    facts: Option<Arc<Inventory>>,
    decisions: Overrides,
    policies: watch::Sender<policies::State>,
    publisher: Publisher,
    view: Option<Arc<View>>,
}

impl Stage {
    fn new(recording: &Recording) -> Self {
        let (outlet, said, _) = port(Duration::ZERO);
        let policies = watch::Sender::default();
        Self {
            began: Instant::now(),
            player: Player::new(outlet),
            said,
            facts: None,
            decisions: Overrides::default(),
            publisher: recording.head.settings.publisher(),
            policies,
            view: None,
        }
    }

    fn play(&mut self, line: &Line) -> anyhow::Result<Option<Outcome>> {
        match &line.what {
            What::Engine(step) => {
                // No step is later than anybody can wait for.
                let at = self.began.checked_add(Duration::from_nanos(line.t)).unwrap_or(self.began);
                self.player.play(step.clone(), at)?;
            }
            What::Facts(workloads) => self.facts = Some(Arc::new(workloads.iter().cloned().collect())),
            What::Decisions(decisions) => self.decisions = decisions.overrides(),
            What::Kept(kept) => self.publisher.keep(kept),
            What::Policies(said) => {
                let state = said.as_ref().map(Policies::state).transpose()?;
                self.policies.send_replace(state.unwrap_or_default());
                self.publisher.follow(said.is_some().then(|| self.policies.subscribe()));
            }
            What::Published(published) => return self.publish(published).map(Some),
            What::End(_) => {}
        }
        Ok(None)
    }

    fn publish(&mut self, published: &Published) -> anyhow::Result<Outcome> {
        self.player.settle();
        let facts = if published.of_facts { self.facts.clone() } else { self.said.borrow().clone() };
        let facts = facts.context("this version would not have had anything to serve yet")?;
        let view = self.publisher.take(&facts, &self.decisions, self.view.as_deref());
        // As where it was served: what is not consistent leaves the last view standing.
        let version = view.as_ref().ok().map(|view| view.snapshot.version().to_string());
        let outcome = outcome(published, version, view.as_ref().ok());
        if let Ok(view) = view {
            self.view = Some(Arc::new(view));
        }
        Ok(outcome)
    }
}

fn outcome(published: &Published, here: Option<String>, view: Option<&View>) -> Outcome {
    if published.version == here {
        return Outcome::Same;
    }
    let here_parts = view.map(|view| parts(&view.snapshot)).unwrap_or_default();
    // What is secret is in what a route asks for or adds, in the rules of tokens and in certificates; authorities of a file stand
    // in a cluster.
    let mut may_differ = vec!["route", "extension", "secret"];
    may_differ
        .extend(view.filter(|view| view.model.topology.policies.has_own_authorities()).map(|_| "cluster"));
    let differing: Vec<String> = published
        .parts
        .iter()
        .filter(|(part, version)| here_parts.get(*part) != Some(version))
        .map(|(part, _)| part.clone())
        .collect();
    if !differing.is_empty() && differing.iter().all(|part| may_differ.contains(&part.as_str())) {
        return Outcome::SameButFor(differing);
    }
    let named = |version: Option<String>| version.unwrap_or_else(|| "none".to_owned());
    Outcome::Other { served: named(published.version.clone()), here: named(here) }
}

impl Decisions {
    fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        overrides.drained.extend(self.drained.iter().cloned());
        for (service, version, share) in &self.weights {
            overrides.set_weight(service, version, Weight { share: *share, end: None });
        }
        overrides
    }
}

impl Policies {
    /// What it says, with something in the place of each certificate that was there.
    fn state(&self) -> anyhow::Result<policies::State> {
        let text = if self.file.is_null() { String::new() } else { self.file.to_string() };
        let parsed = policies::parse(&text);
        let mut policies = parsed.map_err(|mistakes| {
            let all: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the policies are none of this version: {}", all.join("; "))
        })?;
        let stand_in = || Pair { chain: "hidden".into(), key: Hidden::new("hidden") };
        let named: BTreeMap<_, _> =
            policies.certificates.iter_mut().filter(|(name, _)| self.certificates.contains(*name)).collect();
        named.into_values().for_each(|certificate| certificate.pair = Some(stand_in()));
        let problem = |told: &Told| {
            let id = WorkloadId(told.of.as_str().into());
            Problem::of(told.of.clone(), id, told.reason.as_str(), told.fix.as_str())
        };
        let problems = Arc::new(self.mistakes.iter().map(problem).collect());
        Ok(policies::State { policies: Arc::new(policies), problems, ..policies::State::default() })
    }
}
