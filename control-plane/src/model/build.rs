//! From claims to a topology: who stands where two want the same, and what is kept when something is wrong.

use std::collections::BTreeMap;

use crate::inventory::{Health, Inventory, State, Workload};

use super::Options;
use super::address::{self, Reach};
use super::label::{self, Claims, RouteClaim};
use super::problem::Problem;
use super::topology::{Endpoint, EndpointState, Host, Match, Route, Service, ServiceName, Topology};

/// What `inventory` adds up to, and what is wrong with it. The order of the workloads does not matter.
///
/// `previous` is what stood before: it says who held a route first, and what a route was before it had a mistake.
#[must_use]
pub fn build(
    inventory: &Inventory,
    options: &Options,
    previous: Option<&Topology>,
) -> (Topology, Vec<Problem>) {
    let none = Topology::default();
    let mut builder = Builder {
        inventory,
        options,
        previous: previous.unwrap_or(&none),
        topology: Topology::default(),
        problems: Vec::new(),
    };
    let members = builder.members();
    let reach = Reach::of(members.iter().filter(|member| member.claims.proxy).map(|member| member.workload));
    let exposed: Vec<&Member<'_>> = members.iter().filter(|member| member.claims.is_exposed()).collect();
    for member in &exposed {
        builder.add_endpoint(member, &reach);
    }
    builder.add_routes(&exposed);
    builder.finish()
}

/// A workload with what its labels ask for.
struct Member<'a> {
    workload: &'a Workload,
    claims: Claims,
    service: ServiceName,
}

impl Member<'_> {
    /// Whether it counts for less where two disagree: a stopped container does not outvote one that runs.
    fn is_away(&self) -> bool {
        self.workload.state == State::Stopped
    }
}

struct Builder<'a> {
    inventory: &'a Inventory,
    options: &'a Options,
    previous: &'a Topology,
    topology: Topology,
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    /// The workloads with a label of ours, the older first.
    fn members(&mut self) -> Vec<Member<'a>> {
        let mut members = Vec::new();
        for workload in self.inventory.workloads.values() {
            let (claims, problems) = label::read(workload, &self.options.label_prefix);
            self.problems.extend(problems);
            members.push(Member { workload, service: service_name(workload, &claims), claims });
        }
        members.sort_by_key(|member| (member.is_away(), member.workload.created, &member.workload.id));
        members
    }

    fn add_endpoint(&mut self, member: &Member<'_>, reach: &Reach) {
        let name = &member.service;
        let empty = || Service { name: name.clone(), endpoints: Vec::new() };
        let service = self.topology.services.entry(name.clone()).or_insert_with(empty);
        let Member { workload, claims, .. } = member;
        let state = match workload.state {
            State::Running => EndpointState::Ready,
            State::Stopping => EndpointState::Draining,
            State::Created | State::Paused | State::Stopped => return,
        };
        if claims.unusable {
            // Its port or its network cannot be read: what was right before is, for as long as it is the same address.
            let before = self.previous.services.get(name).into_iter().flat_map(|service| &service.endpoints);
            service.endpoints.extend(before.filter(|endpoint| endpoint.workload == workload.name).cloned());
            return;
        }
        match address::of(workload, claims, reach, self.inventory) {
            Ok(Some(address)) if claims.ignore_health || is_well(workload.health) => {
                service.endpoints.push(Endpoint { address, state, workload: workload.name.clone() });
            }
            Ok(_) => {}
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Adds the routes of all members: those that held their place before come first, then the older.
    fn add_routes(&mut self, members: &[&Member<'_>]) {
        let mut wanted: BTreeMap<(&ServiceName, &str), (&Member<'_>, &RouteClaim)> = BTreeMap::new();
        let mut order = Vec::new();
        for member in members {
            for (name, claim) in &member.claims.routes {
                let key = (&member.service, name.as_str());
                let Some(claim) = claim.as_ref().filter(|_| !member.claims.unusable) else {
                    order.push((key, None));
                    continue;
                };
                match wanted.get(&key) {
                    None => {
                        wanted.insert(key, (member, claim));
                        order.push((key, Some((*member, claim))));
                    }
                    Some((first, other)) if *other != claim && !member.is_away() => {
                        let reason = format!(
                            "it is a replica of service {}, and its route {name:?} is not the same as that of {}",
                            member.service, first.workload.name
                        );
                        let fix = format!(
                            "the route of {} stands; recreate the other replicas",
                            first.workload.name
                        );
                        self.problems.push(Problem::new(&member.workload.name, reason, fix));
                    }
                    Some(_) => {}
                }
            }
        }
        // A mistake in one replica matters only where no other one says what the route is.
        order.retain(|(key, claim)| claim.is_some() || !wanted.contains_key(key));
        order.sort_by_key(|((service, name), _)| !self.stood_before(&route_name(service, name)));
        for ((service, name), claim) in order {
            match claim {
                Some((member, claim)) => self.add_route(member, service, name, claim),
                None => self.keep_route(&route_name(service, name)),
            }
        }
    }

    fn stood_before(&self, route: &str) -> bool {
        self.previous.routes_in_order().any(|(_, old)| old.name == route)
    }

    /// A route with a mistake in it stays what it was before, if it was anything.
    fn keep_route(&mut self, name: &str) {
        let previous = self.previous;
        for (host, route) in previous.routes_in_order().filter(|(_, route)| route.name == name) {
            let routes = self.topology.hosts.entry(host.clone()).or_default();
            if !routes.iter().any(|other| other.matches == route.matches) {
                routes.push(route.clone());
            }
        }
    }

    fn add_route(&mut self, member: &Member<'_>, service: &ServiceName, name: &str, claim: &RouteClaim) {
        for host in &claim.hosts {
            if *host == Host::Exact(self.options.reserved_host.clone()) {
                let reason = format!("{host} is the host of the dashboard");
                let fix = "choose another host, or move the dashboard with PORTOLAN_DASHBOARD_HOST";
                self.problems.push(Problem::new(&member.workload.name, reason, fix));
                continue;
            }
            let route = Route {
                name: route_name(service, name),
                matches: Match { path: claim.path.clone() },
                service: service.clone(),
                since: member.workload.created,
            };
            let routes = self.topology.hosts.entry(host.clone()).or_default();
            match routes.iter().find(|other| other.matches == route.matches) {
                Some(other) if other.service != route.service => {
                    let reason = format!(
                        "{host} with path {} is claimed by service {} already, which was first",
                        route.matches.path, other.service
                    );
                    let fix = "give one of the two another host or path";
                    self.problems.push(Problem::new(&member.workload.name, reason, fix));
                }
                Some(_) => {}
                None => routes.push(route),
            }
        }
    }

    fn finish(mut self) -> (Topology, Vec<Problem>) {
        for service in self.topology.services.values_mut() {
            service.endpoints.sort();
            service.endpoints.dedup_by(|a, b| a.address == b.address);
        }
        // A route kept from before may lead to a service of which no container is left: it has no endpoint.
        let names: Vec<ServiceName> =
            self.topology.routes_in_order().map(|(_, route)| route.service.clone()).collect();
        for name in names {
            let empty = Service { name: name.clone(), endpoints: Vec::new() };
            self.topology.services.entry(name).or_insert(empty);
        }
        self.topology.hosts.retain(|_, routes| !routes.is_empty());
        for routes in self.topology.hosts.values_mut() {
            routes.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        }
        self.problems.sort();
        self.problems.dedup();
        (self.topology, self.problems)
    }
}

fn is_well(health: Health) -> bool {
    matches!(health, Health::None | Health::Healthy)
}

fn service_name(workload: &Workload, claims: &Claims) -> ServiceName {
    ServiceName(match (&claims.service, &workload.project, &workload.service) {
        (Some(name), _, _) | (None, None, Some(name)) => name.clone(),
        (None, Some(project), Some(service)) => format!("{project}/{service}"),
        (None, _, None) => workload.name.clone(),
    })
}

fn route_name(service: &ServiceName, route: &str) -> String {
    if route == "default" { service.to_string() } else { format!("{service}#{route}") }
}
