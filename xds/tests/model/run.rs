//! A session, a client and the wire between them, moved one step at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use tokio::time::Instant;
use xds_server::session::{Protocol, Request, Response, Scope, Session, Settings};
use xds_server::{Kind, Snapshot};

use super::{Client, Edit, Manner, Monitor, Style, Verdict, World, at, ensure};

/// Most messages it may take until nobody has anything to say any more.
const PATIENCE: usize = 1_500;

/// One step of a run.
#[derive(Debug, Clone)]
pub enum Op {
    /// A new snapshot, after these edits of the world.
    Publish(Vec<Edit>),
    /// The server reads one request.
    Request,
    /// The client reads one response.
    Response,
    /// Both read whatever there is, up to this many messages.
    Exchange(u8),
    /// The stream breaks and a new one is opened.
    Reconnect,
    /// Milliseconds go by.
    Wait(u16),
    /// Somebody asks the client for a name, or no longer wants it.
    Ask(Kind, u8, bool),
    /// The client sends its last request of a type again.
    Repeat(Kind),
    /// The client acknowledges again what it last answered.
    AcknowledgeAgain(Kind),
    /// The client sends a request, or a refusal, with an old nonce.
    Stale(Kind, bool),
    /// The client will refuse the next response, whatever it is.
    Whim,
}

/// One stream with its two queues.
#[derive(Debug)]
struct Link {
    session: Session,
    monitor: Monitor,
    introduced: bool,
    requests: VecDeque<Request>,
    responses: VecDeque<Response>,
}

/// A whole system: one client, one server, one world.
#[derive(Debug)]
pub struct Run {
    pub client: Client,
    links: Vec<Link>,
    world: World,
    snapshot: Option<Arc<Snapshot>>,
    now: Instant,
    /// How much time went by since everything was settled.
    waited: Duration,
    /// Whether something may have gone out because an answer did not come in time.
    timed_out: bool,
    /// Whether there was a reason to wait for a time-out: a refusal, a client that comes back while a cluster warms.
    excused: bool,
    /// Everything that was done and said, where somebody wants to know.
    log: Option<RefCell<String>>,
}

impl Run {
    pub fn new(manner: Manner) -> Self {
        let mut run = Self {
            client: Client::new(manner),
            links: Vec::new(),
            world: World::default(),
            snapshot: None,
            now: Instant::now(),
            waited: Duration::ZERO,
            timed_out: false,
            excused: false,
            log: None,
        };
        run.connect();
        run
    }

    /// Runs `ops`, lets everything settle, mends the world, and lets it settle again. What is wrong comes with a log
    /// of all that led to it.
    pub fn prove(manner: Manner, ops: &[Op]) -> Verdict {
        Self::new(manner).finish(ops).map_err(|what| {
            let mut again = Self::new(manner);
            again.log = Some(RefCell::default());
            again.say(|| format!("{manner:?}"));
            let _ = again.finish(ops);
            format!("{what}\n{}", again.log.map(RefCell::into_inner).unwrap_or_default())
        })
    }

    fn finish(&mut self, ops: &[Op]) -> Verdict {
        for op in ops {
            self.step(op)?;
        }
        self.step(&Op::Publish(Vec::new()))?;
        self.settle()?;
        self.step(&Op::Publish(vec![Edit::Mend]))?;
        self.settle()
    }

    /// One step, and the checks that hold after every step.
    pub fn step(&mut self, op: &Op) -> Verdict {
        self.say(|| format!("-- {op:?}"));
        match op {
            Op::Publish(edits) => self.publish(edits)?,
            Op::Request => drop(self.deliver()?),
            Op::Response => drop(self.receive()?),
            Op::Exchange(most) => {
                for turn in 0..*most {
                    if turn % 2 == 0 {
                        self.receive()?
                    } else {
                        self.deliver()?
                    };
                }
            }
            Op::Reconnect => {
                self.connect();
                self.excused |= self.client.late;
            }
            Op::Wait(ms) => self.wait(Duration::from_millis((*ms).into()))?,
            Op::Ask(kind, n, wanted) => self.client.ask(*kind, &name(*kind, *n), *wanted),
            Op::Repeat(kind) => self.client.repeat(*kind),
            Op::AcknowledgeAgain(kind) => self.client.acknowledge_again(*kind),
            Op::Stale(kind, refused) => self.client.stale(*kind, *refused),
            Op::Whim => {
                self.client.moody = true;
                self.excused = true;
            }
        }
        self.post();
        Ok(())
    }

    fn connect(&mut self) {
        let Manner { protocol, aggregated, .. } = self.client.manner;
        let scopes = if aggregated { vec![Scope::Aggregated] } else { Kind::ALL.map(Scope::Only).to_vec() };
        let snapshot = self.snapshot.clone();
        let link = |scope| {
            let mut session = Session::new(protocol, scope, Settings::default());
            snapshot.iter().for_each(|snapshot| session.on_snapshot(Arc::clone(snapshot)));
            let (requests, responses) = Default::default();
            Link { session, monitor: Monitor::new(protocol), introduced: false, requests, responses }
        };
        self.links = scopes.into_iter().map(link).collect();
        self.client.connect();
        self.post();
    }

    /// Puts on the wire what the client has to say.
    fn post(&mut self) {
        for mut request in self.client.take_requests() {
            self.say(|| format!("client: {request:?}"));
            let aggregated = self.client.manner.aggregated;
            let link = &mut self.links[if aggregated { 0 } else { at(request.kind) }];
            if !std::mem::replace(&mut link.introduced, true) {
                request.node = Some(Node { id: "model".into(), ..Default::default() });
            }
            link.requests.push_back(request);
        }
    }

    fn publish(&mut self, edits: &[Edit]) -> Verdict {
        edits.iter().for_each(|edit| self.world.apply(edit));
        self.excused |= !self.world.is_good();
        let previous = self.snapshot.clone().unwrap_or_default();
        let snapshot = self.world.snapshot(&previous);
        self.snapshot = Some(Arc::clone(&snapshot));
        for link in &mut self.links {
            link.monitor.on_snapshot(&snapshot);
            link.session.on_snapshot(Arc::clone(&snapshot));
        }
        self.flush_all()
    }

    fn flush_all(&mut self) -> Verdict {
        (0..self.links.len()).try_for_each(|link| self.flush(link))
    }

    fn flush(&mut self, link: usize) -> Verdict {
        let responses = self.links[link].session.flush(self.now);
        for response in responses {
            self.say(|| format!("server: {response:?}"));
            let snapshot = self.snapshot.as_deref().ok_or("a response before the first snapshot")?;
            self.links[link].monitor.on_response(&response, snapshot)?;
            self.links[link].responses.push_back(response);
        }
        Ok(())
    }

    /// The server reads a request of one stream, the first that has any. Returns whether there was one.
    fn deliver(&mut self) -> Result<bool, String> {
        let waiting = self.links.iter().position(|link| !link.requests.is_empty());
        let Some(n) = waiting else { return Ok(false) };
        let link = &mut self.links[n];
        let Some(request) = link.requests.pop_front() else { return Ok(false) };
        link.monitor.on_request(&request, self.snapshot.as_deref());
        link.session.on_request(request).map_err(|violation| violation.to_string())?;
        ensure!(link.session.node().is_some_and(|node| node.id == "model"), "the node was not kept");
        self.flush(n)?;
        Ok(true)
    }

    /// The client reads a response of one stream, the first that has any. Returns whether there was one.
    fn receive(&mut self) -> Result<bool, String> {
        let waiting = self.links.iter_mut().find_map(|link| link.responses.pop_front());
        let Some(response) = waiting else { return Ok(false) };
        self.client.receive(&response);
        self.post();
        let ordered = self.client.manner.aggregated && !self.timed_out && !self.client.late;
        match self.client.dangling().filter(|_| ordered) {
            Some(what) => Err(what),
            None => Ok(true),
        }
    }

    fn wait(&mut self, time: Duration) -> Verdict {
        self.now += time;
        for n in 0..self.links.len() {
            let due = self.links[n].session.next_deadline().is_some_and(|deadline| deadline <= self.now);
            let before = self.links[n].responses.len();
            self.flush(n)?;
            let sent = self.links[n].responses.len() > before;
            ensure!(due || !sent, "something was due before the deadline the session gave");
        }
        self.waited += time;
        self.timed_out |= self.waited >= Settings::default().order_timeout;
        Ok(())
    }

    /// Lets messages pass until there are none, and time where nothing else helps. Returns how often time had to.
    fn drain(&mut self) -> Result<usize, String> {
        let sotw = self.client.manner.protocol == Protocol::StateOfTheWorld;
        let mut timeouts = 0;
        for _ in 0..PATIENCE {
            if self.receive()? || self.deliver()? {
                continue;
            }
            let deadlines = self.links.iter().filter_map(|link| link.session.next_deadline());
            let Some(deadline) = deadlines.min() else {
                // State of the world: nobody can tell a client that came back what it warms on is gone.
                if sotw && self.client.late && self.client.stop_warming() {
                    self.post();
                    continue;
                }
                return Ok(timeouts);
            };
            self.say(|| "-- nothing moves: time does".to_owned());
            timeouts += 1;
            self.wait(deadline.saturating_duration_since(self.now))?;
        }
        Err(format!("no end after {PATIENCE} messages and {timeouts} time-outs"))
    }

    /// Nothing is left to say: the client has the newest snapshot, and hears nothing more.
    fn settle(&mut self) -> Verdict {
        let timeouts = self.drain()?;
        // A route that is refused keeps the old one, and its cluster is gone when the time-out has passed.
        self.timed_out &= self.client.dangling().is_some();
        self.waited = Duration::ZERO;
        self.client.late = false;
        let envoy = self.client.manner.style == Style::Envoy;
        ensure!(
            timeouts == 0 || self.excused || !envoy,
            "it took {timeouts} time-outs to settle, for no reason"
        );
        let snapshot = self.snapshot.clone().ok_or("nothing was published")?;
        self.client.agrees_with(&snapshot)?;
        for status in self.links.iter().flat_map(|link| link.session.status()) {
            self.client.confirms(&status)?;
        }
        ensure!(self.links.iter().all(|link| link.monitor.is_idle()), "a response was never answered");
        self.stays_silent(&snapshot)
    }

    fn stays_silent(&mut self, snapshot: &Arc<Snapshot>) -> Verdict {
        self.say(|| "-- silence".to_owned());
        let equal = [self.world.snapshot(snapshot), self.world.snapshot(&Snapshot::default())];
        for snapshot in equal {
            for link in &mut self.links {
                link.session.on_snapshot(Arc::clone(&snapshot));
            }
            self.flush_all()?;
            ensure!(!self.receive()?, "an equal snapshot was answered");
            self.snapshot = Some(snapshot);
        }
        for kind in Kind::ALL {
            self.client.acknowledge_again(kind);
            if self.client.manner.protocol == Protocol::StateOfTheWorld {
                self.client.repeat(kind);
            }
            self.client.stale(kind, false);
            self.client.stale(kind, true);
        }
        self.post();
        while self.deliver()? {}
        ensure!(!self.receive()?, "an ACK that was repeated was answered");
        self.wait(Duration::from_secs(3_600))?;
        ensure!(!self.receive()?, "silence was broken");
        Ok(())
    }

    fn say(&self, words: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            let mut log = log.borrow_mut();
            log.push_str(&words());
            log.push('\n');
        }
    }
}

/// The name of resource `n` of a type; nothing is ever called by the last one.
fn name(kind: Kind, n: u8) -> String {
    match kind {
        Kind::Cluster | Kind::Endpoint => format!("c{n}"),
        Kind::Extension => format!("x{n}"),
        Kind::Listener => format!("l{n}"),
        Kind::Route => format!("r{n}"),
        Kind::Secret => format!("s{n}"),
    }
}
