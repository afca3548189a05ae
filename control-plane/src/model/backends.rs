//! The services that a route leads to, with their endpoints; one without any endpoint is there all the same, so that its
//! routes answer 503 and not 404. And what keeps workloads from being endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::address::Surroundings;
use super::endpoints;
use super::group::Group;
use super::groups::Groups;
use super::options::BackendOptions;
use super::problem::Problem;
use super::settled::Settled;
use super::topology::{Service, ServiceName, Share, Topology};

/// The services, and what is wrong with the endpoints of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Backends {
    pub(super) services: OrdMap<ServiceName, Arc<Service>>,
    dead_ends: OrdMap<ServiceName, Vec<Problem>>,
}

/// What a backend is made of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) groups: &'a Groups,
    pub(super) settled: &'a Settled,
    pub(super) around: &'a Surroundings<'a>,
    /// What stood.
    pub(super) before: &'a Topology,
}

impl Backends {
    /// All of them anew. What is the same as before has the allocation it had.
    pub(super) fn all(parts: Parts<'_>) -> Self {
        let names: BTreeSet<&ServiceName> = parts.groups.names().chain(parts.settled.routed()).collect();
        Self::default().anew(names, parts)
    }

    /// These anew, and the others as they are.
    pub(super) fn anew<'s>(
        mut self,
        services: impl IntoIterator<Item = &'s ServiceName>,
        parts: Parts<'_>,
    ) -> Self {
        let nobody = Arc::new(Group::default());
        for service in services {
            let group = parts.groups.get(service).unwrap_or(&nobody);
            let is_routed = parts.settled.is_routed(service);
            let old = parts.before.services.get(service);
            let (endpoints, absent, problems) = endpoints::of(group, is_routed, parts.around, old);
            if is_routed {
                let made = Service {
                    name: service.clone(),
                    options: options(group, old),
                    variants: variants(group, old, parts.around.inventory.weights.get(&*service.0)),
                    endpoints,
                    absent,
                };
                let made = old.filter(|old| ***old == made).cloned().unwrap_or_else(|| Arc::new(made));
                if self.services.get(service).is_none_or(|old| !Arc::ptr_eq(old, &made)) {
                    self.services.insert(service.clone(), made);
                }
            } else {
                self.services.remove(service);
            }
            if problems.is_empty() {
                self.dead_ends.remove(service);
            } else {
                self.dead_ends.insert(service.clone(), problems);
            }
        }
        self
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.dead_ends.values().flatten()
    }
}

/// How a service is asked; as it was, where nobody says so rightly.
fn options(group: &Group, before: Option<&Arc<Service>>) -> Arc<BackendOptions> {
    let before = || before.map(|before| Arc::clone(&before.options));
    group.backend.clone().or_else(before).unwrap_or_default()
}

/// The variants that its members name; with the shares that they had, where nobody says so rightly. What was decided by
/// hand wins over both.
fn variants(
    group: &Group,
    before: Option<&Arc<Service>>,
    by_hand: Option<&BTreeMap<String, u32>>,
) -> BTreeMap<String, Share> {
    let mut labels = group.variants.clone();
    for member in group.members.iter().filter(|member| member.is_exposed()) {
        if !labels.contains_key(member.variant()) {
            let was = before.and_then(|before| before.variants.get(member.variant()));
            labels.insert(member.variant().to_owned(), was.map_or(member.claims.weight, |share| share.label));
        }
    }
    let share = |(name, label): (String, u32)| {
        let by_hand = by_hand.and_then(|by_hand| by_hand.get(&name)).copied();
        (name, Share { label, by_hand })
    };
    labels.into_iter().map(share).collect()
}
