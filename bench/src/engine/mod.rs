//! A Docker Engine that is not there: the part of its API that Portolan uses, and Traefik, over HTTP/1.1 on a Unix socket, for
//! containers that exist in memory only.
//!
//! ```text
//! measure --> Engine (start, kill, health, probe, ...) --> world (containers, events) --> http --> portolan serve
//! ```
//!
//! What is told is told as the daemon does: `type` and `event` filters are honoured on the daemon's side, a listener that
//! comes later gets at most the last 256 events, and one that does not keep up is dropped. Every call is counted.

mod container;
mod event;
mod http;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tokio::net::UnixListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use container::{Container, Health};
use world::World;

/// The versions an engine calls its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api {
    /// The engine's.
    pub(crate) engine: &'static str,
    /// The newest of its API.
    pub(crate) newest: &'static str,
    /// The oldest of its API that it takes.
    pub(crate) oldest: &'static str,
}

/// As Debian 12 has it.
pub(crate) const ENGINE_20_10: Api = Api { engine: "20.10.24", newest: "1.41", oldest: "1.12" };
/// The newest by now.
pub(crate) const ENGINE_29: Api = Api { engine: "29.3.1", newest: "1.53", oldest: "1.44" };

/// How often each question was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    /// `_ping` and `version`.
    pub(crate) hello: u64,
    /// Event streams that were opened.
    pub(crate) events: u64,
    /// Lists of all containers.
    pub(crate) list: u64,
    /// Looks at one container.
    pub(crate) inspect: u64,
    /// Anything else.
    pub(crate) other: u64,
}

impl Calls {
    /// What was asked since `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            hello: self.hello - before.hello,
            events: self.events - before.events,
            list: self.list - before.list,
            inspect: self.inspect - before.inspect,
            other: self.other - before.other,
        }
    }

    /// All of them.
    pub(crate) const fn all(self) -> u64 {
        self.hello + self.events + self.list + self.inspect + self.other
    }
}

#[derive(Debug, Default)]
struct Counters {
    hello: AtomicU64,
    events: AtomicU64,
    list: AtomicU64,
    inspect: AtomicU64,
    other: AtomicU64,
}

/// An engine that listens. Dropping it closes its socket and every connection.
#[derive(Debug)]
pub(crate) struct Engine {
    world: Arc<Mutex<World>>,
    counters: Arc<Counters>,
    _server: JoinSet<()>,
}

impl Engine {
    /// An engine with these containers on a new socket at `path`.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub(crate) fn listen(path: &Path, api: Api, containers: Vec<Container>) -> anyhow::Result<Self> {
        let listener =
            UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
        let world = Arc::new(Mutex::new(World::new(api, containers)));
        let counters = Arc::new(Counters::default());
        let mut server = JoinSet::new();
        server.spawn(http::serve(listener, Arc::clone(&world), Arc::clone(&counters)));
        Ok(Self { world, counters, _server: server })
    }

    /// What was asked so far.
    pub(crate) fn calls(&self) -> Calls {
        let Counters { hello, events, list, inspect, other } = &*self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Calls {
            hello: read(hello),
            events: read(events),
            list: read(list),
            inspect: read(inspect),
            other: read(other),
        }
    }

    /// Every container with a health check runs its probe once: three exec events each.
    pub(crate) async fn probe_all(&self) {
        self.world.lock().await.probe_all();
    }

    /// Container `n` changes its health.
    pub(crate) async fn turn(&self, n: usize, health: Health) {
        self.world.lock().await.turn(n, health);
    }

    /// Container `n` gets a signal; returns when that was told.
    pub(crate) async fn kill(&self, n: usize, signal: u8) -> Instant {
        self.world.lock().await.kill(n, signal)
    }

    /// The process of container `n` ends, and its networks are left.
    pub(crate) async fn die(&self, n: usize) {
        self.world.lock().await.die(n);
    }

    /// The number of the container of that name.
    pub(crate) async fn find(&self, name: &str) -> Option<usize> {
        self.world.lock().await.find(name)
    }

    /// There is one more container, which is not started yet. Returns its number.
    pub(crate) async fn create(&self, container: Container) -> usize {
        self.world.lock().await.create(container)
    }

    /// Container `n` is started: it joins its networks, and its check has not said anything yet. Returns when that was
    /// told.
    pub(crate) async fn start(&self, n: usize) -> Instant {
        self.world.lock().await.start(n)
    }

    /// How many events were sent to somebody.
    pub(crate) async fn told(&self) -> u64 {
        self.world.lock().await.told()
    }
}
