//! Services, endpoints and routes: what the containers add up to.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use imbl::OrdMap;

use super::matching::Match;
use super::options::{BackendOptions, RouteOptions};
use crate::inventory::WorkloadId;
use crate::policies::{EntryName, Policies, WEB};

/// Routes by host, each list in the order in which it is matched.
pub type Hosts = OrdMap<Site, Arc<Vec<Route>>>;

/// Everything that is routed, and where to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Backends, by name. What did not change is shared with the topology before.
    pub services: OrdMap<ServiceName, Arc<Service>>,
    /// Routes by host. What did not change is shared with the topology before, list by list.
    pub hosts: Hosts,
    /// What the administrator says: entry points, and what else a label can name.
    pub policies: Arc<Policies>,
}

impl Topology {
    /// Every route with its host, hosts in order of entry points and names, routes in the order in which they are matched.
    pub fn routes_in_order(&self) -> impl Iterator<Item = (&Site, &Route)> {
        self.hosts.iter().flat_map(|(site, routes)| routes.iter().map(move |route| (site, route)))
    }

    /// The routes of one host, in the order in which they are matched.
    pub(super) fn routes_at(&self, site: &Site) -> impl Iterator<Item = (&Site, &Route)> {
        let here = self.hosts.get_key_value(site).into_iter();
        here.flat_map(|(site, routes)| routes.iter().map(move |route| (site, route)))
    }

    /// The hosts of one entry point, in order of their names.
    pub fn sites<'a>(&'a self, entry: &'a str) -> impl Iterator<Item = &'a Site> {
        self.hosts.keys().filter(move |site| &*site.entry == entry)
    }

    /// The routes that a request for `host` is offered, in order: those of the host itself, then those of the
    /// wildcards that cover it, the longer ones first; a higher priority comes before all that. What follows a route that takes every request is left out.
    #[must_use]
    pub fn routes_of(&self, site: &Site) -> Vec<&Route> {
        let covering = site.covering();
        let mut routes: Vec<&Route> = covering
            .iter()
            .filter_map(|site| self.hosts.get(site))
            .flat_map(|routes| routes.iter())
            .collect();
        // Keeps the order of hosts among equals.
        routes.sort_by_key(|route| Reverse(route.priority));
        let last = routes.iter().position(|route| route.matches.is_everything());
        routes.truncate(last.map_or(routes.len(), |last| last + 1));
        routes
    }
}

/// The name of a service, and of its cluster: `project/service` for Compose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(pub Arc<str>);

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
    /// How it is asked.
    pub options: Arc<BackendOptions>,
    /// Its variants, each with its share of requests; one without a name where no label names any.
    pub variants: BTreeMap<String, Share>,
    /// Where it can be reached, sorted.
    pub endpoints: Vec<Endpoint>,
    /// Its workloads that cannot be reached now, and why, sorted.
    pub absent: Vec<Absent>,
}

/// A variant's share of the requests of its service, in relation to the shares of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// What its labels say.
    pub label: u32,
    /// What somebody decided since: it wins.
    pub by_hand: Option<u32>,
}

impl Share {
    /// The one that counts.
    #[must_use]
    pub fn weight(self) -> u32 {
        self.by_hand.unwrap_or(self.label)
    }
}

/// A workload that belongs to a service and is no endpoint of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Absent {
    /// Name of the workload.
    pub workload: String,
    /// Its identity.
    pub id: WorkloadId,
    /// What it lacks.
    pub why: Absence,
}

/// What a workload lacks to be an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Absence {
    /// It was created, and not started.
    Created,
    /// Its health check has not succeeded yet.
    Starting,
    /// Its health check fails.
    Unhealthy,
    /// It is paused.
    Paused,
    /// It has ended.
    Stopped,
    /// It has no address that can be reached, or none yet; a problem says more.
    Unreachable,
}

/// The end of a sentence that begins with the workload's name.
impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "is created and not started",
            Self::Starting => "is starting: its health check has not succeeded yet",
            Self::Unhealthy => "is unhealthy: its health check fails",
            Self::Paused => "is paused",
            Self::Stopped => "is stopped",
            Self::Unreachable => "has no address that can be reached",
        })
    }
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
    /// Which variant of the service it is; the empty name where no label says.
    pub version: String,
    /// The Docker network it is reached over: the one a label names, or the one that was chosen of several.
    pub network: Option<String>,
    /// The workload's Compose project.
    pub project: Option<String>,
    /// The workload's Compose service, or its service in the services file; not always that whose endpoint it is, which a
    /// label may name.
    pub compose_service: Option<String>,
}

/// Whether an endpoint takes new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointState {
    /// In rotation.
    Ready,
    /// Finishing what it has.
    Draining,
}

/// A host at an entry point: to Envoy, a virtual host of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The entry point.
    pub entry: EntryName,
    /// The names it answers for there.
    pub host: Host,
}

impl Site {
    /// `host` at the entry point that is always there.
    #[must_use]
    pub fn web(host: Host) -> Self {
        Self { entry: WEB.into(), host }
    }

    /// This one, and the wildcards of the same entry point under which every request for it comes too, the more specific
    /// before the less.
    #[must_use]
    pub fn covering(&self) -> Vec<Self> {
        let at = |host| Self { entry: Arc::clone(&self.entry), host };
        self.host.covering().into_iter().map(at).collect()
    }
}

impl Site {
    /// Its connections: `TCP at db`, or `TCP to shop.localhost at db`.
    #[must_use]
    pub fn connections(&self) -> String {
        match &self.host {
            Host::Any => format!("TCP at {}", self.entry),
            host => format!("TCP to {host} at {}", self.entry),
        }
    }
}

/// `shop.localhost`, or `shop.localhost at internal` where it is another entry point than `web`.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        if &*self.entry == WEB { Ok(()) } else { write!(f, " at {}", self.entry) }
    }
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
    /// This host, and the wildcards under which every request for it comes too, the more specific before the less.
    #[must_use]
    pub fn covering(&self) -> Vec<Self> {
        let mut hosts = vec![self.clone()];
        let (Self::Exact(name) | Self::Suffix(name)) = self else { return hosts };
        let dots = name.match_indices('.').map(|(at, _)| at);
        let suffixes = dots.filter(|at| *at > 0).map(|at| Self::Suffix(name[at..].to_owned()));
        hosts.extend(suffixes);
        hosts.push(Self::Any);
        hosts
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
    /// What is done with the request.
    pub options: Arc<RouteOptions>,
    /// When the oldest workload that claims it was created, in seconds since the Unix epoch.
    pub since: i64,
}

impl Route {
    /// Sorts into the order in which routes are matched (docs/labels.md, "Which route wins").
    pub(super) fn sort_key(&self) -> impl Ord {
        (Reverse(self.priority), self.matches.rank(), &self.name, &self.matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_covered_by_the_wildcards_above_it_the_longest_first() {
        let shown = |host: &Host| host.covering().iter().map(Host::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&Host::Exact("a.b.c".to_owned())), ["a.b.c", "*.b.c", "*.c", "*"]);
        assert_eq!(shown(&Host::Suffix(".b.c".to_owned())), ["*.b.c", "*.c", "*"]);
        assert_eq!(shown(&Host::Any), ["*"]);
    }
}
