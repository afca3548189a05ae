//! The services of a file with what they say of themselves.

use std::collections::BTreeMap;

use super::section::{Entry, Section, entries};
use super::{Variables, yaml};
use crate::compose::yaml::{Node, Span};

/// How deep merge keys are followed.
const DEPTH: usize = 16;

/// One service.
#[derive(Debug)]
pub(super) struct Service<'a> {
    pub(super) name: String,
    /// Where its name stands.
    pub(super) at: Span,
    /// Whether it has routes of ours already: then nothing of it is touched.
    pub(super) is_ours: bool,
    pub(super) node: &'a Node,
    /// All its labels, with stand-ins for variables.
    pub(super) labels: BTreeMap<String, String>,
    /// Its labels as far as they stand in it.
    pub(super) section: Option<Section<'a>>,
    /// Those that come from elsewhere in the file.
    pub(super) inherited: Vec<Entry>,
}

impl Service<'_> {
    /// Where a label stands, its own or an inherited one.
    pub(super) fn place_of(&self, label: &str) -> Option<Span> {
        let own = self.section.iter().flat_map(|section| &section.entries);
        own.chain(&self.inherited).find(|entry| entry.name == label).map(|entry| entry.at)
    }
}

/// The services below `root`, in the order in which they stand.
pub(super) fn read<'a>(root: &'a yaml::Node, variables: &mut Variables) -> Vec<Service<'a>> {
    let services = root.get("services").map_or(&[][..], |services| services.entries());
    let named = services.iter().filter_map(|entry| Some((entry, entry.key.text()?)));
    named
        .filter(|(_, name)| *name != "<<")
        .map(|(entry, name)| service(name, entry.key.span, &entry.value, variables))
        .collect()
}

fn service<'a>(name: &str, at: Span, node: &'a Node, variables: &mut Variables) -> Service<'a> {
    let is_local = matches!(&node.value, yaml::Value::Mapping(..));
    let own = node.entries().iter().find(|entry| is_local && entry.key.text() == Some("labels"));
    let section = own.and_then(|entry| Section::of(entry.key.span, &entry.value, variables));
    let mut inherited = Vec::new();
    match own {
        Some(entry) if section.is_none() => all(&entry.value, variables, &mut inherited, 0),
        Some(entry) => merged(&entry.value, variables, &mut inherited, 0),
        // Those of a merged mapping hold where the service has none of its own.
        None => {
            if let Some(labels) = inherited_labels(node, 0) {
                all(labels, variables, &mut inherited, 0);
            }
        }
    }
    let own = section.iter().flat_map(|section| &section.entries);
    let labels = inherited.iter().chain(own).map(|entry| (entry.name.clone(), entry.value.clone())).collect();
    Service { name: name.to_owned(), at, is_ours: false, node, labels, section, inherited }
}

/// What a mapping's merge keys stand for.
fn merges(node: &Node) -> impl Iterator<Item = &Node> {
    let merges = node.entries().iter().filter(|entry| entry.key.text() == Some("<<"));
    merges.flat_map(|entry| {
        let target = entry.value.target();
        let items = target.items().iter().map(|item| item.target());
        let one = (!target.entries().is_empty()).then_some(target);
        items.chain(one)
    })
}

fn inherited_labels(node: &Node, depth: usize) -> Option<&Node> {
    if depth > DEPTH {
        return None;
    }
    let own = node.get("labels").filter(|_| depth > 0).map(|labels| &**labels);
    let is_alias = matches!(node.value, yaml::Value::Alias(_));
    let aliased = node.get("labels").filter(|_| is_alias).map(|labels| &**labels);
    own.or(aliased).or_else(|| merges(node).find_map(|merged| inherited_labels(merged, depth + 1)))
}

/// All entries of a node, those of its merge keys first.
fn all(node: &Node, variables: &mut Variables, into: &mut Vec<Entry>, depth: usize) {
    if depth > DEPTH {
        return;
    }
    merged(node, variables, into, depth);
    into.extend(entries(node.target(), variables));
}

fn merged(node: &Node, variables: &mut Variables, into: &mut Vec<Entry>, depth: usize) {
    for merged in merges(node) {
        all(merged, variables, into, depth + 1);
    }
}
