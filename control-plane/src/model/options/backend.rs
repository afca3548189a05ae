//! How a service is asked.

use std::fmt;
use std::time::Duration;

/// What a container speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2 without TLS.
    H2c,
    /// gRPC: HTTP/2 without TLS, and requests that last as long as they like.
    Grpc,
    /// HTTP/1.1 over TLS, with a certificate that nobody checks.
    Https,
    /// TCP.
    Tcp,
}

/// Which container of a service is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The less busy one of two that are drawn.
    LeastRequest,
    /// Any.
    Random,
    /// The same one for the same key, by a ring.
    RingHash(HashKey),
    /// The same one for the same key, by a table: faster to ask, and moves more keys when containers change.
    Maglev(HashKey),
}

impl Balance {
    /// What requests are spread by.
    #[must_use]
    pub const fn key(&self) -> Option<&HashKey> {
        match self {
            Self::RingHash(key) | Self::Maglev(key) => Some(key),
            Self::RoundRobin | Self::LeastRequest | Self::Random => None,
        }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("round-robin"),
            Self::LeastRequest => f.write_str("least-request"),
            Self::Random => f.write_str("random"),
            Self::RingHash(key) => write!(f, "ring-hash:{key}"),
            Self::Maglev(key) => write!(f, "maglev:{key}"),
        }
    }
}

/// What requests are spread by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A header's value.
    Header(String),
    /// A cookie's value; who has none is given one.
    Cookie(String),
    /// The client's address.
    Ip,
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Ip => f.write_str("ip"),
        }
    }
}

/// A cookie that keeps a client on one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: String,
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cookie:{}", self.cookie)
    }
}

/// A check of a container by Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The path that answers 200.
    pub path: String,
    /// The time between two checks.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}
