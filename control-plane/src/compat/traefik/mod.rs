//! Labels of Traefik v3 in our vocabulary.
//!
//! Routers, services and middlewares of all containers are known to each other by name, so all are translated at once.
//!
//! ```text
//! labels --> routers --rule--> shapes --middlewares--> drafts --order--> our labels
//! ```

mod draft;
mod duration;
mod entry;
mod labels;
mod middleware;
mod order;
mod router;
pub(super) mod rule;
mod service;
mod tcp;

use std::collections::{BTreeMap, BTreeSet};

use super::note::{Kind, Note, Refusal};
use super::ours::{check, in_order};
use super::{Source, Translated};
use draft::Draft;
use labels::Labels;
pub(super) use labels::is_of_middleware;
pub(crate) use labels::is_traefiks;
use middleware::Pool;
use order::Ranked;

/// What one container asks for, before the priorities.
#[derive(Debug, Default)]
struct Asked {
    routes: Vec<(String, i64, Draft)>,
    backend: BTreeMap<String, String>,
    notes: Vec<Note>,
    is_hidden: bool,
}

/// Whether a container has any label of Traefik's.
#[must_use]
pub fn concerns(labels: &BTreeMap<String, String>) -> bool {
    labels.keys().any(|label| is_traefiks(label))
}

/// Our labels for those of each of `sources`, in their order, with what is not the same.
#[must_use]
pub fn translate(sources: &[Source<'_>]) -> Vec<Translated> {
    let read: Vec<Labels> = sources.iter().map(|source| Labels::read(source.labels)).collect();
    let mut pool = Pool::default();
    for (name, fields) in read.iter().flat_map(|labels| &labels.middlewares) {
        pool.add(name, fields);
    }
    let entries = tcp::Entries::of(&read);
    let mut asked: Vec<Asked> = sources
        .iter()
        .zip(&read)
        .map(|(source, labels)| router::asked(source, labels, &mut pool, &entries))
        .collect();
    for (asked, labels) in asked.iter_mut().zip(&read) {
        let unused = labels.middlewares.iter().filter(|(name, _)| !pool.is_used(name));
        for (_, fields) in unused {
            let first = fields.first().map(|said| said.differs("no router uses this middleware"));
            asked.notes.extend(first);
        }
    }
    prioritize(&mut asked);
    asked.into_iter().map(finish).collect()
}

/// Connections are told apart by names alone, in one order for all.
fn prioritize(asked: &mut [Asked]) {
    let said = {
        let routes = asked.iter().flat_map(|asked| &asked.routes);
        let routes = routes.filter(|(.., draft)| !draft.shape.matches.is_connection);
        let ranked: Vec<Ranked<'_>> = routes
            .map(|(_, priority, draft)| Ranked {
                hosts: &draft.shape.hosts,
                matches: &draft.shape.matches,
                priority: *priority,
            })
            .collect();
        order::to_be_said(&ranked)
    };
    let routes = asked.iter_mut().flat_map(|asked| &mut asked.routes);
    let routes = routes.filter(|(.., draft)| !draft.shape.matches.is_connection);
    for ((_, priority, draft), _) in routes.zip(said).filter(|(_, said)| *said) {
        let ours = i32::try_from(*priority).unwrap_or(if *priority < 0 { i32::MIN } else { i32::MAX });
        draft.set("priority", ours.to_string());
    }
}

/// Our labels, each of which reads without a mistake.
fn finish(asked: Asked) -> Translated {
    let Asked { routes, backend, mut notes, is_hidden } = asked;
    let mut labels = Vec::new();
    let is_single = routes.len() == 1;
    let mut names = BTreeSet::new();
    for (router, _, draft) in routes {
        let name = free_name(&router, &mut names);
        let keys = in_order(draft.finish());
        let prefix = if is_single { String::new() } else { format!("routes.{name}.") };
        labels.extend(keys.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)));
    }
    if !labels.is_empty() {
        labels.extend(in_order(backend));
    }
    if is_hidden && !labels.is_empty() {
        labels.push(("enable".to_owned(), "false".to_owned()));
    }
    notes.sort();
    notes.dedup();
    Translated { labels, notes }
}

/// A route's name: the router's, as far as ours may be so, and not twice.
fn free_name(router: &str, names: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let name: String = router.chars().map(plain).collect();
    let more = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.clone()).chain(more).find(|name| !names.contains(name));
    let free = free.unwrap_or(name);
    names.insert(free.clone());
    free
}
