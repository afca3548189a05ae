//! One stream, as a state machine without I/O.
//!
//! Requests and snapshots go in, responses come out; time is an argument. State of the world and delta are one
//! machine: they differ in how a request changes the subscription and in what a response has to list.
//!
//! ```text
//!                 request                        flush
//!   client  ----------------->  [Ledger per type]  ----->  responses, at most one unanswered a type
//!                                 held: what the client has
//!   snapshot ---------------->    unsettled: what may differ from it
//!                                 owed: what it must hear again
//!                                 outstanding: what it has not answered
//!                                 parked: what it refused
//! ```
//!
//! A name travels through a ledger like this:
//!
//! ```text
//!             snapshot differs, or the client asked
//!   settled ------------------------------------------> unsettled <---------------+
//!      ^                                                    |  ^                  |
//!      |                                   may not go yet:  |  | the other has    |  refused with others:
//!      |                                   wait (bounded)   +--+ answered, time   |  tried in halves
//!      |                                                    |                     |
//!      |  ACK                                               v   NACK              |
//!      +---------------------------------------------- outstanding ---------------+---> parked until its content differs
//! ```

mod ledger;
mod order;
mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use tokio::time::Instant;

use crate::kind::Kind;
use crate::resource::{Name, Resource, Version};
use crate::snapshot::Snapshot;

use ledger::{Held, Ledger, Outstanding, Step};
use order::Waits;

/// Which variant of the protocol a stream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// State of the world: a response lists what there is.
    StateOfTheWorld,
    /// Incremental: a response lists what changed.
    Delta,
}

impl Protocol {
    /// Whether a response lists everything of a type, so that the client takes what is missing as gone.
    const fn is_whole(self, kind: Kind) -> bool {
        matches!(self, Self::StateOfTheWorld) && kind.is_full_state()
    }
}

/// Which types a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All types on one stream (ADS): additions and removals are ordered across types.
    Aggregated,
    /// One type only.
    Only(Kind),
}

/// What a session allows and how long it waits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long one type waits for another one's acknowledgement before it goes ahead without.
    pub order_timeout: Duration,
    /// Most names one stream may subscribe to, of one type.
    pub max_names: usize,
    /// Most bytes a name may have.
    pub max_name_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { order_timeout: Duration::from_secs(5), max_names: 100_000, max_name_bytes: 1_024 }
    }
}

/// A request of either protocol, reduced to what the session acts on.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks; on the first request of a stream only.
    pub node: Option<Node>,
    /// The type it is about.
    pub kind: Kind,
    /// The nonce of the response it answers, or empty.
    pub nonce: String,
    /// Why that response was refused. Its presence alone makes a request a NACK.
    pub refused: Option<String>,
    /// What it says about the subscription.
    pub wants: Wants,
}

/// How a request states what the client wants.
#[derive(Debug, Clone)]
pub enum Wants {
    /// State of the world: these names from now on.
    Names(Vec<String>),
    /// Delta: these more, and these no longer.
    Update {
        /// Names to add.
        subscribe: Vec<String>,
        /// Names to take away.
        unsubscribe: Vec<String>,
        /// What the client has from an earlier stream, name to version; on its first request of the type only.
        initial_versions: BTreeMap<String, String>,
    },
}

/// A response of either protocol, before it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The type it is about.
    pub kind: Kind,
    /// Its number on this stream.
    pub nonce: String,
    /// A hash of what it lists.
    pub version: Version,
    /// What it lists: everything (state of the world, clusters and listeners) or what changed.
    pub resources: Vec<Arc<Resource>>,
    /// Delta only: names of what is gone or never was.
    pub removed: Vec<Name>,
}

/// What a request meant, for logs and statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It subscribed, or its nonce was not the newest: nothing was answered by it.
    Subscribed,
    /// It acknowledged the newest response.
    Acknowledged,
    /// It refused the newest response.
    Refused {
        /// The client's words.
        reason: String,
        /// What is now known to be bad and will not be sent again as it is: name and version, no version for a removal.
        parked: Vec<(Name, Option<Version>)>,
    },
}

/// A request that no session can serve; the stream ends with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Too many names.
    #[error("more than {limit} names of type {kind} on one stream; subscribe to fewer, or to the wildcard")]
    TooManyNames {
        /// Their type.
        kind: Kind,
        /// The most there may be.
        limit: usize,
    },
    /// A name is too long.
    #[error("a name of type {kind} has {bytes} bytes; at most {limit} are allowed")]
    NameTooLong {
        /// Its type.
        kind: Kind,
        /// Its length.
        bytes: usize,
        /// The longest there may be.
        limit: usize,
    },
    /// A request for another type than the stream is for.
    #[error(
        "this stream carries type {expected} only, not {found}; use the aggregated service for several types"
    )]
    WrongType {
        /// The stream's type.
        expected: Kind,
        /// The request's.
        found: Kind,
    },
}

/// The state of one stream.
#[derive(Debug)]
pub struct Session {
    protocol: Protocol,
    scope: Scope,
    settings: Settings,
    node: Option<Node>,
    snapshot: Option<Arc<Snapshot>>,
    ledgers: [Ledger; Kind::ALL.len()],
    waits: [Waits; Kind::ALL.len()],
    nonces: u64,
}

impl Session {
    /// A stream that was just opened.
    #[must_use]
    pub fn new(protocol: Protocol, scope: Scope, settings: Settings) -> Self {
        Self {
            protocol,
            scope,
            settings,
            node: None,
            snapshot: None,
            ledgers: Default::default(),
            waits: Default::default(),
            nonces: 0,
        }
    }

    /// Who is at the other end, once it has said so.
    #[must_use]
    pub const fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Takes in a request. What it calls for comes out of the next [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// A [`Violation`] must end the stream.
    pub fn on_request(&mut self, request: Request) -> Result<Event, Violation> {
        self.check(&request)?;
        if self.node.is_none() {
            self.node = request.node;
        }
        let kind = request.kind;
        let whole = self.protocol.is_whole(kind);
        let snapshot = self.snapshot.clone();
        let ledger = &mut self.ledgers[kind.index()];
        let first = !std::mem::replace(&mut ledger.seen, true);
        let event = if first { Event::Subscribed } else { ledger.answered(&request.nonce, request.refused) };
        if let Some(snapshot) = snapshot.as_ref().filter(|_| event != Event::Subscribed) {
            ledger.release_parked(kind, snapshot, whole);
        }
        let (change, due) = match request.wants {
            Wants::Names(names) => {
                let change = ledger.subscription.replace(kind, &names);
                let due = first || change.wildcard_asked || !change.asked.is_empty();
                (change, due)
            }
            Wants::Update { subscribe, unsubscribe, initial_versions } => {
                let change = ledger.subscription.update(kind, first, &subscribe, &unsubscribe);
                let due = change.wildcard_asked && initial_versions.is_empty();
                // The names it asks for are sent again all the same. Envoy needs that: it leaves a cluster that changed
                // meanwhile warming for as long as the assignment it knows is withheld.
                if first {
                    ledger.inherit(initial_versions);
                }
                (change, due)
            }
        };
        ledger.answer_due |= due;
        ledger.apply(change, kind, snapshot.as_deref());
        let (limit, count) = (self.settings.max_names, ledger.subscription.all_names().len());
        if count > limit { Err(Violation::TooManyNames { kind, limit }) } else { Ok(event) }
    }

    fn check(&self, request: &Request) -> Result<(), Violation> {
        let kind = request.kind;
        if let Scope::Only(expected) = self.scope
            && expected != kind
        {
            return Err(Violation::WrongType { expected, found: kind });
        }
        let limit = self.settings.max_name_bytes;
        let (names, held): (&[String], usize) = match &request.wants {
            Wants::Names(names) => (names, 0),
            Wants::Update { subscribe, initial_versions, .. } => (subscribe, initial_versions.len()),
        };
        if names.len().max(held) > self.settings.max_names {
            return Err(Violation::TooManyNames { kind, limit: self.settings.max_names });
        }
        match names.iter().map(String::len).find(|bytes| *bytes > limit) {
            Some(bytes) => Err(Violation::NameTooLong { kind, bytes, limit }),
            None => Ok(()),
        }
    }

    /// Takes in a snapshot; the newest one wins, whatever the client has answered so far.
    pub fn on_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        for kind in Kind::ALL {
            let ledger = &mut self.ledgers[kind.index()];
            let since = self.snapshot.as_ref().map(|old| old.version());
            match since.and_then(|since| snapshot.changed_since(since, kind)) {
                Some(names) => ledger.unsettle(names),
                None => ledger.unsettle_all(kind, Some(&snapshot)),
            }
            ledger.release_parked(kind, &snapshot, self.protocol.is_whole(kind));
        }
        self.snapshot = Some(snapshot);
    }

    /// What has to be sent now, in the order in which it has to be sent.
    pub fn flush(&mut self, now: Instant) -> Vec<Response> {
        let Some(snapshot) = self.snapshot.clone() else { return Vec::new() };
        let mut responses: Vec<_> =
            Kind::ALL.into_iter().filter_map(|kind| self.respond(kind, &snapshot, now)).collect();
        // What one type found settled may be what an earlier one waits for.
        let waiting = Kind::ALL.into_iter().filter(|kind| self.waits[kind.index()].first().is_some());
        for kind in waiting.collect::<Vec<_>>() {
            responses.extend(self.respond(kind, &snapshot, now));
        }
        responses
    }

    /// When [`flush`](Self::flush) must be called again even if nothing comes in.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.ledgers.iter().zip(&self.waits).filter(|(ledger, _)| ledger.outstanding.is_none());
        let first = waiting.filter_map(|(_, waits)| waits.first()).min()?;
        Some(first + self.settings.order_timeout)
    }

    fn respond(&mut self, kind: Kind, snapshot: &Snapshot, now: Instant) -> Option<Response> {
        let ledger = &self.ledgers[kind.index()];
        if !ledger.seen || ledger.outstanding.is_some() {
            return None;
        }
        let (steps, complete) = self.steps(kind, snapshot, now);
        let ledger = &mut self.ledgers[kind.index()];
        if ledger.answer_due && !complete && (kind.is_full_state() || steps.is_empty()) {
            // The first answer to a question is a whole one: Envoy takes listeners that are missing from it as none.
            return None;
        }
        let (steps, trial) = ledger.choose(steps);
        if steps.is_empty() && !ledger.answer_due && !ledger.whole_due {
            return None;
        }
        (ledger.answer_due, ledger.whole_due) = (false, false);
        for (name, step) in &steps {
            ledger.owed.remove(name);
            let has_to_go = step.is_some() && snapshot.get(kind, name).is_none();
            if !has_to_go {
                ledger.unsettled.remove(name);
            }
        }
        self.nonces += 1;
        let nonce = self.nonces.to_string();
        let response = ledger.response(self.protocol, kind, nonce.clone(), &steps);
        let whole = self.protocol.is_whole(kind);
        ledger.outstanding = Some(Outstanding { nonce, steps, diminished: false, whole, trial });
        if kind == Kind::Cluster {
            self.owe_assignments();
        }
        Some(response)
    }

    /// A cluster that was sent warms until it hears its assignment again, changed or not; Envoy does not ask for it.
    fn owe_assignments(&mut self) {
        let sent = self.ledgers[Kind::Cluster.index()].in_flight();
        let names: Vec<Name> = sent.filter_map(|cluster| cluster.references().assignment.clone()).collect();
        let endpoints = &mut self.ledgers[Kind::Endpoint.index()];
        for name in names {
            if endpoints.subscription.covers(&name) {
                endpoints.owe(name);
            }
        }
    }
}

impl Ledger {
    /// Resolves the outstanding response where `nonce` is that of the newest one.
    fn answered(&mut self, nonce: &str, refused: Option<String>) -> Event {
        let Some(outstanding) = self.outstanding.take_if(|outstanding| outstanding.nonce == nonce) else {
            return Event::Subscribed;
        };
        match refused {
            None => {
                self.accept(outstanding);
                Event::Acknowledged
            }
            Some(reason) => {
                let parked = self.refuse(outstanding, &reason).into_iter().collect();
                Event::Refused { reason, parked }
            }
        }
    }

    /// What the client kept from an earlier stream.
    fn inherit(&mut self, versions: BTreeMap<String, String>) {
        self.resumed = !versions.is_empty();
        for (name, version) in versions {
            self.held.insert(name.into(), Held::Foreign(version));
        }
        self.unsettled.extend(self.held.keys().cloned());
    }

    /// What the client must be told about `name`, or nothing where it is up to date.
    fn step(&mut self, protocol: Protocol, kind: Kind, name: &Name, snapshot: &Snapshot) -> Option<Step> {
        let target = snapshot.get(kind, name).filter(|_| self.subscription.covers(name));
        let owed = self.owed.contains(name);
        let doubted = self.doubted.contains_key(name);
        match (target, self.held.get_mut(name)) {
            (Some(resource), Some(held)) if held.is(resource) => {
                *held = Held::Known(Arc::clone(resource));
                (owed || doubted).then(|| Some(Arc::clone(resource)))
            }
            (Some(resource), _) => {
                let parked = self.parked.get(name) == Some(&Some(resource.version()));
                (!parked).then(|| Some(Arc::clone(resource)))
            }
            (None, held) if held.is_some() || doubted => {
                (self.parked.get(name) != Some(&None)).then_some(None)
            }
            // "If the server does not know the resource, it says so in removed_resources", once.
            (None, _) => (owed && protocol == Protocol::Delta).then_some(None),
        }
    }

    /// The message for `steps`.
    fn response(
        &self,
        protocol: Protocol,
        kind: Kind,
        nonce: String,
        steps: &BTreeMap<Name, Step>,
    ) -> Response {
        let sent = steps.values().flatten().map(Arc::clone);
        let resources: Vec<Arc<Resource>> = if protocol.is_whole(kind) {
            let kept = self.held.iter().filter(|(name, _)| !steps.contains_key(*name));
            let mut all: Vec<_> = kept.filter_map(|(_, held)| held.known().cloned()).chain(sent).collect();
            all.sort_by(|a, b| a.name().cmp(b.name()));
            all
        } else {
            sent.collect()
        };
        let removed = match protocol {
            Protocol::Delta => {
                steps.iter().filter(|(_, step)| step.is_none()).map(|(name, _)| name.clone()).collect()
            }
            Protocol::StateOfTheWorld => Vec::new(),
        };
        Response { kind, nonce, version: Version::of_list(&resources), resources, removed }
    }
}
