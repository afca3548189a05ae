//! Routes that stand although nobody asks for them any more, and who asked for them last.
//!
//! ```text
//! route that stood --> still asked for? --no--> Kept: the workload that asked, as it was then
//!                                                |
//!        a model to go on from  <-- recall <-- file (state)
//! ```
//!
//! What is kept is saved as the facts it came of and read by the rules again: labels are a contract, and the shape of a
//! route is not. What one workload alone does not say is beside it: which service its route sends copies to.

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
use super::options::{Mirror, RouteOptions};
use super::spoken::{self, Spoken};
use super::topology::{Hosts, Route, ServiceName, Site};

/// A workload that may be gone, and the routes that stand because it asked for them.
///
/// Its shape is part of the file in which views are saved: see `state/file.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The workload, as it was when it asked.
    pub workload: Workload,
    /// Where each of the routes is, as a [`Site`] is shown, and its name. None, where it says how its service is asked and
    /// nothing else.
    pub routes: Vec<(String, String)>,
    /// Of those that send copies: where, the route's name, and the full name of the service that gets them. A label names it
    /// within a project, or by its full name, and it may be gone since.
    // Not there where it is empty: files from before it was known are of the same version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<(String, String, String)>,
}

/// All that is kept, by site.
pub(super) type KeptRoutes = OrdMap<Site, Vec<Witness>>;

/// Who asked for a route last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Witness {
    route: String,
    matches: Match,
    workload: Arc<Workload>,
    /// Who gets copies.
    copies: Option<ServiceName>,
}

impl Witness {
    fn of(route: &Route, workload: &Arc<Workload>) -> Self {
        Self {
            route: route.name.clone(),
            matches: route.matches.clone(),
            workload: Arc::clone(workload),
            copies: route.options.mirror.as_ref().map(|mirror| mirror.service.clone()),
        }
    }
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
    let asked = before.made_of.as_ref().and_then(|made_of| {
        let (id, _) = &claim(site, route, &made_of.groups)?.by;
        made_of.inventory.workloads.get(id).map(|workload| Witness::of(route, workload))
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

/// What is kept and who spoke last, by workload.
pub(super) fn by_workload(kept: &KeptRoutes, spoken: &Spoken) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::new();
    for (site, witness) in kept.iter().flat_map(|(site, all)| all.iter().map(move |witness| (site, witness)))
    {
        let Witness { route, copies, .. } = witness;
        let kept = of(&mut all, &witness.workload);
        kept.routes.push((site.to_string(), route.clone()));
        let copies = copies.iter().map(|service| (site.to_string(), route.clone(), service.to_string()));
        kept.copies.extend(copies);
    }
    for workload in spoken.values().flat_map(BTreeMap::values) {
        of(&mut all, workload);
    }
    all
}

/// What is kept of that workload.
fn of<'a>(all: &'a mut Vec<Kept>, workload: &Workload) -> &'a mut Kept {
    let known = all.iter().position(|kept| kept.workload == *workload).unwrap_or_else(|| {
        all.push(Kept { workload: workload.clone(), routes: Vec::new(), copies: Vec::new() });
        all.len() - 1
    });
    &mut all[known]
}

/// A model in which these routes stand and nothing else, for the first one of a run to go on from.
#[must_use]
pub fn recall(kept: &[Kept], options: &Options) -> Model {
    let mut hosts: BTreeMap<Site, Vec<Route>> = BTreeMap::new();
    let mut recalled = Model::default();
    let mut oldest_first: Vec<&Kept> = kept.iter().collect();
    // Of two that a service had one after the other the later one says how it was asked.
    oldest_first.sort_by_key(|kept| kept.workload.created);
    for kept in oldest_first {
        let workload = Arc::new(kept.workload.clone());
        let alone = Arc::new([Workload::clone(&workload)].into_iter().collect());
        let alone = build(&alone, options, None);
        spoken::recall(&mut recalled, &workload, &alone);
        for (site, route) in alone.topology.routes_in_order().filter(|(site, route)| kept.has(site, route)) {
            let route = kept.with_copies(site, route, &alone);
            recalled.kept.entry(site.clone()).or_default().push(Witness::of(&route, &workload));
            hosts.entry(site.clone()).or_default().push(route);
        }
    }
    recalled.topology.hosts = hosts.into_iter().map(|(site, routes)| (site, Arc::new(routes))).collect();
    recalled
}

impl Kept {
    fn has(&self, site: &Site, route: &Route) -> bool {
        let site = site.to_string();
        self.routes.iter().any(|(at, name)| *at == site && *name == route.name)
    }

    /// A route of the workload, as it is where that is `alone`, sending copies where it did: how many, its labels say.
    fn with_copies(&self, site: &Site, route: &Route, alone: &Model) -> Route {
        let at = site.to_string();
        let copies = self.copies.iter().find(|(site, name, _)| *site == at && *name == route.name);
        let claimed = alone.made_of.as_ref().and_then(|made_of| claim(site, route, &made_of.groups));
        let mirror = claimed.and_then(|claim| claim.route.options.mirror.as_ref());
        let (Some((_, _, service)), Some(mirror)) = (copies, mirror) else { return route.clone() };
        let mirror = Mirror { service: ServiceName(service.as_str().into()), percent: mirror.percent };
        let options = RouteOptions { mirror: Some(mirror), ..RouteOptions::clone(&route.options) };
        Route { options: Arc::new(options), ..route.clone() }
    }
}
