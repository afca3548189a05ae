//! What labels may say where the container speaks TCP: where it is asked, and little of how. Nothing there is a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::draft::{Draft, Given};
use super::policy::{Whereabouts, unknown_entries};
use super::{Claims, Mistake, RouteClaim};
use crate::model::matching::Match;
use crate::model::options::{HashKey, Retries, RouteOptions};
use crate::model::topology::Host;
use crate::policies::{EntryName, Policies};

/// What a route of TCP has to say; the rest of the keys of a route is about requests.
const KEYS: [&str; 7] = ["listen", "host", "priority", "idle-timeout", "retries", "allow", "deny"];
/// Keys of the whole container that are about requests.
const OF_REQUESTS: [&str; 5] = ["sticky", "health.path", "health.interval", "health.timeout", "max-requests"];

/// Whether a default of the policies file for this key is about connections as well. Where a container is asked it says itself.
pub(super) fn has_default(row: &str) -> bool {
    KEYS.contains(&row) && row != "listen"
}

/// What of the labels about the whole container does not go with TCP.
pub(super) fn whole_workload(
    claims: &Claims,
    given: &Given,
    drafts: &BTreeMap<String, Draft>,
    policies: &Policies,
) -> Vec<(&'static str, Mistake)> {
    let mut all = Vec::new();
    if drafts.values().all(|draft| !draft.given.has("listen")) {
        all.push(("protocol", without_entry_point(policies)));
    }
    let requests = OF_REQUESTS.into_iter().filter(|key| given.has(key));
    all.extend(requests.map(|key| (key, about_requests(key))));
    if given.has("lb")
        && matches!(claims.backend.balance.key(), Some(HashKey::Header(_) | HashKey::Cookie(_)))
    {
        let reason = "a connection of TCP has no headers and cookies";
        all.push(("lb", Mistake::new(reason, "spread them by ip, or by no key")));
    }
    all
}

/// What of the labels of a route does not go with TCP.
pub(super) fn contradictions(
    draft: &Draft,
    claims: &Claims,
    policies: &Policies,
) -> Vec<(&'static str, Mistake)> {
    let others = draft.given.rows().filter(|row| !KEYS.contains(row));
    let mut all: Vec<_> = others.map(|row| (row, about_requests(row))).collect();
    if !draft.options.retries.on.is_empty() && draft.given.has("retries") {
        let reason = "a connection of TCP is tried again where it cannot be made, and in no other case";
        all.push(("retries", Mistake::new(reason, "write the number alone")));
    }
    let Some(listen) = &draft.policies.listen else {
        // Where none of the routes names one, that is told of the container.
        let is_told = draft.given.has("listen") || claims.broken.contains("protocol");
        let any = draft.given.rows().next().filter(|_| !is_told);
        all.extend(any.map(|row| (row, without_entry_point(policies))));
        return all;
    };
    let unknown = unknown_entries(listen, policies);
    let is_unknown = !unknown.is_empty();
    all.extend(unknown);
    if let Some(name) = listen.iter().find(|name| !is_unknown && !policies.is_tcp(name)) {
        let reason = format!("the entry point {name} speaks HTTP, and the label protocol says tcp");
        all.push(("listen", Mistake::new(reason, fix(policies))));
    }
    let names_host = draft.hosts.iter().flatten().any(|host| *host != Host::Any);
    if let Some(name) = listen.iter().find(|name| names_host && !policies.knows_hosts(name)) {
        let reason =
            format!("at the entry point {name} nobody says which host is wanted: it is TCP without TLS");
        let fix =
            "remove the label, or let the administrator add tls to the entry point, such as tls: passthrough";
        all.push(("host", Mistake::new(reason, fix)));
    }
    all
}

/// The route of connections, if it says where.
pub(super) fn finish(draft: Draft, claims: &Claims) -> Option<RouteClaim> {
    let entries = draft.policies.listen?.into_iter().map(EntryName::from).collect();
    let hosts = draft.hosts.unwrap_or_else(|| vec![Host::Any]);
    let sites = Whereabouts { entries, upgrades: BTreeMap::new() }.sites(&hosts);
    let options = RouteOptions {
        idle_timeout: draft.options.idle_timeout,
        retries: Retries { attempts: draft.options.retries.attempts, ..Retries::default() },
        allow: draft.options.allow,
        deny: draft.options.deny,
        hash: claims.backend.balance.key().filter(|key| **key == HashKey::Ip).cloned(),
        ..RouteOptions::default()
    };
    Some(RouteClaim {
        sites,
        upgrades: BTreeMap::new(),
        matches: Match::connection(),
        priority: draft.priority,
        options: Arc::new(options),
    })
}

fn about_requests(key: &str) -> Mistake {
    let reason = format!("{key} is about HTTP, and the label protocol says tcp");
    Mistake::new(reason, "remove the label")
}

fn without_entry_point(policies: &Policies) -> Mistake {
    Mistake::new("TCP needs an entry point of its own, which the label listen names", fix(policies))
}

/// Which entry points there are for TCP.
fn fix(policies: &Policies) -> String {
    let names: Vec<&str> = policies.tcp_entries().map(|(name, _)| &**name).collect();
    match names.as_slice() {
        [] => "let the administrator add one to the policies file, such as db: { listen: \"0.0.0.0:5432\", protocol: tcp }".to_owned(),
        names => format!("add the label listen with one of {}", names.join(", ")),
    }
}

/// What a route of HTTP is told that names an entry point of TCP.
pub(super) fn not_http(listen: &[String], policies: &Policies) -> Option<(&'static str, Mistake)> {
    let name = listen.iter().find(|name| policies.is_tcp(name))?;
    let reason = format!("the entry point {name} carries TCP, and this is a route of HTTP");
    Some(("listen", Mistake::new(reason, "add the label protocol: tcp, or name another entry point")))
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;

    #[test]
    fn the_keys_are_keys_of_their_scope() {
        assert!(KEYS.iter().all(|name| !key::find(name).unwrap().0.is_of_service()));
        assert!(OF_REQUESTS.iter().all(|name| key::find(name).unwrap().0.is_of_service()));
    }
}
