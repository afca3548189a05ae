//! The service that is the other proxy itself: nothing of it is translated, and what it is told besides the labels is named.

use super::services::Service;
use crate::compat::note::{Kind, Note};

/// What Traefik is told on its command line that changes what it does with requests.
const SAID: [&str; 7] = [
    "certificatesresolvers",
    "entrypoints",
    "experimental",
    "providers.file",
    "providers.redis",
    "serverstransport",
    "tcpserverstransport",
];
/// Entry points that say no more than where they listen: Envoy's is at port 80.
const PLAIN: [&str; 2] = [".address=:80", ".address=:443"];

/// What is to be done by hand about the proxy, if this is one.
pub(super) fn notes(service: &Service<'_>) -> Vec<Note> {
    let image = service.node.get("image").and_then(|image| image.text()).unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let name = name.split([':', '@']).next().unwrap_or_default();
    let note = |label: &str, value: &str, kind, reason: &str, fix: &str| Note {
        kind,
        label: label.to_owned(),
        value: value.to_owned(),
        place: None,
        reason: reason.to_owned(),
        fix: fix.to_owned(),
    };
    let of_proxy = |reason: &str, fix: &str| note("image", image, Kind::ByHand, reason, fix);
    match name {
        "traefik" => {
            let fix =
                "put Envoy and Portolan in its place (docs/from-traefik.md), on the networks that it is on";
            let mut notes = vec![of_proxy("this is Traefik itself", fix)];
            let arguments = service.node.get("command").map_or(&[][..], |command| command.items());
            for argument in arguments.iter().filter_map(|argument| argument.text()) {
                let lower = argument.trim_start_matches('-').to_ascii_lowercase();
                if SAID.iter().any(|said| lower.starts_with(said))
                    && !PLAIN.iter().any(|plain| lower.ends_with(plain))
                {
                    notes.push(note(
                        "command",
                        argument,
                        Kind::Lost,
                        "what Traefik is told at its start is not carried over",
                        "see docs/from-traefik.md",
                    ));
                }
            }
            notes
        }
        "nginx-proxy" | "acme-companion" | "docker-gen" => {
            vec![of_proxy(
                "this is nginx-proxy itself",
                "put Envoy and Portolan in its place (docs/from-traefik.md), on the networks that it is on",
            )]
        }
        _ => Vec::new(),
    }
}
