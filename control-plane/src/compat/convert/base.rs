//! What a service has from elsewhere: from the service that it extends, in this file or another one, from its env files and from its
//! label files (Compose file reference, "extends", "env_file", "label_file").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::services::{said, together};
use super::{Variables, nginx, traefik, yaml};
use crate::compat::note::{Kind, Note};
use crate::compose::env::{Environment, Line, lines};
use crate::compose::load::Read;
use crate::compose::yaml::{Node, Span};

/// How many services may extend each other.
const DEPTH: usize = 16;

/// Where one looks.
#[derive(Clone, Copy)]
pub(super) struct Around<'r> {
    /// The root of the file.
    pub(super) root: &'r Node,
    /// The file, as the one that is converted names it; empty for that one itself.
    pub(super) path: &'r Path,
    pub(super) read: &'r Read<'r>,
}

/// What comes from elsewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Base {
    /// Labels, with stand-ins for variables.
    pub(super) labels: BTreeMap<String, String>,
    /// Labels of label files: less than any `labels`.
    pub(super) of_label_files: BTreeMap<String, String>,
    /// What `environment` of extended services says.
    pub(super) environment: BTreeMap<String, String>,
    /// What env files say: less than any `environment`.
    pub(super) of_files: BTreeMap<String, String>,
    /// The service of this file that is extended.
    pub(super) local: Option<String>,
    /// The key below which all that is named, in this file.
    pub(super) key: Option<Span>,
    /// Whether services extend each other in a circle.
    is_endless: bool,
    /// What could not be read.
    pub(super) notes: Vec<Note>,
}

impl Base {
    /// That of the service `node`.
    pub(super) fn of(node: &Node, around: Around<'_>, variables: &mut Variables<'_>) -> Self {
        let mut base = Self::default();
        base.add(node, around, variables, 0);
        if base.is_endless {
            // Compose takes no such file; what each of them says itself is all there is.
            base = Self { notes: base.notes, ..Self::default() };
        }
        let keys = ["extends", "env_file", "label_file"]
            .map(|key| node.entries().iter().find(|entry| entry.key.text() == Some(key)));
        base.key = keys.into_iter().flatten().map(|entry| entry.key.span).min_by_key(|span| span.start);
        base
    }

    /// Whether a label or a variable comes from elsewhere.
    pub(super) fn has(&self, name: &str) -> bool {
        let all = [&self.labels, &self.of_label_files, &self.environment, &self.of_files];
        all.iter().any(|all| all.contains_key(name))
    }

    fn add(&mut self, node: &Node, around: Around<'_>, variables: &mut Variables<'_>, depth: usize) {
        if let Some(extends) = node.get("extends") {
            self.extend(extends, around, variables, depth);
        }
        for (path, is_required) in env_files(node) {
            let path = around.beside(&path);
            match (around.read)(&path) {
                Ok(text) => self.env_file(&path, &text, variables),
                Err(_) if !is_required => {}
                Err(error) => self.notes.push(unreadable("env_file", &path, &error.to_string())),
            }
        }
        for path in label_files(node) {
            let path = around.beside(&path);
            match (around.read)(&path) {
                Ok(text) => self.label_file(&path, &text, variables),
                Err(error) => self.notes.push(unreadable("label_file", &path, &error.to_string())),
            }
        }
    }

    fn extend(&mut self, extends: &Node, around: Around<'_>, variables: &mut Variables<'_>, depth: usize) {
        let Some(name) = extends.get("service").map_or_else(|| extends.text(), |service| service.text())
        else {
            return;
        };
        if depth > DEPTH {
            self.is_endless = true;
            return self.notes.push(unreadable("extends", Path::new(name), "it extends itself"));
        }
        let Some(file) = extends.get("file").and_then(|file| file.text()) else {
            if depth == 0 {
                self.local = Some(name.to_owned());
            }
            return self.service(name, around, variables, depth);
        };
        let path = around.beside(Path::new(file));
        let parsed = (around.read)(&path)
            .map_err(|error| error.to_string())
            .and_then(|text| yaml::parse(&text).map_err(|error| error.to_string()));
        match parsed.as_ref().map(|file| file.documents.first()) {
            Ok(Some(root)) => self.service(name, Around { root, path: &path, ..around }, variables, depth),
            Ok(None) => self.notes.push(unreadable("extends", &path, "it is empty")),
            Err(error) => self.notes.push(unreadable("extends", &path, error)),
        }
    }

    /// Takes in the service `name`; what is here already counts more.
    fn service(&mut self, name: &str, around: Around<'_>, variables: &mut Variables<'_>, depth: usize) {
        let Some(node) = around.root.get("services").and_then(|services| services.get(name)) else {
            return self.notes.push(unreadable("extends", Path::new(name), "there is no such service"));
        };
        let mut take = |key: &str, into: &mut BTreeMap<String, String>| {
            let (section, inherited) = said(key, node, variables);
            for (name, value) in together(&section, &inherited) {
                into.entry(name).or_insert(value);
            }
        };
        take("labels", &mut self.labels);
        take("environment", &mut self.environment);
        let own = [&mut self.of_files, &mut self.of_label_files].map(std::mem::take);
        self.add(node, around, variables, depth + 1);
        // The files of the base come first, and so count less.
        for (all, own) in [&mut self.of_files, &mut self.of_label_files].into_iter().zip(own) {
            all.extend(own);
        }
    }

    fn label_file(&mut self, path: &Path, text: &str, variables: &mut Variables<'_>) {
        for Line { name, value, quote, .. } in lines(text) {
            let is_open = quote != Some('\'') && value.replace("$$", "").contains('$');
            if is_open && (traefik::is_traefiks(name) || nginx::is_label(name)) {
                self.notes.push(unreadable(name, path, "its value is made of other labels"));
            } else if !is_open {
                let value = if quote == Some('\'') { value.replace('$', "$$") } else { value };
                self.of_label_files.insert(name.to_owned(), variables.hide(&value));
            }
        }
    }

    fn env_file(&mut self, path: &Path, text: &str, variables: &mut Variables<'_>) {
        let all = Environment::default().with_file(text);
        for (name, value) in all.variables().filter(|(name, _)| nginx::is_variable(name)) {
            let is_open =
                text.lines().any(|line| line.contains(name) && line.contains('$') && !line.contains('\''));
            if is_open {
                self.notes.push(unreadable(name, path, "its value is made of other variables"));
            } else {
                self.of_files.insert(name.to_owned(), variables.hide(&value.replace('$', "$$")));
            }
        }
    }
}

impl Around<'_> {
    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// The env files of a service, and whether each must be there.
fn env_files(node: &Node) -> Vec<(PathBuf, bool)> {
    let Some(said) = node.get("env_file") else { return Vec::new() };
    let one = |node: &Node| match node.text() {
        Some(path) => Some((path.into(), true)),
        None => {
            let is_required = node.get("required").and_then(|required| required.text()) != Some("false");
            Some((node.get("path")?.text()?.into(), is_required))
        }
    };
    let several = said.items().iter().filter_map(|item| one(item));
    several.chain(one(said)).collect()
}

/// The label files of a service.
fn label_files(node: &Node) -> Vec<PathBuf> {
    let Some(said) = node.get("label_file") else { return Vec::new() };
    said.items().iter().filter_map(|item| item.text()).chain(said.text()).map(PathBuf::from).collect()
}

fn unreadable(label: &str, path: &Path, why: &str) -> Note {
    Note {
        kind: Kind::ByHand,
        label: label.to_owned(),
        value: path.display().to_string(),
        place: None,
        reason: format!("what it says is not known: {why}"),
        fix: "look whether it says how the service is routed".to_owned(),
    }
}
