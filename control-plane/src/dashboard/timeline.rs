//! What changed, and when: a bounded list, written by comparing each state with the one before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::watch;
use xds_server::{Progress, Snapshot};

use crate::inventory::{Health, Inventory, State, Workload};
use crate::model::{Endpoint, EndpointState, Service, Topology};
use crate::publish::View;

use super::picture::{Refused, exact_time};

/// The oldest entries make room for new ones.
const ENTRIES: usize = 500;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    /// When it was seen.
    pub(crate) at: String,
    /// `container`, `rotation`, `weight`, `published`, `acknowledged`, `refused`, `client`, `problem` or `solved`.
    pub(crate) kind: &'static str,
    /// The container, service or client it is about.
    pub(crate) subject: String,
    /// What happened to it: the end of a sentence that begins with the subject.
    pub(crate) text: String,
}

/// The newest entries. All clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline(watch::Sender<VecDeque<Entry>>);

impl Timeline {
    /// All entries, the newest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.borrow().iter().rev().cloned().collect()
    }

    fn push(&self, entry: Entry) {
        self.0.send_modify(|entries| {
            if entries.len() == ENTRIES {
                entries.pop_front();
            }
            entries.push_back(entry);
        });
    }
}

/// How long each stream took with what it acknowledged last, by the stream's number. All clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lags(watch::Sender<BTreeMap<u64, Duration>>);

impl Lags {
    pub(crate) fn all(&self) -> BTreeMap<u64, Duration> {
        self.0.borrow().clone()
    }
}

/// Writes the timeline: remembers what it saw last, and compares.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    timeline: Timeline,
    lags: Lags,
    inventory: Option<Arc<Inventory>>,
    view: Option<Arc<View>>,
    clients: BTreeMap<u64, Seen>,
}

/// What was known of a client when it was last looked at.
#[derive(Debug, Default)]
struct Seen {
    name: String,
    refused: Vec<Refused>,
    /// Of what it has acknowledged as a whole.
    acknowledged: Option<String>,
}

impl Recorder {
    pub(crate) fn new(timeline: Timeline, lags: Lags) -> Self {
        Self { timeline, lags, ..Self::default() }
    }

    fn write(&self, now: SystemTime, kind: &'static str, subject: &str, text: impl Into<String>) {
        let entry = Entry { at: exact_time(now), kind, subject: subject.to_owned(), text: text.into() };
        self.timeline.push(entry);
    }

    /// The containers, as they are now.
    pub(crate) fn see_containers(&mut self, inventory: &Arc<Inventory>, now: SystemTime) {
        let Some(before) = self.inventory.replace(Arc::clone(inventory)) else {
            let count = inventory.workloads.len();
            return self.write(now, "container", "portolan", format!("sees {count} containers"));
        };
        if Arc::ptr_eq(&before, inventory) {
            return;
        }
        for (id, workload) in &inventory.workloads {
            match before.workloads.get(id) {
                None => {
                    self.write(now, "container", &workload.name, format!("appeared, {}", words(workload)))
                }
                Some(old) if Arc::ptr_eq(old, workload) => {}
                Some(old) if words(old) != words(workload) => {
                    self.write(now, "container", &workload.name, format!("is {}", words(workload)));
                }
                Some(old) if old.labels != workload.labels => {
                    self.write(now, "container", &workload.name, "has other labels");
                }
                Some(_) => {}
            }
        }
        for (id, workload) in &before.workloads {
            if !inventory.workloads.contains_key(id) {
                self.write(now, "container", &workload.name, "is gone");
            }
        }
    }

    /// What is made of them.
    pub(crate) fn see_view(&mut self, view: &Arc<View>, now: SystemTime) {
        let before = self.view.replace(Arc::clone(view));
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, view)) {
            return;
        }
        let nothing = Topology::default();
        let old = before.as_ref().map_or(&nothing, |before| &before.model.topology);
        // All at once at the start would push out what matters.
        if before.is_some() {
            self.compare_rotation(old, &view.model.topology, now);
            self.compare_weights(old, &view.model.topology, now);
        }
        let problems = before.as_ref().map_or(&[][..], |before| &before.model.problems);
        for problem in view.model.problems.iter().filter(|problem| problems.binary_search(problem).is_err()) {
            self.write(now, "problem", &problem.workload, format!("has a problem: {}", problem.reason));
        }
        for problem in problems.iter().filter(|problem| view.model.problems.binary_search(problem).is_err()) {
            self.write(now, "solved", &problem.workload, format!("has one problem less: {}", problem.reason));
        }
        let version = view.snapshot.version();
        if before.is_none_or(|before| before.snapshot.version() != version) {
            let count = view.snapshot.len();
            let version = short(&version.to_string());
            self.write(now, "published", "portolan", format!("published {version}, {count} resources"));
        }
    }

    fn compare_rotation(&self, old: &Topology, new: &Topology, now: SystemTime) {
        // A service that did not change is shared between the two: of a thousand, an event leaves all but one.
        let endpoints = |topology: &Topology, other: &Topology| -> BTreeMap<(String, String), Endpoint> {
            let same = |service: &Arc<Service>| {
                other.services.get(&service.name).is_some_and(|other| Arc::ptr_eq(other, service))
            };
            let all = topology.services.values().filter(|service| !same(service)).flat_map(|service| {
                service
                    .endpoints
                    .iter()
                    .map(|each| ((service.name.to_string(), each.id.0.to_string()), each.clone()))
            });
            all.collect()
        };
        let (before, after) = (endpoints(old, new), endpoints(new, old));
        for (key @ (service, _), endpoint) in &after {
            let old = before.get(key);
            if old == Some(endpoint) {
                continue;
            }
            let text = match endpoint.state {
                EndpointState::Ready => format!("is in rotation of {service} at {}", endpoint.address),
                EndpointState::Draining => format!("drains: no new requests of {service}"),
            };
            self.write(now, "rotation", &endpoint.workload, text);
        }
        for (key @ (service, _), endpoint) in &before {
            if !after.contains_key(key) {
                self.write(now, "rotation", &endpoint.workload, format!("left the rotation of {service}"));
            }
        }
    }

    fn compare_weights(&self, old: &Topology, new: &Topology, now: SystemTime) {
        for (name, service) in &new.services {
            let Some(before) = old.services.get(name).filter(|old| !Arc::ptr_eq(old, service)) else {
                continue;
            };
            for (version, share) in &service.variants {
                if before.variants.get(version).is_none_or(|old| old == share) {
                    continue;
                }
                let who = match share.by_hand {
                    Some(_) => format!("by hand; its label says {}", share.label),
                    None => "as its label says".to_owned(),
                };
                let text = format!("gives version {version:?} the weight {}, {who}", share.weight());
                self.write(now, "weight", &name.0, text);
            }
        }
    }

    /// Those who are served.
    pub(crate) fn see_clients(&mut self, clients: &[Progress], snapshot: &Snapshot, now: SystemTime) {
        let mut before = std::mem::take(&mut self.clients);
        for client in clients {
            let old = before.remove(&client.id);
            let name = client.node.as_ref().map_or("", |node| &node.id);
            let name = if name.is_empty() { client.peer.clone() } else { name.to_owned() };
            if client.node.is_some() && old.as_ref().is_none_or(|old| old.name != name) {
                self.write(now, "client", &name, format!("connected from {}", client.peer));
            }
            let refused = client.refusals.iter().map(|(kind, refusal)| Refused::of(*kind, refusal)).collect();
            let mut seen = Seen { name, refused, ..Seen::default() };
            let old = old.unwrap_or_default();
            for refusal in seen.refused.iter().filter(|refusal| !old.refused.contains(refusal)) {
                let text = format!("refused {} {}: {}", refusal.kind, refusal.name, refusal.reason);
                self.write(now, "refused", &seen.name, text);
            }
            seen.acknowledged = old.acknowledged;
            let version = snapshot.version().to_string();
            let settled = client.settled.filter(|(version, _)| *version == snapshot.version());
            let settled = settled.filter(|_| client.asked && seen.refused.is_empty());
            if let Some((_, since)) = settled.filter(|_| seen.acknowledged.as_ref() != Some(&version)) {
                let after = since.saturating_duration_since(snapshot.born());
                // One that comes back after a while has had it all the time.
                let text = if seen.acknowledged.is_some() {
                    self.lags.0.send_modify(|lags| {
                        lags.insert(client.id, after);
                    });
                    format!("acknowledged {}, {} ms after it was made", short(&version), after.as_millis())
                } else {
                    format!("has all of {}", short(&version))
                };
                self.write(now, "acknowledged", &seen.name, text);
                seen.acknowledged = Some(version);
            }
            self.clients.insert(client.id, seen);
        }
        for (id, gone) in before {
            self.lags.0.send_modify(|lags| {
                lags.remove(&id);
            });
            if !gone.name.is_empty() {
                self.write(now, "client", &gone.name, "disconnected");
            }
        }
    }
}

/// As on the pages: enough of a version to tell two apart.
fn short(version: &str) -> String {
    version.chars().take(8).collect()
}

/// Where a container is in its life.
fn words(workload: &Workload) -> &'static str {
    match (workload.state, workload.health) {
        (State::Created, _) => "created",
        (State::Running, Health::None) => "running",
        (State::Running, Health::Starting) => "running, its health check has not succeeded yet",
        (State::Running, Health::Healthy) => "running and healthy",
        (State::Running, Health::Unhealthy) => "running and unhealthy",
        (State::Stopping, _) => "told to stop",
        (State::Paused, _) => "paused",
        (State::Stopped, _) => "stopped",
    }
}

#[cfg(test)]
mod tests;
