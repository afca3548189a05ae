//! From an inventory to a topology: who asks for what, who gets it, and where it is.

use std::collections::BTreeMap;

use crate::inventory::{Health, Inventory, Placement, State, Workload};

use super::Options;
use super::address::{self, Reach, Surroundings};
use super::label::{self, Claims, HealthRule};
use super::problem::Problem;
use super::routes;
use super::topology::{
    Absence, Absent, Endpoint, EndpointState, Host, Route, Service, ServiceName, Topology,
};

/// The cluster of Envoy's own admin pages (translate): no service may have its name.
pub const ADMIN_SERVICE: &str = "envoy-admin";

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
    let previous = previous.unwrap_or(&none);
    let mut problems = Vec::new();
    let all = members(inventory, options, &mut problems);
    let proxies = all.iter().filter(|member| member.claims.proxy).map(|member| member.workload);
    let reach = Reach::of(proxies, inventory);
    let members: Vec<&Member<'_>> = all.iter().filter(|member| member.is_exposed()).collect();

    let hosts = routes::settle(&members, options, previous, &mut problems);
    let around = Surroundings { inventory, reach: &reach, prefix: &options.label_prefix };
    let services = services(&members, &hosts, &around, previous, &mut problems);
    problems.sort();
    problems.dedup();
    (Topology { services, hosts }, problems)
}

/// A workload with what its labels ask for.
pub(super) struct Member<'a> {
    pub(super) workload: &'a Workload,
    pub(super) claims: Claims,
    pub(super) service: ServiceName,
}

impl Member<'_> {
    fn is_exposed(&self) -> bool {
        !self.claims.hidden && !self.claims.routes.is_empty()
    }

    /// Whether it counts for less where two disagree: a stopped container does not outvote one that is there.
    pub(super) fn is_away(&self) -> bool {
        self.workload.state == State::Stopped
    }

    /// Whether it takes requests, or is about to end, or neither: what its word counts where replicas disagree.
    pub(super) fn standing(&self) -> Standing {
        match (condition(self.workload, self.claims.health), self.is_away()) {
            (Ok(EndpointState::Ready), _) => Standing::Ready,
            (Ok(EndpointState::Draining), _) => Standing::Draining,
            (Err(_), false) => Standing::Waiting,
            (Err(_), true) => Standing::Away,
        }
    }
}

/// How much a member's word counts, the one that counts most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It takes requests.
    Ready,
    /// It finishes those it has.
    Draining,
    /// It is there, and not ready yet or no longer.
    Waiting,
    /// It is stopped.
    Away,
}

/// The workloads with what their labels say, those that are there before those that are away, the older first.
fn members<'a>(inventory: &'a Inventory, options: &Options, problems: &mut Vec<Problem>) -> Vec<Member<'a>> {
    let mut members = Vec::new();
    for workload in inventory.workloads.values() {
        let (mut claims, found) = label::read(workload, &options.label_prefix);
        problems.extend(found);
        let name = service_name(workload, &claims);
        if !claims.routes.is_empty() && (name == ADMIN_SERVICE || !label::is_service_name(&name)) {
            claims.routes.clear();
            let label = label::label_of(&options.label_prefix, label::DEFAULT_ROUTE, "service");
            problems.push(Problem::new(
                workload,
                format!("{name:?} cannot be the name of a service: it is taken, or has other than letters, digits, '-', '_', '.' and '/'"),
                format!("name it with the label {label}"),
            ));
        }
        members.push(Member { workload, claims, service: ServiceName(name) });
    }
    members.sort_by_key(|member| (member.is_away(), member.workload.created, &member.workload.id));
    members
}

/// The services that a route leads to, with their endpoints; one without any endpoint is there all the same, so that
/// its routes answer 503 and not 404.
fn services(
    members: &[&Member<'_>],
    hosts: &BTreeMap<Host, Vec<Route>>,
    around: &Surroundings<'_>,
    previous: &Topology,
    problems: &mut Vec<Problem>,
) -> BTreeMap<ServiceName, Service> {
    let mut services: BTreeMap<ServiceName, Service> = BTreeMap::new();
    for route in hosts.values().flatten() {
        let name = &route.service;
        services.entry(name.clone()).or_insert_with(|| Service {
            name: name.clone(),
            endpoints: Vec::new(),
            absent: Vec::new(),
        });
    }
    for member in members {
        let service = services.get_mut(&member.service);
        if service.is_none() && !member.claims.asks {
            continue;
        }
        let endpoint = endpoint(member, around, previous, problems);
        let Some(service) = service else { continue };
        match endpoint {
            Ok(endpoint) => service.endpoints.push(endpoint),
            Err(why) => {
                let workload = member.workload;
                service.absent.push(Absent { workload: workload.name.clone(), id: workload.id.clone(), why });
            }
        }
    }
    for service in services.values_mut() {
        // Sorts a ready endpoint before one that drains at the same address.
        service.endpoints.sort();
        service.endpoints.dedup_by(|a, b| a.address == b.address);
        service.absent.sort();
    }
    services
}

/// Whether a workload takes requests, as far as it is up to itself.
fn condition(workload: &Workload, rule: HealthRule) -> Result<EndpointState, Absence> {
    let state = match workload.state {
        State::Running => EndpointState::Ready,
        State::Stopping => EndpointState::Draining,
        State::Created => return Err(Absence::Created),
        State::Paused => return Err(Absence::Paused),
        State::Stopped => return Err(Absence::Stopped),
    };
    match workload.health {
        _ if rule == HealthRule::Ignore => Ok(state),
        Health::None | Health::Healthy => Ok(state),
        Health::Starting => Err(Absence::Starting),
        // One that is stopping may fail its check on purpose, and must finish what it has.
        Health::Unhealthy if state == EndpointState::Draining => Ok(state),
        Health::Unhealthy => Err(Absence::Unhealthy),
    }
}

fn endpoint(
    member: &Member<'_>,
    around: &Surroundings<'_>,
    previous: &Topology,
    problems: &mut Vec<Problem>,
) -> Result<Endpoint, Absence> {
    let Member { workload, claims, .. } = member;
    let condition = condition(workload, claims.health);
    if let Err(why @ (Absence::Created | Absence::Paused | Absence::Stopped)) = condition {
        return Err(why);
    }
    let is_direct = matches!(workload.placement, Placement::Direct(_));
    let address = if !is_direct && (claims.broken.contains("port") || claims.broken.contains("network")) {
        // What it was before the mistake, for as long as that address is the workload's own.
        let before =
            previous.services.get(&member.service).into_iter().flat_map(|service| &service.endpoints);
        let mut before =
            before.filter(|endpoint| endpoint.id == workload.id).map(|endpoint| endpoint.address);
        before.find(|address| address::all(workload, around.inventory).any(|own| own == address.ip()))
    } else {
        address::of(workload, claims, around).unwrap_or_else(|problem| {
            problems.push(*problem);
            None
        })
    };
    // What it lacks itself comes first: one that starts has often no address yet.
    let state = condition?;
    let address = address.ok_or(Absence::Unreachable)?;
    Ok(Endpoint { address, state, workload: workload.name.clone(), id: workload.id.clone() })
}

fn service_name(workload: &Workload, claims: &Claims) -> String {
    match (&claims.service, &workload.project, &workload.service) {
        (Some(name), _, _) | (None, None, Some(name)) => name.clone(),
        (None, Some(project), Some(service)) => format!("{project}/{service}"),
        (None, _, None) => workload.name.clone(),
    }
}
