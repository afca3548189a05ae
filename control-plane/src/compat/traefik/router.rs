//! The routers of one container.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::labels::{Fields, Labels, Said};
use super::middleware::{self, Pool, Work};
use super::{Asked, Kind, Note, Refusal, check, entry, rule, service};
use crate::compat::Source;

/// A router while it is read.
struct Router<'a> {
    name: &'a str,
    /// The label that stands for it.
    said: Said,
    service: Option<String>,
    drafts: Vec<Draft>,
    priority: i64,
}

pub(super) fn asked(source: &Source<'_>, labels: &Labels, pool: &mut Pool<'_>) -> Asked {
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
            Err(note) => {
                let is_told = |other: &&Said| other.label == note.label;
                // The labels of the router that did not come about, the one with the reason excepted.
                let rest = fields.all().filter(|said| !is_told(said));
                let why =
                    Refusal::new(format!("the router {name} is not carried over"), "see its other label");
                notes.extend(rest.map(|said| said.note(note.kind, why.clone())));
                notes.push(note);
            }
        }
        asked.notes.append(&mut notes);
    }
    if labels.routers.is_empty() {
        routers.extend(default_router(source, labels, &mut asked.notes));
    }
    let chosen = one_service(&mut routers, labels, &mut asked.notes);
    for (name, fields) in &labels.services {
        if chosen.as_ref() == Some(name) {
            let keys = service::keys(fields.clone(), &mut asked.notes);
            asked.backend.extend(keys);
        } else if let Some(first) = fields.first() {
            asked.notes.push(first.lost(Refusal::new(format!("no route leads to the service {name}"), "")));
        }
    }
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
    let Some(first) = fields.first().cloned() else { return Err(nothing(name)) };
    if let Some(syntax) = fields.take("rulesyntax").filter(|syntax| syntax.value != "v3") {
        return Err(syntax
            .lost(Refusal::new("rules are read by the syntax of Traefik v3", "write the rule anew for v3")));
    }
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
    let service = service.map(|service| service.value.trim_end_matches("@docker").to_owned());
    Ok(Router { name, said, service, drafts, priority })
}

fn nothing(name: &str) -> Note {
    let said = Said { label: format!("traefik.http.routers.{name}"), value: String::new() };
    said.lost(Refusal::new("nothing is said of it", "remove it"))
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

/// A container of ours has one port: the routers of one service stay. Returns that service.
fn one_service(routers: &mut Vec<Router<'_>>, labels: &Labels, notes: &mut Vec<Note>) -> Option<String> {
    let names: Vec<&String> = labels.services.keys().collect();
    routers.retain_mut(|router| {
        let refusal = match (&router.service, names.as_slice()) {
            (Some(name), _) if labels.services.contains_key(name) => return true,
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
        let of_services = labels.services.values().find_map(|fields| fields.first().cloned());
        of_services
            .or_else(|| labels.network.clone())
            .or_else(|| labels.routers.values().find_map(|fields| fields.first().cloned()))
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
