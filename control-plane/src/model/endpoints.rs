//! Which workloads of a service take requests, and where.

use crate::inventory::Placement;

use super::address::{self, At, Surroundings};
use super::group::{Group, Member};
use super::problem::Problem;
use super::topology::{Absence, Absent, Endpoint, Service};

/// What the members of `group` are to the service, each list sorted, and what keeps workloads from being endpoints. Of a
/// service that no route leads to only those are told that ask for one.
pub(super) fn of(
    group: &Group,
    is_routed: bool,
    around: &Surroundings<'_>,
    before: Option<&std::sync::Arc<Service>>,
) -> (Vec<Endpoint>, Vec<Absent>, Vec<Problem>) {
    let (mut endpoints, mut absent, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let exposed = group.members.iter().filter(|member| member.is_exposed());
    for member in exposed.filter(|member| is_routed || member.claims.asks) {
        match endpoint(member, around, before.map(AsRef::as_ref), &mut problems) {
            Ok(endpoint) => endpoints.push(endpoint),
            Err(why) => {
                let workload = &member.workload;
                absent.push(Absent { workload: workload.name.clone(), id: workload.id.clone(), why });
            }
        }
    }
    // Sorts a ready endpoint before one that drains at the same address.
    endpoints.sort();
    endpoints.dedup_by(|a, b| a.address == b.address);
    absent.sort();
    (endpoints, absent, problems)
}

fn endpoint(
    member: &Member,
    around: &Surroundings<'_>,
    before: Option<&Service>,
    problems: &mut Vec<Problem>,
) -> Result<Endpoint, Absence> {
    let Member { workload, claims, .. } = member;
    let condition = member.condition();
    if let Err(why @ (Absence::Created | Absence::Paused | Absence::Stopped)) = condition {
        return Err(why);
    }
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
    };
    // What it lacks itself comes first: one that starts has often no address yet.
    let state = condition?;
    let at = at.ok_or(Absence::Unreachable)?;
    Ok(Endpoint {
        address: at.address,
        state,
        workload: workload.name.clone(),
        id: workload.id.clone(),
        version: member.variant().to_owned(),
        network: at.network,
        project: workload.project.clone(),
        compose_service: workload.service.clone(),
    })
}
