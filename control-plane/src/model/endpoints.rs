//! Which workloads of a service take requests, and where.

use crate::inventory::{Health, Placement, State};

use super::address::{self, At, Surroundings};
use super::group::{Group, Member};
use super::label::HealthRule;
use super::problem::Problem;
use super::topology::{Endpoint, EndpointState, Service};

/// The endpoints of `group`, sorted, and what keeps workloads from being one. Of a service that no route leads to only
/// those are told that ask for one.
pub(super) fn of(
    group: &Group,
    is_routed: bool,
    around: &Surroundings<'_>,
    before: Option<&std::sync::Arc<Service>>,
) -> (Vec<Endpoint>, Vec<Problem>) {
    let mut problems = Vec::new();
    let exposed = group.members.iter().filter(|member| member.is_exposed());
    let heard = exposed.filter(|member| is_routed || member.claims.asks);
    let mut endpoints: Vec<Endpoint> = heard
        .filter_map(|member| endpoint(member, around, before.map(AsRef::as_ref), &mut problems))
        .collect();
    // Sorts a ready endpoint before one that drains at the same address.
    endpoints.sort();
    endpoints.dedup_by(|a, b| a.address == b.address);
    (endpoints, problems)
}

fn endpoint(
    member: &Member,
    around: &Surroundings<'_>,
    before: Option<&Service>,
    problems: &mut Vec<Problem>,
) -> Option<Endpoint> {
    let Member { workload, claims, .. } = member;
    let state = match workload.state {
        State::Running => EndpointState::Ready,
        State::Stopping => EndpointState::Draining,
        State::Created | State::Paused | State::Stopped => return None,
    };
    let is_direct = matches!(workload.placement, Placement::Direct(_));
    let at = if !is_direct && (claims.broken.contains("port") || claims.broken.contains("network")) {
        // What it was before the mistake, for as long as that address is the workload's own.
        let before = before.into_iter().flat_map(|service| &service.endpoints);
        let mut before = before.filter(|endpoint| endpoint.id == workload.id);
        let still = |ip| address::all(workload, around.inventory).any(|own| own == ip);
        let before = before.find(|endpoint| still(endpoint.address.ip()));
        before.map(|endpoint| At { address: endpoint.address, network: endpoint.network.clone() })
    } else {
        address::of(workload, claims, around).unwrap_or_else(|problem| {
            problems.push(*problem);
            None
        })
    }?;
    let well = match workload.health {
        Health::None | Health::Healthy => true,
        Health::Starting => false,
        // One that is stopping may fail its check on purpose, and must finish what it has.
        Health::Unhealthy => state == EndpointState::Draining,
    };
    let ready = well || claims.health == HealthRule::Ignore;
    ready.then(|| Endpoint {
        address: at.address,
        state,
        workload: workload.name.clone(),
        id: workload.id.clone(),
        network: at.network,
    })
}
