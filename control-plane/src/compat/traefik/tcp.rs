//! Routers of TCP. A container of ours speaks HTTP or TCP, and so does an entry point, which has one way of TLS for all.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::labels::{Fields, Labels, Said};
use super::router::{Router, begin, not_carried, service_name};
use super::rule::{self, Shape};
use super::{Kind, Note, Refusal, check, entry, service};
use crate::model::{Host, Match};

/// What the connections at an entry point are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Carried {
    Http,
    /// Any bytes.
    Plain,
    /// TLS that the container ends.
    Passthrough,
    /// TLS that the proxy ends.
    Ended,
}

/// What the routers of all containers want of each entry point.
#[derive(Debug, Default)]
pub(super) struct Entries(BTreeMap<String, BTreeSet<Carried>>);

impl Entries {
    pub(super) fn of(all: &[Labels]) -> Self {
        let mut entries = Self::default();
        for labels in all {
            for fields in labels.routers.values() {
                // What it has to say is said where the router is read.
                let listen = entry::take(&mut fields.clone(), &mut Vec::new());
                let listen = listen.unwrap_or_else(|| entry::WEB[0].to_owned());
                listen.split(", ").for_each(|name| entries.add(name, Carried::Http));
            }
            for fields in labels.tcp_routers.values() {
                let carried = tls(&mut fields.clone()).0;
                let said = fields.get("entrypoints");
                said.iter().flat_map(|said| said.list()).for_each(|name| entries.add(name, carried));
            }
        }
        entries
    }

    fn add(&mut self, name: &str, carried: Carried) {
        self.0.entry(name.to_owned()).or_default().insert(carried);
    }

    /// Why an entry point cannot carry what a router of TCP wants.
    fn refusal(&self, name: &str) -> Option<Refusal> {
        let carried = self.0.get(name)?;
        let fix = "give it an entry point of its own";
        if entry::WEB.contains(&name) || carried.contains(&Carried::Http) {
            return Some(Refusal::new(
                format!("the entry point {name} carries HTTP, and so no TCP here"),
                fix,
            ));
        }
        let reason =
            format!("other routers have another way of TLS at {name}, and an entry point has one here");
        (carried.len() > 1).then(|| Refusal::new(reason, fix))
    }
}

/// The routers of one container, and those that are not carried over told.
pub(super) fn routers<'a>(labels: &'a Labels, entries: &Entries, notes: &mut Vec<Note>) -> Vec<Router<'a>> {
    let mut routers = Vec::new();
    for (name, fields) in &labels.tcp_routers {
        let mut told = Vec::new();
        match router(name, fields.clone(), entries, &mut told) {
            Ok(router) => {
                routers.push(router);
                notes.append(&mut told);
            }
            Err(note) => notes.extend(not_carried(name, fields, note)),
        }
    }
    routers
}

/// What is told of the routers of a container whose router `http` is of HTTP.
pub(super) fn beside_http(http: &str, labels: &Labels) -> Vec<Note> {
    let reason = format!("a container speaks HTTP or TCP here, and its router {http} is of HTTP");
    let refusal = Refusal::new(reason, "give the port of TCP a container of its own");
    let routers = labels.tcp_routers.iter();
    let first =
        routers.filter_map(|(name, fields)| Some((name, fields, fields.first()?.lost(refusal.clone()))));
    first.flat_map(|(name, fields, note)| not_carried(name, fields, note)).collect()
}

fn router<'a>(
    name: &'a str,
    mut fields: Fields,
    entries: &Entries,
    notes: &mut Vec<Note>,
) -> Result<Router<'a>, Note> {
    let first = begin("tcp", name, &mut fields)?;
    if let Some(list) = fields.take("middlewares").filter(|list| !list.list().is_empty()) {
        return Err(list.lost(no_middlewares()));
    }
    let Some(rule) = fields.take("rule").filter(|rule| !rule.value.is_empty()) else {
        return Err(first.lost(Refusal::new("it has no rule", "write HostSNI(`*`)")));
    };
    let (carried, certificates) = tls(&mut fields);
    let Some(listen) = fields.take("entrypoints").filter(|said| !said.list().is_empty()) else {
        let reason = "it names no entry point, and takes those of all ports with Traefik";
        return Err(rule.lost(Refusal::new(reason, "name the one that it is for")));
    };
    let refused = listen.list().into_iter().find_map(|name| entries.refusal(name));
    refused.map_or(Ok(()), |refusal| Err(listen.lost(refusal)))?;
    let hosts = hosts(&rule, notes).map_err(|refusal| rule.lost(refusal))?;
    if carried == Carried::Plain && hosts != [Host::Any] {
        let reason = "without TLS nobody says which host is wanted, and Traefik routes nothing by it";
        return Err(rule.lost(Refusal::new(reason, "write HostSNI(`*`), or tls for the router")));
    }
    let mut draft = Draft::of(Shape { hosts, matches: Match::connection() });
    draft.set("listen", listen.list().join(", "));
    // Names of hosts and entry points are read as those of a route of HTTP are.
    let mut keys = draft.clone().finish();
    keys.entry("host".to_owned()).or_insert_with(|| "*".to_owned());
    check(&keys).map_err(|refusal| rule.lost(refusal))?;
    notes.push(by_hand(&listen, carried));
    let reason = "certificates are for the administrator to say";
    let fix = "write a certificate into the policies file and its name to the entry point (docs/policies.md)";
    notes.extend(certificates.iter().map(|said| service::by_hand(said, reason, fix)));
    let service = fields.take("service").as_ref().map(service_name);
    notes.extend(fields.leftovers("Portolan has nothing for it"));
    Ok(Router { name, said: rule, service, drafts: vec![draft], priority: 0 })
}

/// Why no middleware of TCP is carried over.
pub(super) fn no_middlewares() -> Refusal {
    Refusal::new(
        "middlewares of TCP are not carried over",
        "allow and deny say who may connect, max-connections how many there may be",
    )
}

/// What its connections are, and the labels about TLS that Envoy ends.
fn tls(fields: &mut Fields) -> (Carried, Vec<Said>) {
    let mut all = fields.take_all("tls");
    all.retain(|(field, said)| !(field.is_empty() && said.bool() == Ok(false)));
    let passes = all.iter().any(|(field, said)| field == ".passthrough" && said.bool() == Ok(true));
    match (all.is_empty(), passes) {
        (true, _) => (Carried::Plain, Vec::new()),
        (false, true) => (Carried::Passthrough, Vec::new()),
        (false, false) => (Carried::Ended, all.into_iter().map(|(_, said)| said).collect()),
    }
}

/// What somebody has to write for the entry points that a router names.
fn by_hand(listen: &Said, carried: Carried) -> Note {
    let tls = match carried {
        Carried::Http | Carried::Plain => "",
        Carried::Passthrough => ", tls: passthrough",
        Carried::Ended => ", tls: CERTIFICATE",
    };
    let each = |name: &str| format!("{name}: {{ listen: \"0.0.0.0:PORT\", protocol: tcp{tls} }}");
    let all: Vec<String> = listen.list().into_iter().map(each).collect();
    let fix = format!(
        "write {} into the policies file (docs/policies.md), and publish the port of Envoy; until then the route is refused",
        all.join(" and ")
    );
    let reason = "where Envoy listens is for the administrator to say";
    listen.note(Kind::ByHand, Refusal::new(reason, fix))
}

/// The names that a rule asks for.
fn hosts(rule: &Said, notes: &mut Vec<Note>) -> Result<Vec<Host>, Refusal> {
    let (hosts, differences) = rule::names_of_tcp(&rule.value)?;
    notes.extend(differences.into_iter().map(|difference| rule.differs(difference)));
    // Who takes every name needs to say none.
    Ok(if hosts.contains(&Host::Any) { vec![Host::Any] } else { hosts })
}

/// Our keys for a service of TCP.
///
/// # Errors
///
/// What it says changes the bytes that the container gets, and is not carried over: no route can lead to it.
pub(super) fn keys(mut fields: Fields, notes: &mut Vec<Note>) -> Result<BTreeMap<String, String>, Note> {
    let mut keys = BTreeMap::new();
    if let Some(port) = fields.take("loadbalancer.server.port") {
        keys.insert("port".to_owned(), port.value.trim().to_owned());
    }
    if let Some(tls) = fields.take("loadbalancer.server.tls").filter(|tls| tls.bool() != Ok(false)) {
        let reason = "Envoy passes TCP on as it is, and does not speak TLS to the container";
        return Err(tls.lost(Refusal::new(reason, "let the clients' own TLS through: tls.passthrough")));
    }
    if let Some((_, said)) = fields.take_all("loadbalancer.proxyprotocol").into_iter().next() {
        let reason = "Envoy does not say the client's address by the PROXY protocol";
        return Err(said.lost(Refusal::new(reason, "let the container do without it")));
    }
    notes.extend(fields.leftovers("Portolan has nothing for it"));
    Ok(keys)
}
