//! Entry points. Ours is `web`, which speaks HTTP; others stand in the policies file, under the names that Traefik has for them.

use super::labels::{Fields, Said};
use crate::compat::note::{Kind, Note, Refusal};

/// Names that people give to the entry point of plain HTTP.
const WEB: [&str; 2] = ["web", "http"];
/// Names that people give to the one of TLS.
const TLS: [&str; 2] = ["websecure", "https"];

/// Where a router is served.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Whether that is where TLS is spoken, and nowhere else.
    pub(super) is_secure: bool,
    /// The value of our `listen`, where it is not `web` alone.
    pub(super) listen: Option<String>,
}

/// Takes what a router says about where it is served.
pub(super) fn take(fields: &mut Fields, notes: &mut Vec<Note>) -> Entry {
    let said = fields.take("entrypoints");
    let tls = fields.take_all("tls");
    let has_tls = tls.iter().any(|(field, said)| !field.is_empty() || said.bool() == Ok(true));
    for (field, said) in tls {
        if !(field.is_empty() && said.bool() == Ok(false)) {
            let fix = "let something before Envoy speak TLS";
            notes.push(said.lost(Refusal::new("Envoy does not speak TLS to clients yet", fix)));
        }
    }
    let Some(said) = said else { return Entry { is_secure: has_tls, listen: None } };
    let (web, others): (Vec<&str>, Vec<&str>) = said.list().into_iter().partition(|name| WEB.contains(name));
    let (secure, others): (Vec<&str>, Vec<&str>) =
        others.into_iter().partition(|name| has_tls || TLS.contains(name));
    if !secure.is_empty() {
        notes.push(without_tls(&said, &secure, web.is_empty() && others.is_empty()));
    }
    if others.is_empty() {
        return Entry { is_secure: has_tls || web.is_empty(), listen: None };
    }
    let names: Vec<&str> =
        (!web.is_empty()).then_some("web").into_iter().chain(others.iter().copied()).collect();
    let fix = format!(
        "write {} into the policies file, with an address (docs/policies.md); until then the route is refused",
        others.join(", ")
    );
    notes.push(
        said.note(Kind::ByHand, Refusal::new("where Envoy listens is for the administrator to say", fix)),
    );
    Entry { is_secure: false, listen: Some(names.join(", ")) }
}

fn without_tls(said: &Said, secure: &[&str], is_moved: bool) -> Note {
    let reason = format!("there is no entry point {} with TLS", secure.join(", "));
    let fix = if is_moved {
        "the route is served by web: let something before Envoy speak TLS, or let nobody reach it who may read along"
    } else {
        ""
    };
    said.lost(Refusal::new(reason, fix))
}
