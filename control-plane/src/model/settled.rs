//! The routes of all hosts, of which an event touches few: who asked for something there, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::Options;
use super::group::Group;
use super::groups::{Groups, sites};
use super::mirrors::Mirrors;
use super::problem::Problem;
use super::routes;
use super::topology::{Hosts, Route, ServiceName, Site, Topology};

/// What came of all that is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Settled {
    pub(super) hosts: Hosts,
    /// What is wrong with what services ask for, by the host they ask it of.
    contests: OrdMap<Site, Vec<Problem>>,
    /// Where a route leads to a service, or sends it copies.
    leading: OrdMap<ServiceName, BTreeSet<Site>>,
}

impl Settled {
    /// All hosts anew. What is the same as before has the allocation it had.
    pub(super) fn all(groups: &Groups, mirrors: &Mirrors, options: &Options, before: &Topology) -> Self {
        let asking = groups.asking().map(|(service, group)| (service, &**group)).collect();
        let (hosts, contests) = routes::settle(&asking, mirrors, options, before, None);
        let mut settled = Self { contests: contests.into_iter().collect(), ..Self::default() };
        for (site, routes) in hosts {
            settled.lead(&site, &routes);
            let routes = shared(&site, routes, before);
            settled.hosts.insert(site, routes);
        }
        settled
    }

    /// The same at these sites alone; `touched` are the services whose groups are others now.
    pub(super) fn anew_at(
        mut self,
        only: &BTreeSet<Site>,
        groups: &Groups,
        touched: &BTreeSet<ServiceName>,
        mirrors: &Mirrors,
        options: &Options,
        before: &Topology,
    ) -> Self {
        let only: BTreeSet<&Site> = only.iter().collect();
        let standing = only.iter().flat_map(|site| before.routes_at(site)).map(|(_, route)| &route.service);
        let askers = only.iter().flat_map(|site| groups.askers(site));
        let asking: BTreeMap<&ServiceName, &Group> = standing
            .chain(askers)
            .chain(touched)
            .filter_map(|service| Some((service, groups.get(service)?.as_ref())))
            .filter(|(_, group)| !group.bids.is_empty())
            .collect();
        let (mut hosts, mut contests) = routes::settle(&asking, mirrors, options, before, Some(&only));
        for site in only {
            if let Some(old) = before.hosts.get(site) {
                self.lead_no_more(site, old);
            }
            match hosts.remove(site) {
                Some(routes) => {
                    self.lead(site, &routes);
                    let routes = shared(site, routes, before);
                    if self.hosts.get(site).is_none_or(|old| !Arc::ptr_eq(old, &routes)) {
                        self.hosts.insert(site.clone(), routes);
                    }
                }
                None => {
                    self.hosts.remove(site);
                }
            }
            match contests.remove(site) {
                Some(problems) => {
                    self.contests.insert(site.clone(), problems);
                }
                None => {
                    self.contests.remove(site);
                }
            }
        }
        self
    }

    /// The sites of which a touched service asks, asked, or has something, and asks for other things now or stands
    /// otherwise.
    pub(super) fn sites_of(
        &self,
        touched: &BTreeSet<ServiceName>,
        last: &Groups,
        groups: &Groups,
    ) -> BTreeSet<Site> {
        let mut all = BTreeSet::new();
        for service in touched {
            let asking =
                |groups: &Groups| groups.get(service).filter(|group| !group.bids.is_empty()).cloned();
            let (old, new) = (asking(last), asking(groups));
            let is_same = match (&old, &new) {
                (None, None) => true,
                (Some(old), Some(new)) => old.standing == new.standing && old.bids == new.bids,
                _ => false,
            };
            if !is_same {
                all.extend(old.iter().chain(&new).flat_map(|group| sites(group)).cloned());
                all.extend(self.leading.get(service).into_iter().flatten().cloned());
            }
        }
        all
    }

    pub(super) fn is_routed(&self, service: &ServiceName) -> bool {
        self.leading.contains_key(service)
    }

    /// The services that a route leads to, or sends copies.
    pub(super) fn routed(&self) -> impl Iterator<Item = &ServiceName> {
        self.leading.keys()
    }

    /// The services that are routed in one of the two and not in the other.
    pub(super) fn rerouted<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a ServiceName> {
        use imbl::ordmap::DiffItem;
        self.leading.diff(&other.leading).filter_map(|item| match item {
            DiffItem::Add(service, _) | DiffItem::Remove(service, _) => Some(service),
            DiffItem::Update { .. } => None,
        })
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.contests.values().flatten()
    }

    fn lead(&mut self, site: &Site, routes: &[Route]) {
        for service in led_to(routes) {
            let mut sites = self.leading.get(service).cloned().unwrap_or_default();
            if sites.insert(site.clone()) {
                self.leading.insert(service.clone(), sites);
            }
        }
    }

    fn lead_no_more(&mut self, site: &Site, routes: &[Route]) {
        for service in led_to(routes) {
            let mut sites = self.leading.get(service).cloned().unwrap_or_default();
            sites.remove(site);
            if sites.is_empty() {
                self.leading.remove(service);
            } else {
                self.leading.insert(service.clone(), sites);
            }
        }
    }
}

fn led_to(routes: &[Route]) -> impl Iterator<Item = &ServiceName> {
    let copies =
        routes.iter().filter_map(|route| route.options.mirror.as_ref().map(|mirror| &mirror.service));
    routes.iter().map(|route| &route.service).chain(copies)
}

/// The routes of a host; as they stood, where they are the same.
fn shared(site: &Site, routes: Vec<Route>, before: &Topology) -> Arc<Vec<Route>> {
    let same = before.hosts.get(site).filter(|old| ***old == routes);
    same.cloned().unwrap_or_else(|| Arc::new(routes))
}
