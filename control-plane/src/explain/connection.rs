//! What becomes of a connection, in words.

use super::{Answer, Asked, Lost, Outcome, Verdict, members, ready, state_of};
use crate::matching::Answer as Says;
use crate::matching::connection::{self as matching, Opening};
use crate::model::{Model, ProblemKind, Route, Service, Site, Topology};
use crate::policies::{EntryName, EntryPoint, Policies};

/// What becomes of the connection that `url` is about.
pub(super) fn of(url: &str, opening: &Opening, model: &Model) -> Verdict {
    let topology = &model.topology;
    let found = matching::connect(topology, opening);
    let taken = match found.outcome {
        matching::Outcome::Taken(site, route) => Some((site, route)),
        _ => None,
    };
    let service = taken.and_then(|(_, route)| topology.services.get(&route.service)).map(AsRef::as_ref);
    let (outcome, sentence) = match (found.outcome, found.entry) {
        (matching::Outcome::Taken(site, route), _) => (Outcome::Route, taken_by(site, route, service)),
        (matching::Outcome::Closed, Some(entry)) => (Outcome::Closed, closed(opening, entry, topology)),
        (matching::Outcome::NotOpen, Some(entry)) => (
            Outcome::NotOpen,
            format!(
                "Envoy does not listen at the entry point {entry}: none of its certificates is there, as the problems say."
            ),
        ),
        (_, _) => (Outcome::NotOpen, unknown(opening.port, &topology.policies)),
    };
    let asked = found.asked.iter().map(|(site, route, answer)| {
        let (answer, why) = match answer {
            Says::Takes => (Answer::Wins, "takes the connection".to_owned()),
            Says::Differs(why) => (Answer::No, why.clone()),
            Says::NotAsked if outcome == Outcome::NotOpen => {
                (Answer::NotAsked, "the entry point is not open".to_owned())
            }
            Says::NotAsked => (Answer::NotAsked, "a closer name takes the connection".to_owned()),
        };
        let (route, path, priority) = (route.name.clone(), site.connections(), route.priority);
        Asked { route, path, priority, answer, why }
    });
    let (endpoints, absent) = members(service);
    Verdict {
        url: url.to_owned(),
        outcome: Some(outcome),
        sentence,
        host: taken.map(|(site, _)| site.to_string()),
        route: taken.map(|(_, route)| route.name.clone()),
        service: taken.map(|(_, route)| route.service.to_string()),
        state: taken.map(|_| service.map_or("down", state_of)),
        endpoints,
        absent,
        asked: asked.collect(),
        entry_point: found.entry.map(ToString::to_string),
        lost: found.entry.map(|entry| lost(entry, model)).unwrap_or_default(),
        ..Verdict::default()
    }
}

fn taken_by(site: &Site, route: &Route, service: Option<&Service>) -> String {
    let (connections, name) = (site.connections(), &route.name);
    match service {
        Some(service) if ready(service) > 0 => format!(
            "The route {name} takes {connections}, to {}: {} of {} endpoints ready.",
            service.name,
            ready(service),
            service.endpoints.len() + service.absent.len()
        ),
        _ => format!(
            "The route {name} takes {connections}, and Envoy closes the connection: no endpoint of its service is ready."
        ),
    }
}

fn closed(opening: &Opening, entry: &EntryName, topology: &Topology) -> String {
    let knows_hosts = topology.policies.knows_hosts(entry);
    match &opening.name {
        Some(name) if knows_hosts => format!(
            "Envoy closes the connection: no container claims {name} at the entry point {entry}, or a wildcard that covers it."
        ),
        None if knows_hosts => format!(
            "Envoy closes the connection: it names no host, and no container claims TCP at {entry} for whatever is named; ask for tcp://NAME:{}.",
            opening.port
        ),
        _ => format!("Envoy closes the connection: no container claims TCP at {entry}."),
    }
}

/// Who has the port, if it is none of TCP; and which ports there are.
fn unknown(port: u16, policies: &Policies) -> String {
    let there: Vec<String> = policies
        .tcp_entries()
        .filter_map(|(name, entry)| Some(format!("{} ({name})", entry.port()?)))
        .collect();
    let there = match there.as_slice() {
        [] => "there is none of TCP at all (docs/policies.md)".to_owned(),
        [one] => format!("the only one of TCP has the port {one}"),
        several => format!("those of TCP have the ports {}", several.join(", ")),
    };
    let of_http =
        policies.entry_points.iter().find(|(_, entry)| !entry.is_tcp() && entry.port() == Some(port));
    match of_http {
        Some((name, entry)) => {
            let scheme = if EntryPoint::is_secure(entry) { "https" } else { "http" };
            format!(
                "The entry point {name} has the port {port} and speaks HTTP: ask for {scheme}://HOST/PATH; {there}."
            )
        }
        None => format!("No entry point has the port {port}: {there}."),
    }
}

/// Those who claim a place at the entry point and do not get it.
fn lost(entry: &EntryName, model: &Model) -> Vec<Lost> {
    let lost = model.problems.iter().filter_map(|problem| {
        let ProblemKind::Conflict(lost) = &problem.kind else { return None };
        (lost.site.entry == *entry).then(|| Lost {
            workload: problem.workload.clone(),
            route: lost.route.clone(),
            why: problem.reason.clone(),
            fix: problem.fix.clone(),
        })
    });
    lost.collect()
}
