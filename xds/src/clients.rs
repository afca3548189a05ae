//! Who is connected, and how far each client is: for status, metrics and whoever waits for an acknowledgement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use envoy_types::pb::envoy::config::core::v3::Node;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kind::Kind;
use crate::resource::Version;
use crate::session::{Protocol, Refusal, Scope, Session, TypeStatus};

/// All streams that are open at the moment. Cheap to clone; all clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct Clients(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    streams: Mutex<BTreeMap<u64, Arc<Stream>>>,
    next_id: AtomicU64,
    /// Counts what happened to any of them.
    changes: watch::Sender<u64>,
}

/// A stream, shared between its driver and those who ask. The lock is held for one step of the session, or while its
/// status is read, and never while anything is waited for.
#[derive(Debug)]
struct Stream {
    id: u64,
    peer: String,
    protocol: Protocol,
    scope: Scope,
    opened: SystemTime,
    session: Mutex<Session>,
}

/// One open stream at one moment.
#[derive(Debug, Clone)]
pub struct ClientStream {
    /// Its number, in the order in which streams were opened.
    pub id: u64,
    /// The address it comes from.
    pub peer: String,
    /// The variant of the protocol it speaks.
    pub protocol: Protocol,
    /// The types it carries.
    pub scope: Scope,
    /// When it was opened.
    pub opened: SystemTime,
    /// Who the client says it is; nothing before its first request.
    pub node: Option<Node>,
    /// How far it is, for each type it has asked for.
    pub types: Vec<TypeStatus>,
}

/// How far an open stream is, in a few words: what costs little however many resources there are.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Its number, as in [`ClientStream`].
    pub id: u64,
    /// The address it comes from.
    pub peer: String,
    /// Who the client says it is; nothing before its first request.
    pub node: Option<Node>,
    /// Whether it has asked for anything.
    pub asked: bool,
    /// What it refused of what there is.
    pub refusals: Vec<(Kind, Refusal)>,
    /// The version of the snapshot of which it has all that it asked for and did not refuse, and since when; nothing while
    /// something is under way.
    pub settled: Option<(Version, Instant)>,
}

impl Clients {
    /// How far all open streams are, the oldest first.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        let streams: Vec<Arc<Stream>> = self.0.streams.lock().values().cloned().collect();
        streams.iter().map(|stream| stream.progress()).collect()
    }

    /// All open streams, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<ClientStream> {
        let streams: Vec<Arc<Stream>> = self.0.streams.lock().values().cloned().collect();
        streams.iter().map(|stream| stream.describe()).collect()
    }

    /// How many streams are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.streams.lock().len()
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes whenever a client connects, leaves, or answers a response: what [`list`](Self::list) says may differ.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn changed(&self) {
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn register(
        &self,
        peer: String,
        protocol: Protocol,
        scope: Scope,
        session: Session,
    ) -> Registered {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Mutex::new(session);
        let stream = Arc::new(Stream { id, peer, protocol, scope, opened: SystemTime::now(), session });
        self.0.streams.lock().insert(id, Arc::clone(&stream));
        self.changed();
        Registered { clients: self.clone(), stream }
    }
}

impl Stream {
    fn progress(&self) -> Progress {
        let session = self.session.lock();
        Progress {
            id: self.id,
            peer: self.peer.clone(),
            node: session.node().cloned(),
            asked: session.has_asked(),
            refusals: session.refusals().map(|(kind, refusal)| (kind, refusal.clone())).collect(),
            settled: session.settled(),
        }
    }

    fn describe(&self) -> ClientStream {
        let session = self.session.lock();
        ClientStream {
            id: self.id,
            peer: self.peer.clone(),
            protocol: self.protocol,
            scope: self.scope,
            opened: self.opened,
            node: session.node().cloned(),
            types: session.status(),
        }
    }
}

/// A stream's place in the list, for as long as it is open.
#[derive(Debug)]
pub(crate) struct Registered {
    clients: Clients,
    stream: Arc<Stream>,
}

impl Registered {
    pub(crate) fn peer(&self) -> &str {
        &self.stream.peer
    }

    pub(crate) fn scope(&self) -> Scope {
        self.stream.scope
    }

    /// Tells those who wait that this client answered.
    pub(crate) fn answered(&self) {
        self.clients.changed();
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.stream.session.lock()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.clients.0.streams.lock().remove(&self.stream.id);
        self.clients.changed();
    }
}
