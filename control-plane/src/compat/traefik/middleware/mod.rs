//! Middlewares: what becomes of a router's requests on the way. Each kind is a function that changes the router's routes.
//!
//! One that keeps clients out, or changes paths, and cannot be said in our labels takes its router out: without it more
//! would pass than before, or something else. Any other is told, and the route stands without it.

mod access;
mod headers;
mod limits;
mod paths;
mod redirect;

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::labels::{Fields, Said};
use crate::compat::note::{Note, Refusal};

/// How deep chains of chains are followed.
const DEPTH: usize = 16;

/// The routes of one router, and what its middlewares say of them.
pub(super) struct Work<'a> {
    pub(super) drafts: Vec<Draft>,
    /// Our keys about the whole container.
    pub(super) backend: &'a mut BTreeMap<String, String>,
    pub(super) notes: &'a mut Vec<Note>,
}

impl Work<'_> {
    fn set(&mut self, key: &str, value: &str) {
        self.drafts.iter_mut().for_each(|draft| draft.set(key, value));
    }
}

/// Changes the routes, or says why the router cannot be carried over.
type Apply = fn(&mut Work<'_>, &str, &mut Fields) -> Result<(), Note>;

const KINDS: [(&str, Apply); 22] = [
    ("addprefix", paths::add_prefix),
    ("basicauth", access::basic),
    ("buffering", limits::buffering),
    ("compress", limits::compress),
    ("digestauth", access::digest),
    ("forwardauth", access::forward),
    ("headers", headers::edit),
    ("inflightreq", limits::in_flight),
    ("ipallowlist", access::allow),
    ("ipwhitelist", access::allow),
    ("plugin", access::plugin),
    ("passtlsclientcert", access::client_certificate),
    ("ratelimit", limits::rate),
    ("redirectregex", redirect::by_regex),
    ("redirectscheme", redirect::to_scheme),
    ("replacepath", paths::replace),
    ("replacepathregex", paths::regex),
    ("retry", limits::retry),
    ("stripprefix", paths::strip),
    ("stripprefixregex", paths::regex),
    ("circuitbreaker", limits::circuit_breaker),
    ("errors", limits::errors),
];

/// What there is of middlewares: everybody's, by name, and who has used which.
#[derive(Debug, Default)]
pub(super) struct Pool<'a> {
    all: BTreeMap<&'a str, Vec<&'a Fields>>,
    used: BTreeSet<String>,
}

impl<'a> Pool<'a> {
    pub(super) fn add(&mut self, name: &'a str, fields: &'a Fields) {
        let all = self.all.entry(name).or_default();
        if !all.contains(&fields) {
            all.push(fields);
        }
    }

    pub(super) fn is_used(&self, name: &str) -> bool {
        self.used.contains(name)
    }

    /// The one that `name` means to a container that has `own`.
    fn find(&mut self, name: &str, own: &BTreeMap<String, Fields>) -> Result<Fields, Refusal> {
        let (name, provider) =
            name.split_once('@').map_or((name, "docker"), |(name, provider)| (name, provider));
        if provider != "docker" {
            return Err(Refusal::new(
                format!("{name} is not in the labels: {provider} has it, and what it does cannot be seen"),
                "say in our labels what it does, and route the container by them",
            ));
        }
        self.used.insert(name.to_owned());
        if let Some(fields) = own.get(name) {
            return Ok(fields.clone());
        }
        match self.all.get(name).map(Vec::as_slice) {
            Some([fields]) => Ok((*fields).clone()),
            Some(_) => Err(Refusal::new(
                format!("several containers say what the middleware {name} is, and not the same"),
                "give them different names",
            )),
            None => Err(Refusal::new(
                format!("there is no middleware {name}, and Traefik does not route what names one"),
                "correct the name",
            )),
        }
    }
}

/// Applies what the list `said` names, in its order.
pub(super) fn apply(
    work: &mut Work<'_>,
    said: &Said,
    own: &BTreeMap<String, Fields>,
    pool: &mut Pool<'_>,
) -> Result<(), Note> {
    let mut depth = 0;
    list(work, said, own, pool, &mut depth)
}

fn list(
    work: &mut Work<'_>,
    said: &Said,
    own: &BTreeMap<String, Fields>,
    pool: &mut Pool<'_>,
    depth: &mut usize,
) -> Result<(), Note> {
    *depth += 1;
    if *depth > DEPTH {
        return Err(said.lost(Refusal::new("it is a chain of too many chains, or of itself", "correct it")));
    }
    for name in said.list() {
        let mut fields = pool.find(name, own).map_err(|refusal| said.lost(refusal))?;
        let plain = name.split_once('@').map_or(name, |(name, _)| name);
        let kinds = fields.kinds();
        let [kind] = kinds.as_slice() else {
            let reason = format!("the middleware {plain} is to be several things: {}", kinds.join(", "));
            return Err(said.lost(Refusal::new(reason, "give each a name of its own")));
        };
        let kind = (*kind).to_owned();
        if kind == "chain" {
            if let Some(chain) = fields.take("chain.middlewares") {
                list(work, &chain, own, pool, depth)?;
            }
        } else {
            one(work, plain, &kind, &mut fields, said)?;
        }
        work.notes.extend(fields.leftovers("Portolan has nothing for it"));
    }
    *depth -= 1;
    Ok(())
}

fn one(work: &mut Work<'_>, name: &str, kind: &str, fields: &mut Fields, said: &Said) -> Result<(), Note> {
    match KINDS.iter().find(|(known, _)| *known == kind) {
        Some((_, apply)) => apply(work, name, fields),
        None => {
            let first = fields.first().unwrap_or(said);
            let reason = format!("{kind} is no middleware that is known here, so it may keep somebody out");
            Err(first.lost(Refusal::new(
                reason,
                "say in our labels what it does, and route the container by them",
            )))
        }
    }
}
