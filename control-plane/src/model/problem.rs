//! What keeps a workload from being routed as its labels say.

use std::fmt;

use super::topology::Site;
use crate::inventory::{Workload, WorkloadId};

/// A longer value is cut in a message: who wrote it knows how it goes on.
const SHOWN_CHARS: usize = 80;

/// One mistake, or one thing that cannot work: where, what, why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Name of the container, or of the entry in the services file.
    pub workload: String,
    /// Its identity.
    pub id: WorkloadId,
    /// The label it is about, if it is about one.
    pub label: Option<String>,
    /// That label's value.
    pub value: Option<String>,
    /// Where in the value the mistake begins, in bytes from 0, if it is not the whole of it.
    pub place: Option<usize>,
    /// What is wrong, and why.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
    /// What it is about, for who does not read words.
    pub kind: Kind,
}

/// What a problem is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What the labels say, or the policies file.
    #[default]
    Said,
    /// A place among the routes that it does not get.
    Conflict(Box<Lost>),
    /// A service that it names and that is not there.
    UnknownService,
    /// How Envoy reaches it.
    Network,
    /// On which port it listens.
    Port,
    /// What other containers of its service say.
    Replicas,
}

/// A route that does not get its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lost {
    /// Where it would be.
    pub site: Site,
    /// Its name.
    pub route: String,
}

impl Problem {
    pub(super) fn new(workload: &Workload, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::of(workload.name.clone(), workload.id.clone(), reason, fix)
    }

    /// One of the workload with this name and id.
    pub(crate) fn of(
        workload: String,
        id: WorkloadId,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (reason, fix) = (reason.into(), fix.into());
        Self { workload, id, label: None, value: None, place: None, reason, fix, kind: Kind::default() }
    }

    pub(super) fn about(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    pub(super) fn at(mut self, label: &str, value: &str) -> Self {
        self.label = Some(label.to_owned());
        self.value = Some(value.to_owned());
        self
    }
}

/// `shop-web-1: label portolan.port="eighty": it is not a port; write ...`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.workload)?;
        if let Some(label) = &self.label {
            write!(f, "label {label}")?;
            if let Some(value) = &self.value {
                let shown: String = value.chars().take(SHOWN_CHARS).collect();
                let cut = if shown.len() < value.len() { "..." } else { "" };
                write!(f, "={shown:?}{cut}")?;
                // A person counts characters, from one.
                if let Some(before) = self.place.and_then(|place| value.get(..place)) {
                    write!(f, ", character {}", before.chars().count() + 1)?;
                }
            }
            f.write_str(": ")?;
        }
        write!(f, "{}; {}", self.reason, self.fix)
    }
}
