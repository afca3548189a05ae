//! What becomes of the listeners of TCP, in which services stand (docs/adr/0020).

use std::collections::BTreeMap;

use super::Changes;
use crate::model::{Route, Site, Topology};
use crate::policies::EntryName;

/// The filter chains on both sides: a host of an entry point each.
pub(super) struct Chains<'a> {
    now: BTreeMap<&'a Site, &'a Route>,
    then: BTreeMap<&'a Site, &'a Route>,
}

impl<'a> Chains<'a> {
    pub(super) fn of(now: &'a Topology, then: &'a Topology) -> Self {
        let [now, then] = [now, then].map(|topology| {
            topology.routes_in_order().filter(|(_, route)| route.matches.is_connection).collect()
        });
        Self { now, then }
    }

    /// The listeners of which a chain changes. Each is there without any chain of a service.
    pub(super) fn listeners(&self) -> Changes<String> {
        let sites = self.now.keys().chain(self.then.keys());
        let changed = sites.filter(|site| !self.is_same(site)).map(|site| &site.entry);
        let mut changed: Vec<&EntryName> = changed.collect();
        changed.sort_unstable();
        changed.dedup();
        let changed = changed.into_iter().map(|entry| format!("tcp:{entry}")).collect();
        Changes { changed, ..Changes::default() }
    }

    fn is_same(&self, site: &Site) -> bool {
        let same = |was: &Route, is: &Route| {
            was.name == is.name && was.service == is.service && was.options == is.options
        };
        match (self.now.get(site), self.then.get(site)) {
            (Some(was), Some(is)) => same(was, is),
            (was, is) => was.is_none() && is.is_none(),
        }
    }

    /// Hosts whose open connections Envoy ends: their chain is another one, or gone.
    pub(super) fn interruptions(&self) -> Vec<String> {
        let ended = self.now.keys().filter(|site| !self.is_same(site));
        let told = ended.map(|site| {
            format!(
                "{}: connections that are open are drained, because its listener says something else of them",
                site.connections()
            )
        });
        told.collect()
    }
}
