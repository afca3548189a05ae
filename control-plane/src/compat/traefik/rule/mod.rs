//! Traefik's rules (v3): what a request must have to be a router's.
//!
//! ```text
//! text --parse--> Expr --alternatives--> lists of conditions --shape--> hosts and matches of one route each
//! ```

mod alternatives;
mod names;
mod parse;
mod pattern;
mod shape;

pub(in crate::compat) use pattern::whole;

use parse::{Expr, Matcher, MatcherKind, parse, parse_tcp};
pub(super) use shape::{Shape, covers};

use crate::compat::note::Refusal;
use crate::model::Host;

/// The routes that together take what a rule takes, and what is not quite the same about them.
pub(super) fn routes(rule: &str) -> Result<(Vec<Shape>, Vec<String>), Refusal> {
    let expr = parse(rule)?;
    let mut differences = Vec::new();
    let mut shapes = Vec::new();
    for conditions in alternatives::of(&expr)? {
        shapes.extend(Shape::of(&conditions, &mut differences)?);
    }
    if shapes.is_empty() {
        return Err(Refusal::new("no request has all that it asks for", "remove the router"));
    }
    differences.sort();
    differences.dedup();
    Ok((shape::merged(shapes), differences))
}

/// The names that a rule of TCP asks for, and what is not quite the same about them.
pub(super) fn names_of_tcp(rule: &str) -> Result<(Vec<Host>, Vec<String>), Refusal> {
    let expr = parse_tcp(rule)?;
    let (mut names, mut differences) = (Vec::new(), Vec::new());
    for conditions in alternatives::of(&expr)? {
        let [alternatives::Condition { not: false, matcher }] = conditions.as_slice() else {
            let reason = "our routes of TCP ask for one name or another, and for nothing else";
            return Err(Refusal::new(reason, "join HostSNI(`...`) by || alone"));
        };
        names.extend(name_of_tcp(matcher, &mut differences).map_err(|refusal| refusal.at(matcher.place))?);
    }
    Ok((names, differences))
}

fn name_of_tcp(matcher: &Matcher, differences: &mut Vec<String>) -> Result<Vec<Host>, Refusal> {
    let text = matcher.arguments.first().map_or("", String::as_str);
    match matcher.kind {
        MatcherKind::Host if text == "*" => Ok(vec![Host::Any]),
        MatcherKind::Host if text.contains('*') => {
            let fix = "write HostSNIRegexp(`^.+\\.example\\.com$`)";
            Err(Refusal::new("Traefik takes a name here, or * alone", fix))
        }
        MatcherKind::Host => Ok(vec![Host::Exact(text.to_ascii_lowercase())]),
        MatcherKind::HostRegexp => names::hosts(text, differences),
        MatcherKind::ClientIp => Err(Refusal::new(
            "our routes are not chosen by the client's address",
            "allow and deny say who may connect: others are cut off",
        )),
        _ => Err(Refusal::new("our routes are not chosen by what the client wants to speak (ALPN)", "")),
    }
}

/// The hosts whose names a regular expression takes, matched anywhere in a name.
pub(in crate::compat) fn hosts(pattern: &str) -> Result<(Vec<Host>, Vec<String>), Refusal> {
    let mut differences = Vec::new();
    let hosts = names::hosts(pattern, &mut differences)?;
    Ok((hosts, differences))
}
