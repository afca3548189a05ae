//! A route of ours while a router and its middlewares are read.

use std::collections::BTreeMap;

use super::rule::Shape;
use crate::compat::note::Refusal;
use crate::model::{Match, PathMatch, TextMatch};

const FORWARDED_PREFIX: &str = "request-header.x-forwarded-prefix";

/// A route while it is made.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) shape: Shape,
    /// What stands in place of the matched path or prefix, where something does.
    place: Option<String>,
    /// Our keys, besides those of the shape.
    pub(super) keys: BTreeMap<String, String>,
}

impl Draft {
    pub(super) fn of(shape: Shape) -> Self {
        Self { shape, place: None, keys: BTreeMap::new() }
    }

    pub(super) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.keys.insert(key.to_owned(), value.into());
    }

    /// What the application sees of the matched path or prefix.
    fn seen(&self) -> Result<&str, Refusal> {
        match &self.shape.matches.path {
            PathMatch::Regex(_) => Err(Refusal::new(
                "our routes change a path where they match it exactly or by a prefix, not by a regular expression",
                "match by Path or PathPrefix",
            )),
            PathMatch::Exact(path) | PathMatch::Prefix(path) => Ok(self.place.as_deref().unwrap_or(path)),
        }
    }

    /// Takes the first of `prefixes` away that a path begins with. Gives the routes for paths that begin so only further down.
    pub(super) fn strip(&mut self, prefixes: &[&str]) -> Result<Vec<Self>, Refusal> {
        let mut deeper = Vec::new();
        for (at, prefix) in prefixes.iter().map(|prefix| prefix.trim_end_matches('/')).enumerate() {
            if prefix.is_empty() || prefixes[..at].iter().any(|earlier| prefix.starts_with(earlier)) {
                continue;
            }
            let seen = self.seen()?.to_owned();
            if let Some(rest) = seen.strip_prefix(prefix) {
                self.place = Some(if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") });
                self.set(FORWARDED_PREFIX, prefix);
                break;
            }
            let is_below =
                seen == "/" || prefix.strip_prefix(&seen).is_some_and(|rest| rest.starts_with('/'));
            if is_below && matches!(self.shape.matches.path, PathMatch::Prefix(_)) {
                if self.place.is_some() {
                    return Err(Refusal::new(
                        "a prefix is put before the path and another one taken away that begins with it",
                        "write one that does both",
                    ));
                }
                let mut draft = self.clone();
                draft.shape.matches.path = PathMatch::Prefix(prefix.to_owned());
                draft.place = Some("/".to_owned());
                draft.set(FORWARDED_PREFIX, prefix);
                deeper.push(draft);
            }
        }
        Ok(deeper)
    }

    /// Puts `prefix` before the path.
    pub(super) fn prepend(&mut self, prefix: &str) -> Result<(), Refusal> {
        let seen = self.seen()?.trim_end_matches('/');
        self.place = Some(format!("/{}{seen}", prefix.trim_matches('/')));
        Ok(())
    }

    /// Puts `path` in place of the whole path.
    pub(super) fn replace(&mut self, path: &str) -> Result<(), Refusal> {
        match &self.shape.matches.path {
            PathMatch::Exact(old) => {
                let old = old.clone();
                self.set("request-header.x-replaced-path", old);
                self.place = Some(path.to_owned());
                Ok(())
            }
            PathMatch::Prefix(_) | PathMatch::Regex(_) => Err(Refusal::new(
                "our routes replace the matched prefix of a path, and the whole of it where they match it exactly",
                "match by Path, or say the paths one by one",
            )),
        }
    }

    /// All its keys with their values.
    pub(super) fn finish(self) -> BTreeMap<String, String> {
        let Self { shape, place, mut keys } = self;
        let Match { path, methods, headers, query, is_connection } = shape.matches;
        if let (Some(place), PathMatch::Exact(matched) | PathMatch::Prefix(matched)) = (place, &path) {
            if place == "/" && keys.get(FORWARDED_PREFIX) == Some(matched) {
                keys.remove(FORWARDED_PREFIX);
                keys.insert("strip".to_owned(), "true".to_owned());
            } else if place != *matched {
                keys.insert("rewrite".to_owned(), place);
            }
        }
        let hosts: Vec<String> = shape.hosts.iter().map(ToString::to_string).collect();
        // Every connection is taken where no host is said.
        if !(is_connection && hosts == ["*"]) {
            keys.insert("host".to_owned(), hosts.join(", "));
        }
        if path != PathMatch::default() {
            keys.insert("path".to_owned(), path.to_string());
        }
        if !methods.is_empty() {
            keys.insert("methods".to_owned(), methods.into_iter().collect::<Vec<_>>().join(", "));
        }
        keys.extend(headers.iter().map(|(name, value)| (format!("header.{name}"), value.to_string())));
        let query =
            query.iter().map(|(name, value): (_, &TextMatch)| (format!("query.{name}"), value.to_string()));
        keys.extend(query);
        keys
    }
}
