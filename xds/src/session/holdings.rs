//! What one client holds of one type, in little memory.
//!
//! A settled client holds the newest section as far as it asked for it, and so do all others: they share it. Only what
//! a client holds otherwise, because it is on its way or was refused, is its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::resource::{Name, Resource};
use crate::snapshot::Section;
use crate::subscription::Subscription;

/// A resource that a client has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Held<'a> {
    /// One that this stream sent and the client acknowledged.
    Known(&'a Arc<Resource>),
    /// One that the client had when it connected, by its version; what it refers to is not known.
    Foreign(&'a str),
}

impl<'a> Held<'a> {
    /// Whether it is the same content as `resource`.
    pub(super) fn is(self, resource: &Resource) -> bool {
        match self {
            Self::Known(held) => held.version() == resource.version(),
            Self::Foreign(version) => version == resource.version().to_string(),
        }
    }

    pub(super) const fn known(self) -> Option<&'a Arc<Resource>> {
        match self {
            Self::Known(resource) => Some(resource),
            Self::Foreign(_) => None,
        }
    }
}

#[derive(Debug)]
enum Own {
    Known(Arc<Resource>),
    Foreign(String),
    Nothing,
}

impl Own {
    fn held(&self) -> Option<Held<'_>> {
        match self {
            Self::Known(resource) => Some(Held::Known(resource)),
            Self::Foreign(version) => Some(Held::Foreign(version)),
            Self::Nothing => None,
        }
    }
}

/// All that a client holds of one type.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// What the client holds of what its subscription covers, but for `own`.
    base: Section,
    own: BTreeMap<Name, Own>,
}

impl Holdings {
    pub(super) fn get(&self, subscription: &Subscription, name: &str) -> Option<Held<'_>> {
        match self.own.get(name) {
            Some(own) => own.held(),
            None => self.base.get(name).filter(|_| subscription.covers(name)).map(Held::Known),
        }
    }

    pub(super) fn iter<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> impl Iterator<Item = (&'a Name, Held<'a>)> {
        let shared = self
            .base
            .iter()
            .filter(|(name, _)| subscription.covers(name) && !self.own.contains_key(*name))
            .map(|(name, resource)| (name, Held::Known(resource)));
        let own = self.own.iter().filter_map(|(name, own)| Some((name, own.held()?)));
        shared.chain(own)
    }

    pub(super) fn take(&mut self, name: Name, resource: Arc<Resource>) {
        if self.base.get(&name).is_some_and(|shared| Arc::ptr_eq(shared, &resource)) {
            self.own.remove(&name);
        } else {
            self.own.insert(name, Own::Known(resource));
        }
    }

    pub(super) fn take_foreign(&mut self, name: Name, version: String) {
        self.own.insert(name, Own::Foreign(version));
    }

    pub(super) fn drop(&mut self, name: &Name) {
        if self.base.contains_key(name) {
            self.own.insert(Arc::clone(name), Own::Nothing);
        } else {
            self.own.remove(name);
        }
    }

    /// Lets go of everything but what `wanted` names.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.own.retain(|name, _| wanted(name));
    }

    /// Makes everything its own, where the subscription has come to cover more: that is not held yet. `covered` is
    /// what it covered before.
    pub(super) fn detach(&mut self, covered: impl Fn(&str) -> bool) {
        let base = std::mem::take(&mut self.base);
        for (name, resource) in base.iter().filter(|(name, _)| covered(name)) {
            self.own.entry(Arc::clone(name)).or_insert_with(|| Own::Known(Arc::clone(resource)));
        }
        self.own.retain(|_, own| !matches!(own, Own::Nothing));
    }

    /// The client holds what `section` has, as far as its subscription goes, except for what it holds under the names
    /// in `except`.
    pub(super) fn share<'n>(
        &mut self,
        section: &Section,
        except: impl IntoIterator<Item = &'n Name>,
        subscription: &Subscription,
    ) {
        if self.own.is_empty() && self.base.ptr_eq(section) {
            return;
        }
        let mut own = BTreeMap::new();
        for name in except {
            let kept = match self.get(subscription, name) {
                Some(Held::Known(resource)) => Own::Known(Arc::clone(resource)),
                Some(Held::Foreign(version)) => Own::Foreign(version.to_owned()),
                None => Own::Nothing,
            };
            own.insert(Arc::clone(name), kept);
        }
        self.own = own;
        self.base = section.clone();
    }
}
