//! Everything the server has to say at one moment: immutable, shared by all streams.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::kind::Kind;
use crate::resource::{Name, Resource, Version};

/// The resources of one type, by name.
pub type Section = BTreeMap<Name, Arc<Resource>>;

/// An immutable set of resources, with what changed since its predecessor.
///
/// Built by [`Snapshot::next`] from typed messages; what did not change is the predecessor's own allocation, encoded
/// once for the lifetime of its content and for all clients.
#[derive(Clone)]
pub struct Snapshot {
    sections: [Arc<Section>; Kind::ALL.len()],
    /// The names in each section: one allocation for as long as no name comes or goes, so that those who ask for all of
    /// them can share it.
    names: [Arc<BTreeSet<Name>>; Kind::ALL.len()],
    version: Version,
    predecessor: Option<Version>,
    changed: [Vec<Name>; Kind::ALL.len()],
    born: Instant,
    event: Option<Instant>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            sections: Default::default(),
            names: Default::default(),
            version: Version::of(&[]),
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
    /// A route or listener refers to a cluster that is not in the set. A client would answer 503 for it.
    #[error("{kind} {name:?} refers to cluster {cluster:?}, which is not in the snapshot")]
    DanglingCluster {
        /// The type of what refers.
        kind: Kind,
        /// The name of what refers.
        name: Name,
        /// The cluster that is missing.
        cluster: Name,
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
        let mut sections: [Section; Kind::ALL.len()] = Default::default();
        for resource in resources {
            self.insert(&mut sections, resource.into())?;
        }
        self.add_missing_assignments(&mut sections)?;
        check_references(&sections)?;
        Ok(self.succeed(sections))
    }

    fn insert(&self, sections: &mut [Section], resource: Arc<Resource>) -> Result<(), SnapshotError> {
        let kind = resource.kind();
        let shared = match self.get(kind, resource.name()) {
            Some(old) if Arc::ptr_eq(old, &resource) || *old == resource => Arc::clone(old),
            _ => resource,
        };
        match sections[kind.index()].insert(Arc::clone(shared.name()), Arc::clone(&shared)) {
            Some(other) if other != shared => {
                Err(SnapshotError::Duplicate { kind, name: Arc::clone(shared.name()) })
            }
            _ => Ok(()),
        }
    }

    fn add_missing_assignments(&self, sections: &mut [Section]) -> Result<(), SnapshotError> {
        let missing: BTreeSet<Name> = sections[Kind::Cluster.index()]
            .values()
            .filter_map(|cluster| cluster.references().assignment.clone())
            .filter(|name| !sections[Kind::Endpoint.index()].contains_key(name))
            .collect();
        for name in missing {
            self.insert(sections, Arc::new(Resource::empty_assignment(&name)))?;
        }
        Ok(())
    }

    fn succeed(&self, sections: [Section; Kind::ALL.len()]) -> Self {
        let mut changed: [Vec<Name>; Kind::ALL.len()] = Default::default();
        let mut shared = self.sections.clone();
        let mut all_names = self.names.clone();
        for (kind, section) in Kind::ALL.into_iter().zip(sections) {
            let names = difference(self.section(kind), &section);
            if !names.is_empty() {
                changed[kind.index()] = names;
                let same = section.keys().eq(all_names[kind.index()].iter());
                if !same {
                    all_names[kind.index()] = Arc::new(section.keys().cloned().collect());
                }
                shared[kind.index()] = Arc::new(section);
            }
        }
        let version = Version::of_list(shared.iter().flat_map(|section| section.values()));
        Self {
            sections: shared,
            names: all_names,
            version,
            predecessor: Some(self.version),
            changed,
            born: Instant::now(),
            event: None,
        }
    }

    /// All resources of one type.
    #[must_use]
    pub fn section(&self, kind: Kind) -> &Section {
        &self.sections[kind.index()]
    }

    pub(crate) fn shared_section(&self, kind: Kind) -> &Arc<Section> {
        &self.sections[kind.index()]
    }

    /// The names in one section; the predecessor's own allocation where they are the same.
    pub(crate) const fn names(&self, kind: Kind) -> &Arc<BTreeSet<Name>> {
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
        self.sections.iter().map(|section| section.len()).sum()
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
            debug.field(&kind.to_string(), &self.section(kind).values());
        }
        debug.finish()
    }
}

fn difference(old: &Section, new: &Section) -> Vec<Name> {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let fresh = new
        .values()
        .filter(|resource| !old.get(resource.name()).is_some_and(|old| Arc::ptr_eq(old, resource)));
    gone.chain(fresh.map(|resource| resource.name())).cloned().collect()
}

fn check_references(sections: &[Section]) -> Result<(), SnapshotError> {
    let clusters = &sections[Kind::Cluster.index()];
    for resource in sections.iter().flat_map(BTreeMap::values) {
        let dangling = resource.references().clusters.iter().find(|name| !clusters.contains_key(*name));
        if let Some(cluster) = dangling {
            return Err(SnapshotError::DanglingCluster {
                kind: resource.kind(),
                name: Arc::clone(resource.name()),
                cluster: Arc::clone(cluster),
            });
        }
    }
    Ok(())
}
