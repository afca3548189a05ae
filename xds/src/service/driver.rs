//! What drives one stream: it waits for whatever comes first and hands it to the session.
//!
//! There is no task and no channel behind a stream. The driver is the response stream: it runs when the client's
//! connection can take more, so a client that does not read costs what it has buffered and holds up nobody, and a
//! stream that ends takes all of its state with it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures::stream::BoxStream;
use tokio::time::Instant;
use tonic::Status;
use tracing::{debug, info, warn};

use super::XdsService;
use super::lag::Lag;
use crate::clients::Registered;
use crate::kind::Kind;
use crate::session::{Event, Refusal, Response, Scope, Session, Violation};
use crate::source::SnapshotReceiver;
use crate::wire::{Encoded, Requests, Unreadable, Variant};

/// The responses to a stream of requests.
pub(super) fn open<V: Variant>(
    xds: &XdsService,
    scope: Scope,
    peer: Option<SocketAddr>,
    requests: Requests<V::Request>,
) -> BoxStream<'static, Result<Encoded, Status>> {
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    debug!(%peer, protocol = ?V::PROTOCOL, ?scope, "xDS stream opened");
    let session = Session::new(V::PROTOCOL, scope, xds.0.settings.clone());
    xds.0.metrics.opened(V::PROTOCOL);
    let driver = Driver::<V> {
        requests,
        snapshots: None,
        client: xds.0.clients.register(peer, V::PROTOCOL, scope, session),
        node: None,
        ready: VecDeque::new(),
        answered: false,
        deadline: None,
        causes: [None; Kind::ALL.len()],
        lag: Lag::default(),
        xds: xds.clone(),
    };
    Box::pin(futures::stream::unfold(Some(driver), |driver| async {
        let mut driver = driver?;
        match driver.next().await {
            Ok(Some(response)) => Some((Ok(response), Some(driver))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    }))
}

struct Driver<V: Variant> {
    requests: Requests<V::Request>,
    /// From the first request on, which says who asks.
    snapshots: Option<SnapshotReceiver>,
    client: Registered,
    /// The client's name for itself, for the log.
    node: Option<Box<str>>,
    ready: VecDeque<Response>,
    /// Whether anything was sent, or nothing had to be: a client that came back with all that is right is answered by
    /// silence. A stream that is told to stop does not leave its client without an answer (gRFC A57).
    answered: bool,
    /// When the session wants to be asked again though nothing came in.
    deadline: Option<Instant>,
    /// What the response in flight of each type goes back to: a snapshot or a question, by its time.
    causes: [Option<Instant>; Kind::ALL.len()],
    lag: Lag,
    xds: XdsService,
}

impl<V: Variant> Drop for Driver<V> {
    fn drop(&mut self) {
        self.xds.0.metrics.closed(V::PROTOCOL);
    }
}

impl<V: Variant> Driver<V> {
    /// The next response, or `None` when the stream is over.
    async fn next(&mut self) -> Result<Option<Encoded>, Status> {
        loop {
            if let Some(response) = self.ready.pop_front() {
                return Ok(Some(self.write(response)));
            }
            if !self.wait().await? {
                return Ok(None);
            }
        }
    }

    fn write(&mut self, response: Response) -> Encoded {
        self.answered = true;
        debug!(
            node = self.node(),
            kind = %response.kind,
            nonce = response.nonce,
            version = %response.version,
            resources = response.resources.len(),
            removed = response.removed.len(),
            "response"
        );
        let kind = response.kind;
        let encoded = V::write(response, &self.xds.0.identifier);
        self.xds.0.metrics.sent(kind, encoded.len());
        encoded
    }

    /// Waits for a request, a snapshot or a deadline, and takes it in. Returns whether the stream goes on.
    async fn wait(&mut self) -> Result<bool, Status> {
        let deadline = self.deadline;
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let snapshots = &mut self.snapshots;
        let changed = async {
            match snapshots {
                Some(snapshots) => snapshots.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.xds.0.stop.cancelled(), if self.answered => {
                debug!(peer = self.client.peer(), "xDS stream ended: the server stops");
                return Ok(false);
            }
            request = self.requests.next() => match request {
                Some(Ok(request)) => self.take(request)?,
                Some(Err(status)) => {
                    debug!(peer = self.client.peer(), node = self.node(), %status, "xDS stream broke");
                    return Ok(false);
                }
                None => {
                    debug!(peer = self.client.peer(), node = self.node(), "xDS stream closed by its client");
                    return Ok(false);
                }
            },
            changed = changed => match changed {
                Ok(()) => self.take_snapshot(),
                // Nobody makes snapshots any more: the last one stands until the stream ends.
                Err(_) => self.snapshots = None,
            },
            () = due => {
                warn!(node = self.node(), "an acknowledgement did not come in time; what waited for it goes out");
                self.flush();
            }
        }
        Ok(true)
    }

    fn take_snapshot(&mut self) {
        let snapshot = self.snapshots.as_mut().and_then(|snapshots| snapshots.borrow_and_update().clone());
        if let Some(snapshot) = snapshot {
            {
                let mut session = self.client.session();
                // What there was before the client came goes back to nothing that it waited for.
                if session.snapshot().is_some() {
                    self.lag.begin(snapshot.event());
                }
                session.on_snapshot(snapshot);
            }
            self.flush();
        }
    }

    fn take(&mut self, request: V::Request) -> Result<(), Status> {
        let request = match V::read(request, self.client.scope()) {
            Ok(request) => request,
            Err(error @ Unreadable::UnknownType(_)) => {
                warn!(peer = self.client.peer(), node = self.node(), %error, "request ignored");
                return Ok(());
            }
            Err(error @ Unreadable::NoType) => return Err(Status::invalid_argument(error.to_string())),
        };
        let kind = request.kind;
        let node = request.node.clone();
        let event = self.client.session().on_request(request).map_err(|violation| to_status(&violation))?;
        if self.node.is_none() {
            let node = node.unwrap_or_default();
            info!(peer = self.client.peer(), node = node.id, protocol = ?V::PROTOCOL, "xDS client connected");
            self.snapshots = Some(self.xds.0.source.for_node(&node));
            self.node = Some(node.id.into());
            self.take_snapshot();
        }
        self.note(kind, event);
        self.flush();
        Ok(())
    }

    /// Asks the session what has to be sent by now.
    fn flush(&mut self) {
        let (responses, deadline, born, settled) = {
            let mut session = self.client.session();
            let responses = session.flush(Instant::now());
            let born = session.snapshot().map(|snapshot| snapshot.born());
            (responses, session.next_deadline(), born, session.is_settled())
        };
        if settled && let Some(event) = self.lag.end() {
            self.xds.0.metrics.caught_up(event.elapsed());
        }
        self.deadline = deadline;
        // Without a snapshot the answer is still to come, and a deadline says that something waits.
        self.answered |= responses.is_empty() && born.is_some() && deadline.is_none();
        for response in responses {
            // Who asks for a type after the snapshot was made waits since then.
            let cause = &mut self.causes[response.kind.index()];
            *cause = (*cause).max(born);
            self.ready.push_back(response);
        }
    }

    fn note(&mut self, kind: Kind, event: Event) {
        let metrics = &self.xds.0.metrics;
        match event {
            Event::Subscribed => {
                debug!(node = self.node(), %kind, "subscribed");
                self.causes[kind.index()] = Some(Instant::now());
            }
            Event::Acknowledged { parked } => {
                self.client.answered();
                self.lag.acknowledged();
                debug!(node = self.node(), %kind, "ACK");
                metrics.acknowledged(kind, self.causes[kind.index()].map(|cause| cause.elapsed()));
                self.note_refusals(kind, &parked);
            }
            Event::Refused { reason, parked } => {
                self.client.answered();
                metrics.refused(kind);
                if parked.is_empty() {
                    debug!(node = self.node(), %kind, reason, "NACK; looking for the resource at fault");
                }
                self.note_refusals(kind, &parked);
            }
        }
    }

    fn note_refusals(&mut self, kind: Kind, refusals: &[Refusal]) {
        if !refusals.is_empty() {
            self.lag.refused();
        }
        for Refusal { name, version, reason, .. } in refusals {
            let version = version.map_or_else(|| "removal".to_owned(), |version| version.to_string());
            self.xds.0.metrics.parked(kind);
            warn!(
                node = self.node(), %kind, %name, version, %reason,
                "NACK: the client refuses this resource; it is not sent again until it changes"
            );
        }
    }

    fn node(&self) -> &str {
        self.node.as_deref().unwrap_or("unknown")
    }
}

fn to_status(violation: &Violation) -> Status {
    match violation {
        Violation::WrongType { .. } => Status::invalid_argument(violation.to_string()),
        Violation::TooManyNames { .. } | Violation::NameTooLong { .. } => {
            Status::resource_exhausted(violation.to_string())
        }
    }
}
