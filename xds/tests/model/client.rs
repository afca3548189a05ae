//! What a client holds: resources by type, clusters that warm, and what it refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xds_server::session::{Protocol, Request, Response, Sync, TypeStatus};
use xds_server::{Kind, Name, Resource, Snapshot, Version};

use super::requests::Channel;
use super::{PerKind, Verdict, at, ensure, refusable};

/// Whose habits a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Everything by wildcard, then endpoints and routes by name; clusters warm before they are acknowledged.
    Envoy,
    /// A listener by name, then its routes, their clusters and those clusters' endpoints; nothing warms.
    Grpc,
}

/// How a client behaves where the protocol leaves it a choice.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub protocol: Protocol,
    pub style: Style,
    /// One stream for all types. With a stream for each one nothing warms.
    pub aggregated: bool,
    /// Clusters and listeners: takes in what is good in a response that it refuses, as Envoy does.
    pub takes_the_good: bool,
    /// Answers a response before it subscribes to what follows from it.
    pub answers_first: bool,
    /// Delta: an answer carries changes of the subscription of its type.
    pub merges: bool,
    /// Comes back with the nonce of the last stream, and asks for types of which it wants nothing.
    pub clings: bool,
    /// Whom a refusal names: nobody, the first bad one, all bad ones, nobody without a word, an innocent one.
    pub blames: u8,
}

/// A model client.
#[derive(Debug)]
pub struct Client {
    pub manner: Manner,
    pub(super) channels: PerKind<Channel>,
    /// Clusters that wait for their assignment, with what serves in the meantime.
    warming: BTreeMap<Name, Option<Arc<Resource>>>,
    /// Requests about clusters that wait until all of them are warm.
    pub(super) withheld: Vec<Request>,
    pub(super) outbox: Vec<Request>,
    /// It refuses the next response that brings anything, whatever it is.
    pub moody: bool,
    /// It held back its first cluster request on a stream, for clusters that warmed: other types came first, and the
    /// server could not know that it would ask for clusters.
    pub late: bool,
    /// What it refused on a whim, on this stream.
    moods: BTreeSet<(Kind, Name, Option<Version>)>,
    /// Clusters it refused, and whether it accepted one of that name since. What names them is excused until one that
    /// it accepted serves.
    refused: BTreeMap<Name, bool>,
    /// Routes and listeners that came over this stream.
    fresh: BTreeSet<(Kind, Name)>,
    /// Configurations of filters that were taken away from it while a listener had them.
    lost: BTreeSet<Name>,
    /// Types of which it accepted a response on this stream.
    accepted: BTreeSet<Kind>,
}

impl Client {
    pub fn new(manner: Manner) -> Self {
        Self {
            manner,
            channels: Default::default(),
            warming: BTreeMap::new(),
            withheld: Vec::new(),
            outbox: Vec::new(),
            moody: false,
            late: false,
            moods: BTreeSet::new(),
            refused: BTreeMap::new(),
            fresh: BTreeSet::new(),
            lost: BTreeSet::new(),
            accepted: BTreeSet::new(),
        }
    }

    /// The stream is new: nothing said on the last one counts.
    pub fn connect(&mut self) {
        self.withheld.clear();
        self.outbox.clear();
        self.moods.clear();
        self.fresh.clear();
        self.accepted.clear();
        self.open_all();
        self.late |= self.withholds(Kind::Cluster);
    }

    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.outbox)
    }

    pub(super) fn is_wildcard(&self, kind: Kind) -> bool {
        self.manner.style == Style::Envoy && matches!(kind, Kind::Cluster | Kind::Listener)
    }

    pub(super) fn held(&self, kind: Kind) -> &BTreeMap<Name, Arc<Resource>> {
        &self.channels[at(kind)].held
    }

    /// Envoy pauses its cluster requests, answers included, while a cluster warms.
    pub(super) fn withholds(&self, kind: Kind) -> bool {
        kind == Kind::Cluster && !self.warming.is_empty()
    }

    /// The names it needs, apart from those somebody asked for.
    pub(super) fn derived(&self, kind: Kind) -> BTreeSet<Name> {
        let clusters = || self.held(Kind::Cluster).values().chain(self.warming.values().flatten());
        match (kind, self.manner.style) {
            (Kind::Endpoint, _) => clusters().filter_map(|c| c.references().assignment.clone()).collect(),
            (Kind::Route, _) => {
                self.held(Kind::Listener).values().flat_map(|l| l.references().routes.clone()).collect()
            }
            (Kind::Extension, Style::Envoy) => {
                self.held(Kind::Listener).values().flat_map(|l| l.references().extensions.clone()).collect()
            }
            (Kind::Cluster, Style::Grpc) => {
                self.users().flat_map(|(_, r)| r.references().clusters.clone()).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// What refers to clusters.
    fn users(&self) -> impl Iterator<Item = (Kind, &Arc<Resource>)> {
        [Kind::Listener, Kind::Route, Kind::Extension]
            .into_iter()
            .flat_map(|kind| self.held(kind).values().map(move |r| (kind, r)))
    }

    pub fn receive(&mut self, response: &Response) {
        let bad: Vec<&Name> = response.resources.iter().filter(|r| refusable(r)).map(|r| r.name()).collect();
        let news = response.resources.iter().any(|r| self.held(r.kind()).get(r.name()) != Some(r));
        let moody = news && std::mem::take(&mut self.moody);
        let refused = (moody || !bad.is_empty()).then(|| self.reason(response, &bad));
        let before = self.held(Kind::Cluster).clone();
        match &refused {
            None => self.accept(response),
            Some(_) => self.refuse(response, moody),
        }
        let refused_clusters = std::mem::take(&mut self.refused);
        self.refused =
            refused_clusters.into_iter().filter(|(name, ok)| !(*ok && self.serves(name))).collect();
        let reconfigured = *self.held(Kind::Cluster) != before;
        self.answer(response, refused, reconfigured);
    }

    fn accept(&mut self, response: &Response) {
        self.accepted.insert(response.kind);
        for resource in response.resources.iter().filter(|resource| resource.kind() == Kind::Cluster) {
            if let Some(accepted) = self.refused.get_mut(resource.name()) {
                *accepted = true;
            }
        }
        self.take_in(response);
    }

    fn refuse(&mut self, response: &Response, moody: bool) {
        let kind = response.kind;
        let clusters = response.resources.iter().filter(|resource| resource.kind() == Kind::Cluster);
        // State of the world: what it takes in from a response that it refuses goes again with the next one, which
        // leaves out what may be at fault.
        let flaps = self.manner.takes_the_good && self.manner.protocol == Protocol::StateOfTheWorld;
        let refused = clusters.filter(|resource| moody || flaps || refusable(resource));
        self.refused.extend(refused.map(|resource| (resource.name().clone(), false)));
        if moody {
            let sent = response.resources.iter().map(|r| (r.name().clone(), Some(r.version())));
            let gone = response.removed.iter().map(|name| (name.clone(), None));
            let steps = sent.chain(gone).chain([(Name::from("what a list leaves out"), None)]);
            self.moods.extend(steps.map(|(name, step)| (kind, name, step)));
        }
        if kind == Kind::Endpoint {
            // Envoy waits for an assignment no longer once one was refused, whoever's it was.
            self.warming.clear();
        }
        if self.manner.takes_the_good && !moody && matches!(kind, Kind::Cluster | Kind::Listener) {
            self.take_in(response);
        }
    }

    /// Takes in what is good in `response`.
    fn take_in(&mut self, response: &Response) {
        let kind = response.kind;
        let listed: BTreeSet<&Name> = response.resources.iter().map(|resource| resource.name()).collect();
        let whole = self.manner.protocol == Protocol::StateOfTheWorld
            && matches!(kind, Kind::Cluster | Kind::Listener);
        let missing = self.held(kind).keys().filter(|name| whole && !listed.contains(*name));
        let gone: Vec<Name> = missing.chain(&response.removed).cloned().collect();
        for name in gone {
            let had = self.channels[at(kind)].held.remove(&name).is_some();
            match kind {
                // A listener that comes after it warms until it is there.
                Kind::Extension if had && self.derived(kind).contains(&name) => drop(self.lost.insert(name)),
                Kind::Cluster => drop(self.warming.remove(&name)),
                Kind::Endpoint => self.heard_assignment(&name),
                _ => {}
            }
        }
        for resource in response.resources.iter().filter(|resource| !refusable(resource)) {
            self.take(resource);
        }
    }

    fn take(&mut self, resource: &Arc<Resource>) {
        let (kind, name) = (resource.kind(), resource.name());
        if kind == Kind::Endpoint {
            self.heard_assignment(name);
        }
        if !self.is_wildcard(kind) && !self.wanted(kind).contains(name) {
            return;
        }
        if kind == Kind::Extension {
            self.lost.remove(name);
        }
        self.fresh.insert((kind, name.clone()));
        let old = self.channels[at(kind)].held.insert(name.clone(), Arc::clone(resource));
        if kind != Kind::Cluster || old.as_ref() == Some(resource) {
            return;
        }
        let warms = self.manner.style == Style::Envoy && self.manner.aggregated;
        if warms && resource.references().assignment.is_some() {
            self.warming.entry(name.clone()).or_insert(old);
        } else {
            self.warming.remove(name);
        }
    }

    /// An assignment came, or the news that there is none: the clusters that waited for it are warm.
    fn heard_assignment(&mut self, assignment: &Name) {
        let clusters = &self.channels[at(Kind::Cluster)].held;
        let waits = |name: &Name| {
            clusters.get(name).and_then(|cluster| cluster.references().assignment.as_ref())
                == Some(assignment)
        };
        self.warming.retain(|name, _| !waits(name));
    }

    /// Envoy waits for an assignment for its initial fetch time-out at most. Returns whether any cluster was warming.
    pub fn stop_warming(&mut self) -> bool {
        let warming = !std::mem::take(&mut self.warming).is_empty();
        self.resume();
        warming
    }

    fn reason(&self, response: &Response, bad: &[&Name]) -> String {
        let innocent =
            response.resources.iter().map(|resource| resource.name()).find(|name| !bad.contains(name));
        let named: Vec<&str> = match self.manner.blames {
            0 => Vec::new(),
            1 => bad.iter().take(1).map(|name| &***name).collect(),
            2 => bad.iter().map(|name| &***name).collect(),
            3 => return String::new(),
            _ => innocent.iter().map(|name| &***name).collect(),
        };
        format!("error adding or updating: {}: not valid", named.join(": not valid, "))
    }

    /// Whether requests can be sent to a cluster: it may warm while an earlier version of it serves.
    fn serves(&self, cluster: &Name) -> bool {
        self.held(Kind::Cluster).contains_key(cluster) && !matches!(self.warming.get(cluster), Some(None))
    }

    /// A listener, a route or the configuration of a filter that this client holds and that names a cluster it cannot send
    /// requests to, or a filter that lost its configuration.
    pub fn dangling(&self) -> Option<String> {
        if self.manner.style == Style::Grpc {
            return None;
        }
        if let Some(name) = self.lost.first() {
            return Some(format!(
                "the configuration of the filter {name:?} was taken away, and a listener has it"
            ));
        }
        let excused = |name: &Name| self.serves(name) || self.refused.contains_key(name);
        // State of the world: a server cannot know what came over an earlier stream.
        let in_use = [Kind::Route, Kind::Extension].map(|kind| (kind, self.derived(kind)));
        let is_in_use =
            |kind: Kind, name: &Name| in_use.iter().any(|(of, names)| *of == kind && names.contains(name));
        let counts = |kind: Kind, user: &Resource| {
            (kind == Kind::Listener || is_in_use(kind, user.name()))
                && (self.manner.protocol == Protocol::Delta
                    || self.fresh.contains(&(kind, user.name().clone())))
        };
        self.users().filter(|(kind, user)| counts(*kind, user)).find_map(|(_, user)| {
            let missing = user.references().clusters.iter().find(|name| !excused(name))?;
            Some(format!(
                "the client holds {user:?}, which names {missing:?}, and {missing:?} does not serve"
            ))
        })
    }

    /// Whether this client holds what it wants of `snapshot`, apart from what it refuses, and waits for nothing.
    pub fn agrees_with(&self, snapshot: &Snapshot) -> Verdict {
        let sotw = self.manner.protocol == Protocol::StateOfTheWorld;
        for kind in Kind::ALL {
            let wanted = self.wanted(kind);
            let wants = |name: &Name| self.is_wildcard(kind) || wanted.contains(name);
            for resource in snapshot.section(kind).values().filter(|resource| wants(resource.name())) {
                let name = resource.name();
                let refused = refusable(resource)
                    || self.moods.contains(&(kind, name.clone(), Some(resource.version())));
                let held = self.held(kind).get(name);
                ensure!(
                    held == Some(resource) || refused,
                    "the client lacks {resource:?}; it holds {held:?}"
                );
            }
            let partial = sotw && !matches!(kind, Kind::Cluster | Kind::Listener);
            // State of the world: where it refused all there is, it keeps what it had before this stream.
            let refused_all = sotw && !self.accepted.contains(&kind) && !snapshot.section(kind).is_empty();
            // What it refuses on a whim it may have taken in before, or want to keep; a list does not say what that was.
            let whim =
                |name: &Name| self.moods.iter().any(|(of, what, _)| *of == kind && (sotw || what == name));
            for (name, held) in self.held(kind) {
                ensure!(!refusable(held), "the client holds {held:?}, which it refuses");
                let kept = partial || refused_all || whim(name);
                ensure!(kept || snapshot.get(kind, name).is_some(), "the client still holds {held:?}");
            }
        }
        ensure!(self.warming.is_empty(), "these clusters still warm: {:?}", self.warming.keys());
        ensure!(self.withheld.is_empty(), "still withheld: {:?}", self.withheld);
        Ok(())
    }

    /// Whether what a server believes of this client, now that nothing is under way, is so.
    pub fn confirms(&self, status: &TypeStatus) -> Verdict {
        let held = self.held(status.kind);
        for resource in &status.resources {
            let held = held.get(&resource.name);
            // A client that takes in the good part of what it refuses has more than it says, and so has one that let go of
            // a name and asked for it again while it was on its way. In state of the world it may have what came over an
            // earlier stream, or what is gone and could not be taken back.
            let more = self.manner.takes_the_good || self.had_moods() || resource.acknowledged.is_none();
            let sotw = self.manner.protocol == Protocol::StateOfTheWorld;
            let is_fresh = self.fresh.contains(&(status.kind, resource.name.clone()));
            let unknown = sotw && (!is_fresh || (!status.kind.is_full_state() && resource.newest.is_none()));
            ensure!(
                resource.has(held) || unknown || more && matches!(resource.sync, Sync::Refused(_)),
                "the client has {held:?} of {} {:?}, and the server believes {resource:?}",
                status.kind,
                resource.name
            );
            let agreed = match &resource.sync {
                Sync::Acknowledged => resource.newest.is_some(),
                Sync::Refused(_) => resource.newest.as_deref().is_some_and(refusable) || self.had_moods(),
                Sync::Missing => resource.newest.is_none(),
                Sync::Sent | Sync::NotSent => false,
            };
            ensure!(agreed, "nothing is under way, and yet: {resource:?}");
        }
        Ok(())
    }

    fn had_moods(&self) -> bool {
        !self.moods.is_empty()
    }
}
