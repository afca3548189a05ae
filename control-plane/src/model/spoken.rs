//! Who said last how a service is asked, where nobody who is there says so rightly: it is asked as it was, by a later run too.
//!
//! That is so where each of its workloads has a mistake in a label about itself, and where it has none any more and a route
//! that stands still sends it requests, or copies of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use crate::inventory::Workload;

use super::backends::Backends;
use super::build::Model;
use super::group::{Group, Member};
use super::groups::Groups;
use super::topology::{Service, ServiceName, Share};

/// Of each such service one workload for each of its variants, by the variant's name.
pub(super) type Spoken = OrdMap<ServiceName, BTreeMap<String, Arc<Workload>>>;

/// Notes who spoke last for these services, after what `before` knew.
pub(super) fn note<'a>(
    spoken: &mut Spoken,
    services: impl IntoIterator<Item = &'a ServiceName>,
    backends: &Backends,
    groups: &Groups,
    before: Option<&Model>,
) {
    let Some(before) = before else { return };
    for service in services {
        let stands = backends.services.contains_key(service);
        let is_told = groups.get(service).is_some_and(|group| says_all(group));
        let last = if stands && !is_told { said_last(service, before) } else { BTreeMap::new() };
        if last.is_empty() {
            spoken.remove(service);
        } else {
            spoken.insert(service.clone(), last);
        }
    }
}

/// Whether its own workloads say how the service is asked, and of each variant which share it has.
fn says_all(group: &Group) -> bool {
    let mut exposed = group.members.iter().filter(|member| member.is_exposed());
    group.backend.is_some() && exposed.all(|member| group.variants.contains_key(member.variant()))
}

fn said_last(service: &ServiceName, before: &Model) -> BTreeMap<String, Arc<Workload>> {
    let mut last = before.spoken.get(service).cloned().unwrap_or_default();
    let group = before.made_of.as_ref().and_then(|made_of| made_of.groups.get(service));
    // The most senior of those that say what they all do comes last, and stays.
    for member in group.iter().flat_map(|group| speakers(group)).rev() {
        last.insert(member.variant().to_owned(), Arc::clone(&member.workload));
    }
    last
}

/// Those who say what the whole group does.
fn speakers(group: &Group) -> impl DoubleEndedIterator<Item = &Member> {
    group.members.iter().filter(move |member| {
        let claims = &member.claims;
        member.is_exposed()
            && claims.broken.is_empty()
            && group.backend.as_deref() == Some(&claims.backend)
            && group.variants.get(member.variant()) == Some(&claims.weight)
    })
}

/// Lets the service of a workload be asked as that one says, where it is `alone`; its variants are those that others have
/// named before, and its own.
pub(super) fn recall(recalled: &mut Model, workload: &Arc<Workload>, alone: &Model) {
    let Some(made_of) = &alone.made_of else { return };
    let groups = made_of.groups.names().filter_map(|service| Some((service, made_of.groups.get(service)?)));
    for (service, group) in groups {
        let Some(options) = &group.backend else { continue };
        let earlier = recalled.topology.services.get(service);
        let mut variants = earlier.map(|earlier| earlier.variants.clone()).unwrap_or_default();
        let shares =
            group.variants.iter().map(|(name, label)| (name, Share { label: *label, by_hand: None }));
        variants.extend(shares.map(|(name, share)| (name.clone(), share)));
        let spoken = recalled.spoken.entry(service.clone()).or_default();
        spoken.extend(group.variants.keys().map(|name| (name.clone(), Arc::clone(workload))));
        let options = Arc::clone(options);
        let (name, endpoints, absent) = (service.clone(), Vec::new(), Vec::new());
        let asked = Service { name, options, variants, endpoints, absent };
        recalled.topology.services.insert(service.clone(), Arc::new(asked));
    }
}
