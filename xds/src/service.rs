//! The gRPC shell: one driver a stream, polled by the connection it serves.
//!
//! There is no task and no channel behind a stream. The driver is the response stream: it runs when the client's
//! connection can take more, so a client that does not read costs what it has buffered and holds up nobody, and a
//! stream that ends takes all of its state with it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3 as pb;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use futures::Stream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use crate::session::{Event, Response, Scope, Session, Settings};
use crate::snapshot::Snapshot;
use crate::wire::{Delta, StateOfTheWorld, Unreadable, Variant};

/// Largest request that is read, in bytes. A reconnecting client lists everything it has: room for some 100,000 names.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// The newest snapshot, or `None` before the first.
pub type SnapshotReceiver = watch::Receiver<Option<Arc<Snapshot>>>;

/// The xDS services over one source of snapshots.
#[derive(Debug, Clone)]
pub struct XdsService {
    snapshots: SnapshotReceiver,
    settings: Settings,
    identifier: Arc<str>,
    stop: CancellationToken,
}

type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl XdsService {
    /// A service that sends what comes in on `snapshots`, calls itself `identifier` in every response
    /// (`control_plane.identifier`), and ends its streams once `stop` is cancelled.
    #[must_use]
    pub fn new(
        snapshots: SnapshotReceiver,
        settings: Settings,
        identifier: &str,
        stop: CancellationToken,
    ) -> Self {
        Self { snapshots, settings, identifier: identifier.into(), stop }
    }

    /// The aggregated service (ADS), ready for a tonic router.
    #[must_use]
    pub fn aggregated(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES)
    }

    fn stream<V: Variant>(
        &self,
        scope: Scope,
        requests: tonic::Request<Streaming<V::Request>>,
    ) -> tonic::Response<ResponseStream<V::Response>> {
        let peer = requests.remote_addr().map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        debug!(%peer, protocol = ?V::PROTOCOL, "xDS stream opened");
        let driver = Driver::<V> {
            requests: requests.into_inner(),
            snapshots: self.snapshots.clone(),
            session: Session::new(V::PROTOCOL, scope, self.settings.clone()),
            scope,
            identifier: Arc::clone(&self.identifier),
            stop: self.stop.clone(),
            ready: VecDeque::new(),
            answered: false,
            fresh: true,
            peer,
        };
        let responses = futures::stream::unfold(Some(driver), |driver| async {
            let mut driver = driver?;
            match driver.next().await {
                Ok(Some(response)) => Some((Ok(response), Some(driver))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        tonic::Response::new(Box::pin(responses))
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for XdsService {
    type StreamAggregatedResourcesStream = ResponseStream<pb::DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = ResponseStream<pb::DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        requests: tonic::Request<Streaming<pb::DiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::StreamAggregatedResourcesStream>, Status> {
        Ok(self.stream::<StateOfTheWorld>(Scope::Aggregated, requests))
    }

    async fn delta_aggregated_resources(
        &self,
        requests: tonic::Request<Streaming<pb::DeltaDiscoveryRequest>>,
    ) -> Result<tonic::Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Ok(self.stream::<Delta>(Scope::Aggregated, requests))
    }
}

/// What drives one stream: it waits for whatever comes first and hands it to the session.
struct Driver<V: Variant> {
    requests: Streaming<V::Request>,
    snapshots: SnapshotReceiver,
    session: Session,
    scope: Scope,
    identifier: Arc<str>,
    stop: CancellationToken,
    ready: VecDeque<Response>,
    /// Whether anything was sent: a stream that is told to stop says at least one thing first (gRFC A57).
    answered: bool,
    /// Whether the current snapshot is still to be handed to the session.
    fresh: bool,
    peer: String,
}

impl<V: Variant> Driver<V> {
    /// The next response, or `None` when the stream is over.
    async fn next(&mut self) -> Result<Option<V::Response>, Status> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                self.answered = true;
                self.log_response(&response);
                return Ok(Some(V::write(&response, &self.identifier)));
            }
            if std::mem::take(&mut self.fresh) {
                let snapshot = self.snapshots.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    self.session.on_snapshot(snapshot);
                }
            } else if !self.wait().await? {
                return Ok(None);
            }
            self.ready.extend(self.session.flush(Instant::now()));
        }
    }

    /// Waits for a request, a snapshot or a deadline. Returns whether the stream goes on.
    async fn wait(&mut self) -> Result<bool, Status> {
        let deadline = self.session.next_deadline();
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if self.answered => {
                debug!(peer = %self.peer, "xDS stream ended: the server stops");
                return Ok(false);
            }
            request = self.requests.next() => match request {
                Some(Ok(request)) => self.take(request)?,
                Some(Err(status)) => {
                    debug!(peer = %self.peer, node = self.node(), %status, "xDS stream broke");
                    return Ok(false);
                }
                None => {
                    debug!(peer = %self.peer, node = self.node(), "xDS stream closed by its client");
                    return Ok(false);
                }
            },
            changed = self.snapshots.changed() => match changed {
                Ok(()) => self.fresh = true,
                // Nobody makes snapshots any more: the last one stands until the server stops.
                Err(_) => {
                    self.stop.cancelled().await;
                    return Ok(false);
                }
            },
            () = due => {
                warn!(node = self.node(), "an acknowledgement did not come in time; what waited for it goes out");
            }
        }
        Ok(true)
    }

    fn take(&mut self, request: V::Request) -> Result<(), Status> {
        let request = match V::read(request, self.scope) {
            Ok(request) => request,
            Err(error @ Unreadable::UnknownType(_)) => {
                warn!(peer = %self.peer, node = self.node(), %error, "request ignored");
                return Ok(());
            }
            Err(error @ Unreadable::NoType) => return Err(Status::invalid_argument(error.to_string())),
        };
        let kind = request.kind;
        let known = self.session.node().is_some();
        let event = self
            .session
            .on_request(request)
            .map_err(|error| Status::resource_exhausted(error.to_string()))?;
        if !known && self.session.node().is_some() {
            info!(peer = %self.peer, node = self.node(), protocol = ?V::PROTOCOL, "xDS client connected");
        }
        match event {
            Event::Subscribed => debug!(node = self.node(), %kind, "subscribed"),
            Event::Acknowledged => debug!(node = self.node(), %kind, "ACK"),
            Event::Refused { reason, parked } if parked.is_empty() => {
                debug!(node = self.node(), %kind, reason, "NACK; looking for the resource at fault");
            }
            Event::Refused { reason, parked } => {
                for (name, version) in parked {
                    let version = version.map_or_else(|| "removal".to_owned(), |version| version.to_string());
                    warn!(
                        node = self.node(), %kind, %name, version, reason,
                        "NACK: the client refuses this resource; it is not sent again until it changes"
                    );
                }
            }
        }
        Ok(())
    }

    fn log_response(&self, response: &Response) {
        debug!(
            node = self.node(),
            kind = %response.kind,
            nonce = response.nonce,
            version = %response.version,
            resources = response.resources.len(),
            removed = response.removed.len(),
            "response"
        );
    }

    fn node(&self) -> &str {
        self.session.node().map_or("unknown", |node| node.id.as_str())
    }
}
