//! How long, how often and by whom else a request is tried.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::RETRIES;
use crate::model::ServiceName;

/// A limit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// None.
    Off,
    /// After this long.
    After(Duration),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::After(duration) => Span(*duration).fmt(f),
        }
    }
}

/// A duration, as a label has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        let whole = units.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
        let (unit, size) = whole.unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", millis / size)
    }
}

/// When and how often a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// How often.
    pub attempts: u32,
    /// In which cases, besides those where no application saw the request.
    pub on: BTreeSet<RetryOn>,
}

impl Retries {
    /// Whether what only reads is tried again in more cases than the rest: not where nothing is, or everything that broke off.
    #[must_use]
    pub fn tells_reads_apart(&self) -> bool {
        self.attempts > 0 && !self.on.contains(&RetryOn::Reset) && !self.on.contains(&RetryOn::ServerError)
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: RETRIES, on: BTreeSet::new() }
    }
}

impl fmt::Display for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on: Vec<&str> = self.on.iter().map(|on| on.word()).collect();
        match on.as_slice() {
            [] => write!(f, "{}", self.attempts),
            on => write!(f, "{}:{}", self.attempts, on.join(",")),
        }
    }
}

/// A case in which a request may be tried again though an application may have seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetryOn {
    /// The application answered 502, 503 or 504.
    GatewayError,
    /// The application answered any 5xx, or not at all.
    ServerError,
    /// The connection was reset, or the time was up, before an answer.
    Reset,
    /// The application answered 409.
    Conflict,
    /// gRPC status `cancelled`.
    Cancelled,
    /// gRPC status `deadline-exceeded`.
    DeadlineExceeded,
    /// gRPC status `internal`.
    Internal,
    /// gRPC status `resource-exhausted`.
    ResourceExhausted,
    /// gRPC status `unavailable`.
    Unavailable,
}

impl RetryOn {
    /// Each with its word in a label, which is Envoy's own.
    pub const WORDS: [(&'static str, Self); 9] = [
        ("5xx", Self::ServerError),
        ("gateway-error", Self::GatewayError),
        ("reset", Self::Reset),
        ("retriable-4xx", Self::Conflict),
        ("cancelled", Self::Cancelled),
        ("deadline-exceeded", Self::DeadlineExceeded),
        ("internal", Self::Internal),
        ("resource-exhausted", Self::ResourceExhausted),
        ("unavailable", Self::Unavailable),
    ];

    /// Whether it is a status of gRPC, which stands in an answer's trailers.
    #[must_use]
    pub const fn is_grpc(self) -> bool {
        match self {
            Self::GatewayError | Self::ServerError | Self::Reset | Self::Conflict => false,
            Self::Cancelled
            | Self::DeadlineExceeded
            | Self::Internal
            | Self::ResourceExhausted
            | Self::Unavailable => true,
        }
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, each)| *each == self).map_or("", |(word, _)| word)
    }
}

/// Who gets a copy of each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The service: as the label has it in a claim, by its full name in a topology.
    pub service: ServiceName,
    /// The share of requests, in percent.
    pub percent: u8,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)?;
        if self.percent == 100 { Ok(()) } else { write!(f, ":{}%", self.percent) }
    }
}
