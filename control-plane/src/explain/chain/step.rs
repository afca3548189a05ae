//! The steps of the way, and how one is said.

use serde::Serialize;

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which one.
    #[serde(rename = "step")]
    pub name: Name,
    /// Whether it is passed.
    pub outcome: Outcome,
    /// What was found, as a sentence or a part of one: of a step that is skipped, why.
    pub reason: String,
    /// What to do about it, where something can be done.
    pub fix: Option<String>,
    /// Of an acknowledgement, the client it is about.
    pub client: Option<String>,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// Its labels ask for a route, and a route leads to its service.
    Label,
    /// Envoy reaches it over a network.
    Network,
    /// Its port is known.
    Port,
    /// It runs, and is healthy.
    Health,
    /// It is an endpoint of its service's cluster.
    Cluster,
    /// That is in the snapshot that is served.
    Version,
    /// A client has acknowledged it.
    Ack,
}

impl Name {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Network => "network",
            Self::Port => "port",
            Self::Health => "health",
            Self::Cluster => "cluster",
            Self::Version => "version",
            Self::Ack => "ack",
        }
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is passed.
    Ok,
    /// It is not, and so there are no requests.
    Stopped,
    /// It was not come to, or has nothing to say yet.
    Skipped,
}

/// Whether one of them is not passed.
pub(super) fn is_stopped(steps: &[Step]) -> bool {
    steps.iter().any(|step| step.outcome == Outcome::Stopped)
}

/// One that is passed.
pub(super) fn ok(name: Name, reason: impl Into<String>) -> Step {
    Step { name, outcome: Outcome::Ok, reason: reason.into(), fix: None, client: None }
}

/// One that is not, and what to do.
pub(super) fn stopped(name: Name, reason: impl Into<String>, fix: Option<String>) -> Step {
    Step { name, outcome: Outcome::Stopped, reason: reason.into(), fix, client: None }
}

/// One that was not come to.
pub(super) fn skip(name: Name, reason: &str) -> Step {
    Step { name, outcome: Outcome::Skipped, reason: reason.to_owned(), fix: None, client: None }
}
