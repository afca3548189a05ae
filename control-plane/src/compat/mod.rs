//! What other proxies' users have written, in our vocabulary: labels in, labels and notes out. Pure.
//!
//! ```text
//! traefik  labels of all containers together --> our labels, and a note for each thing that is not the same
//! nginx    environment of one container      --> the same
//! convert  a Compose file --> the same file with our labels in the place of those, or of that
//! live     an inventory   --> the same one with our labels beside Traefik's
//! ```
//!
//! Nothing is dropped in silence: each label that is no label of ours in the end is named in a [`Note`]. What would let
//! more requests through than before is left out, and told.

pub mod convert;
pub mod live;
pub mod nginx;
mod note;
mod ours;
pub mod traefik;

use std::collections::{BTreeMap, BTreeSet};

pub use note::{Kind, Note};
pub(crate) use traefik::is_traefiks;

/// One service of a Compose file, or one container: what is translated.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// Its name, for whoever reads the notes.
    pub name: &'a str,
    /// The Compose project and service, from which Traefik makes a host where no rule names one.
    pub compose: Option<(&'a str, &'a str)>,
    /// All its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The ports it exposes, as far as they are known.
    pub ports: &'a BTreeSet<u16>,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translated {
    /// Our labels without their prefix, in the order in which a person would write them.
    pub labels: Vec<(String, String)>,
    /// What is not the same as before, what could not be carried over first.
    pub notes: Vec<Note>,
}

impl Translated {
    /// Whether all was carried over that can be by labels.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.notes.iter().all(|note| note.kind == Kind::Differs)
    }
}

/// Whether a label of ours makes a route.
fn is_route(label: &str, prefix: &str) -> bool {
    let key = label.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    key.is_some_and(|key| matches!(key, "host" | "listen") || key.starts_with("routes."))
}
