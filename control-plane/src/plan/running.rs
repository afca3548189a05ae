//! The system as it runs, by what its control plane says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::admin::container::from_message;
use crate::admin::pb;
use crate::inventory::Inventory;
use crate::model::{Options, Topology};
use crate::policies::{Policies, WEB};

/// What runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// The containers, and the weights that were set by hand.
    pub inventory: Arc<Inventory>,
    /// The control plane's settings.
    pub options: Options,
    /// Whether its view may be out of date.
    pub stale: bool,
    /// The routes that are served: host, path and service.
    served: BTreeSet<(String, String, String)>,
}

impl Running {
    /// What a control plane with these policies says.
    #[must_use]
    pub fn new(view: pb::GetViewResponse, policies: Arc<Policies>) -> Self {
        let mut inventory: Inventory = view.containers.into_iter().map(from_message).collect();
        for service in view.services {
            let by_hand = service.versions.into_iter().filter(|version| version.by_hand);
            let weights: BTreeMap<String, u32> = by_hand.map(|it| (it.name, it.weight)).collect();
            if !weights.is_empty() {
                inventory.weights.insert(service.name, weights);
            }
        }
        let options =
            Options { label_prefix: view.label_prefix, reserved_host: view.dashboard_host, policies };
        let site = |route: &pb::Route| match route.entry_point.as_str() {
            "" | WEB => route.host.clone(),
            entry => format!("{} at {entry}", route.host),
        };
        let served = view.routes.into_iter().map(|route| (site(&route), route.path, route.service)).collect();
        Self { inventory: Arc::new(inventory), options, stale: view.stale, served }
    }
}

impl Running {
    /// What is to be said where other routes are served than those of the containers as they are: some were kept from before.
    pub(super) fn differs(&self, topology: &Topology) -> Option<String> {
        let routes = topology.routes_in_order();
        let asked: BTreeSet<_> = routes
            .map(|(host, route)| (host.to_string(), route.matches.to_string(), route.service.to_string()))
            .collect();
        let others = self.served.symmetric_difference(&asked).map(|(host, path, _)| format!("{host} {path}"));
        let others: BTreeSet<String> = others.collect();
        (!others.is_empty()).then(|| {
            format!(
                "what is served is not only what the containers ask for now, but also what stood before (a mistake, or an older \
                 claim; or other policies than those of --policies): {}; this plan goes by what they ask for",
                others.into_iter().collect::<Vec<_>>().join(", ")
            )
        })
    }
}
