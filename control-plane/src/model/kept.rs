//! Routes that stand although nobody asks for them any more, and who asked for them last.
//!
//! ```text
//! route that stood --> still asked for? --no--> Kept: the workload that asked, as it was then
//!                                                |
//!        a model to go on from  <-- recall <-- file (state)
//! ```
//!
//! What is kept is saved as the facts it came of and read by the rules again: labels are a contract, and the shape of a
//! route is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::inventory::Workload;

use super::Options;
use super::build::{Model, build};
use super::group::Claimed;
use super::groups::Groups;
use super::matching::Match;
use super::topology::{Hosts, Route, Site, Topology};

/// A workload that may be gone, and the routes that stand because it asked for them.
///
/// Its shape is part of the file in which views are saved: see `state/file.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The workload, as it was when it asked.
    pub workload: Workload,
    /// Where each of the routes is, as a [`Site`] is shown, and its name.
    pub routes: Vec<(String, String)>,
}

/// All that is kept, by site.
pub(super) type KeptRoutes = OrdMap<Site, Vec<Witness>>;

/// Who asked for a route last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    route: String,
    matches: Match,
    workload: Arc<Workload>,
}

/// Notes what is kept at these sites, after what `before` knew: the routes for which no group asks.
pub(super) fn note<'a>(
    kept: &mut KeptRoutes,
    sites: impl IntoIterator<Item = &'a Site>,
    hosts: &Hosts,
    groups: &Groups,
    before: Option<&Model>,
) {
    let Some(before) = before else { return };
    for site in sites {
        let routes = hosts.get(site).into_iter().flat_map(|routes| routes.iter());
        let unasked = routes.filter(|route| claim(site, route, groups).is_none());
        let witnesses: Vec<Witness> = unasked.filter_map(|route| witness(site, route, before)).collect();
        if witnesses.is_empty() {
            kept.remove(site);
        } else {
            kept.insert(site.clone(), witnesses);
        }
    }
}

fn witness(site: &Site, route: &Route, before: &Model) -> Option<Witness> {
    let of = |workload: &Arc<Workload>| Witness {
        route: route.name.clone(),
        matches: route.matches.clone(),
        workload: Arc::clone(workload),
    };
    let asked = before.made_of.as_ref().and_then(|made_of| {
        let (id, _) = &claim(site, route, &made_of.groups)?.by;
        made_of.inventory.workloads.get(id).map(of)
    });
    asked.or_else(|| {
        let mut earlier = before.kept.get(site)?.iter();
        earlier.find(|kept| kept.route == route.name && kept.matches == route.matches).cloned()
    })
}

/// What its own service says that makes a route stand there.
fn claim<'a>(site: &Site, route: &Route, groups: &'a Groups) -> Option<&'a Claimed> {
    let claims = groups.get(&route.service)?.bids.iter().filter_map(|bid| bid.claim.as_ref());
    claims.into_iter().find(|claim| claim.route.matches == route.matches && claim.route.sites.contains(site))
}

/// The same, by workload.
pub(super) fn by_workload(kept: &KeptRoutes) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::new();
    for (site, witness) in kept.iter().flat_map(|(site, all)| all.iter().map(move |witness| (site, witness)))
    {
        let route = (site.to_string(), witness.route.clone());
        match all.iter_mut().find(|known| known.workload == *witness.workload) {
            Some(known) => known.routes.push(route),
            None => all.push(Kept { workload: Workload::clone(&witness.workload), routes: vec![route] }),
        }
    }
    all
}

/// A model in which these routes stand and nothing else, for the first one of a run to go on from.
#[must_use]
pub fn recall(kept: &[Kept], options: &Options) -> Model {
    let mut hosts: BTreeMap<Site, Vec<Route>> = BTreeMap::new();
    let mut recalled = Model::default();
    let mut oldest_first: Vec<&Kept> = kept.iter().collect();
    // Of two that a service had one after the other the later one says how it was asked.
    oldest_first.sort_by_key(|kept| kept.workload.created);
    for Kept { workload, routes } in oldest_first {
        let workload = Arc::new(workload.clone());
        let alone = Arc::new([Workload::clone(&workload)].into_iter().collect());
        let Topology { services, hosts: asked, .. } = build(&alone, options, None).topology;
        let all = asked.iter().flat_map(|(site, routes)| routes.iter().map(move |route| (site, route)));
        for (site, route) in
            all.filter(|(site, route)| routes.contains(&(site.to_string(), route.name.clone())))
        {
            let witness = Witness {
                route: route.name.clone(),
                matches: route.matches.clone(),
                workload: Arc::clone(&workload),
            };
            recalled.kept.entry(site.clone()).or_default().push(witness);
            hosts.entry(site.clone()).or_default().push(route.clone());
            if let Some(service) = services.get(&route.service) {
                recalled.topology.services.insert(route.service.clone(), Arc::clone(service));
            }
        }
    }
    recalled.topology.hosts = hosts.into_iter().map(|(site, routes)| (site, Arc::new(routes))).collect();
    recalled
}
