//! What the facts mean: labels become routes, workloads become endpoints. Pure.
//!
//! ```text
//! Inventory --> label (one workload's words) --> group (replicas) --> routes (who is asked what) --> Topology
//!                     |                            |                  endpoints, address (where) --^
//!                     +----------------------------+-------------------------+----------------------> problems
//! ```
//!
//! A mistake costs what it is about and no more: a bad label takes out its route, and the last good one stays.

mod address;
mod backends;
mod build;
mod endpoints;
mod group;
mod groups;
mod kept;
pub mod label;
pub mod matching;
mod mirrors;
pub mod options;
mod problem;
mod routes;
mod settled;
mod spoken;
mod topology;
mod trace;

use std::sync::Arc;

use crate::policies::Policies;

pub use build::{ADMIN_SERVICE, Model, build};
pub use kept::{Kept, recall};
pub use matching::{HeaderMatch, Match, PathMatch, TextMatch};
pub use problem::{Kind as ProblemKind, Lost, Problem};
pub use topology::{
    Absence, Absent, Endpoint, EndpointState, Host, Hosts, Route, Service, ServiceName, Share, Site, Topology,
};
pub use trace::{Standing, Trace};

/// Settings of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What every label begins with, without the dot: `portolan`.
    pub label_prefix: String,
    /// A host name that is taken already, by the dashboard: no container may claim it.
    pub reserved_host: String,
    /// What the administrator says.
    pub policies: Arc<Policies>,
}

impl Options {
    /// The dashboard's host, in the spelling in which hosts are compared.
    fn dashboard(&self) -> Host {
        Host::Exact(self.reserved_host.to_ascii_lowercase())
    }
}
