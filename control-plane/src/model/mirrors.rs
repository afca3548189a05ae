//! Who is meant by the labels that name another service.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Options;
use super::group::{Claimed, Member};
use super::groups::Groups;
use super::label;
use super::options::{Mirror, RouteOptions};
use super::problem::{Kind, Problem};
use super::topology::ServiceName;

/// The services that mirrors lead to, by project and the name in the label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mirrors {
    known: BTreeMap<(Option<String>, ServiceName), ServiceName>,
    problems: Vec<Problem>,
}

impl Mirrors {
    pub(super) fn of(groups: &Groups, options: &Options) -> Self {
        let mut mirrors = Self::default();
        for bid in groups.mirroring().flat_map(|group| &group.bids) {
            let Some(claim) = &bid.claim else { continue };
            let Some(mirror) = &claim.route.options.mirror else { continue };
            let found = meant(mirror, claim, groups);
            if found.is_none() {
                let (id, workload) = claim.by.clone();
                let reason = format!("there is no service {} that could get copies", mirror.service);
                let fix = format!(
                    "name one that has a route, or give its containers {}: \"true\"",
                    label::label_of(&options.label_prefix, label::DEFAULT_ROUTE, "enable")
                );
                let label = label::label_of(&options.label_prefix, &bid.name, "mirror");
                let problem = Problem::of(workload, id, reason, fix).at(&label, &mirror.to_string());
                mirrors.problems.push(problem.about(Kind::UnknownService));
            }
            let key = (claim.project.clone(), mirror.service.clone());
            mirrors.known.extend(found.map(|service| (key, service)));
        }
        mirrors
    }

    /// The options of a route, with the full name of the service that gets copies.
    pub(super) fn resolved(&self, claim: &Claimed) -> Arc<RouteOptions> {
        let options = &claim.route.options;
        let Some(mirror) = &options.mirror else { return Arc::clone(options) };
        let key = (claim.project.clone(), mirror.service.clone());
        // Where it is not there the route stands, and nobody gets a copy.
        let service = self.known.get(&key).cloned();
        let mirror = service.map(|service| Mirror { service, percent: mirror.percent });
        Arc::new(RouteOptions { mirror, ..RouteOptions::clone(options) })
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

/// The service of that name in the same Compose project, else the one whose whole name it is.
fn meant(mirror: &Mirror, claim: &Claimed, groups: &Groups) -> Option<ServiceName> {
    let full = claim.project.as_ref().map(|project| format!("{project}/{}", mirror.service));
    let full = full.map(|name| ServiceName(name.into()));
    let is_there = |name: &ServiceName| {
        groups.get(name).is_some_and(|group| group.members.iter().any(Member::is_exposed))
    };
    full.into_iter().chain([mirror.service.clone()]).find(is_there)
}
