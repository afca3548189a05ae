//! The labels of one container as Traefik reads them: routers, services and middlewares by name, each with its fields.

use std::collections::BTreeMap;

use super::tcp;
use crate::compat::note::{Kind, Note, Refusal};

/// A label and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) label: String,
    pub(super) value: String,
}

impl Said {
    pub(super) fn note(&self, kind: Kind, refusal: Refusal) -> Note {
        let Refusal { place, reason, fix } = refusal;
        let value = if self.is_secret() { "***".to_owned() } else { self.value.clone() };
        Note { kind, label: self.label.clone(), value, place, reason, fix }
    }

    /// Whether its value is one that no log and no page may show.
    fn is_secret(&self) -> bool {
        let label = self.label.to_ascii_lowercase();
        [".basicauth.users", ".digestauth.users", ".plugin."].iter().any(|secret| label.contains(secret))
    }

    pub(super) fn lost(&self, refusal: Refusal) -> Note {
        self.note(Kind::Lost, refusal)
    }

    pub(super) fn differs(&self, reason: impl Into<String>) -> Note {
        self.note(Kind::Differs, Refusal::new(reason, ""))
    }

    /// As Go reads it.
    pub(super) fn bool(&self) -> Result<bool, Refusal> {
        match self.value.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(Refusal::new("it is not true or false", "write one of the two")),
        }
    }

    pub(super) fn number(&self) -> Result<i64, Refusal> {
        self.value.trim().parse().map_err(|_| Refusal::new("it is not a whole number", "write one"))
    }

    /// What stands between commas.
    pub(super) fn list(&self) -> Vec<&str> {
        self.value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
    }
}

/// What is said of one router, service or middleware: labels by what follows its name, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(BTreeMap<String, Said>);

impl Fields {
    /// Takes one out: what is left in the end is what nothing was made of.
    pub(super) fn take(&mut self, field: &str) -> Option<Said> {
        self.0.remove(field)
    }

    /// One that stays.
    pub(super) fn get(&self, field: &str) -> Option<&Said> {
        self.0.get(field)
    }

    /// Takes out all whose names begin so, with what follows.
    pub(super) fn take_all(&mut self, prefix: &str) -> Vec<(String, Said)> {
        let names: Vec<String> = self.0.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        let taken = names.into_iter().filter_map(|name| {
            let said = self.0.remove(&name)?;
            Some((name[prefix.len()..].to_owned(), said))
        });
        taken.collect()
    }

    /// A label that stands for the whole.
    pub(super) fn first(&self) -> Option<&Said> {
        self.0.values().next()
    }

    /// Every one that is left.
    pub(super) fn all(&self) -> impl Iterator<Item = &Said> {
        self.0.values()
    }

    /// The first words of the fields: for a middleware, what it is.
    pub(super) fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.0.keys().filter_map(|name| name.split('.').next()).collect();
        kinds.dedup();
        kinds
    }

    /// Notes about what is left.
    pub(super) fn leftovers(self, reason: &str) -> impl Iterator<Item = Note> {
        self.0.into_values().map(move |said| said.lost(Refusal::new(reason, "")))
    }
}

/// All labels of one container that are Traefik's.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) enable: Option<Said>,
    pub(super) network: Option<Said>,
    pub(super) routers: BTreeMap<String, Fields>,
    pub(super) services: BTreeMap<String, Fields>,
    pub(super) middlewares: BTreeMap<String, Fields>,
    pub(super) tcp_routers: BTreeMap<String, Fields>,
    pub(super) tcp_services: BTreeMap<String, Fields>,
    /// What is none of that.
    pub(super) strays: Vec<Note>,
    /// Whether it has routers of TCP or UDP.
    pub(super) has_streams: bool,
}

/// Whether Traefik reads it.
pub(crate) fn is_traefiks(label: &str) -> bool {
    label.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("traefik."))
}

/// Whether it says what a middleware is, which other containers may use.
pub(in crate::compat) fn is_of_middleware(label: &str) -> bool {
    label.to_ascii_lowercase().starts_with("traefik.http.middlewares.")
}

impl Labels {
    pub(super) fn read(labels: &BTreeMap<String, String>) -> Self {
        let mut read = Self::default();
        for (label, value) in labels.iter().filter(|(label, _)| is_traefiks(label)) {
            read.add(Said { label: label.clone(), value: value.clone() });
        }
        read
    }

    fn add(&mut self, said: Said) {
        let words: Vec<String> = said.label.split('.').skip(1).map(str::to_ascii_lowercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["enable"] => self.enable = Some(said),
            ["docker", "network"] => self.network = Some(said),
            ["http", "routers", name, _, ..] if !name.is_empty() => insert(&mut self.routers, said),
            ["http", "services", name, _, ..] if !name.is_empty() => insert(&mut self.services, said),
            ["http", "middlewares", name, _, ..] if !name.is_empty() => insert(&mut self.middlewares, said),
            ["tcp", "routers", name, _, ..] if !name.is_empty() => {
                self.has_streams = true;
                insert(&mut self.tcp_routers, said);
            }
            ["tcp", "services", name, _, ..] if !name.is_empty() => {
                self.has_streams = true;
                insert(&mut self.tcp_services, said);
            }
            ["tcp", "middlewares", ..] => self.strays.push(said.lost(tcp::no_middlewares())),
            ["udp", ..] => {
                self.has_streams = true;
                self.strays.push(said.lost(Refusal::new(
                    "UDP is not carried over",
                    "publish the port of the container itself",
                )));
            }
            ["docker" | "swarm", ..] => self.strays.push(said.lost(Refusal::new(
                "it is about Traefik and Docker, and Portolan has nothing for it",
                "remove it",
            ))),
            _ => self
                .strays
                .push(said.lost(Refusal::new("it is no label of Traefik v3", "correct or remove it"))),
        }
    }
}

/// Adds what is said of a router, service or middleware to its fields. Names keep their letters.
fn insert(map: &mut BTreeMap<String, Fields>, said: Said) {
    let mut rest = said.label.splitn(5, '.').skip(3);
    let (Some(name), Some(field)) = (rest.next(), rest.next()) else { return };
    let (name, field) = (name.to_owned(), field.to_ascii_lowercase());
    map.entry(name).or_default().0.insert(field, said);
}
