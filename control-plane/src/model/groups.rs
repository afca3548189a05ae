//! The workloads by service, with lists of those groups that others have to look at: what an event is about is found
//! without going through all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{OrdMap, OrdSet};

use crate::inventory::{Inventory, Workload};

use super::Options;
use super::group::{Group, Member};
use super::topology::{ServiceName, Site};

/// All groups. What two of these have in common they share.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    by_service: OrdMap<ServiceName, Arc<Group>>,
    /// Who asks for something at a site.
    askers: OrdMap<Site, OrdSet<ServiceName>>,
    /// Those with an Envoy.
    proxies: OrdSet<ServiceName>,
    /// Those that want copies sent to another.
    mirroring: OrdSet<ServiceName>,
    /// Those whose addresses depend on more than themselves.
    entangled: OrdSet<ServiceName>,
    /// Those with a problem.
    troubled: OrdSet<ServiceName>,
}

impl Groups {
    /// Takes in what differs between two inventories, and names the services whose groups are others than before.
    pub(super) fn take_in(
        &mut self,
        old: &Inventory,
        new: &Inventory,
        options: &Options,
    ) -> BTreeSet<ServiceName> {
        let mut touched: BTreeMap<ServiceName, Vec<Member>> = BTreeMap::new();
        let members = |service: &ServiceName| -> Vec<Member> {
            self.get(service).map(|group| group.members.clone()).unwrap_or_default()
        };
        for (old, new) in changes(old, new) {
            if let Some(old) = old.map(|old| Member::read(old, options)).filter(Member::has_a_say) {
                let group = touched.entry(old.service.clone()).or_insert_with_key(members);
                group.retain(|member| member.workload.id != old.workload.id);
            }
            if let Some(new) = new.map(|new| Member::read(new, options)).filter(Member::has_a_say) {
                let group = touched.entry(new.service.clone()).or_insert_with_key(members);
                let new = match group.last() {
                    Some(replica) => new.sharing_with(replica),
                    None => new,
                };
                group.push(new);
            }
        }
        let mut names = BTreeSet::new();
        for (service, members) in touched {
            let group = (!members.is_empty()).then(|| Arc::new(Group::of(&service, members, options)));
            self.set(&service, group);
            names.insert(service);
        }
        names
    }

    fn set(&mut self, service: &ServiceName, group: Option<Arc<Group>>) {
        if let Some(old) = self.by_service.remove(service) {
            for site in sites(&old) {
                let rest = self.askers.get(site).map(|askers| askers.without(service)).unwrap_or_default();
                if rest.is_empty() {
                    self.askers.remove(site);
                } else {
                    self.askers.insert(site.clone(), rest);
                }
            }
        }
        let mark = |list: &mut OrdSet<ServiceName>, is_marked: bool| {
            if is_marked {
                list.insert(service.clone());
            } else {
                list.remove(service);
            }
        };
        let is = |what: fn(&Group) -> bool| group.as_deref().is_some_and(what);
        mark(&mut self.proxies, is(|group| group.has_proxy));
        mark(&mut self.mirroring, is(Group::has_mirror));
        mark(&mut self.entangled, is(|group| group.is_entangled));
        mark(&mut self.troubled, is(|group| !group.problems.is_empty()));
        if let Some(group) = group {
            for site in sites(&group) {
                let askers = self.askers.get(site).cloned().unwrap_or_default();
                self.askers.insert(site.clone(), askers.update(service.clone()));
            }
            self.by_service.insert(service.clone(), group);
        }
    }

    pub(super) fn get(&self, service: &ServiceName) -> Option<&Arc<Group>> {
        self.by_service.get(service)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &ServiceName> {
        self.by_service.keys()
    }

    /// Those that ask for a route.
    pub(super) fn asking(&self) -> impl Iterator<Item = (&ServiceName, &Arc<Group>)> {
        self.by_service.iter().filter(|(_, group)| !group.bids.is_empty())
    }

    /// The services that ask for something at `site`.
    pub(super) fn askers(&self, site: &Site) -> impl Iterator<Item = &ServiceName> {
        self.askers.get(site).into_iter().flatten()
    }

    pub(super) fn with_proxy(&self) -> impl Iterator<Item = &Group> {
        self.each(&self.proxies)
    }

    pub(super) fn mirroring(&self) -> impl Iterator<Item = &Group> {
        self.each(&self.mirroring)
    }

    pub(super) fn troubled(&self) -> impl Iterator<Item = &Group> {
        self.each(&self.troubled)
    }

    pub(super) fn entangled(&self) -> impl Iterator<Item = &ServiceName> {
        self.entangled.iter()
    }

    fn each<'a>(&'a self, list: &'a OrdSet<ServiceName>) -> impl Iterator<Item = &'a Group> {
        list.iter().filter_map(|service| self.get(service).map(AsRef::as_ref))
    }
}

/// Where a group asks for something.
pub(super) fn sites(group: &Group) -> impl Iterator<Item = &Site> {
    let claims = group.bids.iter().filter_map(|bid| bid.claim.as_ref());
    claims.flat_map(|claim| &claim.route.sites)
}

type Change<'a> = (Option<&'a Arc<Workload>>, Option<&'a Arc<Workload>>);

/// Every workload that is not the same in both, as it was and as it is. One that is treated as the same decision wants it
/// has a new allocation each time, and is the same.
fn changes<'a>(old: &'a Inventory, new: &'a Inventory) -> impl Iterator<Item = Change<'a>> {
    old.workloads.diff(&new.workloads).map(|item| match item {
        DiffItem::Add(_, new) => (None, Some(new)),
        DiffItem::Update { old: (_, old), new: (_, new) } => (Some(old), Some(new)),
        DiffItem::Remove(_, old) => (Some(old), None),
    })
}
