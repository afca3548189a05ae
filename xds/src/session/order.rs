//! Order across types: what has to wait for what, so that nothing a client holds ever refers to something it lacks.
//!
//! Additions go clusters, endpoints, listeners, routes: a route or listener waits until the client has every cluster
//! it names. Removals go the other way: a cluster goes when no route or listener of the client names it any more.
//! Endpoints wait for nobody: Envoy acknowledges a cluster only when it is warm, and it warms on its endpoints
//! (xDS protocol, "Eventual consistency considerations").

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::kind::Kind;
use crate::resource::{Name, Resource};
use crate::snapshot::Snapshot;

use super::ledger::{Held, Ledger, Step};
use super::{Protocol, Scope, Session};

/// What one type waits for, and since when.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeMap<Name, Wait>);

#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Instant,
    /// It lasted too long; it is kept as long as there is a reason to wait, lest it begin anew.
    over: bool,
}

impl Waits {
    /// When the oldest wait that is not over began.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.values().filter(|wait| !wait.over).map(|wait| wait.since).min()
    }

    fn is_any_over(&self) -> bool {
        self.0.values().any(|wait| wait.over)
    }

    /// Notes that something waits for `blockers`, since `now` unless it is in `old`. Returns whether it still has to.
    fn any(&mut self, blockers: Vec<Name>, old: &Self, now: Instant, limit: Duration) -> bool {
        let mut blocked = false;
        for blocker in blockers {
            let since = old.0.get(&blocker).map_or(now, |wait| wait.since);
            let over = now.duration_since(since) >= limit;
            self.0.insert(blocker, Wait { since, over });
            blocked |= !over;
        }
        blocked
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
        for name in unsettled {
            let stand_in = self.stand_in(kind, &name, snapshot).map(Some);
            let step =
                stand_in.or_else(|| self.ledgers[kind.index()].step(self.protocol, kind, &name, snapshot));
            let Some(step) = step else {
                self.ledgers[kind.index()].owed.remove(&name);
                continue;
            };
            let blockers = self.blockers(kind, &name, step.as_ref());
            let waits = &mut self.waits[kind.index()];
            let blocked = waits.any(blockers, &old_waits, now, self.settings.order_timeout);
            let ledger = &mut self.ledgers[kind.index()];
            if blocked {
                complete &= step.is_none();
            } else if step.is_none() && self.protocol == Protocol::StateOfTheWorld && !kind.is_full_state() {
                // Absence says nothing in a partial response; the client lets go by itself.
                ledger.held.remove(&name);
                ledger.doubted.remove(&name);
                continue;
            } else {
                steps.insert(name.clone(), step);
            }
            ledger.unsettled.insert(name);
        }
        (steps, complete || self.waits[kind.index()].is_any_over())
    }

    /// The names that `step` has to wait for: clusters that must be acknowledged first, or `name` itself while
    /// something the client holds still refers to it.
    pub(super) fn blockers(&self, kind: Kind, name: &Name, step: Option<&Arc<Resource>>) -> Vec<Name> {
        if self.scope != Scope::Aggregated {
            return Vec::new();
        }
        match step {
            Some(resource) => self.clusters_to_come(&resource.references().clusters),
            None if self.may_be_in_use(kind, name) => vec![name.clone()],
            None => Vec::new(),
        }
    }

    /// Those of `clusters` that this client has asked for, and not acknowledged. What it refused will not come, and
    /// what it never asked for it may get elsewhere (gRPC asks for the clusters after the routes).
    fn clusters_to_come<'a>(&self, clusters: impl IntoIterator<Item = &'a Name>) -> Vec<Name> {
        let ledger = self.ledger(Kind::Cluster);
        if !ledger.seen {
            return Vec::new();
        }
        let has = |name: &Name| ledger.held.contains_key(name) && !ledger.may_have_dropped(name);
        let to_come = |name: &&Name| {
            ledger.subscription.covers(name) && !has(name) && !ledger.parked.contains_key(*name)
        };
        clusters.into_iter().filter(to_come).cloned().collect()
    }

    fn may_be_in_use(&self, kind: Kind, name: &Name) -> bool {
        match kind {
            Kind::Cluster => {
                // A client that came back speaks of its clusters first; its routes may still name this one.
                self.ledger(kind).resumed && self.is_unheard_of_routes()
                    || [Kind::Listener, Kind::Route].into_iter().any(|kind| {
                        self.ledger(kind).may_refer(|resource| resource.references().clusters.contains(name))
                    })
            }
            Kind::Route => {
                self.ledger(Kind::Listener).may_refer(|listener| listener.references().routes.contains(name))
            }
            Kind::Endpoint => self
                .ledger(Kind::Cluster)
                .may_refer(|cluster| cluster.references().assignment.as_ref() == Some(name)),
            Kind::Listener | Kind::Secret => false,
        }
    }

    /// Whether the client has yet to say which routes it has, in listeners or by name.
    fn is_unheard_of_routes(&self) -> bool {
        let listeners = self.ledger(Kind::Listener);
        !listeners.seen
            || (!self.ledger(Kind::Route).seen
                && listeners.may_refer(|listener| !listener.references().routes.is_empty()))
    }

    /// What a cluster in flight warms on, where its assignment is gone from the newest snapshot or was refused: what the
    /// client had last, or no endpoints. Without it the client would never acknowledge the cluster, and hear of no other.
    pub(super) fn stand_in(&self, kind: Kind, name: &Name, snapshot: &Snapshot) -> Option<Arc<Resource>> {
        let ledger = self.ledger(kind);
        let newest = snapshot.get(kind, name).map(|resource| resource.version());
        let may_be_sent = newest.is_some() && ledger.parked.get(name) != Some(&newest);
        let wanted = kind == Kind::Endpoint && ledger.owed.contains(name) && ledger.subscription.covers(name);
        if may_be_sent || !wanted {
            return None;
        }
        let warms = |cluster: &Arc<Resource>| cluster.references().assignment.as_ref() == Some(name);
        self.ledger(Kind::Cluster).in_flight().any(warms).then(|| {
            let held = ledger.held.get(name).and_then(Held::known).map(Arc::clone);
            held.unwrap_or_else(|| Arc::new(Resource::empty_assignment(name)))
        })
    }

    const fn ledger(&self, kind: Kind) -> &Ledger {
        &self.ledgers[kind.index()]
    }
}

impl Ledger {
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
                .filter_map(|name| self.held.get(name).and_then(Held::known));
            outstanding.steps.values().flatten().chain(back)
        })
    }

    /// Whether something the client has, or is being sent, refers to what `refers` tests for; what a client brought
    /// along from an earlier stream might.
    fn may_refer(&self, refers: impl Fn(&Resource) -> bool) -> bool {
        let sent = |step: &Step| step.as_ref().is_some_and(|resource| refers(resource));
        self.held.values().any(|held| held.known().is_none_or(|resource| refers(resource)))
            || self.outstanding.iter().flat_map(|outstanding| outstanding.steps.values()).any(sent)
            || self.doubted.values().flatten().any(sent)
    }
}
