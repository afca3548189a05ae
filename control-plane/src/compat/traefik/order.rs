//! Priorities: Traefik asks the longest rule first, where no number is given; our routes have an order of their own. A
//! priority is said where the two would differ, and only there.

use std::cmp::Ordering;

use super::rule::covers;
use crate::model::{Host, Match, PathMatch};

/// A route as far as the order goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked<'a> {
    pub(super) hosts: &'a [Host],
    pub(super) matches: &'a Match,
    /// Traefik's.
    pub(super) priority: i64,
}

/// Which of `routes` must say their priority for all to be asked in Traefik's order.
pub(super) fn to_be_said(routes: &[Ranked<'_>]) -> Vec<bool> {
    // Routes of hosts that meet are in one group, by the index of one of them.
    let mut group: Vec<usize> = (0..routes.len()).collect();
    let mut differs = vec![false; routes.len()];
    for (i, a) in routes.iter().enumerate() {
        for (j, b) in routes.iter().enumerate().skip(i + 1) {
            let Some(ours) = ours(a, b) else { continue };
            let (one, other) = (root(&group, i), root(&group, j));
            group[other] = one;
            let wanted = b.priority.cmp(&a.priority);
            if wanted != Ordering::Equal && wanted != ours && can_meet(a.matches, b.matches) {
                differs[i] = true;
            }
        }
    }
    let said: Vec<usize> = (0..routes.len()).filter(|at| differs[*at]).map(|at| root(&group, at)).collect();
    (0..routes.len()).map(|at| said.contains(&root(&group, at))).collect()
}

fn root(group: &[usize], mut at: usize) -> usize {
    while group[at] != at {
        at = group[at];
    }
    at
}

/// Which of two we would ask first; nothing where they have no host in common.
fn ours(a: &Ranked<'_>, b: &Ranked<'_>) -> Option<Ordering> {
    let mut found = None;
    for (x, y) in a.hosts.iter().flat_map(|x| b.hosts.iter().map(move |y| (x, y))) {
        let order = match (covers(x, y), covers(y, x)) {
            (true, true) => a.matches.rank().cmp(&b.matches.rank()),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => continue,
        };
        match found {
            None => found = Some(order),
            // Where it depends on the host there is no one order.
            Some(first) if first != order => return Some(Ordering::Equal),
            Some(_) => {}
        }
    }
    found
}

/// Whether a request can have what both ask for; yes in doubt.
fn can_meet(a: &Match, b: &Match) -> bool {
    let below = |prefix: &str, path: &str| {
        prefix == "/"
            || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let paths = match (&a.path, &b.path) {
        (PathMatch::Exact(x), PathMatch::Exact(y)) => x == y,
        (PathMatch::Exact(path), PathMatch::Prefix(prefix))
        | (PathMatch::Prefix(prefix), PathMatch::Exact(path)) => below(prefix, path),
        (PathMatch::Prefix(x), PathMatch::Prefix(y)) => below(x, y) || below(y, x),
        (PathMatch::Regex(_), _) | (_, PathMatch::Regex(_)) => true,
    };
    let methods = a.methods.is_empty() || b.methods.is_empty() || !a.methods.is_disjoint(&b.methods);
    paths && methods
}
