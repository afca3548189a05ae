//! `InspectService.WatchService`: one service, and how far each client is with it, on every change.

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::Status;
use xds_server::Clients;

use super::inspect::to_service;
use super::pb;
use super::refusal::not_found;
use crate::naming::{self, NotFound};
use crate::overrides::Overrides;
use crate::progress::OfService;
use crate::provider::Freshness;
use crate::publish::{View, ViewReceiver};
use crate::sources::Sources;

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
    pub(super) fn new(asked: String, sources: &Sources) -> Self {
        let Sources { views, decisions, clients, freshness, .. } = sources.clone();
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
                    ..status(&self.asked, &view, &decisions, &self.clients)
                        .map_err(|error| not_found(&error))?
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

/// How far the service `asked` is, as `view` has it; nothing is said of one that is not there.
///
/// # Errors
///
/// Several may be meant.
pub(crate) fn status(
    asked: &str,
    view: &View,
    decisions: &Overrides,
    clients: &Clients,
) -> Result<pb::WatchServiceResponse, NotFound> {
    let service = match naming::service(&view.model.topology, asked) {
        Ok(service) => service,
        Err(error) if error.is_nothing() => return Ok(pb::WatchServiceResponse::default()),
        Err(error) => return Err(error),
    };
    let name = service.name.to_string();
    let clients = clients.list();
    let clients =
        clients.iter().filter_map(|client| OfService::of(client, &name, &view.snapshot)).map(to_client);
    let service = Some(to_service(service, decisions));
    Ok(pb::WatchServiceResponse { clients: clients.collect(), service, stale: false })
}

fn to_client(client: OfService) -> pb::ServiceClient {
    let OfService { node, peer, endpoints_acknowledged, routes_acknowledged, refusal } = client;
    let refusal = refusal.unwrap_or_default();
    pb::ServiceClient { node, peer, endpoints_acknowledged, routes_acknowledged, refusal }
}
