//! Entry points. Ours is `web`, which speaks HTTP; others, and those of TLS, stand in the policies file under the names that Traefik
//! has for them.

use super::labels::Fields;
use crate::compat::note::{Kind, Note, Refusal};

/// Names that people give to the entry point of plain HTTP.
pub(super) const WEB: [&str; 2] = ["web", "http"];
/// The one that they give to that of TLS.
const TLS: &str = "websecure";

/// Takes what a router says about where it is served. Returns the value of our `listen`, where it is not `web` alone.
pub(super) fn take(fields: &mut Fields, notes: &mut Vec<Note>) -> Option<String> {
    let said = fields.take("entrypoints");
    let mut tls = fields.take_all("tls");
    tls.retain(|(field, said)| !(field.is_empty() && said.bool() == Ok(false)));
    for (_, said) in &tls {
        let fix =
            "write a certificate into the policies file and its name to the entry point (docs/policies.md)";
        let reason = "certificates are for the administrator to say";
        notes.push(said.note(Kind::ByHand, Refusal::new(reason, fix)));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in said.iter().flat_map(|said| said.list()) {
        let name = if WEB.contains(&name) { WEB[0] } else { name };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if said.is_none() && !tls.is_empty() {
        // Traefik serves such a router wherever TLS is spoken.
        names.push(TLS);
    }
    let others: Vec<&str> = names.iter().copied().filter(|name| *name != WEB[0]).collect();
    if others.is_empty() {
        return None;
    }
    if let Some(said) = &said {
        let reason = "where Envoy listens is for the administrator to say";
        let fix = format!(
            "write {} into the policies file, with an address and, for TLS, a certificate (docs/policies.md); until then the route is refused",
            others.join(", ")
        );
        notes.push(said.note(Kind::ByHand, Refusal::new(reason, fix)));
    }
    Some(names.join(", "))
}
