//! Order across types: what has to wait for what, so that nothing a client holds ever refers to something it lacks.
//!
//! Additions go clusters, endpoints, extension configurations, listeners, routes: what names clusters waits until the client
//! has every one of them, and a route until the newest configurations of filters are out, since it may speak of what only
//! those understand. Removals go the other way: a cluster goes when nothing of the client names it any more, a secret
//! or an extension configuration when no listener does.
//! Endpoints wait for nobody: Envoy acknowledges a cluster only when it is warm, and it warms on its endpoints
//! (xDS protocol, "Eventual consistency considerations").

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use imbl::OrdSet;
use tokio::time::Instant;

use crate::kind::Kind;
use crate::references::References;
use crate::resource::{Name, Resource};
use crate::snapshot::Snapshot;

use super::holdings::Held;
use super::ledger::{Ledger, Step, Told};
use super::{Protocol, Scope, Session};

/// Names of one type that a client may be using.
#[derive(Debug, Default)]
struct InUse {
    names: HashSet<Name>,
    /// The same, as what names them has them: thousands of clusters, of which few are asked for.
    sets: Vec<OrdSet<Name>>,
    /// The client has something of which nobody here knows what it refers to.
    anything: bool,
}

impl InUse {
    fn contains(&self, name: &Name) -> bool {
        self.anything || self.names.contains(name) || self.sets.iter().any(|set| set.contains(name))
    }

    fn is_empty(&self) -> bool {
        !self.anything && self.names.is_empty() && self.sets.iter().all(OrdSet::is_empty)
    }

    /// Adds what all resources of `ledger` refer to: those the client has, is being sent, or may have taken in.
    fn add(&mut self, ledger: &Ledger, mut take: impl FnMut(&mut Self, &References)) {
        for (_, held) in ledger.held.iter(&ledger.subscription) {
            match held.known() {
                Some(resource) => take(self, resource.references()),
                // What a client brought along from an earlier stream.
                None => self.anything = true,
            }
        }
        let sent = ledger
            .outstanding
            .iter()
            .flat_map(|outstanding| outstanding.steps.values().chain(outstanding.let_go.values()));
        let steps = sent.chain(ledger.doubted.values().flatten());
        steps.flatten().for_each(|resource| take(self, resource.references()));
    }
}

impl Session {
    /// Goes through what is unsettled: what must be sent comes back, what must wait is noted, the rest is settled.
    /// Also returns whether nothing that is to be added is held back.
    pub(super) fn steps(
        &mut self,
        kind: Kind,
        snapshot: &Snapshot,
        now: Instant,
    ) -> (BTreeMap<Name, Step>, bool) {
        let old_waits = std::mem::take(&mut self.waits[kind.index()]);
        let unsettled = std::mem::take(&mut self.ledgers[kind.index()].unsettled);
        let mut steps = BTreeMap::new();
        let mut complete = true;
        let mut in_use = None;
        for name in unsettled {
            let stand_in = self.stand_in(kind, &name, snapshot).map(Some);
            let step =
                stand_in.or_else(|| self.ledgers[kind.index()].step(self.protocol, kind, &name, snapshot));
            let Some(step) = step else {
                self.ledgers[kind.index()].owed.remove(&name);
                continue;
            };
            let blockers = self.blockers(kind, &name, step.as_ref(), &mut in_use);
            let waits = &mut self.waits[kind.index()];
            let blocked = waits.any(blockers, &old_waits, now, self.settings.order_timeout);
            let ledger = &mut self.ledgers[kind.index()];
            if blocked {
                complete &= step.is_none();
            } else if step.is_none() && self.protocol == Protocol::StateOfTheWorld && !kind.is_full_state() {
                // Absence says nothing in a partial response; the client lets go by itself.
                ledger.held.drop(&name);
                ledger.doubted.remove(&name);
                continue;
            } else {
                steps.insert(Arc::clone(&name), step);
            }
            ledger.unsettled.insert(name);
        }
        (steps, complete || self.waits[kind.index()].is_any_over())
    }

    /// The names that `step` has to wait for: clusters that must be acknowledged first, extension configurations that must be
    /// sent first, or `name` itself while something the client holds still refers to it. `in_use` is kept for the next call
    /// for the same type.
    fn blockers(
        &self,
        kind: Kind,
        name: &Name,
        step: Option<&Arc<Resource>>,
        in_use: &mut Option<InUse>,
    ) -> Vec<Name> {
        if self.scope != Scope::Aggregated {
            return Vec::new();
        }
        match step {
            Some(resource) => {
                let mut names = self.clusters_to_come(&resource.references().clusters);
                if kind == Kind::Route {
                    names.extend(self.extensions_to_come());
                }
                names
            }
            None if in_use.get_or_insert_with(|| self.in_use(kind)).contains(name) => vec![Arc::clone(name)],
            None => Vec::new(),
        }
    }

    /// Those of `clusters`, all in the newest snapshot, that this client has asked for, and not acknowledged. What it refused
    /// will not come, and what it never asked for it may get elsewhere (gRPC asks for the clusters after the routes).
    fn clusters_to_come(&self, clusters: &OrdSet<Name>) -> Vec<Name> {
        let ledger = self.ledger(Kind::Cluster);
        if !ledger.seen {
            return Vec::new();
        }
        let has = |name: &Name| ledger.held(name).is_some() && !ledger.may_have_dropped(name);
        let to_come = |name: &&Name| {
            clusters.contains(*name)
                && ledger.subscription.covers(name)
                && !has(name)
                && !ledger.parked.contains_key(*name)
        };
        ledger.in_motion().filter(to_come).cloned().collect()
    }

    /// The extension configurations that this client has asked for, and of which the newest is still to be sent. It need not
    /// be acknowledged: a client takes in what comes over one stream in turn, and the less is between the two the better.
    fn extensions_to_come(&self) -> impl Iterator<Item = Name> {
        let ledger = self.ledger(Kind::Extension);
        let section = self.snapshot.as_ref().map(|snapshot| snapshot.section(Kind::Extension));
        let to_come = move |name: &&Name| {
            section.is_some_and(|section| section.contains_key(*name))
                && ledger.subscription.covers(name)
                && !ledger.parked.contains_key(*name)
        };
        ledger.unsettled.iter().filter(to_come).cloned()
    }

    /// What the client may be using of one type.
    fn in_use(&self, kind: Kind) -> InUse {
        let mut in_use = InUse::default();
        match kind {
            Kind::Cluster => {
                for kind in [Kind::Listener, Kind::Route, Kind::Extension] {
                    in_use.add(self.ledger(kind), |all, one| all.sets.push(one.clusters.clone()));
                }
                // A client that came back speaks of its clusters first; its routes may still name any of them.
                in_use.anything |= self.ledger(kind).resumed && self.is_unheard_of_users();
            }
            Kind::Route => {
                let listeners = self.ledger(Kind::Listener);
                in_use.add(listeners, |all, one| all.names.extend(one.routes.iter().cloned()));
                // It refused all it heard on this stream: those it had before may still use any routes.
                in_use.anything |= listeners.told == Told::Refused;
            }
            Kind::Endpoint => {
                in_use.add(self.ledger(Kind::Cluster), |all, one| all.names.extend(one.assignment.clone()));
            }
            Kind::Extension => {
                let listeners = self.ledger(Kind::Listener);
                in_use.add(listeners, |all, one| all.names.extend(one.extensions.iter().cloned()));
                in_use.anything |= listeners.told == Told::Refused;
                // One that came back may speak of them before its listeners, which may still name any.
                in_use.anything |= self.ledger(kind).resumed && !listeners.seen;
            }
            Kind::Secret => {
                let listeners = self.ledger(Kind::Listener);
                in_use.add(listeners, |all, one| all.names.extend(one.secrets.iter().cloned()));
                in_use.anything |= listeners.told == Told::Refused;
            }
            Kind::Listener => {}
        }
        in_use
    }

    /// Whether the client has yet to say which routes and extension configurations it has, in listeners or by name.
    fn is_unheard_of_users(&self) -> bool {
        let is_unheard_of = |kind: Kind| !self.ledger(kind).seen && !self.in_use(kind).is_empty();
        !self.ledger(Kind::Listener).seen || is_unheard_of(Kind::Route) || is_unheard_of(Kind::Extension)
    }

    /// What a cluster in flight warms on, where its assignment is gone from the newest snapshot or was refused: what the
    /// client had last, or no endpoints. Without it the client would never acknowledge the cluster, and hear of no other.
    fn stand_in(&self, kind: Kind, name: &Name, snapshot: &Snapshot) -> Option<Arc<Resource>> {
        let ledger = self.ledger(kind);
        let newest = snapshot.get(kind, name).map(|resource| resource.version());
        let may_be_sent = newest.is_some() && !ledger.refused(name, newest);
        let wanted = kind == Kind::Endpoint && ledger.owed.contains(name) && ledger.subscription.covers(name);
        if may_be_sent || !wanted {
            return None;
        }
        let warms = |cluster: &Arc<Resource>| cluster.references().assignment.as_ref() == Some(name);
        self.ledger(Kind::Cluster).in_flight().any(warms).then(|| {
            let held = ledger.held(name).and_then(Held::known).map(Arc::clone);
            held.unwrap_or_else(|| Arc::new(Resource::empty_assignment(name)))
        })
    }

    const fn ledger(&self, kind: Kind) -> &Ledger {
        &self.ledgers[kind.index()]
    }
}

impl Ledger {
    /// The names of which the client may not have what the newest snapshot says. A name can be among them twice.
    fn in_motion(&self) -> impl Iterator<Item = &Name> {
        let outstanding = self.outstanding.iter().flat_map(|outstanding| outstanding.steps.keys());
        self.unsettled.iter().chain(outstanding).chain(self.doubted.keys())
    }

    /// Whether the client was told to drop `name`, whatever the newest snapshot says, and has not accepted that, or
    /// has not accepted what it was told since.
    fn may_have_dropped(&self, name: &Name) -> bool {
        self.outstanding.as_ref().is_some_and(|outstanding| outstanding.steps.get(name) == Some(&None))
            || self.doubted.get(name).is_some_and(|steps| steps.contains(&None))
    }

    /// What the outstanding response may change at the client. State of the world: a response that says what the client
    /// accepted last takes back what it may have taken in since.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.outstanding.iter().flat_map(|outstanding| {
            let doubted = self.doubted.keys().filter(|name| !outstanding.steps.contains_key(*name));
            let back = doubted
                .filter(|_| outstanding.whole)
                .filter_map(|name| self.held(name).and_then(Held::known));
            outstanding.steps.values().flatten().chain(back)
        })
    }
}
