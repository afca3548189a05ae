//! Two models beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Changes, Cluster, Endpoint, Label, Route, Running, Weight};
use crate::inventory::{Inventory, WorkloadId};
use crate::model::label::KEYS;
use crate::model::{self, EndpointState, Model, Problem, ServiceName, Topology};

/// The system now and then.
pub(super) struct Sides<'a> {
    pub(super) running: &'a Running,
    pub(super) inventory: &'a Inventory,
    pub(super) now: &'a Model,
    pub(super) then: &'a Model,
    /// Containers whose addresses nobody knows yet.
    pub(super) new: &'a BTreeSet<WorkloadId>,
}

/// What stands on both sides by one key, and how each becomes a line.
fn compare<'a, K: Ord, V, T>(
    now: &'a BTreeMap<K, V>,
    then: &'a BTreeMap<K, V>,
    line: impl Fn(&'a K, &'a V) -> T,
    change: impl Fn(&'a K, &'a V, &'a V) -> Option<T>,
) -> Changes<T> {
    let only = |one: &'a BTreeMap<K, V>, other: &BTreeMap<K, V>| {
        one.iter().filter(|(key, _)| !other.contains_key(key)).map(|(key, value)| line(key, value)).collect()
    };
    let both = now.iter().filter_map(|(key, was)| Some((key, was, then.get(key)?)));
    Changes {
        added: only(then, now),
        changed: both.filter_map(|(key, was, is)| change(key, was, is)).collect(),
        removed: only(now, then),
    }
}

impl<'a> Sides<'a> {
    pub(super) fn routes(&self) -> Changes<Route> {
        let places = |topology: &'a Topology| -> BTreeMap<_, &'a model::Route> {
            topology.routes_in_order().map(|(site, route)| ((site, &route.matches), route)).collect()
        };
        let (now, then) = (places(&self.now.topology), places(&self.then.topology));
        let line = |(site, matches): &(&model::Site, &model::Match), route: &&model::Route| Route {
            host: site.host.to_string(),
            entry_point: site.entry.to_string(),
            path: matches.to_string(),
            route: route.name.clone(),
            service: route.service.to_string(),
            was: None,
            labels: Vec::new(),
        };
        let change = |place: &(&model::Site, &model::Match), was: &&model::Route, is: &&model::Route| {
            let same = was.name == is.name && was.priority == is.priority && was.service == is.service;
            if same && was.options == is.options {
                return None;
            }
            let service = (was.service != is.service).then(|| was.service.to_string());
            let labels =
                if service.is_some() { Vec::new() } else { self.labels(&is.service, Some(&is.name)) };
            Some(Route { was: service, labels, ..line(place, is) })
        };
        compare(&now, &then, line, change)
    }

    pub(super) fn services(&self) -> Changes<Cluster> {
        let all = |topology: &'a Topology| -> BTreeMap<&'a ServiceName, &'a Arc<model::Service>> {
            topology.services.iter().collect()
        };
        let (now, then) = (all(&self.now.topology), all(&self.then.topology));
        let line = |name: &&ServiceName, _: &&Arc<model::Service>| Cluster {
            service: name.to_string(),
            labels: Vec::new(),
        };
        let change = |name: &&ServiceName, was: &&Arc<model::Service>, is: &&Arc<model::Service>| {
            (was.options != is.options)
                .then(|| Cluster { service: name.to_string(), labels: self.labels(name, None) })
        };
        compare(&now, &then, line, change)
    }

    pub(super) fn endpoints(&self) -> Changes<Endpoint> {
        let all = |topology: &'a Topology| -> BTreeMap<(String, &'a str), &'a model::Endpoint> {
            let of = |service: &'a Arc<model::Service>| {
                service.endpoints.iter().map(|it| ((service.name.to_string(), it.workload.as_str()), it))
            };
            topology.services.values().flat_map(of).collect()
        };
        let (now, then) = (all(&self.now.topology), all(&self.then.topology));
        let line = |(service, container): &(String, &str), it: &&model::Endpoint| Endpoint {
            service: service.clone(),
            container: (*container).to_owned(),
            at: self.place(it),
            was: None,
            guessed: self.new.contains(&it.id),
        };
        let change = |key: &(String, &str), was: &&model::Endpoint, is: &&model::Endpoint| {
            (was != is).then(|| Endpoint { was: Some(self.place(was)), ..line(key, is) })
        };
        compare(&now, &then, line, change)
    }

    fn place(&self, endpoint: &model::Endpoint) -> String {
        let mut text = match self.new.contains(&endpoint.id) && endpoint.network.is_some() {
            true => format!("a new address, port {}", endpoint.address.port()),
            false => endpoint.address.to_string(),
        };
        if let Some(network) = &endpoint.network {
            text += &format!(" on {network}");
        }
        if !endpoint.version.is_empty() {
            text += &format!(", version {}", endpoint.version);
        }
        if endpoint.state == EndpointState::Draining {
            text += ", draining";
        }
        text
    }

    pub(super) fn weights(&self) -> Changes<Weight> {
        let all = |topology: &'a Topology| -> BTreeMap<(String, &'a str), u32> {
            let of = |service: &'a Arc<model::Service>| {
                let share = |(version, share): (&'a String, &model::Share)| {
                    ((service.name.to_string(), version.as_str()), share.weight())
                };
                service.variants.iter().map(share)
            };
            // A service that comes or goes has no share that changes.
            let both = |service: &&Arc<model::Service>| {
                [self.now, self.then].iter().all(|side| side.topology.services.contains_key(&service.name))
            };
            topology.services.values().filter(both).flat_map(of).collect()
        };
        let (now, then) = (all(&self.now.topology), all(&self.then.topology));
        let line = |(service, version): &(String, &str), weight: &u32| Weight {
            service: service.clone(),
            version: (*version).to_owned(),
            weight: *weight,
            was: None,
        };
        let change = |key: &(String, &str), was: &u32, is: &u32| {
            (was != is).then(|| Weight { was: Some(*was), ..line(key, is) })
        };
        compare(&now, &then, line, change)
    }

    /// Services of which every container that takes requests is made anew: Compose stops all of them before one is ready.
    pub(super) fn interruptions(&self) -> Vec<String> {
        let is_interrupted = |service: &&Arc<model::Service>| {
            let then = self.then.topology.services.get(&service.name).map(|then| &then.endpoints);
            let stays = |id: &WorkloadId| then.is_some_and(|then| then.iter().any(|it| it.id == *id));
            let is_ready = |it: &&model::Endpoint| it.state == EndpointState::Ready;
            let mut ready = service.endpoints.iter().filter(is_ready).peekable();
            ready.peek().is_some()
                && then.is_some_and(|then| !then.is_empty())
                && ready.all(|it| !stays(&it.id))
        };
        let interrupted = self.now.topology.services.values().filter(is_interrupted);
        let told = interrupted.map(|service| {
            let name = &service.name;
            let mut routes = self.now.topology.routes_in_order().filter(|(_, route)| route.service == *name);
            let is_tcp = routes.all(|(_, route)| route.matches.is_connection);
            let what = if is_tcp { "its connections are closed" } else { "it answers 503" };
            format!("{name}: all its containers are made anew, and until one is healthy {what}; `portolan rollout` avoids that")
        });
        told.collect()
    }

    /// The labels of a service's containers that differ: those about one of its routes, or those about the service.
    fn labels(&self, service: &ServiceName, route: Option<&str>) -> Vec<Label> {
        let labels = |model: &'a Model, inventory: &'a Inventory| -> BTreeMap<&'a str, &'a str> {
            let service = model.topology.services.get(service);
            let ids = service.into_iter().flat_map(|service| {
                let absent = service.absent.iter().map(|absent| &absent.id);
                service.endpoints.iter().map(|endpoint| &endpoint.id).chain(absent)
            });
            let workloads = ids.filter_map(|id| inventory.workloads.get(id));
            workloads
                .flat_map(|it| it.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())))
                .collect()
        };
        let now = labels(self.now, &self.running.inventory);
        let then = labels(self.then, self.inventory);
        let name = route.map(|route| route.rsplit_once('#').map_or("", |(_, name)| name));
        let all: BTreeSet<&str> = now.keys().chain(then.keys()).copied().collect();
        let prefix = &self.running.options.label_prefix;
        // Of a route it is a part where it says by what requests are spread.
        let spreads =
            |label: &str| [now.get(label), then.get(label)].iter().flatten().any(|value| value.contains(':'));
        let is_part = |label: &str| route.is_none() || label != format!("{prefix}.lb") || spreads(label);
        let about = all.into_iter().filter(|label| is_about(label, prefix, name) && is_part(label));
        about
            .filter(|label| now.get(label) != then.get(label))
            .map(|label| Label {
                label: label.to_owned(),
                was: now.get(label).map(|value| (*value).to_owned()),
                is: then.get(label).map(|value| (*value).to_owned()),
            })
            .collect()
    }
}

/// Whether a label is about the route of that name (the short form's is empty), or about the service.
fn is_about(label: &str, prefix: &str, route: Option<&str>) -> bool {
    let Some(key) = label.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else { return false };
    let of_route = key.strip_prefix("routes.").and_then(|rest| rest.split_once('.'));
    let is_of_service = KEYS.iter().any(|row| row.name == key && row.is_of_service());
    match (route, of_route) {
        (None, _) => is_of_service,
        (Some(""), None) => !is_of_service || matches!(key, "sticky" | "lb" | "protocol"),
        (Some(name), Some((of, _))) => name == of,
        // These end in each of the service's routes.
        (Some(_), None) => matches!(key, "sticky" | "lb" | "protocol"),
    }
}

/// The problems of `of` that `others` has not.
pub(super) fn missing(of: &[Problem], others: &[Problem]) -> Vec<String> {
    // A container that is made anew is another one, and says the same.
    let others: BTreeSet<String> = others.iter().map(Problem::to_string).collect();
    of.iter().map(Problem::to_string).filter(|problem| !others.contains(problem)).collect()
}
