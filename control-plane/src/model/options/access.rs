//! Who may use a route, and how much of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::Authority;

/// Which pages of other origins may use a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Those.
    pub origins: Vec<Origin>,
    /// The methods they may use.
    pub methods: Vec<String>,
    /// The headers they may send.
    pub headers: Vec<String>,
    /// Whether they may send cookies.
    pub credentials: bool,
    /// How long a browser may remember that.
    pub max_age: Option<Duration>,
}

/// The origin of a page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Every one.
    Any,
    /// This one: `https://shop.example.com`.
    Exact(String),
    /// Every name below one: scheme, domain, port.
    Below(String, Authority),
}

impl Origin {
    /// The regular expression (RE2) of a name below another; nothing for the others.
    #[must_use]
    pub fn pattern(&self) -> Option<String> {
        let Self::Below(scheme, domain) = self else { return None };
        let literal = |text: &str| text.replace('.', "\\.").replace('+', "\\+");
        Some(format!("{}://[^/]+\\.{}", literal(scheme), literal(&domain.to_string())))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::Below(scheme, domain) => write!(f, "{scheme}://*.{domain}"),
        }
    }
}

/// How many requests a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// As many as that.
    pub rate: Rate,
    /// How many at once.
    pub burst: u32,
    /// Whether each client's address has a limit of its own.
    pub by_address: bool,
}

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In this time.
    pub per: Per,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Per {
    /// How long it is.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        };
        write!(f, "{}/{per}", self.count)
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    /// The first of them.
    pub address: IpAddr,
    /// How many of its bits they share.
    pub bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// How large a request's body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxBody {
    /// In bytes.
    pub bytes: u64,
    /// Whether a body of which nobody knows the length may go on without end (gRPC streams).
    pub streams: bool,
}
