//! Order across types: what has to wait for what, so that nothing a client holds ever refers to something it lacks.
//!
//! Additions go clusters, endpoints, listeners, routes: a route or listener waits until the client has every cluster
//! it names. Removals go the other way: a cluster goes when no route or listener of the client names it any more.
//! Endpoints wait for nobody: Envoy acknowledges a cluster only when it is warm, and it warms on its endpoints
//! (xDS protocol, "Eventual consistency considerations").

use std::sync::Arc;

use crate::kind::Kind;
use crate::resource::{Name, Resource};
use crate::snapshot::Snapshot;

use super::ledger::{Held, Ledger, Step};
use super::{Scope, Session};

impl Session {
    /// The names that `step` has to wait for: clusters that must be acknowledged first, or `name` itself while
    /// something the client holds still refers to it.
    pub(super) fn blockers(
        &self,
        kind: Kind,
        name: &Name,
        step: Option<&Arc<Resource>>,
    ) -> Vec<Name> {
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
        let has = |name: &Name| ledger.held.contains_key(name) && !ledger.is_going(name);
        let to_come = |name: &&Name| {
            ledger.subscription.covers(name) && !has(name) && !ledger.parked.contains_key(*name)
        };
        clusters.into_iter().filter(to_come).cloned().collect()
    }

    fn may_be_in_use(&self, kind: Kind, name: &Name) -> bool {
        match kind {
            Kind::Cluster => {
                let unheard = !self.ledger(Kind::Listener).seen || !self.ledger(Kind::Route).seen;
                let inherited = matches!(self.ledger(kind).held.get(name), Some(Held::Foreign(_)));
                // A client that has just reconnected speaks of its clusters first; its routes may still name this one.
                (unheard && inherited)
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

    /// The assignment that a cluster in flight warms on, where the newest snapshot has neither any more: without it
    /// the client would not acknowledge the cluster, and not hear that it is gone.
    pub(super) fn last_assignment(
        &self,
        kind: Kind,
        name: &Name,
        snapshot: &Snapshot,
    ) -> Option<Arc<Resource>> {
        let ledger = self.ledger(kind);
        let wanted = kind == Kind::Endpoint && ledger.owed.contains(name) && ledger.subscription.covers(name);
        let clusters = self.ledger(Kind::Cluster).outstanding.as_ref();
        let warms = |cluster: &Arc<Resource>| cluster.references().assignment.as_ref() == Some(name);
        if !wanted
            || snapshot.get(kind, name).is_some()
            || !clusters.is_some_and(|clusters| clusters.steps.values().flatten().any(warms))
        {
            return None;
        }
        let held = ledger.held.get(name).and_then(Held::known).map(Arc::clone);
        Some(held.unwrap_or_else(|| Arc::new(Resource::empty_assignment(name))))
    }

    const fn ledger(&self, kind: Kind) -> &Ledger {
        &self.ledgers[kind.index()]
    }
}

impl Ledger {
    /// Whether the client has just been told to drop `name`, whatever the newest snapshot says.
    fn is_going(&self, name: &Name) -> bool {
        self.outstanding.as_ref().is_some_and(|outstanding| outstanding.steps.get(name) == Some(&None))
    }

    /// Whether something the client has, or is being sent, refers to what `refers` tests for; what a client brought
    /// along from an earlier stream might.
    fn may_refer(&self, refers: impl Fn(&Resource) -> bool) -> bool {
        let sent = |step: &Step| step.as_ref().is_some_and(|resource| refers(resource));
        self.held.values().any(|held| held.known().is_none_or(|resource| refers(resource)))
            || self.outstanding.iter().flat_map(|outstanding| outstanding.steps.values()).any(sent)
    }
}
