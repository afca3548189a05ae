//! Order across types: what has to wait for what, so that nothing a client holds ever refers to something it lacks.
//!
//! Additions go clusters, endpoints, listeners, routes: a route or listener waits until the client has every cluster
//! it names. Removals go the other way: a cluster goes when no route or listener of the client names it any more.
//! Endpoints wait for nobody: Envoy acknowledges a cluster only when it is warm, and it warms on its endpoints
//! (xDS protocol, "Eventual consistency considerations").

use std::collections::HashSet;
use std::sync::Arc;

use crate::kind::Kind;
use crate::resource::{Name, Resource};

use super::holdings::Held;
use super::ledger::Ledger;
use super::{Scope, Session};

/// Names of one type that a client may be using.
#[derive(Debug, Default)]
pub(super) struct InUse {
    names: HashSet<Name>,
    /// The client has something of which nobody here knows what it refers to.
    anything: bool,
}

impl InUse {
    fn contains(&self, name: &Name) -> bool {
        self.anything || self.names.contains(name)
    }

    /// Adds what all resources of `ledger` refer to, those that are being sent included.
    fn add<'r, I>(&mut self, ledger: &'r Ledger, names: impl Fn(&'r Resource) -> I)
    where
        I: IntoIterator<Item = &'r Name>,
    {
        for (_, held) in ledger.held.iter(&ledger.subscription) {
            match held.known() {
                Some(resource) => self.names.extend(names(resource).into_iter().cloned()),
                // What a client brought along from an earlier stream.
                None => self.anything = true,
            }
        }
        let steps = ledger.outstanding.iter().flat_map(|outstanding| outstanding.steps.values());
        self.names.extend(steps.flatten().flat_map(|resource| names(resource)).cloned());
    }
}

impl Session {
    /// The names that `step` has to wait for: clusters that must be acknowledged first, or `name` itself while
    /// something the client holds still refers to it. `in_use` is for the calls that follow for the same type.
    pub(super) fn blockers(
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
            Some(resource) => self.clusters_to_come(&resource.references().clusters),
            None => {
                let in_use = in_use.get_or_insert_with(|| self.in_use(kind));
                let wait = in_use.contains(name) || self.came_along(kind, name);
                if wait { vec![Arc::clone(name)] } else { Vec::new() }
            }
        }
    }

    /// Those of `clusters` that this client has asked for, and not acknowledged. What it refused will not come, and
    /// what it never asked for it may get elsewhere (gRPC asks for the clusters after the routes).
    fn clusters_to_come<'a>(&self, clusters: impl IntoIterator<Item = &'a Name>) -> Vec<Name> {
        let ledger = self.ledger(Kind::Cluster);
        if !ledger.seen {
            return Vec::new();
        }
        let to_come = |name: &&Name| {
            ledger.subscription.covers(name) && !ledger.holds(name) && !ledger.parked.contains_key(*name)
        };
        clusters.into_iter().filter(to_come).cloned().collect()
    }

    fn in_use(&self, kind: Kind) -> InUse {
        let mut in_use = InUse::default();
        match kind {
            Kind::Cluster => {
                for kind in [Kind::Listener, Kind::Route] {
                    in_use.add(self.ledger(kind), |resource| &resource.references().clusters);
                }
            }
            Kind::Route => in_use.add(self.ledger(Kind::Listener), |listener| &listener.references().routes),
            Kind::Endpoint => {
                in_use.add(self.ledger(Kind::Cluster), |cluster| &cluster.references().assignment);
            }
            Kind::Listener | Kind::Secret => {}
        }
        in_use
    }

    /// Whether `name` is a cluster from before a reconnect, and the client has not said yet what else it has: it
    /// speaks of its clusters first, and its routes may still name this one.
    fn came_along(&self, kind: Kind, name: &Name) -> bool {
        let unheard = !self.ledger(Kind::Listener).seen || !self.ledger(Kind::Route).seen;
        kind == Kind::Cluster && unheard && matches!(self.ledger(kind).held(name), Some(Held::Foreign(_)))
    }

    const fn ledger(&self, kind: Kind) -> &Ledger {
        &self.ledgers[kind.index()]
    }
}
