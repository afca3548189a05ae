//! Compose files, as Compose resolves them, and where in them everything stands. Pure; what is to be read is asked of the caller.
//!
//! ```text
//! file --> yaml (as it is written) --> tree (aliases, merge keys, variables) --> load (include, extends, override, label files) --> project
//! ```
//!
//! These are the common parts of the Compose file reference, and of them what matters to routing. Where Compose is there its own
//! word stands ([`project::Project::as_compose_has_it`]); then this reading says where everything is.

pub mod dockerfile;
pub mod env;
pub mod interpolate;
mod label_file;
pub mod load;
mod merge;
pub mod project;
pub mod scalar;
pub mod tree;
pub mod workload;
pub mod yaml;

use std::fmt;
use std::io;
use std::path::Path;

use tree::Place;

/// Why files are no project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where.
    pub place: Place,
    /// Why, in words for who wrote the files.
    pub reason: String,
    /// Whether something that is named is not there.
    missing: bool,
}

impl Error {
    pub(crate) fn at(place: Place, reason: impl Into<String>) -> Self {
        Self { place, reason: reason.into(), missing: false }
    }

    fn missing(place: Place, reason: impl Into<String>) -> Self {
        Self { missing: true, ..Self::at(place, reason) }
    }

    /// A file that cannot be read.
    #[must_use]
    pub fn of_file(path: &Path, error: &io::Error) -> Self {
        Self::missing(Place::of_file(path), format!("cannot read {}: {error}", path.display()))
    }

    const fn is_missing(&self) -> bool {
        self.missing
    }

    fn moved_to(self, place: &Place) -> Self {
        Self { place: place.clone(), ..self }
    }

    /// The same, told where it was asked for if what was asked for is not there.
    fn seen_from(self, place: &Place) -> Self {
        if self.missing { self.moved_to(place) } else { self }
    }
}

/// `file:line:column: reason`
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { source, span } = &self.place;
        write!(f, "{}:{}:{}: {}", source.path.display(), span.line, span.column, self.reason)
    }
}

impl std::error::Error for Error {}
