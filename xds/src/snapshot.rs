//! Everything the server has to say at one moment: immutable, shared by all streams.

use std::fmt;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use tokio::time::Instant;

use crate::draft::Draft;
use crate::kind::Kind;
use crate::resource::{Name, Resource, Version};

/// The resources of one type, by name. What two snapshots have in common they share, so that one costs what has changed.
pub type Section = OrdMap<Name, Arc<Resource>>;

/// An immutable set of resources, with what changed since its predecessor.
///
/// Built by [`Snapshot::next`] from typed messages, or by [`Snapshot::with`] from what is known to have changed; what did not
/// change is the predecessor's own allocation, encoded once for the lifetime of its content and for all clients.
#[derive(Clone)]
pub struct Snapshot {
    sections: [Section; Kind::ALL.len()],
    /// The names in each section, for those who ask for all of them by name.
    names: [OrdSet<Name>; Kind::ALL.len()],
    /// The version of each section: the same for the same resources, whatever led to them.
    versions: [Version; Kind::ALL.len()],
    version: Version,
    predecessor: Option<Version>,
    changed: [Vec<Name>; Kind::ALL.len()],
    born: Instant,
    event: Option<Instant>,
}

impl Default for Snapshot {
    fn default() -> Self {
        let versions = [Version::EMPTY_SECTION; Kind::ALL.len()];
        Self {
            sections: Default::default(),
            names: Default::default(),
            versions,
            version: Version::of_versions(&versions),
            predecessor: None,
            changed: Default::default(),
            born: Instant::now(),
            event: None,
        }
    }
}

/// Why a set of resources is not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Two different resources of one type have one name.
    #[error("two {kind} resources are named {name:?}; names are unique within a type")]
    Duplicate {
        /// Their type.
        kind: Kind,
        /// Their name.
        name: Name,
    },
    /// A route, listener or extension configuration refers to a cluster that is not in the set. A client would answer 503 for it.
    #[error("{kind} {name:?} refers to cluster {cluster:?}, which is not in the snapshot")]
    DanglingCluster {
        /// The type of what refers.
        kind: Kind,
        /// The name of what refers.
        name: Name,
        /// The cluster that is missing.
        cluster: Name,
    },
    /// A listener asks for the configuration of a filter that is not in the set. A client would wait for it, and open no port.
    #[error("listener {name:?} refers to extension {extension:?}, which is not in the snapshot")]
    DanglingExtension {
        /// The name of the listener.
        name: Name,
        /// The extension configuration that is missing.
        extension: Name,
    },
}

impl Snapshot {
    /// The snapshot of `resources` that follows this one. What is known to be unchanged may be handed in as it stands
    /// in this one ([`get`](Self::get)), and is not compared again.
    ///
    /// Every EDS cluster gets an assignment, an empty one where `resources` has none: a cluster without would hold up
    /// its client for the whole initial fetch time-out.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] where a name occurs twice or a reference leads nowhere; this snapshot stays as good as it was.
    pub fn next<R: Into<Arc<Resource>>>(
        &self,
        resources: impl IntoIterator<Item = R>,
    ) -> Result<Self, SnapshotError> {
        let mut draft = Draft::of(&self.sections);
        for resource in resources {
            draft.put(resource.into())?;
        }
        draft.keep_only_what_was_put();
        self.succeed(draft)
    }

    /// The snapshot in which `put` came to this one, or took the places of resources of the same names, and `removed` are
    /// gone: the same as [`next`](Self::next) of all that is there then, at a cost that grows with what changes.
    ///
    /// An assignment that was there for the sake of its cluster alone, an empty one, goes with it.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub fn with<R: Into<Arc<Resource>>>(
        &self,
        put: impl IntoIterator<Item = R>,
        removed: impl IntoIterator<Item = (Kind, Name)>,
    ) -> Result<Self, SnapshotError> {
        let mut draft = Draft::of(&self.sections);
        for (kind, name) in removed {
            draft.remove(kind, &name);
        }
        for resource in put {
            draft.put(resource.into())?;
        }
        self.succeed(draft)
    }

    fn succeed(&self, draft: Draft<'_>) -> Result<Self, SnapshotError> {
        let (sections, changed) = draft.finish()?;
        let (mut names, mut versions) = (self.names.clone(), self.versions);
        for kind in Kind::ALL {
            let (before, section) = (&self.sections[kind.index()], &sections[kind.index()]);
            let part = |resource: Option<&Arc<Resource>>| resource.map_or(0, Version::in_section);
            let version = &mut versions[kind.index()];
            for name in &changed[kind.index()] {
                let (old, new) = (before.get(name), section.get(name));
                *version = version.of_section(part(old), part(new));
                if new.is_some() {
                    names[kind.index()].insert(Arc::clone(name));
                } else {
                    names[kind.index()].remove(name);
                }
            }
        }
        Ok(Self {
            sections,
            names,
            versions,
            version: Version::of_versions(&versions),
            predecessor: Some(self.version),
            changed: changed.map(|names| names.into_iter().collect()),
            born: Instant::now(),
            event: None,
        })
    }

    /// All resources of one type.
    #[must_use]
    pub const fn section(&self, kind: Kind) -> &Section {
        &self.sections[kind.index()]
    }

    /// The names in one section.
    pub(crate) const fn names(&self, kind: Kind) -> &OrdSet<Name> {
        &self.names[kind.index()]
    }

    /// When it was made.
    #[must_use]
    pub const fn born(&self) -> Instant {
        self.born
    }

    /// The same, as what came of an event at `event`, the oldest if there were several. Acknowledgements are measured from
    /// there ([`Metrics`](crate::Metrics)).
    #[must_use]
    pub fn since(mut self, event: Option<Instant>) -> Self {
        self.event = event;
        self
    }

    /// When the oldest event came that led to it, if one did.
    #[must_use]
    pub const fn event(&self) -> Option<Instant> {
        self.event
    }

    /// One resource.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.section(kind).get(name)
    }

    /// A hash of everything in it: equal content, equal version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Number of resources of all types.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sections.iter().map(OrdMap::len).sum()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of one type that were added, changed or removed since the snapshot of version `since`, or nothing
    /// where that is neither this one nor its predecessor: then anything may have changed.
    pub(crate) fn changed_since(&self, since: Version, kind: Kind) -> Option<&[Name]> {
        if since == self.version {
            Some(&[])
        } else if self.predecessor == Some(since) {
            Some(&self.changed[kind.index()])
        } else {
            None
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Snapshot");
        debug.field("version", &self.version);
        for kind in Kind::ALL {
            debug.field(&kind.to_string(), &self.section(kind).values().collect::<Vec<_>>());
        }
        debug.finish()
    }
}
