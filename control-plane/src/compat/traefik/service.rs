//! Services: how the containers are asked.

use std::collections::BTreeMap;

use super::duration;
use super::labels::{Fields, Said};
use crate::compat::note::{Kind, Note, Refusal};

/// Traefik's own, where nothing is said; ours are shorter.
const CHECK_INTERVAL: &str = "30s";
const CHECK_TIMEOUT: &str = "5s";

/// Our keys for what a service says.
pub(super) fn keys(mut fields: Fields, notes: &mut Vec<Note>) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let mut set = |key: &str, value: String| keys.insert(key.to_owned(), value);
    if let Some(port) = fields.take("loadbalancer.server.port") {
        set("port", port.value.trim().to_owned());
    }
    if let Some(scheme) = fields.take("loadbalancer.server.scheme") {
        match scheme.value.as_str() {
            "http" => {}
            "h2c" => drop(set("protocol", "h2c".to_owned())),
            "https" => {
                set("protocol", "https".to_owned());
                notes.push(scheme.differs("the container's certificate is not checked"));
            }
            _ => notes.push(scheme.lost(Refusal::new("it is not http, https or h2c", "correct it"))),
        }
    }
    for (key, value) in sticky(&mut fields, notes).into_iter().chain(check(&mut fields, notes)) {
        set(key, value);
    }
    if let Some(strategy) = fields.take("loadbalancer.strategy") {
        match strategy.value.to_ascii_lowercase().as_str() {
            "wrr" => {}
            "p2c" => drop(set("lb", "least-request".to_owned())),
            "hrw" => drop(set("lb", "maglev:ip".to_owned())),
            _ => notes.push(strategy.lost(Refusal::new("there is no such way here", "choose a value of lb"))),
        }
    }
    if let Some(failures) = fields.take("loadbalancer.passivehealthcheck.maxfailedattempts") {
        set("outlier", failures.value.clone());
        notes.push(failures.differs("Envoy counts failures in a row (5xx, or no answer)"));
    }
    if let Some(pass) = fields.take("loadbalancer.passhostheader")
        && pass.bool() != Ok(true)
    {
        notes.push(pass.lost(Refusal::new("the application sees the host that the client asked for", "")));
    }
    if let Some(flush) = fields.take("loadbalancer.responseforwarding.flushinterval") {
        notes.push(flush.differs("Envoy passes on what it has at once"));
    }
    if let Some(transport) = fields.take("loadbalancer.serverstransport") {
        let fix = "portolan.protocol: https does not check certificates; timeout and idle-timeout say how long to wait";
        notes.push(transport.lost(Refusal::new("transports are not carried over", fix)));
    }
    if let Some(url) = fields.take("loadbalancer.server.url") {
        let fix = "write the address into the services file (serve --file)";
        notes.push(url.lost(Refusal::new("a label is about the container that has it", fix)));
    }
    notes.extend(fields.leftovers("Portolan has nothing for it"));
    keys
}

fn sticky(fields: &mut Fields, notes: &mut Vec<Note>) -> Option<(&'static str, String)> {
    let all = fields.take_all("loadbalancer.sticky");
    let (first, name) =
        (all.first().cloned(), all.iter().find(|(field, _)| field == ".cookie.name").cloned());
    let (_, first) = first?;
    if all.iter().any(|(field, said)| matches!(field.as_str(), ".cookie" | "") && said.bool() == Ok(false)) {
        return None;
    }
    for (field, said) in all {
        match field.as_str() {
            "" | ".cookie" | ".cookie.name" => {}
            ".cookie.httponly" | ".cookie.path" => {
                notes.push(said.differs("the cookie of Envoy is HttpOnly, and of every path"));
            }
            _ => notes.push(said.lost(Refusal::new("the cookie of Envoy has no such attribute", ""))),
        }
    }
    notes
        .push(first.differs("the cookie holds the container's address, and ends with the browser's session"));
    let name = name.map(|(_, said)| said.value).filter(|name| !name.is_empty());
    Some(("sticky", name.map_or_else(|| "cookie".to_owned(), |name| format!("cookie:{name}"))))
}

fn check(fields: &mut Fields, notes: &mut Vec<Note>) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    let all = fields.take_all("loadbalancer.healthcheck.");
    let find = |name: &str| all.iter().find(|(field, _)| field == name).map(|(_, said)| said.clone());
    let has_path = find("path").is_some_and(|path| !path.value.is_empty());
    for (key, name, default) in
        [("health.interval", "interval", CHECK_INTERVAL), ("health.timeout", "timeout", CHECK_TIMEOUT)]
    {
        let said = find(name);
        let text = said.as_ref().map_or(default, |said| &said.value);
        match (duration::parse(text), said) {
            (Some(time), _) if has_path => keys.push((key, duration::label(time))),
            (None, Some(said)) => {
                notes.push(said.lost(Refusal::new("it is not a duration", "write one such as 10s")));
            }
            _ => {}
        }
    }
    for (field, said) in &all {
        match field.as_str() {
            "path" if has_path => keys.push(("health.path", said.value.clone())),
            "interval" | "timeout" if has_path => {}
            "method" if said.value.eq_ignore_ascii_case("get") => {}
            "mode" if said.value.eq_ignore_ascii_case("http") => {}
            "followredirects" | "status" => notes.push(said.differs("Envoy wants 200, and follows nothing")),
            _ => notes.push(said.lost(Refusal::new(
                "Envoy's check is a GET of a path on the container's own port",
                "a HEALTHCHECK of the container may say it",
            ))),
        }
    }
    keys
}

/// A note that somebody must do something by hand.
pub(super) fn by_hand(said: &Said, reason: impl Into<String>, fix: impl Into<String>) -> Note {
    said.note(Kind::ByHand, Refusal::new(reason, fix))
}
