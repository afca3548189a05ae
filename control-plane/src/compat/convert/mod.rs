//! A Compose file with labels of another proxy as one with ours: the same text, in which labels alone have changed. Pure.
//!
//! ```text
//! text --yaml--> services --section--> entries --translate--> our labels --edit--> text
//! ```
//!
//! What was carried over is taken out, ours stand in its place, and what was not stays as a comment where it stood.

mod base;
mod edit;
mod proxy;
mod quote;
mod section;
mod services;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::note::{Kind, Note};
use super::{Source, Translated, is_route, nginx, traefik};
use crate::compose::load::Read;
use crate::compose::yaml::{self, Span};
use base::Around;
use services::Service;
use variables::Variables;

/// What is to be known besides the file.
#[derive(Debug, Clone)]
pub struct Options {
    /// What our labels begin with.
    pub prefix: String,
    /// The name of the Compose project, where the file says none.
    pub project: Option<String>,
}

/// A file that was converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Its text.
    pub text: String,
    /// What is not the same, service by service.
    pub notes: Vec<Placed>,
    /// How many services have labels of ours now that had others before.
    pub services: usize,
}

impl Converted {
    /// Whether all was carried over.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.notes.iter().all(|placed| placed.note.kind == Kind::Differs)
    }
}

/// A note, and where in the file what it is about stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The service.
    pub service: String,
    /// Where.
    pub at: Span,
    /// What.
    pub note: Note,
}

/// Converts `text`. What it extends, its env files and its label files are asked of `read`, by the paths that stand in it.
///
/// # Errors
///
/// It is not YAML: where, and why.
pub fn convert(text: &str, options: &Options, read: &Read<'_>) -> Result<Converted, yaml::Error> {
    let file = yaml::parse(text)?;
    let mut variables = Variables::of(text);
    let Some(root) = file.documents.first() else {
        return Ok(Converted { text: text.to_owned(), notes: Vec::new(), services: 0 });
    };
    let around = Around { root, path: Path::new(""), read };
    let mut services = services::read(around, &mut variables);
    for service in services
        .iter_mut()
        .filter(|service| service.labels.keys().any(|label| is_route(label, &options.prefix)))
    {
        // It was converted before: what is left of the others' labels is what Portolan does not read.
        service.labels.retain(|label, _| traefik::is_of_middleware(label));
        service.is_ours = true;
    }
    let named = root.get("name").and_then(|name| name.text()).map(str::to_owned);
    let project = named.or_else(|| options.project.clone());
    let nothing = BTreeSet::new();
    let sources: Vec<Source<'_>> = services
        .iter()
        .map(|service| Source {
            name: &service.name,
            compose: project.as_deref().map(|project| (project, service.name.as_str())),
            labels: &service.labels,
            ports: &nothing,
        })
        .collect();
    let mut translated = traefik::translate(&sources);
    drop(sources);
    for (service, translated) in services.iter_mut().zip(&mut translated) {
        translated.notes.extend(proxy::notes(service));
        translated.notes.extend(service.base.notes.iter().filter(|note| matters(note, text)).cloned());
        service.of_nginx(translated);
        service.lost_variables(translated, &variables);
    }
    let undone = |translated: &Translated| -> BTreeSet<String> {
        let undone = translated.notes.iter().filter(|note| note.kind != Kind::Differs);
        undone.map(|note| note.label.clone()).collect()
    };
    // What a middleware is may be told where it is used.
    let of_all: BTreeSet<String> =
        translated.iter().flat_map(undone).filter(|label| traefik::is_traefiks(label)).collect();
    let mut edits = edit::Edits::new(text, &file.comments);
    let mut notes = Vec::new();
    let mut count = 0;
    let all = || services.iter().zip(&translated);
    for (service, translated) in all() {
        let base = all().find(|(other, _)| {
            Some(&other.name) == service.base.local.as_ref() && is_written(other, &services, 0)
        });
        let base: BTreeMap<_, _> =
            base.into_iter().flat_map(|(_, base)| base.labels.iter().cloned()).collect();
        notes.extend(
            too_much(&base, translated, service).map(|note| place(note, service, &services, &variables)),
        );
        // What the extended service says already need not be said again.
        let own = translated.labels.iter().filter(|(key, value)| base.get(key) != Some(value));
        let ours: Vec<(String, String)> = own
            .map(|(key, value)| {
                (format!("{}.{}", options.prefix, variables.show(key)), variables.show(value))
            })
            .collect();
        count += usize::from(!ours.is_empty());
        let left = edits.service(service, &ours, &undone(translated).union(&of_all).cloned().collect());
        notes.extend(left.into_iter().map(|note| place(note, service, &services, &variables)));
        notes.extend(translated.notes.iter().map(|note| place(note.clone(), service, &services, &variables)));
    }
    Ok(Converted { text: edits.apply(), notes, services: count })
}

/// Whether what becomes of a service stands in it, or in the one that it extends, and not in a note.
fn is_written(service: &Service<'_>, all: &[Service<'_>], depth: usize) -> bool {
    let base = || all.iter().find(|other| Some(&other.name) == service.base.local.as_ref());
    match &service.section {
        Some(section) => !section.entries.is_empty(),
        None => depth < all.len() && base().is_some_and(|base| is_written(base, all, depth + 1)),
    }
}

/// Whether somebody has to look at what could not be read: env files say something to nginx-proxy alone.
fn matters(note: &Note, text: &str) -> bool {
    note.label != "env_file" || text.contains("VIRTUAL_") || text.contains("nginx-proxy")
}

/// What a service gets from the one that it extends and should not have.
fn too_much(
    base: &BTreeMap<String, String>,
    translated: &Translated,
    service: &Service<'_>,
) -> impl Iterator<Item = Note> {
    let is_routed = !translated.labels.is_empty() && !service.is_ours;
    let own: BTreeSet<&str> = translated.labels.iter().map(|(key, _)| key.as_str()).collect();
    let more = base.iter().filter(|(key, _)| is_routed && !own.contains(key.as_str()));
    let base = service.base.local.clone().unwrap_or_default();
    let notes: Vec<Note> = more
        .map(|(key, value)| Note {
            kind: Kind::ByHand,
            label: key.clone(),
            value: value.clone(),
            place: None,
            reason: format!("it gets this from {base}, which it extends, and did not have it"),
            fix: format!("take it out of {base}, or do not extend it"),
        })
        .collect();
    notes.into_iter()
}

/// Where what `note` is about stands: in its service, or in another one of which it speaks.
fn place(mut note: Note, service: &Service<'_>, all: &[Service<'_>], variables: &Variables<'_>) -> Placed {
    let others = || all.iter().find_map(|other| other.place_of(&note.label));
    let at = service.place_of(&note.label).or_else(others).unwrap_or(service.at);
    if service.value_of(&note.label) != Some(&note.value) {
        note.place = None;
    }
    for text in [&mut note.label, &mut note.value, &mut note.reason, &mut note.fix] {
        *text = variables.reveal(text);
    }
    Placed { service: service.name.clone(), at, note }
}

impl Service<'_> {
    /// Translates what nginx-proxy reads, where Traefik has nothing to say.
    fn of_nginx(&mut self, translated: &mut Translated) {
        if self.is_ours || !nginx::concerns(&self.environment) {
            return;
        }
        self.is_of_nginx = translated.labels.is_empty();
        if self.is_of_nginx {
            let of_nginx = nginx::translate(&self.environment, &self.labels);
            translated.labels = of_nginx.labels;
            translated.notes.extend(of_nginx.notes);
        } else {
            translated.notes.extend(
                self.environment.iter().filter(|(name, _)| nginx::is_variable(name)).map(|(name, value)| {
                    Note {
                        kind: Kind::Differs,
                        label: name.clone(),
                        value: value.clone(),
                        place: None,
                        reason: "Traefik's labels say how the container is routed, and this is left as it is"
                            .to_owned(),
                        fix: String::new(),
                    }
                }),
            );
        }
    }

    /// Tells of variables that the translation has swallowed: it does not know what they will say.
    fn lost_variables(&self, translated: &mut Translated, variables: &Variables<'_>) {
        let told = translated.notes.iter().filter(|note| note.kind != Kind::Differs);
        let told: BTreeSet<&str> = told.map(|note| note.label.as_str()).collect();
        let there = |stand_in: &str| {
            translated.labels.iter().any(|(key, value)| key.contains(stand_in) || value.contains(stand_in))
        };
        let mut lost = Vec::new();
        let labels = self.labels.iter().filter(|(label, _)| traefik::is_traefiks(label));
        let variables_of_nginx =
            self.environment.iter().filter(|(name, _)| self.is_of_nginx && nginx::is_variable(name));
        for (label, value) in labels.chain(variables_of_nginx) {
            let mut hidden = variables.in_text(value).into_iter();
            if !told.contains(label.as_str()) && hidden.any(|stand_in| !there(stand_in)) {
                lost.push(Note {
                    kind: Kind::Lost,
                    label: label.clone(),
                    value: value.clone(),
                    place: None,
                    reason: "its value must be known for it to be carried over, and it is a variable"
                        .to_owned(),
                    fix: "correct by hand what was made of it".to_owned(),
                });
            }
        }
        translated.notes.extend(lost);
    }
}
