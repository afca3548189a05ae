//! The services of a file with what they say of themselves.

use std::collections::BTreeMap;

use super::base::{Around, Base};
use super::section::{Entry, Section, entries};
use super::{Variables, yaml};
use crate::compose::yaml::{Layout, Node, Span};

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
    /// Whether nginx-proxy's variables say how it is routed.
    pub(super) is_of_nginx: bool,
    pub(super) node: &'a Node,
    /// All its labels, with stand-ins for variables.
    pub(super) labels: BTreeMap<String, String>,
    /// Its labels as far as they stand in it.
    pub(super) section: Option<Section<'a>>,
    /// Those that come from elsewhere in the file.
    pub(super) inherited: Vec<Entry>,
    /// Its environment, as far as the file says.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) variables: Option<Section<'a>>,
    pub(super) inherited_variables: Vec<Entry>,
    /// What comes from the service that it extends, and from its env files and label files.
    pub(super) base: Base,
}

impl Service<'_> {
    /// Where a label or a variable stands, its own or an inherited one.
    pub(super) fn place_of(&self, name: &str) -> Option<Span> {
        let own = self.section.iter().chain(&self.variables).flat_map(|section| &section.entries);
        let mut all = own.chain(&self.inherited).chain(&self.inherited_variables);
        let found = all.find(|entry| entry.name == name).map(|entry| entry.at);
        let is_of_base = || self.base.has(name) || self.base.notes.iter().any(|note| note.label == name);
        found.or_else(|| self.base.key.filter(|_| is_of_base()))
    }

    /// Whether labels can be written where it has none: on lines of their own, and in the place of nobody's.
    pub(super) fn can_have_labels(&self) -> bool {
        let is_block = matches!(&self.node.value, yaml::Value::Mapping(Layout::Block, _));
        is_block && self.inherited.is_empty() && self.node.get("labels").is_none()
    }

    /// What stands after a label or a variable.
    pub(super) fn value_of(&self, name: &str) -> Option<&str> {
        self.labels.get(name).or_else(|| self.environment.get(name)).map(String::as_str)
    }
}

/// The services below `root`, in the order in which they stand.
pub(super) fn read<'a>(around: Around<'a>, variables: &mut Variables<'_>) -> Vec<Service<'a>> {
    let services = around.root.get("services").map_or(&[][..], |services| services.entries());
    let named = services.iter().filter_map(|entry| Some((entry, entry.key.text()?)));
    named
        .filter(|(_, name)| *name != "<<")
        .map(|(entry, name)| service(name, entry.key.span, &entry.value, around, variables))
        .collect()
}

fn service<'a>(
    name: &str,
    at: Span,
    node: &'a Node,
    around: Around<'_>,
    variables: &mut Variables<'_>,
) -> Service<'a> {
    let base = Base::of(node, around, variables);
    let over = |base: &[&BTreeMap<String, String>], own: BTreeMap<String, String>| {
        let base = base.iter().flat_map(|map| map.iter()).map(|(name, value)| (name.clone(), value.clone()));
        base.chain(own).collect::<BTreeMap<_, _>>()
    };
    let (section, inherited) = said("labels", node, variables);
    let (own_variables, inherited_variables) = said("environment", node, variables);
    Service {
        name: name.to_owned(),
        at,
        is_ours: false,
        is_of_nginx: false,
        node,
        labels: over(&[&base.of_label_files, &base.labels], together(&section, &inherited)),
        section,
        inherited,
        environment: over(
            &[&base.of_files, &base.environment],
            together(&own_variables, &inherited_variables),
        ),
        variables: own_variables,
        inherited_variables,
        base,
    }
}

/// What stands below `key` in the service itself, and what comes from elsewhere.
pub(super) fn said<'a>(
    key: &str,
    node: &'a Node,
    variables: &mut Variables<'_>,
) -> (Option<Section<'a>>, Vec<Entry>) {
    let is_local = matches!(&node.value, yaml::Value::Mapping(..));
    let own = node.entries().iter().find(|entry| is_local && entry.key.text() == Some(key));
    let section = own.and_then(|entry| Section::of(entry.key.span, &entry.value, variables));
    let mut inherited = Vec::new();
    match own {
        Some(entry) if section.is_none() => all(&entry.value, variables, &mut inherited, 0),
        Some(entry) => merged(&entry.value, variables, &mut inherited, 0),
        // Those of a merged mapping hold where the service has none of its own.
        None => {
            if let Some(node) = elsewhere(key, node, 0) {
                all(node, variables, &mut inherited, 0);
            }
        }
    }
    (section, inherited)
}

pub(super) fn together(section: &Option<Section<'_>>, inherited: &[Entry]) -> BTreeMap<String, String> {
    let own = section.iter().flat_map(|section| &section.entries);
    inherited.iter().chain(own).map(|entry| (entry.name.clone(), entry.value.clone())).collect()
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

fn elsewhere<'a>(key: &str, node: &'a Node, depth: usize) -> Option<&'a Node> {
    if depth > DEPTH {
        return None;
    }
    let is_alias = matches!(node.value, yaml::Value::Alias(_));
    let there = node.get(key).filter(|_| depth > 0 || is_alias).map(|value| &**value);
    there.or_else(|| merges(node).find_map(|merged| elsewhere(key, merged, depth + 1)))
}

/// All entries of a node, those of its merge keys first.
fn all(node: &Node, variables: &mut Variables<'_>, into: &mut Vec<Entry>, depth: usize) {
    if depth > DEPTH {
        return;
    }
    merged(node, variables, into, depth);
    into.extend(entries(node.target(), variables));
}

fn merged(node: &Node, variables: &mut Variables<'_>, into: &mut Vec<Entry>, depth: usize) {
    for merged in merges(node) {
        all(merged, variables, into, depth + 1);
    }
}
