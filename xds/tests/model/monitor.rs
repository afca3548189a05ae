//! What is said on one stream, and what no server may say.

use std::collections::{BTreeMap, BTreeSet};

use xds_server::session::{Protocol, Request, Response, Wants};
use xds_server::{Kind, Name, Snapshot, Version};

use super::{PerKind, Verdict, at, ensure};

/// What became of names in a response: a version, or nothing where the response takes the name away.
type Changes = BTreeMap<Name, Option<Version>>;

/// Watches one stream from outside.
#[derive(Debug)]
pub struct Monitor {
    protocol: Protocol,
    nonces: BTreeSet<String>,
    wires: PerKind<Wire>,
}

#[derive(Debug, Default)]
struct Wire {
    asked: bool,
    wildcard: bool,
    names: BTreeSet<Name>,
    outstanding: Option<Sent>,
    accepted: BTreeMap<Name, Version>,
    /// What the client said it had when it came, by version.
    inherited: BTreeMap<Name, String>,
    /// Refused when it was alone in a response.
    convicted: Changes,
    /// Refused, alone or not.
    refused: BTreeSet<(Name, Version)>,
    /// Names there is a reason to send, changed or not.
    due: BTreeSet<Name>,
    /// Names that the client asked for since, or assignments of clusters that were sent since: a cluster may warm on them.
    warming: BTreeSet<Name>,
    /// An answer is due, even one that says nothing new.
    answer_due: bool,
}

#[derive(Debug)]
struct Sent {
    nonce: String,
    changes: Changes,
    /// Whether the client let go of something in it since.
    diminished: bool,
}

impl Monitor {
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, nonces: BTreeSet::new(), wires: Default::default() }
    }

    /// Whether the server has an answer of every type it sent.
    pub fn is_idle(&self) -> bool {
        self.wires.iter().all(|wire| wire.outstanding.is_none())
    }

    /// The server is about to read `request`.
    pub fn on_request(&mut self, request: &Request, snapshot: Option<&Snapshot>) {
        let wire = &mut self.wires[at(request.kind)];
        let first = !std::mem::replace(&mut wire.asked, true);
        if !first {
            wire.answered(&request.nonce, request.refused.is_some());
            snapshot.into_iter().for_each(|snapshot| wire.look_at(request.kind, self.protocol, snapshot));
        }
        wire.answer_due |= first;
        match &request.wants {
            Wants::Names(names) => wire.replace(request.kind, names),
            Wants::Update { subscribe, unsubscribe, initial_versions } => {
                if first {
                    let inherited = initial_versions
                        .iter()
                        .map(|(name, version)| (name.as_str().into(), version.clone()));
                    wire.inherited = inherited.collect();
                }
                wire.update(request.kind, first, subscribe, unsubscribe);
            }
        }
    }

    /// The server is about to take in `snapshot`.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) {
        for kind in Kind::ALL {
            self.wires[at(kind)].look_at(kind, self.protocol, snapshot);
        }
    }

    /// The server said `response` while `snapshot` was the newest.
    pub fn on_response(&mut self, response: &Response, snapshot: &Snapshot) -> Verdict {
        let kind = response.kind;
        ensure!(self.nonces.insert(response.nonce.clone()), "nonce {:?} was used before", response.nonce);
        let wire = &mut self.wires[at(kind)];
        ensure!(wire.asked, "nobody asked for {kind}: {response:?}");
        ensure!(wire.outstanding.is_none(), "a second response while one is unanswered: {response:?}");
        let names = response.resources.iter().map(|resource| resource.name()).chain(&response.removed);
        ensure!(
            names.clone().collect::<BTreeSet<_>>().len() == names.count(),
            "a name occurs twice: {response:?}"
        );
        ensure!(
            response.resources.iter().all(|r| r.kind() == kind),
            "resources of another type: {response:?}"
        );
        for resource in &response.resources {
            ensure!(wire.covers(resource.name()), "nobody asked for {resource:?}");
        }
        let whole = self.protocol == Protocol::StateOfTheWorld && kind.is_full_state();
        let changes = if whole { wire.whole(response, snapshot)? } else { wire.partial(response, snapshot)? };
        ensure!(
            self.protocol == Protocol::Delta || response.removed.is_empty(),
            "removed_resources in state of the world: {response:?}"
        );
        ensure!(!changes.is_empty() || wire.answer_due, "this says nothing new: {response:?}");
        for (name, step) in &changes {
            // A cluster warms on what there is; what the client never had it does not refuse to lose; and what it has
            // already is sent when it asks for it.
            let had = wire.accepted.get(name).copied() == *step
                || step.is_some_and(|step| wire.inherits(name, step));
            ensure!(
                wire.convicted.get(name) != Some(step)
                    || had
                    || (kind == Kind::Endpoint && wire.warming.contains(name)),
                "{kind} {name} was refused at this version, and is sent again: {response:?}"
            );
        }
        wire.answer_due = false;
        wire.due.retain(|name| !changes.contains_key(name));
        wire.warming.retain(|name| !changes.contains_key(name));
        wire.outstanding = Some(Sent { nonce: response.nonce.clone(), changes, diminished: false });
        if kind == Kind::Cluster {
            let assignments = response.resources.iter().filter_map(|r| r.references().assignment.clone());
            let endpoints = &mut self.wires[at(Kind::Endpoint)];
            endpoints.warming.extend(assignments.clone());
            endpoints.due.extend(assignments);
        }
        Ok(())
    }
}

impl Wire {
    fn covers(&self, name: &Name) -> bool {
        self.wildcard || self.names.contains(name)
    }

    fn inherits(&self, name: &Name, version: Version) -> bool {
        self.inherited.get(name).is_some_and(|inherited| *inherited == version.to_string())
    }

    fn answered(&mut self, nonce: &str, refused: bool) {
        let Some(sent) = self.outstanding.take_if(|sent| sent.nonce == nonce) else { return };
        if refused {
            // Whether the client took in a part of it is not known: it may be told again.
            self.due.extend(sent.changes.keys().cloned());
            self.refused
                .extend(sent.changes.iter().filter_map(|(name, step)| Some((name.clone(), (*step)?))));
            if sent.changes.len() == 1 && !sent.diminished {
                self.convicted.extend(sent.changes);
            }
            return;
        }
        for (name, step) in sent.changes {
            self.inherited.remove(&name);
            match step {
                Some(version) => drop(self.accepted.insert(name, version)),
                None => drop(self.accepted.remove(&name)),
            }
        }
    }

    /// What was refused may be tried again after it was something else for a while. State of the world: nobody can say
    /// that a route or an assignment is gone, so once it was, it may be sent again as it is.
    fn look_at(&mut self, kind: Kind, protocol: Protocol, snapshot: &Snapshot) {
        self.convicted
            .retain(|name, step| snapshot.get(kind, name).map(|resource| resource.version()) == *step);
        if protocol == Protocol::StateOfTheWorld && !kind.is_full_state() {
            let gone = self.accepted.keys().filter(|name| snapshot.get(kind, name).is_none());
            self.due.extend(gone.cloned());
        }
    }

    fn forget(&mut self, name: &Name) {
        self.accepted.remove(name);
        self.inherited.remove(name);
        self.convicted.remove(name);
        self.due.remove(name);
        if let Some(sent) = &mut self.outstanding {
            sent.diminished |= sent.changes.remove(name).is_some();
        }
    }

    fn replace(&mut self, kind: Kind, names: &[String]) {
        let star = names.iter().any(|name| name == "*");
        let legacy = kind.allows_wildcard() && names.is_empty() && (self.wildcard || self.names.is_empty());
        let wildcard = star || legacy;
        self.answer_due |= wildcard && !self.wildcard;
        self.wildcard = wildcard;
        let wanted: BTreeSet<Name> = names.iter().filter(|n| *n != "*").map(|n| n.as_str().into()).collect();
        let old = std::mem::replace(&mut self.names, wanted);
        for name in self.names.difference(&old) {
            self.due.insert(name.clone());
            self.answer_due = true;
        }
        let dropped: Vec<Name> = old.difference(&self.names).cloned().collect();
        for name in dropped {
            if wildcard {
                self.due.insert(name);
            } else {
                self.forget(&name);
            }
        }
    }

    fn update(&mut self, kind: Kind, first: bool, subscribe: &[String], unsubscribe: &[String]) {
        self.wildcard |= kind.allows_wildcard() && first && subscribe.is_empty();
        for name in subscribe {
            if name == "*" {
                (self.wildcard, self.answer_due) = (true, true);
            } else {
                self.names.insert(name.as_str().into());
                self.due.insert(name.as_str().into());
                self.warming.insert(name.as_str().into());
            }
        }
        for name in unsubscribe {
            let name: Name = name.as_str().into();
            self.names.remove(&name);
            if self.wildcard {
                self.due.insert(name);
            } else {
                self.forget(&name)
            }
        }
    }

    /// A response that lists what changed, and nothing that did not.
    fn partial(&self, response: &Response, snapshot: &Snapshot) -> Result<Changes, String> {
        for resource in &response.resources {
            let (kind, name) = (resource.kind(), resource.name());
            let newest = snapshot.get(kind, name);
            // A cluster on its way needs an assignment even where that went meanwhile, or was refused.
            let refused = newest.is_none_or(|r| self.refused.contains(&(name.clone(), r.version())));
            let needed = refused && kind == Kind::Endpoint && self.due.contains(name);
            ensure!(newest == Some(resource) || needed, "{resource:?} is sent, but the newest is {newest:?}");
            let version = resource.version();
            let same = self.accepted.get(name) == Some(&version) || self.inherits(name, version);
            ensure!(!same || self.due.contains(name), "{resource:?} is sent for no reason");
        }
        for name in &response.removed {
            let had = self.accepted.contains_key(name) || self.inherited.contains_key(name);
            ensure!(had || self.due.contains(name), "{name} is removed, and was never there");
            ensure!(
                snapshot.get(response.kind, name).is_none() || !self.covers(name),
                "{name} is removed, and is still there"
            );
        }
        let sent = response.resources.iter().map(|r| (r.name().clone(), Some(r.version())));
        Ok(sent.chain(response.removed.iter().map(|name| (name.clone(), None))).collect())
    }

    /// A response that lists everything: what it does not list is gone.
    fn whole(&self, response: &Response, snapshot: &Snapshot) -> Result<Changes, String> {
        let mut changes = Changes::new();
        for resource in &response.resources {
            let name = resource.name();
            if self.accepted.get(name) != Some(&resource.version()) || self.due.contains(name) {
                changes.insert(name.clone(), Some(resource.version()));
            }
        }
        let listed: BTreeSet<&Name> = response.resources.iter().map(|resource| resource.name()).collect();
        for name in self.accepted.keys().filter(|name| !listed.contains(name)) {
            ensure!(
                snapshot.get(response.kind, name).is_none() || !self.covers(name),
                "{name} is missing, and is still there: {response:?}"
            );
            changes.insert(name.clone(), None);
        }
        changes
            .extend(self.due.iter().filter(|name| !listed.contains(name)).map(|name| (name.clone(), None)));
        Ok(changes)
    }
}
