//! What would change if Compose files were brought up: the system as it runs, and as it would be. Pure.
//!
//! ```text
//! running --> model --> topology --+
//!    +--> up (project) --> model --+--> diff, requests --> Plan
//! ```
//!
//! What cannot be known is guessed, and the plan says what.

mod chains;
mod diff;
mod requests;
mod running;
mod text;
mod up;

use std::sync::Arc;

use serde::Serialize;

pub use running::Running;

use crate::compose::dockerfile::Exposed;
use crate::compose::project::{Project, Service};
use crate::model;

/// What the files do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The profiles that are active.
    pub profiles: Vec<String>,
    /// Whether containers of services that are not in the files are removed (`up --remove-orphans`).
    pub remove_orphans: bool,
}

/// Everything that would change.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The Compose project.
    pub project: String,
    /// Routes.
    pub routes: Changes<Route>,
    /// Services, each of which is one of Envoy's clusters.
    pub services: Changes<Cluster>,
    /// Endpoints.
    pub endpoints: Changes<Endpoint>,
    /// Shares of requests of the versions of services.
    pub weights: Changes<Weight>,
    /// Envoy's listeners, by name. Those of HTTP depend on the control plane's settings alone, so no container changes one; services of
    /// TCP stand in theirs.
    pub listeners: Changes<String>,
    /// Requests that something else answers than now.
    pub requests: Vec<Elsewhere>,
    /// Problems that would be there and are not now.
    pub problems: Vec<String>,
    /// Problems that would be solved.
    pub solved: Vec<String>,
    /// What is worth a second look.
    pub warnings: Vec<String>,
    /// What was guessed.
    pub guesses: Vec<String>,
}

/// What comes, what becomes other, and what goes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Changes<T> {
    /// What comes.
    pub added: Vec<T>,
    /// What becomes other.
    pub changed: Vec<T>,
    /// What goes.
    pub removed: Vec<T>,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self { added: Vec::new(), changed: Vec::new(), removed: Vec::new() }
    }
}

impl<T> Changes<T> {
    const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// A route: which requests of a host, and who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The host.
    pub host: String,
    /// The entry point.
    pub entry_point: String,
    /// The path, and what else it asks for.
    pub path: String,
    /// Its name.
    pub route: String,
    /// The service that answers.
    pub service: String,
    /// The service that answers now, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// The labels about it that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
}

/// A service, which is a cluster to Envoy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its name.
    pub service: String,
    /// The labels about how it is asked that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
}

/// A label that is another one than now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Label {
    /// The label.
    pub label: String,
    /// Its value now, if it is there.
    pub was: Option<String>,
    /// Its value then, if it is there.
    pub is: Option<String>,
}

/// A container that takes requests, or one that does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Its service.
    pub service: String,
    /// The container.
    pub container: String,
    /// Where it is, in words.
    pub at: String,
    /// Where it is now, where that is elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// Whether its address is not known yet.
    pub guessed: bool,
}

/// The share of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weight {
    /// The service.
    pub service: String,
    /// The version; empty where no label names any.
    pub version: String,
    /// Its share, in relation to the others.
    pub weight: u32,
    /// Its share now, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<u32>,
}

/// A request that something else answers than now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// The request: its host, its path, and what else it is.
    pub request: String,
    /// What answers now.
    pub now: String,
    /// What would answer.
    pub then: String,
}

impl Plan {
    /// Whether anything would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
            && self.services.is_empty()
            && self.endpoints.is_empty()
            && self.weights.is_empty()
            && self.listeners.is_empty()
            && self.requests.is_empty()
            && self.problems.is_empty()
            && self.solved.is_empty()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        text::print(self)
    }
}

/// What would change if `project` were brought up beside what is `running`. `ports` says what a service exposes, with its image.
#[must_use]
pub fn of(
    running: &Running,
    project: &Project,
    settings: &Settings,
    ports: &dyn Fn(&Service) -> Exposed,
) -> Plan {
    let now = model::build(&running.inventory, &running.options, None);
    let up::Up { inventory, new, mut guesses } = up::up(running, project, settings, ports);
    let inventory = Arc::new(inventory);
    // Who has a route keeps it, as long as it asks for it.
    let then = model::build(&inventory, &running.options, Some(&now));
    guesses.extend(running.differs(&now.topology));
    let chains = chains::Chains::of(&now.topology, &then.topology);
    let sides = diff::Sides { running, inventory: &inventory, now: &now, then: &then, new: &new };
    Plan {
        project: project.name.clone(),
        routes: sides.routes(),
        services: sides.services(),
        endpoints: sides.endpoints(),
        weights: sides.weights(),
        listeners: chains.listeners(),
        requests: requests::elsewhere(&now.topology, &then.topology, &running.options.reserved_host),
        problems: diff::missing(&then.problems, &now.problems),
        solved: diff::missing(&now.problems, &then.problems),
        warnings: [sides.interruptions(), chains.interruptions()].concat(),
        guesses,
    }
}
