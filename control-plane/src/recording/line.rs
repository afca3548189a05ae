//! The lines of a recording: JSON, one object a line. The first one says what it is, each of the others when and what.
//!
//! ```text
//! {"portolan-recording":1,"portolan":"0.1.0","began":"2026-11-30T10:00:00Z","settings":{...}}
//! {"t":1204551,"engine":{"connected":{"engine":"20.10.24",...}}}
//! {"t":9120044,"published":{"version":"5f0c2a9b1e7d4c36",...}}
//! {"t":60120044,"end":"stopped"}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::docker::Step;
use crate::inventory::{Workload, WorkloadId};
use crate::model::{self, Kept};
use crate::publish::Publisher;
use crate::translate::{EdgeOptions, HostPort};

/// The version of the lines. Another shape of any of them, or of what is in them, is another version; what an older one may lack is none.
pub(super) const SCHEMA: u32 = 1;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    #[serde(rename = "portolan-recording")]
    pub(super) schema: u32,
    /// The version of the program.
    pub(super) portolan: String,
    /// When, in UTC.
    pub(super) began: String,
    pub(super) settings: Settings,
}

/// Any other line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    /// Nanoseconds since the recording began.
    pub(super) t: u64,
    #[serde(flatten)]
    pub(super) what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// The engine said something.
    Engine(Step),
    /// What is about to count as containers, where it is not what the engine said: a services file, or a saved view.
    Facts(Vec<Workload>),
    /// What an earlier run has kept, for the first view to go on from.
    Kept(Vec<Kept>),
    /// The policies that count from now on.
    Policies(Option<Policies>),
    /// What is decided by hand from now on.
    Decisions(Decisions),
    /// What was made of all that.
    Published(Published),
    /// Nothing comes any more.
    End(End),
}

/// The policies file, without what it names and what is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Policies {
    pub(super) file: serde_json::Value,
    /// Certificates that were there, and are not here.
    pub(super) certificates: BTreeSet<String>,
    /// What is wrong with the file as it is; then `file` is what it said when it was right last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) mistakes: Vec<Told>,
}

/// A problem of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The name of the file.
    pub(super) of: String,
    pub(super) reason: String,
    pub(super) fix: String,
}

/// See [`Overrides`](crate::overrides::Overrides).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Decisions {
    pub(super) drained: Vec<WorkloadId>,
    /// Service, version, share.
    pub(super) weights: Vec<(String, String, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Published {
    /// Whether it is of the last `facts`, and not of what the engine said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) of_facts: bool,
    /// The version of the snapshot; nothing where none could be made.
    pub(super) version: Option<String>,
    /// The versions of its parts, where it depends on something that is not in the recording.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) parts: BTreeMap<String, String>,
}

/// Why a recording ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum End {
    /// The control plane was stopped.
    Stopped,
    /// It is as large as it may get.
    Full,
}

/// What decides on what containers lead to, besides them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub(super) label_prefix: String,
    pub(super) traefik: bool,
    pub(super) edge_listen: SocketAddr,
    pub(super) dashboard_host: String,
    pub(super) dashboard_at: Place,
    pub(super) envoy_admin: SocketAddr,
    pub(super) traces: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    host: String,
    port: u16,
}

impl Settings {
    /// Those of a publisher.
    pub(crate) fn of(model: &model::Options, edge: &EdgeOptions, traefik: bool) -> Self {
        let place = |at: &HostPort| Place { host: at.host.clone(), port: at.port };
        Self {
            label_prefix: model.label_prefix.clone(),
            traefik,
            edge_listen: edge.listen,
            dashboard_host: edge.dashboard_host.clone(),
            dashboard_at: place(&edge.dashboard_at),
            envoy_admin: edge.envoy_admin,
            traces: edge.traces.as_ref().map(place),
        }
    }

    /// A publisher with these.
    pub(super) fn publisher(&self) -> Publisher {
        let place = |at: &Place| HostPort { host: at.host.clone(), port: at.port };
        let model = model::Options {
            label_prefix: self.label_prefix.clone(),
            reserved_host: self.dashboard_host.clone(),
            policies: Default::default(),
        };
        let edge = EdgeOptions {
            listen: self.edge_listen,
            dashboard_host: self.dashboard_host.clone(),
            dashboard_at: place(&self.dashboard_at),
            envoy_admin: self.envoy_admin,
            traces: self.traces.as_ref().map(place),
        };
        let publisher = Publisher::new(model, edge);
        if self.traefik { publisher.reading_traefik() } else { publisher }
    }
}
