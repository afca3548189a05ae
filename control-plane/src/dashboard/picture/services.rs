//! Services and their members: those that are endpoints, and those that are not, and why.

use serde::Serialize;

use crate::explain;
use crate::inventory::{Health, WorkloadId};
use crate::model::{self, Absence, EndpointState};
use crate::moment::{since_epoch, time};

use super::super::traffic::Rates;
use super::Facts;

/// A service.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Service {
    pub(crate) name: String,
    /// `ready`: all that should be in rotation are; `partly`: some are; `down`: none is.
    pub(crate) state: &'static str,
    /// The hosts and paths that lead here, as in the labels.
    pub(crate) routes: Vec<String>,
    pub(crate) endpoints_ready: usize,
    pub(crate) endpoints: Vec<Member>,
    /// Its versions with their shares, where labels name any.
    pub(crate) versions: Vec<Version>,
    /// How long a container of it that stops may finish what it has.
    pub(crate) drain_seconds: f64,
    /// What Envoy counts; nothing where it cannot be asked.
    pub(crate) traffic: Option<Rates>,
}

/// A version of a service, and its share of the requests.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Version {
    pub(crate) name: String,
    /// The one that counts, in relation to those of the other versions.
    pub(crate) weight: u32,
    /// What the label says.
    pub(crate) label_weight: u32,
    /// Whether it was set by hand, and so wins over the label.
    pub(crate) by_hand: bool,
    /// When the label counts again; nothing where it lasts until it is reset.
    pub(crate) until: Option<String>,
}

/// A container of a service, or an endpoint of the services file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Member {
    pub(crate) container: String,
    pub(crate) id: String,
    /// The variant of the service it is, where labels name any.
    pub(crate) version: Option<String>,
    /// `ready`, `draining`, `drained` (by hand), or what it lacks: `created`, `starting`, `unhealthy`, `paused`,
    /// `stopped`, `unreachable`.
    pub(crate) state: &'static str,
    /// A sentence that begins with the container's name, where it takes no requests.
    pub(crate) why: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) network: Option<String>,
    /// What its health check says: `none`, `starting`, `healthy`, `unhealthy`.
    pub(crate) health: &'static str,
    pub(crate) created: Option<String>,
    /// At the time of the picture.
    pub(crate) age_seconds: Option<u64>,
}

/// All services, by name.
pub(crate) fn of(facts: &Facts<'_>) -> Vec<Service> {
    let topology = &facts.view.model.topology;
    let service = |service: &std::sync::Arc<model::Service>| {
        let endpoints = members(service, facts);
        let ready = endpoints.iter().filter(|member| member.state == "ready").count();
        let routes = topology.routes_in_order().filter(|(_, route)| route.service == service.name);
        Service {
            name: service.name.to_string(),
            state: explain::state_of(service),
            routes: routes.map(|(host, route)| format!("{host} {}", route.matches)).collect(),
            endpoints_ready: ready,
            endpoints,
            versions: versions(service, facts),
            drain_seconds: service.options.drain.as_secs_f64(),
            traffic: facts.traffic.of(&service.name.0),
        }
    };
    topology.services.values().map(service).collect()
}

fn versions(service: &model::Service, facts: &Facts<'_>) -> Vec<Version> {
    let named = service.variants.iter().filter(|(name, _)| !name.is_empty() || service.variants.len() > 1);
    let version = |(name, share): (&String, &model::Share)| Version {
        name: name.clone(),
        weight: share.weight(),
        label_weight: share.label,
        by_hand: share.by_hand.is_some(),
        until: facts
            .decisions
            .weight(&service.name.0, name)
            .and_then(|weight| weight.end)
            .map(|end| time(end.wall)),
    };
    named.map(version).collect()
}

fn members(service: &model::Service, facts: &Facts<'_>) -> Vec<Member> {
    let endpoints = service.endpoints.iter().map(|endpoint| {
        let by_hand = facts.decisions.drained.contains(&endpoint.id);
        let (state, why) = match endpoint.state {
            EndpointState::Ready => ("ready", None),
            EndpointState::Draining if by_hand => ("drained", Some("was taken out of rotation by hand")),
            EndpointState::Draining => ("draining", Some("finishes what it has, and stops")),
        };
        let why = why.map(|why| format!("{} {why}", endpoint.workload));
        let at = (Some(endpoint.address.to_string()), endpoint.network.clone());
        let version = Some(endpoint.version.clone()).filter(|version| !version.is_empty());
        Member { version, ..member(&endpoint.workload, &endpoint.id, state, why, at, facts) }
    });
    let absent = service.absent.iter().map(|absent| {
        let state = match absent.why {
            Absence::Created => "created",
            Absence::Starting => "starting",
            Absence::Unhealthy => "unhealthy",
            Absence::Paused => "paused",
            Absence::Stopped => "stopped",
            Absence::Unreachable => "unreachable",
        };
        let why = Some(format!("{} {}", absent.workload, absent.why));
        member(&absent.workload, &absent.id, state, why, (None, None), facts)
    });
    let mut members: Vec<Member> = endpoints.chain(absent).collect();
    members.sort_by(|a, b| natural(&a.container).cmp(&natural(&b.container)));
    members
}

/// `web-10` comes after `web-9`.
fn natural(name: &str) -> (&str, u64, &str) {
    let stem = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
    (stem, name[stem.len()..].parse().unwrap_or(0), name)
}

fn member(
    container: &str,
    id: &WorkloadId,
    state: &'static str,
    why: Option<String>,
    (address, network): (Option<String>, Option<String>),
    facts: &Facts<'_>,
) -> Member {
    let workload = facts.inventory.workloads.get(id);
    let created = workload.and_then(|workload| since_epoch(workload.created));
    Member {
        container: container.to_owned(),
        id: id.0.to_string(),
        version: None,
        state,
        why,
        address,
        network,
        health: match workload.map(|workload| workload.health) {
            Some(Health::None) | None => "none",
            Some(Health::Starting) => "starting",
            Some(Health::Healthy) => "healthy",
            Some(Health::Unhealthy) => "unhealthy",
        },
        created: created.map(time),
        age_seconds: created
            .and_then(|created| facts.now.duration_since(created).ok())
            .map(|age| age.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn replicas_are_in_the_order_of_their_numbers() {
        let mut names = ["web-10", "web-9", "api", "web", "web-1"];
        names.sort_by(|a, b| natural(a).cmp(&natural(b)));
        assert_eq!(names, ["api", "web", "web-1", "web-9", "web-10"]);
    }
}
