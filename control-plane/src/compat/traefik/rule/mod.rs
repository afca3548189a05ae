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

use parse::{Expr, Matcher, MatcherKind, parse};
pub(super) use shape::{Shape, covers};

use crate::compat::note::Refusal;

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

/// The hosts whose names a regular expression takes, matched anywhere in a name.
pub(in crate::compat) fn hosts(pattern: &str) -> Result<(Vec<crate::model::Host>, Vec<String>), Refusal> {
    let mut differences = Vec::new();
    let hosts = names::hosts(pattern, &mut differences)?;
    Ok((hosts, differences))
}
