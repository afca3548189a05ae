//! A snapshot in the making: what is put and what is taken out, and whether it may stand.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::ordset::DiffItem;

use crate::kind::Kind;
use crate::resource::{Name, Resource};
use crate::snapshot::{Section, SnapshotError};

/// Names of each type, by the index of the type.
pub(crate) type Names = [BTreeSet<Name>; Kind::ALL.len()];

/// The sections of a snapshot, on their way to those of the next.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    before: &'a [Section; Kind::ALL.len()],
    sections: [Section; Kind::ALL.len()],
    put: Names,
    /// What may not be as it was.
    touched: Names,
}

impl<'a> Draft<'a> {
    pub(crate) fn of(before: &'a [Section; Kind::ALL.len()]) -> Self {
        Self { before, sections: before.clone(), put: Names::default(), touched: Names::default() }
    }

    /// Puts `resource` in the place of what has its name. What is the same keeps its allocation.
    pub(crate) fn put(&mut self, resource: Arc<Resource>) -> Result<(), SnapshotError> {
        let (kind, name) = (resource.kind(), Arc::clone(resource.name()));
        let section = &mut self.sections[kind.index()];
        let is_same = section.get(&name).is_some_and(|old| Arc::ptr_eq(old, &resource) || **old == *resource);
        if !self.put[kind.index()].insert(Arc::clone(&name)) && !is_same {
            return Err(SnapshotError::Duplicate { kind, name });
        }
        if !is_same {
            section.insert(Arc::clone(&name), resource);
            self.touched[kind.index()].insert(name);
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, kind: Kind, name: &Name) {
        if self.sections[kind.index()].remove(name).is_some() {
            self.touched[kind.index()].insert(Arc::clone(name));
        }
    }

    pub(crate) fn keep_only_what_was_put(&mut self) {
        for kind in Kind::ALL {
            let put = &self.put[kind.index()];
            let gone = self.sections[kind.index()].keys().filter(|name| !put.contains(*name));
            for name in gone.cloned().collect::<Vec<_>>() {
                self.remove(kind, &name);
            }
        }
    }

    /// The sections as they are now, and the names in each that are not as they were.
    pub(crate) fn finish(mut self) -> Result<([Section; Kind::ALL.len()], Names), SnapshotError> {
        self.complete_assignments();
        self.settle();
        self.check_clusters()?;
        self.check_extensions()?;
        Ok((self.sections, self.touched))
    }

    /// Every EDS cluster has an assignment: an empty one where nobody said otherwise. What was there for a cluster alone goes
    /// with it.
    fn complete_assignments(&mut self) {
        let clusters = &self.sections[Kind::Cluster.index()];
        let endpoints = &self.sections[Kind::Endpoint.index()];
        let assignment = |cluster: &Arc<Resource>| cluster.references().assignment.clone();
        let touched = || self.touched[Kind::Cluster.index()].iter();
        let mut missing: BTreeSet<Name> = touched()
            .filter_map(|name| clusters.get(name).and_then(assignment))
            .filter(|name| !endpoints.contains_key(name))
            .collect();
        let gone: BTreeSet<Name> = touched()
            .filter_map(|name| self.before[Kind::Cluster.index()].get(name).and_then(assignment))
            .filter(|name| !self.put[Kind::Endpoint.index()].contains(name))
            .filter(|name| endpoints.get(name).is_some_and(|held| **held == Resource::empty_assignment(name)))
            .collect();
        let taken = self.touched[Kind::Endpoint.index()].iter().filter(|name| !endpoints.contains_key(*name));
        let in_question: BTreeSet<&Name> = gone.iter().chain(taken).collect();
        let mut unused = gone.clone();
        if !in_question.is_empty() {
            for name in clusters.values().filter_map(assignment).filter(|name| in_question.contains(name)) {
                unused.remove(&name);
                if !endpoints.contains_key(&name) {
                    missing.insert(name);
                }
            }
        }
        for name in unused {
            self.remove(Kind::Endpoint, &name);
        }
        for name in missing {
            let empty = Arc::new(Resource::empty_assignment(&name));
            self.sections[Kind::Endpoint.index()].insert(Arc::clone(&name), empty);
            self.touched[Kind::Endpoint.index()].insert(name);
        }
    }

    /// What came back as it was has its allocation back, and was not touched.
    fn settle(&mut self) {
        for kind in Kind::ALL {
            let (before, section) = (&self.before[kind.index()], &mut self.sections[kind.index()]);
            self.touched[kind.index()].retain(|name| match (before.get(name), section.get(name)) {
                (Some(old), Some(new)) if old == new => {
                    section.insert(Arc::clone(name), Arc::clone(old));
                    false
                }
                (None, None) => false,
                _ => true,
            });
        }
    }

    /// What is new names clusters that are there, and what stayed names none that has gone. What was named before was
    /// there before.
    fn check_clusters(&self) -> Result<(), SnapshotError> {
        let clusters = &self.sections[Kind::Cluster.index()];
        let gone: BTreeSet<&Name> =
            self.touched[Kind::Cluster.index()].iter().filter(|name| !clusters.contains_key(*name)).collect();
        for kind in [Kind::Extension, Kind::Listener, Kind::Route] {
            for (name, resource) in &self.sections[kind.index()] {
                let named = &resource.references().clusters;
                let taken = gone.iter().copied().find(|cluster| named.contains(*cluster));
                let dangling = taken.or_else(|| {
                    let newly = self.touched[kind.index()].contains(name).then(|| self.newly_named(resource));
                    newly.into_iter().flatten().find(|cluster| !clusters.contains_key(*cluster))
                });
                if let Some(cluster) = dangling.map(Arc::clone) {
                    return Err(SnapshotError::DanglingCluster { kind, name: Arc::clone(name), cluster });
                }
            }
        }
        Ok(())
    }

    /// Whatever a listener asks for about its filters is there. Where neither changed it was there before.
    fn check_extensions(&self) -> Result<(), SnapshotError> {
        if [Kind::Extension, Kind::Listener].iter().all(|kind| self.touched[kind.index()].is_empty()) {
            return Ok(());
        }
        let extensions = &self.sections[Kind::Extension.index()];
        for (name, listener) in &self.sections[Kind::Listener.index()] {
            let mut named = listener.references().extensions.iter();
            if let Some(missing) = named.find(|named| !extensions.contains_key(*named)) {
                let (name, extension) = (Arc::clone(name), Arc::clone(missing));
                return Err(SnapshotError::DanglingExtension { name, extension });
            }
        }
        Ok(())
    }

    /// The clusters that `resource` names, and what had its name before did not.
    fn newly_named<'r>(&self, resource: &'r Resource) -> Vec<&'r Name> {
        let named = &resource.references().clusters;
        let Some(before) = self.before[resource.kind().index()].get(resource.name()) else {
            return named.iter().collect();
        };
        let changes = before.references().clusters.diff(named);
        let added = |change| match change {
            DiffItem::Add(name) => Some(name),
            _ => None,
        };
        changes.filter_map(added).collect()
    }
}
