//! The value of `path`: `/api`, `=/exact`, `~/regex/[0-9]+`.

use super::value::Value;
use super::{Mistake, regex};
use crate::model::matching::PathMatch;

const EXAMPLE: &str =
    "write /api for a prefix, =/api for exactly that, or ~/api/v[0-9]+ for a regular expression";

impl Value for PathMatch {
    fn parse(text: &str) -> Result<Self, Mistake> {
        parse(text)
    }
}

fn parse(value: &str) -> Result<PathMatch, Mistake> {
    if let Some(pattern) = value.strip_prefix('~') {
        return regex::check(pattern)
            .and_then(|()| can_begin_a_path(pattern))
            .map(|()| PathMatch::Regex(pattern.to_owned()))
            .map_err(|mistake| mistake.shifted(1));
    }
    let (exact, path) = value.strip_prefix('=').map_or((false, value), |path| (true, path));
    check(path).map_err(|mistake| mistake.shifted(value.len() - path.len()))?;
    if exact {
        return Ok(PathMatch::Exact(path.to_owned()));
    }
    // `/api/` and `/api` are the same prefix of segments.
    let trimmed = path.trim_end_matches('/');
    Ok(PathMatch::Prefix(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }))
}

/// A path as Envoy compares it: after the listener has made one spelling of all that mean the same.
pub(super) fn check(path: &str) -> Result<(), Mistake> {
    if !path.starts_with('/') {
        return Err(Mistake::new("a path begins with /", EXAMPLE));
    }
    if let Some(place) = path.find(['?', '#']) {
        return Err(Mistake::new("a path ends before ? and #", "write the path alone").at(place));
    }
    if let Some(place) = path.find(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err(Mistake::new(
            "a client sends this character percent-encoded, so the path would never match",
            "write it that way, as a browser's address line copies it: %C3%A9 for é, %20 for a space",
        )
        .at(place));
    }
    if let Some(place) = path.find("//") {
        return Err(
            Mistake::new("Envoy makes one / of several before it matches", "write a single /").at(place)
        );
    }
    let mut start = 0;
    for segment in path.split('/') {
        if segment == "." || segment == ".." {
            return Err(Mistake::new(
                format!("Envoy resolves {segment:?} before it matches, so the path would never match"),
                "write the path without it",
            )
            .at(start));
        }
        start += segment.len() + 1;
    }
    let encoded = path.to_ascii_lowercase();
    if let Some(place) = encoded.find("%2f").or_else(|| encoded.find("%5c")) {
        return Err(Mistake::new(
            "Envoy redirects an escaped slash to a plain one before it matches",
            "write /",
        )
        .at(place));
    }
    Ok(())
}

/// The whole path must match, and every path begins with a slash.
fn can_begin_a_path(pattern: &str) -> Result<(), Mistake> {
    match pattern.chars().next() {
        Some(first) if first.is_alphanumeric() => Err(Mistake::new(
            "the expression must match the whole path, and a path begins with /",
            format!("write ~/{pattern}, or ~.*{pattern} for anything before it"),
        )),
        _ => Ok(()),
    }
}
