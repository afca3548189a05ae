//! Those who are served over xDS, and how far they are with it: one answer for the dashboard, the gRPC API and the metrics. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use serde::Serialize;
use tokio::time::Instant;
use xds_server::session::{Refusal, ResourceStatus, Scope, Sync, TypeStatus};
use xds_server::{ClientStream, Kind, Progress, Resource, Snapshot};
use xxhash_rust::xxh3::Xxh3;

use crate::moment::{exact_time, written};

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
    #[serde(serialize_with = "written")]
    pub(crate) connected: SystemTime,
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
    /// How `client` is with what `snapshot` has for it; `lags` as [`Timeline::lags`](crate::timeline::Timeline::lags) has them.
    pub(crate) fn of(client: &ClientStream, snapshot: &Snapshot, lags: &BTreeMap<u64, Duration>) -> Self {
        let state = state_of(client, snapshot);
        let lag = match state {
            "behind" => Some(Instant::now().saturating_duration_since(snapshot.born())),
            _ => lags.get(&client.id).copied(),
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
            connected: client.opened,
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

/// The same, of what is known without a look at each resource.
pub(crate) fn at_a_glance(client: &Progress, snapshot: &Snapshot) -> &'static str {
    match client.settled {
        _ if !client.asked => "connecting",
        _ if !client.refusals.is_empty() => "refused",
        Some((version, _)) if version == snapshot.version() => "current",
        Some(_) | None => "behind",
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

/// How far a client is with one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfService {
    /// The id it gives itself.
    pub(crate) node: String,
    /// The address it comes from.
    pub(crate) peer: String,
    /// Whether it acknowledged the newest endpoints of the service.
    pub(crate) endpoints_acknowledged: bool,
    /// Whether it acknowledged the newest version of every route configuration it asks for, and of each listener that names the
    /// service (TCP).
    pub(crate) routes_acknowledged: bool,
    /// What it said to what it refused of either.
    pub(crate) refusal: Option<String>,
}

impl OfService {
    /// Nothing of a client that does not ask for the service.
    pub(crate) fn of(client: &ClientStream, service: &str, snapshot: &Snapshot) -> Option<Self> {
        let of_kind = |kind: Kind| client.types.iter().find(|status| status.kind == kind);
        let endpoints = of_kind(Kind::Endpoint);
        let assignment =
            endpoints.and_then(|status| status.resources.iter().find(|resource| &*resource.name == service));
        // An Envoy that hears of a new service asks for its endpoints a moment later; until then it is behind, and not
        // somebody whom this does not concern.
        let is_behind = || {
            client.scope == Scope::Aggregated
                && endpoints.is_some()
                && of_kind(Kind::Cluster).is_some_and(|status| {
                    status
                        .resources
                        .iter()
                        .any(|cluster| &*cluster.name == service && cluster.newest.is_some())
                })
        };
        if assignment.is_none() && !is_behind() {
            return None;
        }
        let of_kind = |kind: Kind| of_kind(kind).map_or(&[][..], |status| &status.resources);
        let routes = of_kind(Kind::Route).iter().map(|each| (Kind::Route, each));
        let listeners = of_kind(Kind::Listener).iter().map(|each| (Kind::Listener, each));
        let names_it = |listener: &ResourceStatus| {
            let listener = snapshot.get(Kind::Listener, &listener.name);
            listener.is_some_and(|listener| listener.references().clusters.contains(service))
        };
        let leading: Vec<(Kind, &ResourceStatus)> =
            routes.chain(listeners.filter(|(_, each)| names_it(each))).collect();
        Some(Self {
            node: client.node.as_ref().map(|node| node.id.clone()).unwrap_or_default(),
            peer: client.peer.clone(),
            endpoints_acknowledged: assignment.is_some_and(|each| is_newest(each, Kind::Endpoint, snapshot)),
            routes_acknowledged: leading
                .iter()
                .filter(|(_, each)| each.newest.is_some())
                .all(|(kind, each)| is_newest(each, *kind, snapshot)),
            refusal: assignment
                .into_iter()
                .chain(leading.into_iter().map(|(_, each)| each))
                .find_map(refusal),
        })
    }
}

/// Whether the client acknowledged what stands in `snapshot`. Its session may not have heard of that one yet, so that
/// "acknowledged" alone would be about an older one.
fn is_newest(resource: &ResourceStatus, kind: Kind, snapshot: &Snapshot) -> bool {
    resource.sync == Sync::Acknowledged && resource.has(snapshot.get(kind, &resource.name))
}

fn refusal(resource: &ResourceStatus) -> Option<String> {
    match &resource.sync {
        Sync::Refused(refusal) => Some(format!("{}: {}", resource.name, refusal.reason)),
        Sync::Acknowledged | Sync::Sent | Sync::NotSent | Sync::Missing => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use xds_server::session::Protocol;

    use super::*;

    fn refusal() -> Refusal {
        Refusal {
            name: "shop".into(),
            version: None,
            reason: "it has <no> name".into(),
            at: SystemTime::UNIX_EPOCH,
        }
    }

    /// What is known at a glance of one that refused a cluster.
    pub(crate) fn progress() -> Progress {
        Progress {
            id: 1,
            peer: "10.0.0.1:1234".to_owned(),
            node: None,
            asked: true,
            refusals: vec![(Kind::Cluster, refusal())],
            settled: None,
        }
    }

    /// One that refused a cluster.
    pub(crate) fn envoy() -> ClientStream {
        let status = ResourceStatus {
            name: "shop".into(),
            newest: None,
            acknowledged: None,
            sync: Sync::Refused(refusal()),
        };
        ClientStream {
            id: 1,
            peer: "10.0.0.1:1234".to_owned(),
            protocol: Protocol::Delta,
            scope: Scope::Aggregated,
            opened: SystemTime::UNIX_EPOCH,
            node: None,
            types: vec![TypeStatus { kind: Kind::Cluster, resources: vec![status] }],
        }
    }

    #[test]
    fn at_a_glance_a_client_is_what_it_is_when_looked_at_closely() {
        let snapshot = Snapshot::default();
        assert_eq!(
            (at_a_glance(&progress(), &snapshot), state_of(&envoy(), &snapshot)),
            ("refused", "refused")
        );
        let content = Progress { refusals: Vec::new(), ..progress() };
        assert_eq!(at_a_glance(&content, &snapshot), "behind");
        let settled = Some((snapshot.version(), Instant::now()));
        assert_eq!(at_a_glance(&Progress { settled, ..content.clone() }, &snapshot), "current");
        assert_eq!(at_a_glance(&Progress { asked: false, ..content }, &snapshot), "connecting");
    }
}
