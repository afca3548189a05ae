//! Those who are served over xDS, and how far they are with it.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use serde::Serialize;
use tokio::time::Instant;
use xds_server::session::{Refusal, ResourceStatus, Sync, TypeStatus};
use xds_server::{ClientStream, Kind, Resource, Snapshot};
use xxhash_rust::xxh3::Xxh3;

use super::{Facts, exact_time, time};

/// A stream of an Envoy, or of another client.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Client {
    /// The id it gives itself.
    pub(crate) node: String,
    pub(crate) cluster: String,
    /// `envoy 1.40.0`.
    pub(crate) agent: String,
    pub(crate) peer: String,
    /// `delta` or `state of the world`.
    pub(crate) protocol: String,
    /// `all types`, or the one it is about.
    pub(crate) scope: String,
    pub(crate) connected: String,
    /// `current`: it has acknowledged all that it asked for; `behind`; `refused`: it refused something that still stands;
    /// `connecting`: it has asked for nothing yet.
    pub(crate) state: &'static str,
    /// From the making of what it acknowledged last to the acknowledgement; of one that is behind, so far. Nothing for one that
    /// had it all when it connected.
    pub(crate) lag_ms: Option<u64>,
    pub(crate) types: Vec<OfType>,
    pub(crate) refused: Vec<Refused>,
}

/// How far a client is with one type.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct OfType {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) state: &'static str,
    /// A hash of what there is for it.
    pub(crate) newest: String,
    /// The same of what it has; equal where it has the newest.
    pub(crate) acknowledged: String,
    pub(crate) resources: usize,
    pub(crate) resources_acknowledged: usize,
    pub(crate) resources_refused: usize,
}

/// A resource that a client does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    /// What was refused; nothing where it was a removal.
    pub(crate) version: Option<String>,
    /// The client's own words.
    pub(crate) reason: String,
    pub(crate) at: String,
}

impl Refused {
    pub(crate) fn of(kind: Kind, refusal: &Refusal) -> Self {
        Self {
            kind: kind.to_string(),
            name: refusal.name.to_string(),
            version: refusal.version.map(|version| version.to_string()),
            reason: refusal.reason.to_string(),
            at: exact_time(refusal.at),
        }
    }
}

impl Client {
    pub(crate) fn of(client: &ClientStream, facts: &Facts<'_>) -> Self {
        let snapshot = &*facts.view.snapshot;
        let state = state_of(client, snapshot);
        let lag = match state {
            "behind" => Some(Instant::now().saturating_duration_since(snapshot.born())),
            _ => facts.lags.get(&client.id).copied(),
        };
        let none = Node::default();
        let node = client.node.as_ref().unwrap_or(&none);
        Self {
            node: node.id.clone(),
            cluster: node.cluster.clone(),
            agent: agent(node),
            peer: client.peer.clone(),
            protocol: client.protocol.to_string(),
            scope: client.scope.to_string(),
            connected: time(client.opened),
            state,
            lag_ms: lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX)),
            types: client.types.iter().map(|of_type| OfType::of(of_type, snapshot)).collect(),
            refused: refused(client).collect(),
        }
    }
}

fn agent(node: &Node) -> String {
    let version = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
            .version
            .as_ref()
            .map(|version| format!("{}.{}.{}", version.major_number, version.minor_number, version.patch))
            .unwrap_or_default(),
        None => String::new(),
    };
    format!("{} {version}", node.user_agent_name).trim().to_owned()
}

/// In a word, how far a client is with what `snapshot` has for it.
pub(crate) fn state_of(client: &ClientStream, snapshot: &Snapshot) -> &'static str {
    let all =
        || client.types.iter().flat_map(|of_type| of_type.resources.iter().map(move |each| (of_type, each)));
    if client.types.is_empty() {
        "connecting"
    } else if all().any(|(_, each)| matches!(each.sync, Sync::Refused(_))) {
        "refused"
    } else if all().all(|(of_type, each)| has_newest(of_type, each, snapshot)) {
        "current"
    } else {
        "behind"
    }
}

/// What `client` does not take.
fn refused(client: &ClientStream) -> impl Iterator<Item = Refused> {
    client.types.iter().flat_map(|of_type| {
        of_type.resources.iter().filter_map(|resource| match &resource.sync {
            Sync::Refused(refusal) => Some(Refused::of(of_type.kind, refusal)),
            Sync::Acknowledged | Sync::Sent | Sync::NotSent | Sync::Missing => None,
        })
    })
}

/// The version there is for the client. Its session may not have heard of the newest snapshot yet.
fn newest<'a>(
    of_type: &TypeStatus,
    resource: &ResourceStatus,
    snapshot: &'a Snapshot,
) -> Option<&'a Arc<Resource>> {
    snapshot.get(of_type.kind, &resource.name)
}

fn has_newest(of_type: &TypeStatus, resource: &ResourceStatus, snapshot: &Snapshot) -> bool {
    // What it asked for and does not exist is nothing it could be behind with.
    resource.sync == Sync::Missing || resource.has(newest(of_type, resource, snapshot))
}

impl OfType {
    fn of(of_type: &TypeStatus, snapshot: &Snapshot) -> Self {
        let there: Vec<&ResourceStatus> =
            of_type.resources.iter().filter(|each| each.sync != Sync::Missing).collect();
        let count =
            |counts: &dyn Fn(&ResourceStatus) -> bool| there.iter().filter(|each| counts(each)).count();
        let acknowledged = count(&|each| has_newest(of_type, each, snapshot));
        let refused = count(&|each| matches!(each.sync, Sync::Refused(_)));
        let state = match (refused, there.len() - acknowledged) {
            (0, 0) => "current",
            (0, _) => "behind",
            _ => "refused",
        };
        Self {
            kind: of_type.kind.to_string(),
            state,
            newest: hash(
                there.iter().map(|each| {
                    (&*each.name, newest(of_type, each, snapshot).map(|newest| newest.version()))
                }),
            ),
            acknowledged: hash(there.iter().map(|each| (&*each.name, each.acknowledged.as_ref()))),
            resources: there.len(),
            resources_acknowledged: acknowledged,
            resources_refused: refused,
        }
    }
}

/// A version of many resources.
fn hash<'a>(resources: impl Iterator<Item = (&'a str, Option<impl ToString>)>) -> String {
    let mut hash = Xxh3::new();
    for (name, version) in resources {
        let version = version.map(|version| version.to_string());
        for part in [name, version.as_deref().unwrap_or_default()] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
    }
    format!("{:016x}", hash.digest())
}
