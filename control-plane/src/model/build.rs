//! From an inventory to a topology: who asks for what, who gets it, and where it is.
//!
//! What comes out depends on the inventory, and on what stood before, alone. A previous model saves work and nothing else:
//! whatever is taken over from it was made of the same, which is looked at each time, so that nothing can get out of step.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::inventory::Inventory;

use super::Options;
use super::address::{Reach, Surroundings};
use super::backends::{Backends, Parts};
use super::groups::Groups;
use super::kept::{self, Kept, KeptRoutes};
use super::mirrors::Mirrors;
use super::problem::Problem;
use super::settled::Settled;
use super::spoken::{self, Spoken};
use super::topology::{ServiceName, Topology};

/// The cluster of Envoy's own admin pages (translate): no service may have its name.
pub const ADMIN_SERVICE: &str = "envoy-admin";

/// What an inventory adds up to.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Services and routes.
    pub topology: Topology,
    /// What keeps workloads from being routed as their labels say, in order.
    pub problems: Vec<Problem>,
    /// The routes for which nobody asks any more.
    pub(super) kept: KeptRoutes,
    /// Who said last how those services are asked of which nobody says so rightly.
    pub(super) spoken: Spoken,
    pub(super) made_of: Option<MadeOf>,
}

/// A topology of which nothing is known but how it looks.
impl From<Topology> for Model {
    fn from(topology: Topology) -> Self {
        Self { topology, ..Self::default() }
    }
}

impl Model {
    /// The containers and the settings it was made of; nothing where only its looks are known.
    #[must_use]
    pub fn made_of(&self) -> Option<(&Arc<Inventory>, &Options)> {
        self.made_of.as_ref().map(|of| (&of.inventory, &of.options))
    }

    /// Who asked for the routes that stand although nobody asks for them any more, and who said last how a service is asked
    /// of which nobody says so now: what a later run needs to keep both.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        kept::by_workload(&self.kept, &self.spoken)
    }

    /// Whether a workload, whatever its state, is this version of that service.
    #[must_use]
    pub fn has_version(&self, service: &str, version: &str) -> bool {
        let group = self.made_of.as_ref().and_then(|of| of.groups.get(&ServiceName(service.into())));
        let mut members = group.into_iter().flat_map(|group| &group.members);
        members.any(|member| member.is_exposed() && member.variant() == version)
    }
}

/// What a model was made of, piece by piece.
#[derive(Debug, Clone)]
pub(super) struct MadeOf {
    pub(super) inventory: Arc<Inventory>,
    pub(super) options: Options,
    pub(super) reach: Reach,
    pub(super) groups: Groups,
    /// Who is meant by the labels that name a service to get copies.
    mirrors: Mirrors,
    settled: Settled,
    backends: Backends,
}

/// What `inventory` adds up to, and what is wrong with it. The order of the workloads does not matter.
///
/// `previous` is what stood before: it says who held a route first, and what a route was before it had a mistake.
#[must_use]
pub fn build(inventory: &Arc<Inventory>, options: &Options, previous: Option<&Model>) -> Model {
    let nothing = Topology::default();
    let before = previous.map_or(&nothing, |previous| &previous.topology);
    let last = previous.and_then(|previous| previous.made_of.as_ref());
    let last = last.filter(|last| last.options == *options);

    let none = Inventory::default();
    let mut groups = last.map(|last| last.groups.clone()).unwrap_or_default();
    let touched = groups.take_in(last.map_or(&none, |last| &last.inventory), inventory, options);
    let proxies = groups.with_proxy().flat_map(|group| &group.members);
    let proxies = proxies.filter(|member| member.claims.proxy).map(|member| &*member.workload);
    let reach = Reach::of(proxies, inventory);
    let mirrors = Mirrors::of(&groups, options);

    let mut kept = KeptRoutes::default();
    let settled = match last.filter(|last| last.mirrors == mirrors) {
        None => {
            let settled = Settled::all(&groups, &mirrors, options, before);
            kept::note(&mut kept, settled.hosts.keys(), &settled.hosts, &groups, previous);
            settled
        }
        Some(last) => {
            let sites = last.settled.sites_of(&touched, &last.groups, &groups);
            let settled = last.settled.clone().anew_at(&sites, &groups, &touched, &mirrors, options, before);
            kept = previous.map(|previous| previous.kept.clone()).unwrap_or_default();
            kept::note(&mut kept, &sites, &settled.hosts, &groups, previous);
            settled
        }
    };
    let around = Surroundings { inventory, reach: &reach, prefix: &options.label_prefix };
    let parts = Parts { groups: &groups, settled: &settled, around: &around, before };
    let mut spoken = Spoken::default();
    let backends = match last.filter(|last| last.reach == reach) {
        None => {
            let backends = Backends::all(parts);
            spoken::note(&mut spoken, backends.services.keys(), &backends, &groups, previous);
            backends
        }
        Some(last) => {
            let entangled = last.groups.entangled().chain(groups.entangled());
            let rerouted = last.settled.rerouted(&settled);
            let weights = reweighted(&last.inventory, inventory);
            let concerned: BTreeSet<&ServiceName> =
                touched.iter().chain(entangled).chain(rerouted).chain(&weights).collect();
            let backends = last.backends.clone().anew(concerned.iter().copied(), parts);
            spoken = previous.map(|previous| previous.spoken.clone()).unwrap_or_default();
            spoken::note(&mut spoken, concerned, &backends, &groups, previous);
            backends
        }
    };

    let all = groups.troubled().flat_map(|group| &group.problems);
    let all = all.chain(mirrors.problems()).chain(settled.problems()).chain(backends.problems());
    let problems: BTreeSet<&Problem> = all.collect();
    let problems = problems.into_iter().cloned().collect();
    let topology = Topology {
        services: backends.services.clone(),
        hosts: settled.hosts.clone(),
        policies: Arc::clone(&options.policies),
    };
    let inventory = Arc::clone(inventory);
    let options = options.clone();
    let made_of = MadeOf { inventory, options, reach, groups, mirrors, settled, backends };
    Model { topology, problems, kept, spoken, made_of: Some(made_of) }
}

/// The services of which other shares are decided by hand now.
fn reweighted(old: &Inventory, new: &Inventory) -> Vec<ServiceName> {
    let all: BTreeSet<&String> = old.weights.keys().chain(new.weights.keys()).collect();
    let changed = all.into_iter().filter(|service| old.weights.get(*service) != new.weights.get(*service));
    changed.map(|service| ServiceName(service.as_str().into())).collect()
}
