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

mod holdings;
mod ledger;
mod message;
mod order;
mod status;
mod trial;
mod waits;

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use tokio::time::Instant;

use crate::kind::Kind;
use crate::resource::{Name, Version};
use crate::snapshot::Snapshot;

use ledger::{Ledger, Outstanding};
use waits::Waits;

pub use message::{Event, Protocol, Refusal, Request, Response, Scope, Settings, Violation, Wants};
pub use status::{HeldVersion, ResourceStatus, Sync, TypeStatus};

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
    /// The snapshot with which it is settled, and since when.
    settled: Option<(Version, Instant)>,
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
            settled: None,
        }
    }

    /// Who is at the other end, once it has said so.
    #[must_use]
    pub const fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// The newest snapshot it has taken in.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
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
        let snapshot = self.snapshot.clone();
        let share = |name: &str| {
            let known = snapshot.as_ref().and_then(|snapshot| snapshot.section(kind).get_key_value(name));
            known.map_or_else(|| name.into(), |(name, _)| Arc::clone(name))
        };
        let ledger = &mut self.ledgers[kind.index()];
        let first = !std::mem::replace(&mut ledger.seen, true);
        let event = if first { Event::Subscribed } else { ledger.answered(&request.nonce, request.refused) };
        let (change, due, kept) = match request.wants {
            Wants::Names(names) => {
                let change = ledger.subscription.replace(kind, &names, share);
                let due = first || change.wildcard_asked || !change.asked.is_empty();
                (change, due, BTreeMap::new())
            }
            Wants::Update { subscribe, unsubscribe, initial_versions } => {
                let change = ledger.subscription.update(kind, first, &subscribe, &unsubscribe, share);
                let due = change.wildcard_asked && initial_versions.is_empty();
                (change, due, initial_versions)
            }
        };
        ledger.answer_due |= due;
        ledger.apply(change, kind, snapshot.as_deref());
        if let Some(snapshot) = &snapshot {
            ledger.release_parked(kind, snapshot);
        }
        // The names it asks for are sent again all the same. Envoy needs that: it leaves a cluster that changed meanwhile
        // warming for as long as the assignment it knows is withheld.
        if first {
            ledger.inherit(kept, share);
        }
        // A name that was dropped under the wildcard is still to be answered.
        let (limit, names) = (self.settings.max_names, ledger.subscription.all_names().len());
        if names.max(ledger.owed.len()) > limit {
            Err(Violation::TooManyNames { kind, limit })
        } else {
            Ok(event)
        }
    }

    fn check(&self, request: &Request) -> Result<(), Violation> {
        let kind = request.kind;
        if let Scope::Only(expected) = self.scope
            && expected != kind
        {
            return Err(Violation::WrongType { expected, found: kind });
        }
        let (names, dropped, kept): (&[String], &[String], _) = match &request.wants {
            Wants::Names(names) => (names, &[], None),
            Wants::Update { subscribe, unsubscribe, initial_versions } => {
                (subscribe, unsubscribe, Some(initial_versions))
            }
        };
        let limit = self.settings.max_names;
        if names.len().max(kept.map_or(0, BTreeMap::len)) > limit {
            return Err(Violation::TooManyNames { kind, limit });
        }
        let limit = self.settings.max_name_bytes;
        let kept = kept.into_iter().flat_map(BTreeMap::keys);
        match names.iter().chain(dropped).chain(kept).map(String::len).find(|bytes| *bytes > limit) {
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
                Some(names) => ledger.unsettle(names, kind, &snapshot),
                None => ledger.unsettle_all(kind, Some(&snapshot)),
            }
            ledger.release_parked(kind, &snapshot);
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
        for kind in Kind::ALL {
            self.ledgers[kind.index()].settle(kind, &snapshot);
        }
        let version = snapshot.version();
        self.settled = (self.has_asked() && self.is_settled()).then(|| {
            let since = self.settled.filter(|(before, _)| *before == version).map(|(_, since)| since);
            (version, since.unwrap_or(now))
        });
        responses
    }

    /// When [`flush`](Self::flush) must be called again even if nothing comes in.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.ledgers.iter().zip(&self.waits).filter(|(ledger, _)| ledger.outstanding.is_none());
        let first = waiting.filter_map(|(_, waits)| waits.first()).min()?;
        Some(first + self.settings.order_timeout)
    }

    /// Whether the client has answered everything that was sent, and there is nothing more to send.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.ledgers.iter().all(|ledger| ledger.outstanding.is_none() && ledger.unsettled.is_empty())
    }

    fn respond(&mut self, kind: Kind, snapshot: &Snapshot, now: Instant) -> Option<Response> {
        let ledger = &self.ledgers[kind.index()];
        if !ledger.seen || ledger.outstanding.is_some() {
            return None;
        }
        let (steps, complete) = self.steps(kind, snapshot, now);
        let ledger = &mut self.ledgers[kind.index()];
        let whole_answer_due = (ledger.answer_due && kind.is_full_state()) || ledger.whole_due;
        if !complete && (whole_answer_due || (ledger.answer_due && steps.is_empty())) {
            // The first answer to a question is a whole one: Envoy takes listeners that are missing from it as none.
            return None;
        }
        let (steps, trial) = ledger.choose(steps);
        if steps.is_empty() && !ledger.answer_due && !ledger.whole_due {
            return None;
        }
        (ledger.answer_due, ledger.whole_due) = (false, false);
        let whole = self.protocol.is_whole(kind);
        if whole {
            // All that was asked for is answered, by being listed or not.
            ledger.owed.clear();
        }
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
        ledger.outstanding = Some(Outstanding { nonce, steps, let_go: BTreeMap::new(), whole, trial });
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
