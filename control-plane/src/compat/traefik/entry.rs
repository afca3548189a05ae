//! Entry points. There is one of ours, `web`, which speaks HTTP; what Traefik serves elsewhere is told.

use super::labels::Fields;
use crate::compat::note::{Kind, Note, Refusal};

/// Names that people give to the entry point of plain HTTP.
const WEB: [&str; 2] = ["web", "http"];

/// Takes what a router says about where it is served, and says whether it is served there alone where TLS is spoken.
pub(super) fn is_secure(fields: &mut Fields, notes: &mut Vec<Note>) -> bool {
    let entry_points = fields.take("entrypoints");
    let tls = fields.take_all("tls");
    let has_tls = tls.iter().any(|(field, said)| !field.is_empty() || said.bool() == Ok(true));
    let (mut at_web, mut elsewhere) = (entry_points.is_none(), Vec::new());
    for name in entry_points.iter().flat_map(|said| said.list()) {
        if WEB.contains(&name) { at_web = true } else { elsewhere.push(name.to_owned()) }
    }
    if let Some(said) = entry_points.as_ref().filter(|_| !elsewhere.is_empty()) {
        let reason = format!("there is no entry point {}, only web, without TLS", elsewhere.join(", "));
        let fix = if at_web {
            ""
        } else {
            "the route is served by web: let something before Envoy speak TLS, or whoever may not read along reach it only"
        };
        notes.push(said.lost(Refusal::new(reason, fix)));
    }
    for (field, said) in tls {
        if !(field.is_empty() && said.bool() == Ok(false)) {
            let fix = "let something before Envoy speak TLS";
            notes.push(
                said.note(Kind::Lost, Refusal::new("Envoy's entry point web does not speak TLS yet", fix)),
            );
        }
    }
    has_tls || !at_web
}
