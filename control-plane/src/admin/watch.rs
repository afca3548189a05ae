//! `InspectService.WatchService`: one service, and how far each client is with it, on every change.

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::Status;
use xds_server::session::{ResourceStatus, Scope, Sync};
use xds_server::{ClientStream, Clients, Kind, Snapshot};

use super::inspect::to_service;
use super::pb;
use super::refusal::not_found;
use crate::naming;
use crate::overrides::Overrides;
use crate::provider::Freshness;
use crate::publish::{View, ViewReceiver};

/// Follows one service.
pub(super) struct Follower {
    asked: String,
    views: ViewReceiver,
    decisions: watch::Receiver<Overrides>,
    clients: Clients,
    freshness: Freshness,
    changes: watch::Receiver<u64>,
    last: Option<pb::WatchServiceResponse>,
}

impl Follower {
    pub(super) fn new(
        asked: String,
        views: ViewReceiver,
        decisions: watch::Receiver<Overrides>,
        clients: Clients,
        freshness: Freshness,
    ) -> Self {
        let changes = clients.changes();
        Self { asked, views, decisions, clients, freshness, changes, last: None }
    }

    /// What is to be said, until the control plane stops or the caller has heard enough.
    pub(super) fn stream(self) -> BoxStream<'static, Result<pb::WatchServiceResponse, Status>> {
        stream::unfold(Some(self), |follower| async {
            let mut follower = follower?;
            let next = follower.next().await;
            // After an error there is nothing to come.
            let rest = next.is_ok().then_some(follower);
            Some((next, rest))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<pb::WatchServiceResponse, Status> {
        loop {
            // Marked as seen before it is read, so that what changes meanwhile is seen after.
            self.changes.mark_unchanged();
            let decisions = self.decisions.borrow_and_update().clone();
            let view = self.views.borrow_and_update().clone();
            if let Some(view) = view {
                let stale = self.freshness.is_stale();
                let found = pb::WatchServiceResponse {
                    stale,
                    ..status(&self.asked, &view, &decisions, &self.clients)?
                };
                if self.last.as_ref() != Some(&found) {
                    self.last = Some(found.clone());
                    return Ok(found);
                }
            }
            tokio::select! {
                changed = self.views.changed() => changed.map_err(|_| Status::unavailable("the control plane stops"))?,
                changed = self.decisions.changed() => changed.map_err(|_| Status::unavailable("the control plane stops"))?,
                // Never an error: `clients` holds the sending end.
                _ = self.changes.changed() => {}
                () = self.freshness.turn() => {}
            }
        }
    }
}

fn status(
    asked: &str,
    view: &View,
    decisions: &Overrides,
    clients: &Clients,
) -> Result<pb::WatchServiceResponse, Status> {
    let service = match naming::service(&view.model.topology, asked) {
        Ok(service) => service,
        Err(error) if error.is_nothing() => return Ok(pb::WatchServiceResponse::default()),
        Err(error) => return Err(not_found(&error)),
    };
    let name = service.name.to_string();
    let clients = clients.list();
    let clients = clients.iter().filter_map(|client| of_client(client, &name, &view.snapshot));
    let service = Some(to_service(service, decisions));
    Ok(pb::WatchServiceResponse { clients: clients.collect(), service, stale: false })
}

/// How far a client is with the service, if it asks for it.
fn of_client(client: &ClientStream, service: &str, snapshot: &Snapshot) -> Option<pb::ServiceClient> {
    let of_kind = |kind: Kind| client.types.iter().find(|status| status.kind == kind);
    let endpoints = of_kind(Kind::Endpoint);
    let assignment =
        endpoints.and_then(|status| status.resources.iter().find(|resource| &*resource.name == service));
    // An Envoy that hears of a new service asks for its endpoints a moment later; until then it is behind, and not
    // somebody whom this does not concern.
    let is_behind = || {
        client.scope == Scope::Aggregated
            && endpoints.is_some()
            && of_kind(Kind::Cluster).is_some_and(|status| {
                status.resources.iter().any(|cluster| &*cluster.name == service && cluster.newest.is_some())
            })
    };
    if assignment.is_none() && !is_behind() {
        return None;
    }
    let routes = of_kind(Kind::Route).map_or(&[][..], |status| &status.resources);
    let refusal = assignment.into_iter().chain(routes).find_map(refusal);
    Some(pb::ServiceClient {
        node: client.node.as_ref().map(|node| node.id.clone()).unwrap_or_default(),
        peer: client.peer.clone(),
        endpoints_acknowledged: assignment.is_some_and(|each| is_newest(each, Kind::Endpoint, snapshot)),
        routes_acknowledged: routes
            .iter()
            .filter(|each| each.newest.is_some())
            .all(|each| is_newest(each, Kind::Route, snapshot)),
        refusal: refusal.unwrap_or_default(),
    })
}

/// Whether the client acknowledged what stands in `snapshot`. Its session may not have heard of that one yet, so that
/// "acknowledged" alone would be about an older one.
fn is_newest(resource: &ResourceStatus, kind: Kind, snapshot: &Snapshot) -> bool {
    resource.sync == Sync::Acknowledged && resource.has(snapshot.get(kind, &resource.name))
}

fn refusal(resource: &ResourceStatus) -> Option<String> {
    match &resource.sync {
        Sync::Refused(refusal) => Some(format!("{}: {}", resource.name, refusal.reason)),
        Sync::Acknowledged | Sync::Sent | Sync::NotSent | Sync::Missing => None,
    }
}
