//! What goes into a session and what comes out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use envoy_types::pb::envoy::config::core::v3::Node;

use crate::kind::Kind;
use crate::resource::{Name, Resource, Version};

/// Which variant of the protocol a stream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// State of the world: a response lists what there is.
    StateOfTheWorld,
    /// Incremental: a response lists what changed.
    Delta,
}

/// Which types a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All types on one stream (ADS): additions and removals are ordered across types.
    Aggregated,
    /// One type only.
    Only(Kind),
}

impl Protocol {
    /// Whether a response lists everything of a type, so that the client takes what is missing as gone.
    pub(super) const fn is_whole(self, kind: Kind) -> bool {
        matches!(self, Self::StateOfTheWorld) && kind.is_full_state()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StateOfTheWorld => "state of the world",
            Self::Delta => "delta",
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregated => f.write_str("all types"),
            Self::Only(kind) => kind.fmt(f),
        }
    }
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
    Acknowledged {
        /// What is now known to be bad, because the rest of what was refused with it is good.
        parked: Vec<Refusal>,
    },
    /// It refused the newest response.
    Refused {
        /// The client's words.
        reason: String,
        /// What is now known to be bad.
        parked: Vec<Refusal>,
    },
}

/// A resource that a client refuses. It is parked: not sent again to this client as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub name: Name,
    /// The version that was refused, or nothing where its removal was.
    pub version: Option<Version>,
    /// The client's words.
    pub reason: Arc<str>,
    /// When they came.
    pub at: SystemTime,
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
