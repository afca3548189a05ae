//! Which requests something else answers, and which connections something else takes: for each route of either side one that it would
//! take, decided as Envoy decides.

use std::collections::{BTreeMap, BTreeSet};

use super::Elsewhere;
use crate::matching::connection::taker;
use crate::matching::{Outcome, Question, decide};
use crate::model::{EndpointState, Host, Match, PathMatch, ServiceName, Site, TextMatch, Topology};
use crate::policies::{EntryPoint, WEB};

/// A name of which nobody has another one.
const ANY: &str = "any";

pub(super) fn elsewhere(now: &Topology, then: &Topology, dashboard: &str) -> Vec<Elsewhere> {
    let places: BTreeSet<(&Site, &Match)> = [now, then]
        .into_iter()
        .flat_map(Topology::routes_in_order)
        .map(|(site, route)| (site, &route.matches))
        .collect();
    let mut found: Vec<Elsewhere> = Vec::new();
    for (site, matches) in places {
        if matches.is_connection {
            let (before, after) = (taken(now, site), taken(then, site));
            if before != after {
                found.push(Elsewhere { request: site.connections(), now: before, then: after });
            }
            continue;
        }
        let Some(mut question) = sample(&site.host, matches) else { continue };
        let entry = now.policies.entry_points.get(&site.entry);
        question.secure = entry.is_some_and(EntryPoint::is_secure);
        question.port = entry.and_then(EntryPoint::port);
        let answer = |topology: &Topology| answered(topology, dashboard, &question);
        let (before, after) = (answer(now), answer(then));
        let at = if &*site.entry == WEB { String::new() } else { format!(" at {}", site.entry) };
        let request = format!("{}{}{at}", site.host, shown(matches));
        if before != after && found.iter().all(|other| other.request != request) {
            found.push(Elsewhere { request, now: before, then: after });
        }
    }
    found
}

/// `/api and below`, `=/x`, with what else is asked.
fn shown(matches: &Match) -> String {
    let text = matches.to_string();
    match &matches.path {
        PathMatch::Prefix(_) | PathMatch::Exact(_) => text.trim_start_matches('=').to_owned(),
        PathMatch::Regex(_) => format!(" {text}"),
    }
}

/// Who takes the connections to a host of TCP.
fn taken(topology: &Topology, site: &Site) -> String {
    let name = match &site.host {
        Host::Exact(name) => Some(name.clone()),
        Host::Suffix(suffix) => Some(format!("{ANY}{suffix}")),
        Host::Any => None,
    };
    match taker(topology, &site.entry, name.as_deref()) {
        Some((_, route)) if is_ready(topology, &route.service) => route.service.to_string(),
        Some((_, route)) => format!("closed ({} has no ready container)", route.service),
        None => "closed".to_owned(),
    }
}

fn is_ready(topology: &Topology, service: &ServiceName) -> bool {
    let service = topology.services.get(service);
    service.is_some_and(|it| it.endpoints.iter().any(|endpoint| endpoint.state == EndpointState::Ready))
}

fn answered(topology: &Topology, dashboard: &str, question: &Question) -> String {
    match decide(topology, dashboard, question).outcome {
        Outcome::Routed(route) if route.options.answer.is_some() => {
            format!("Envoy itself (route {})", route.name)
        }
        Outcome::Routed(route) => {
            if is_ready(topology, &route.service) {
                route.service.to_string()
            } else {
                format!("503 ({} has no ready container)", route.service)
            }
        }
        Outcome::Dashboard => "the dashboard".to_owned(),
        Outcome::Redirected => "a redirect to another spelling".to_owned(),
        Outcome::Secured(entry) => format!("a redirect to {entry}, over TLS"),
        Outcome::UnknownHost | Outcome::UnknownPath => "404".to_owned(),
    }
}

/// A request that a route for these takes, if nothing before it does; nothing where one cannot be told, as of a regular expression.
fn sample(host: &Host, matches: &Match) -> Option<Question> {
    let host = match host {
        Host::Exact(name) => name.clone(),
        Host::Suffix(suffix) => format!("{ANY}{suffix}"),
        Host::Any => format!("{ANY}.invalid"),
    };
    let path = match &matches.path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path.clone(),
        PathMatch::Regex(_) => return None,
    };
    let value = |wanted: &TextMatch| match wanted {
        TextMatch::Present => Some(ANY.to_owned()),
        TextMatch::Exact(value) => Some(value.clone()),
        TextMatch::Regex(_) => None,
    };
    let mut headers = BTreeMap::new();
    for (name, wanted) in matches.headers.iter().filter(|(_, wanted)| !wanted.not) {
        headers.insert(name.clone(), value(&wanted.value)?);
    }
    let mut query = Vec::new();
    for (name, wanted) in &matches.query {
        query.push((name.clone(), value(wanted)?));
    }
    let method = matches.methods.iter().next().map_or_else(|| "GET".to_owned(), ToString::to_string);
    Some(Question { host, secure: false, port: None, path, query, method, headers })
}
