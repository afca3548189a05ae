//! Services, endpoints and routes: what the containers add up to.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use crate::inventory::WorkloadId;

/// Everything that is routed, and where to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Backends, by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// Routes by host, each list in the order in which it is matched.
    pub hosts: BTreeMap<Host, Vec<Route>>,
}

impl Topology {
    /// Every route with its host, hosts in order of their names, routes in the order in which they are matched.
    pub fn routes_in_order(&self) -> impl Iterator<Item = (&Host, &Route)> {
        self.hosts.iter().flat_map(|(host, routes)| routes.iter().map(move |route| (host, route)))
    }

    /// The routes that a request for `host` is offered, in order: those of the host itself, then those of the
    /// wildcards that cover it, the longer ones first; a higher priority comes before all that. What follows a route that takes every request is left out.
    #[must_use]
    pub fn routes_of(&self, host: &Host) -> Vec<&Route> {
        let mut covering: Vec<&Host> = self.hosts.keys().filter(|other| other.covers(host)).collect();
        covering.sort_by_key(|host| host.breadth());
        let mut routes: Vec<&Route> = covering.into_iter().flat_map(|host| &self.hosts[host]).collect();
        // Keeps the order of hosts among equals.
        routes.sort_by_key(|route| Reverse(route.priority));
        let last = routes.iter().position(|route| route.matches.is_everything());
        routes.truncate(last.map_or(routes.len(), |last| last + 1));
        routes
    }
}

/// The name of a service, and of its cluster: `project/service` for Compose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(pub String);

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A backend: workloads that answer the same requests. One with no endpoint at all is a service still: its routes
/// answer 503, never 404.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Where it can be reached, sorted.
    pub endpoints: Vec<Endpoint>,
}

/// One place where a service can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// IP address and port.
    pub address: SocketAddr,
    /// Whether it takes new requests.
    pub state: EndpointState,
    /// Name of the workload.
    pub workload: String,
    /// Its identity.
    pub id: WorkloadId,
}

/// Whether an endpoint takes new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointState {
    /// In rotation.
    Ready,
    /// Finishing what it has.
    Draining,
}

/// The host names a route answers for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// One name, in lower case.
    Exact(String),
    /// Every name that ends in this, one label or more before it: `.example.com` for `*.example.com`.
    Suffix(String),
    /// Every name.
    Any,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Host {
    /// Whether every request for `other` is one for this host too: what a route of this host is asked after those
    /// of `other` itself.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Suffix(suffix), Self::Exact(name)) => name.len() > suffix.len() && name.ends_with(suffix),
            (Self::Suffix(suffix), Self::Suffix(name)) => name.ends_with(suffix),
            (Self::Exact(one), Self::Exact(name)) => one == name,
            (Self::Suffix(_) | Self::Exact(_), _) => false,
        }
    }

    /// Sorts the more specific of two hosts that cover each other first.
    fn breadth(&self) -> (u8, Reverse<usize>) {
        match self {
            Self::Exact(name) => (0, Reverse(name.len())),
            Self::Suffix(suffix) => (1, Reverse(suffix.len())),
            Self::Any => (2, Reverse(0)),
        }
    }
}

/// How a path is matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// A prefix of whole segments: `/api` matches `/api` and `/api/x`, and not `/apix`.
    Prefix(String),
    /// A regular expression (RE2) that matches the whole path.
    Regex(String),
}

/// Every path.
impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".to_owned())
    }
}

impl PathMatch {
    /// The place in the order of matching: exact before prefix before regex, longer before shorter.
    fn rank(&self) -> (u8, Reverse<usize>) {
        match self {
            Self::Exact(path) => (0, Reverse(path.len())),
            Self::Prefix(path) => (1, Reverse(path.len())),
            Self::Regex(regex) => (2, Reverse(regex.len())),
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "={path}"),
            Self::Prefix(path) => f.write_str(path),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

/// Everything a request must have to be taken by a route, besides its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// How the path is matched.
    pub path: PathMatch,
}

impl Match {
    /// Whether every request has it, so that nothing after it is asked.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.path == PathMatch::default()
    }
}

/// Which requests of a host go to which service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name, as it stands in the access log: the service's, and the route's own where it is not the default.
    pub name: String,
    /// What a request must have.
    pub matches: Match,
    /// Asked before all routes of a lower one.
    pub priority: i32,
    /// Who answers.
    pub service: ServiceName,
    /// When the oldest workload that claims it was created, in seconds since the Unix epoch.
    pub since: i64,
}

impl Route {
    /// Sorts into the order in which routes are matched (docs/labels.md, "Which route wins").
    pub(super) fn sort_key(&self) -> (Reverse<i32>, u8, Reverse<usize>, &str, &PathMatch) {
        let (class, length) = self.matches.path.rank();
        (Reverse(self.priority), class, length, &self.name, &self.matches.path)
    }
}
