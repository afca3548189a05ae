//! What changed, and when: a bounded list, written by comparing each state with the one before.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use imbl::ordmap::DiffItem;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use xds_server::{Progress, Snapshot};

use crate::inventory::{Health, Inventory, State, Workload};
use crate::model::{Endpoint, EndpointState, Service, Topology};
use crate::moment::exactly_written;
use crate::progress::Refused;
use crate::publish::View;

/// The oldest entries make room for new ones.
const ENTRIES: usize = 500;

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A container appeared, changed or is gone.
    Container,
    /// An endpoint entered a rotation, drains, or left it.
    Rotation,
    /// A version has another share of the requests.
    Weight,
    /// A snapshot was published.
    Published,
    /// A client has acknowledged all of a snapshot.
    Acknowledged,
    /// A client refused a resource.
    Refused,
    /// A client connected or left.
    Client,
    /// A problem came.
    Problem,
    /// A problem is solved.
    Solved,
    /// A host answers by a route more, one less, or another.
    Route,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Container => "container",
            Self::Rotation => "rotation",
            Self::Weight => "weight",
            Self::Published => "published",
            Self::Acknowledged => "acknowledged",
            Self::Refused => "refused",
            Self::Client => "client",
            Self::Problem => "problem",
            Self::Solved => "solved",
            Self::Route => "route",
        })
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// When it was seen.
    #[serde(serialize_with = "exactly_written")]
    pub at: SystemTime,
    /// What kind of change it is.
    pub kind: Kind,
    /// The container, service, host or client it is about.
    pub subject: String,
    /// What happened to it: the end of a sentence that begins with the subject.
    pub text: String,
}

/// The newest entries, and how long each client took. All clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    entries: watch::Sender<VecDeque<Entry>>,
    /// By the number of the stream: from the making of what it acknowledged last to the acknowledgement.
    lags: watch::Sender<BTreeMap<u64, Duration>>,
}

impl Timeline {
    /// One that goes on from what an earlier run has written, the oldest first.
    pub(crate) fn after_restart(entries: Vec<Entry>) -> Self {
        let mut entries: VecDeque<Entry> = entries.into();
        entries.drain(..entries.len().saturating_sub(ENTRIES));
        // Whoever follows goes by the numbers: there are no gaps, whatever the file says.
        let gaps = entries
            .iter()
            .zip(entries.iter().skip(1))
            .any(|(a, b)| b.number.checked_sub(a.number) != Some(1));
        if gaps {
            for (number, entry) in (1..).zip(&mut entries) {
                entry.number = number;
            }
        }
        Self { entries: watch::Sender::new(entries), ..Self::default() }
    }

    /// All entries, the newest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.borrow().iter().rev().cloned().collect()
    }

    /// The number of the newest entry; 0 where there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.entries.borrow().back().map_or(0, |entry| entry.number)
    }

    /// The entries that came after the one with this number, the oldest first. Those that had to make room are not among
    /// them.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<Entry> {
        let entries = self.entries.borrow();
        let known = entries.iter().rev().take_while(|entry| entry.number > number).count();
        entries.iter().skip(entries.len() - known).cloned().collect()
    }

    /// Changes with each entry.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<VecDeque<Entry>> {
        self.entries.subscribe()
    }

    /// How long each stream took with what it acknowledged last, by the stream's number.
    #[must_use]
    pub fn lags(&self) -> BTreeMap<u64, Duration> {
        self.lags.borrow().clone()
    }

    pub(crate) fn push(&self, at: SystemTime, kind: Kind, subject: &str, text: String) {
        self.entries.send_modify(|entries| {
            let number = entries.back().map_or(0, |entry| entry.number) + 1;
            if entries.len() == ENTRIES {
                entries.pop_front();
            }
            entries.push_back(Entry { number, at, kind, subject: subject.to_owned(), text });
        });
    }
}

/// Writes the timeline: remembers what it saw last, and compares.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    timeline: Timeline,
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
    pub(crate) fn new(timeline: Timeline) -> Self {
        Self { timeline, ..Self::default() }
    }

    fn write(&self, now: SystemTime, kind: Kind, subject: &str, text: impl Into<String>) {
        self.timeline.push(now, kind, subject, text.into());
    }

    /// The containers, as they are now.
    pub(crate) fn see_containers(&mut self, inventory: &Arc<Inventory>, now: SystemTime) {
        let Some(before) = self.inventory.replace(Arc::clone(inventory)) else {
            let count = inventory.workloads.len();
            return self.write(now, Kind::Container, "portolan", format!("sees {count} containers"));
        };
        if Arc::ptr_eq(&before, inventory) {
            return;
        }
        for change in before.workloads.diff(&inventory.workloads) {
            let (workload, text) = match change {
                DiffItem::Add(_, workload) => (workload, format!("appeared, {}", words(workload))),
                DiffItem::Remove(_, workload) => (workload, "is gone".to_owned()),
                DiffItem::Update { old: (_, old), new: (_, new) } if words(old) != words(new) => {
                    (new, format!("is {}", words(new)))
                }
                DiffItem::Update { old: (_, old), new: (_, new) } if old.labels != new.labels => {
                    (new, "has other labels".to_owned())
                }
                DiffItem::Update { .. } => continue,
            };
            self.write(now, Kind::Container, &workload.name, text);
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
            self.compare_routes(old, &view.model.topology, now);
        }
        let problems = before.as_ref().map_or(&[][..], |before| &before.model.problems);
        for problem in view.model.problems.iter().filter(|problem| problems.binary_search(problem).is_err()) {
            self.write(now, Kind::Problem, &problem.workload, format!("has a problem: {}", problem.reason));
        }
        for problem in problems.iter().filter(|problem| view.model.problems.binary_search(problem).is_err()) {
            self.write(
                now,
                Kind::Solved,
                &problem.workload,
                format!("has one problem less: {}", problem.reason),
            );
        }
        let version = view.snapshot.version();
        if before.is_none_or(|before| before.snapshot.version() != version) {
            let count = view.snapshot.len();
            let version = short(&version.to_string());
            self.write(now, Kind::Published, "portolan", format!("published {version}, {count} resources"));
        }
    }

    fn compare_rotation(&self, old: &Topology, new: &Topology, now: SystemTime) {
        let (mut before, mut after) = (Endpoints::new(), Endpoints::new());
        for change in old.services.diff(&new.services) {
            let (was, is) = match change {
                DiffItem::Add(_, is) => (None, Some(is)),
                DiffItem::Update { old: (_, was), new: (_, is) } => (Some(was), Some(is)),
                DiffItem::Remove(_, was) => (Some(was), None),
            };
            before.extend(was.into_iter().flat_map(|service| endpoints(service)));
            after.extend(is.into_iter().flat_map(|service| endpoints(service)));
        }
        for (key @ (service, _), endpoint) in &after {
            let old = before.get(key);
            if old == Some(endpoint) {
                continue;
            }
            let text = match endpoint.state {
                EndpointState::Ready => format!("is in rotation of {service} at {}", endpoint.address),
                EndpointState::Draining => format!("drains: no new requests of {service}"),
            };
            self.write(now, Kind::Rotation, &endpoint.workload, text);
        }
        for (key @ (service, _), endpoint) in &before {
            if !after.contains_key(key) {
                self.write(
                    now,
                    Kind::Rotation,
                    &endpoint.workload,
                    format!("left the rotation of {service}"),
                );
            }
        }
    }

    fn compare_weights(&self, old: &Topology, new: &Topology, now: SystemTime) {
        for change in old.services.diff(&new.services) {
            let DiffItem::Update { old: (name, before), new: (_, service) } = change else { continue };
            for (version, share) in &service.variants {
                if before.variants.get(version).is_none_or(|old| old == share) {
                    continue;
                }
                let who = match share.by_hand {
                    Some(_) => format!("by hand; its label says {}", share.label),
                    None => "as its label says".to_owned(),
                };
                let text = format!("gives version {version:?} the weight {}, {who}", share.weight());
                self.write(now, Kind::Weight, &name.0, text);
            }
        }
    }

    fn compare_routes(&self, old: &Topology, new: &Topology, now: SystemTime) {
        let none = Arc::default();
        for change in old.hosts.diff(&new.hosts) {
            let (host, before, after) = match change {
                DiffItem::Add(host, after) => (host, &none, after),
                DiffItem::Update { old: (_, before), new: (host, after) } => (host, before, after),
                DiffItem::Remove(host, before) => (host, before, &none),
            };
            let name = host.to_string();
            for route in after.iter().filter(|route| !before.contains(route)) {
                let mut text = format!("{} leads to {}", route.matches, route.service);
                if before.iter().any(|old| old.name == route.name) {
                    text += ", changed";
                }
                if *route.name != *route.service.0 {
                    text += &format!(": {}", route.name);
                }
                self.write(now, Kind::Route, &name, text);
            }
            for route in before.iter().filter(|route| after.iter().all(|new| new.name != route.name)) {
                self.write(
                    now,
                    Kind::Route,
                    &name,
                    format!("{} is no route any more: {}", route.matches, route.name),
                );
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
                self.write(now, Kind::Client, &name, format!("connected from {}", client.peer));
            }
            let refused = client.refusals.iter().map(|(kind, refusal)| Refused::of(*kind, refusal)).collect();
            let mut seen = Seen { name, refused, ..Seen::default() };
            let old = old.unwrap_or_default();
            for refusal in seen.refused.iter().filter(|refusal| !old.refused.contains(refusal)) {
                let text = format!("refused {} {}: {}", refusal.kind, refusal.name, refusal.reason);
                self.write(now, Kind::Refused, &seen.name, text);
            }
            seen.acknowledged = old.acknowledged;
            let version = snapshot.version().to_string();
            let settled = client.settled.filter(|(version, _)| *version == snapshot.version());
            let settled = settled.filter(|_| client.asked && seen.refused.is_empty());
            if let Some((_, since)) = settled.filter(|_| seen.acknowledged.as_ref() != Some(&version)) {
                let after = since.saturating_duration_since(snapshot.born());
                // One that comes back after a while has had it all the time.
                let text = if seen.acknowledged.is_some() {
                    self.timeline.lags.send_modify(|lags| {
                        lags.insert(client.id, after);
                    });
                    format!("acknowledged {}, {} ms after it was made", short(&version), after.as_millis())
                } else {
                    format!("has all of {}", short(&version))
                };
                self.write(now, Kind::Acknowledged, &seen.name, text);
                seen.acknowledged = Some(version);
            }
            self.clients.insert(client.id, seen);
        }
        for (id, gone) in before {
            self.timeline.lags.send_modify(|lags| {
                lags.remove(&id);
            });
            if !gone.name.is_empty() {
                self.write(now, Kind::Client, &gone.name, "disconnected");
            }
        }
    }
}

/// By service and container.
type Endpoints<'a> = BTreeMap<(&'a str, &'a str), &'a Endpoint>;

fn endpoints(service: &Service) -> impl Iterator<Item = ((&str, &str), &Endpoint)> {
    service.endpoints.iter().map(|endpoint| ((&*service.name.0, &*endpoint.id.0), endpoint))
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
