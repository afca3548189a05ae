//! The routers of one container.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::labels::{Fields, Labels, Said};
use super::middleware::{self, Pool, Work};
use super::{Asked, Kind, Note, Refusal, check, entry, rule, service, tcp};
use crate::compat::Source;

/// A router while it is read.
pub(super) struct Router<'a> {
    pub(super) name: &'a str,
    /// The label that stands for it.
    pub(super) said: Said,
    pub(super) service: Option<String>,
    pub(super) drafts: Vec<Draft>,
    pub(super) priority: i64,
}

pub(super) fn asked(
    source: &Source<'_>,
    labels: &Labels,
    pool: &mut Pool<'_>,
    entries: &tcp::Entries,
) -> Asked {
    let mut asked = Asked { notes: labels.strays.clone(), ..Asked::default() };
    if let Some(enable) = &labels.enable {
        match enable.bool() {
            Ok(on) => asked.is_hidden = !on,
            Err(refusal) => asked.notes.push(enable.lost(refusal)),
        }
    }
    let mut routers = Vec::new();
    for (name, fields) in &labels.routers {
        let mut notes = Vec::new();
        match router(name, fields.clone(), source, labels, pool, &mut asked.backend, &mut notes) {
            Ok(router) => routers.push(router),
            Err(note) => notes.extend(not_carried(name, fields, note)),
        }
        asked.notes.append(&mut notes);
    }
    if labels.routers.is_empty() {
        routers.extend(default_router(source, labels, &mut asked.notes));
    }
    let of_http = services(&mut routers, &labels.services, &mut asked, |fields, notes| {
        Ok(service::keys(fields, notes))
    });
    asked.backend.extend(of_http);
    let mut streams = match routers.first() {
        None => tcp::routers(labels, entries, &mut asked.notes),
        Some(router) => {
            asked.notes.extend(tcp::beside_http(router.name, labels));
            Vec::new()
        }
    };
    let of_tcp = services(&mut streams, &labels.tcp_services, &mut asked, tcp::keys);
    if !streams.is_empty() {
        // What a router of HTTP said of it that did not come about is about requests.
        asked.backend = of_tcp;
        asked.backend.insert("protocol".to_owned(), "tcp".to_owned());
    }
    routers.append(&mut streams);
    if let Some(network) = labels.network.as_ref().filter(|_| routers.is_empty()) {
        asked.notes.push(network.lost(Refusal::new("no route is left that it is about", "")));
    } else if let Some(network) = &labels.network {
        asked.backend.insert("network".to_owned(), network.value.clone());
    }
    if !asked.backend.contains_key("port") && source.ports.len() > 1 {
        // Traefik takes the first one that is exposed.
        let first = source.ports.first().map(ToString::to_string);
        asked.backend.extend(first.map(|port| ("port".to_owned(), port)));
    }
    for router in routers {
        let Router { name, priority, drafts, .. } = router;
        asked.routes.extend(drafts.into_iter().map(|draft| (name.to_owned(), priority, draft)));
    }
    check_backend(&mut asked, labels);
    asked
}

/// The labels of a router that did not come about, the one with the reason first.
pub(super) fn not_carried(name: &str, fields: &Fields, note: Note) -> Vec<Note> {
    let rest = fields.all().filter(|said| said.label != note.label);
    let why = Refusal::new(format!("the router {name} is not carried over"), "see its other label");
    let rest: Vec<Note> = rest.map(|said| said.note(note.kind, why.clone())).collect();
    std::iter::once(note).chain(rest).collect()
}

/// Reads one, or says why it is not carried over.
fn router<'a>(
    name: &'a str,
    mut fields: Fields,
    source: &Source<'_>,
    labels: &Labels,
    pool: &mut Pool<'_>,
    backend: &mut BTreeMap<String, String>,
    notes: &mut Vec<Note>,
) -> Result<Router<'a>, Note> {
    let first = begin("http", name, &mut fields)?;
    let listen = entry::take(&mut fields, notes);
    let service = fields.take("service");
    if let Some(internal) = service.as_ref().filter(|service| service.value.ends_with("@internal")) {
        let fix = "Portolan's dashboard is at its own host (PORTOLAN_DASHBOARD_HOST); see docs/dashboard.md";
        return Err(internal.note(Kind::Differs, Refusal::new("it is a part of Traefik itself", fix)));
    }
    let rule = fields.take("rule").filter(|rule| !rule.value.is_empty());
    let text = match &rule {
        Some(rule) => rule.value.clone(),
        None => default_rule(source).ok_or_else(|| first.lost(no_rule()))?,
    };
    let said = rule.clone().unwrap_or_else(|| first.clone());
    let (shapes, differences) = rule::routes(&text).map_err(|refusal| said.lost(refusal))?;
    notes.extend(differences.into_iter().map(|difference| said.differs(difference)));
    let mut drafts: Vec<Draft> = shapes.into_iter().map(Draft::of).collect();
    if let Some(listen) = listen {
        drafts.iter_mut().for_each(|draft| draft.set("listen", &listen));
    }
    let mut work = Work { drafts, backend, notes };
    if let Some(list) = fields.take("middlewares") {
        middleware::apply(&mut work, &list, &labels.middlewares, pool)?;
    }
    let drafts = work.drafts;
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let priority = match fields.take("priority") {
        Some(priority) => priority.number().map_err(|refusal| priority.lost(refusal))?,
        None => 0,
    };
    let priority = if priority == 0 { length } else { priority };
    for draft in &drafts {
        check(&draft.clone().finish()).map_err(|refusal| said.lost(refusal))?;
    }
    notes.extend(fields.leftovers("Portolan has nothing for it"));
    Ok(Router { name, said, service: service.as_ref().map(service_name), drafts, priority })
}

/// The first label of a router of this kind (`http` or `tcp`), which stands for it where it has no rule.
///
/// # Errors
///
/// Nothing is said of it, or its rule is of a syntax that is not read.
pub(super) fn begin(kind: &str, name: &str, fields: &mut Fields) -> Result<Said, Note> {
    let Some(first) = fields.first().cloned() else {
        let said = Said { label: format!("traefik.{kind}.routers.{name}"), value: String::new() };
        return Err(said.lost(Refusal::new("nothing is said of it", "remove it")));
    };
    match fields.take("rulesyntax").filter(|syntax| syntax.value != "v3") {
        Some(syntax) => {
            let reason = "rules are read by the syntax of Traefik v3";
            Err(syntax.lost(Refusal::new(reason, "write the rule anew for v3")))
        }
        None => Ok(first),
    }
}

/// The name of the service that a router names, without that of Traefik's provider.
pub(super) fn service_name(said: &Said) -> String {
    said.value.trim_end_matches("@docker").to_owned()
}

fn no_rule() -> Refusal {
    Refusal::new(
        "it has no rule, and Traefik would make one of the names of the Compose project and service",
        "write a rule such as Host(`shop.example.com`)",
    )
}

/// Traefik's own: the names of service and project, with other characters as dashes.
fn default_rule(source: &Source<'_>) -> Option<String> {
    let (project, service) = source.compose?;
    let name = format!("{service}-{project}");
    let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
    Some(format!("Host(`{}`)", name.chars().map(plain).collect::<String>()))
}

/// The router that Traefik makes for a container that is enabled and has none.
fn default_router(source: &Source<'_>, labels: &Labels, notes: &mut Vec<Note>) -> Option<Router<'static>> {
    let enable = labels.enable.clone().filter(|enable| enable.bool() == Ok(true));
    let of_service = || labels.services.values().find_map(|fields| fields.first().cloned());
    let said = enable.or_else(of_service).filter(|_| !labels.has_streams)?;
    let Some(text) = default_rule(source) else {
        notes.push(said.lost(no_rule()));
        return None;
    };
    let (shapes, _) = rule::routes(&text).map_err(|refusal| notes.push(said.lost(refusal))).ok()?;
    notes.push(said.differs(format!("no rule is given: it is Traefik's default, {text}")));
    let priority = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let drafts = shapes.into_iter().map(Draft::of).collect();
    Some(Router { name: "default", said, service: None, drafts, priority })
}

/// Reads the service that the routers lead to, and returns its keys; the other ones are told, and so are routers without one.
fn services(
    routers: &mut Vec<Router<'_>>,
    services: &BTreeMap<String, Fields>,
    asked: &mut Asked,
    keys: impl Fn(Fields, &mut Vec<Note>) -> Result<BTreeMap<String, String>, Note>,
) -> BTreeMap<String, String> {
    let chosen = one_service(routers, services, &mut asked.notes);
    let mut read = BTreeMap::new();
    for (name, fields) in services {
        if chosen.as_ref() == Some(name) {
            match keys(fields.clone(), &mut asked.notes) {
                Ok(keys) => read = keys,
                Err(note) => {
                    let why = format!("the service {name} is not carried over");
                    let why = Refusal::new(why, "see the label of the service");
                    let all = routers.drain(..).map(|router| router.said);
                    let all = all.chain(fields.all().filter(|said| said.label != note.label).cloned());
                    asked.notes.extend(all.map(|said| said.lost(why.clone())));
                    asked.notes.push(note);
                }
            }
        } else if let Some(first) = fields.first() {
            asked.notes.push(first.lost(Refusal::new(format!("no route leads to the service {name}"), "")));
        }
    }
    read
}

/// A container of ours has one port: the routers of one service stay. Returns that service.
fn one_service(
    routers: &mut Vec<Router<'_>>,
    services: &BTreeMap<String, Fields>,
    notes: &mut Vec<Note>,
) -> Option<String> {
    let names: Vec<&String> = services.keys().collect();
    routers.retain_mut(|router| {
        let refusal = match (&router.service, names.as_slice()) {
            (Some(name), _) if services.contains_key(name) => return true,
            (Some(name), _) => Refusal::new(
                format!("the service {name} is not that of this container"),
                "give the route to the container of that service",
            ),
            (None, []) => return true,
            (None, [one]) => {
                router.service = Some((*one).clone());
                return true;
            }
            (None, _) => Refusal::new(
                "the container has several services, and the router names none: Traefik does not route it",
                "name the service",
            ),
        };
        notes.push(router.said.lost(refusal));
        false
    });
    let count = |name: &str| routers.iter().filter(|router| router.service.as_deref() == Some(name)).count();
    let chosen = names.iter().copied().max_by_key(|name| (count(name), std::cmp::Reverse(*name))).cloned();
    routers.retain(|router| {
        let stays = router.service == chosen || router.service.is_none();
        if !stays {
            notes.push(router.said.lost(Refusal::new(
                "a container has one port that is routed to here, and another router has that of another service",
                "give the other port a container of its own, or an entry in a services file",
            )));
        }
        stays
    });
    let is_reached = |name: &String| routers.iter().any(|router| router.service.as_ref() == Some(name));
    chosen.filter(is_reached)
}

/// What is no value of ours is left out and told.
fn check_backend(asked: &mut Asked, labels: &Labels) {
    let said = || {
        let first = |all: &BTreeMap<String, Fields>| all.values().find_map(|fields| fields.first().cloned());
        let of_service = first(&labels.services).or_else(|| first(&labels.tcp_services));
        let of_router = || first(&labels.routers).or_else(|| first(&labels.tcp_routers));
        of_service.or_else(|| labels.network.clone()).or_else(of_router)
    };
    let alone = |key: &str, value: &str| {
        let mut keys =
            BTreeMap::from([("host".to_owned(), "*".to_owned()), (key.to_owned(), value.to_owned())]);
        if key.starts_with("health.") {
            keys.entry("health.path".to_owned()).or_insert_with(|| "/".to_owned());
        }
        check(&keys)
    };
    let wrong: Vec<(String, Refusal)> = asked
        .backend
        .iter()
        // Alone it lacks its entry point, which the routers name.
        .filter(|(key, value)| (key.as_str(), value.as_str()) != ("protocol", "tcp"))
        .filter_map(|(key, value)| Some((key.clone(), alone(key, value).err()?)))
        .collect();
    for (key, refusal) in wrong {
        asked.backend.remove(&key);
        asked.notes.extend(said().map(|said| said.lost(refusal)));
    }
    if !asked.backend.contains_key("health.path") {
        asked.backend.retain(|key, _| !key.starts_with("health."));
    }
}
