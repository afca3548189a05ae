//! What a route does with a request, and how a service is asked. Each type of a value writes itself as a label does.

mod access;
mod answer;
mod backend;
mod effort;

use std::collections::BTreeMap;
use std::time::Duration;

pub use access::{Cidr, Cors, MaxBody, Origin, Per, Rate, RateLimit};
pub use answer::{Answer, Authority, HeaderEdit, Redirect, RedirectCode, Respond, Rewrite};
pub use backend::{Balance, Check, HashKey, Protocol, Sticky};
pub use effort::{Limit, Mirror, Retries, RetryOn, Span};

/// The longest a whole request may take, where no label says.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// How often a request is tried again, where no label says.
pub const RETRIES: u32 = 2;
/// Consecutive failures that take a host out, where no label says.
pub const OUTLIER_FAILURES: u32 = 5;
/// How long a container that is to be stopped may finish its requests, where no label says.
pub const DRAIN: Duration = Duration::from_secs(10);
/// What may be open towards a service at a time, of each kind, where no label says.
pub const CIRCUIT_BREAKER: u32 = 1_024;

/// What a route does with a request, besides whom it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOptions {
    /// An answer that needs no service.
    pub answer: Option<Answer>,
    /// What stands in place of the matched prefix, or of the matched path.
    pub rewrite: Option<Rewrite>,
    /// Changes to the request's headers, by name.
    pub request_headers: BTreeMap<String, HeaderEdit>,
    /// Changes to the response's headers, by name.
    pub response_headers: BTreeMap<String, HeaderEdit>,
    /// The longest the whole request may take.
    pub timeout: Limit,
    /// The longest nothing may move on the request; the listener's where nothing is said.
    pub idle_timeout: Option<Limit>,
    /// When and how often it is tried again.
    pub retries: Retries,
    /// Who gets a copy of each request.
    pub mirror: Option<Mirror>,
    /// Which pages of other origins may use it.
    pub cors: Option<Cors>,
    /// How many requests it takes.
    pub limit: Option<RateLimit>,
    /// The policy that says who may use it; anybody, where there is none.
    pub auth: Option<String>,
    /// Clients that may use it; all, where there is none.
    pub allow: Vec<Cidr>,
    /// Clients that may not.
    pub deny: Vec<Cidr>,
    /// Whether answers are compressed.
    pub compress: bool,
    /// How large a request's body may be.
    pub max_body: Option<MaxBody>,
    /// The cookie that keeps a client on one container: the service's, on each of its routes.
    pub sticky: Option<Sticky>,
    /// What requests are spread by: the service's, on each of its routes.
    pub hash: Option<HashKey>,
}

impl RouteOptions {
    /// Sends the client to the same over TLS, at this port where it is to be named.
    #[must_use]
    pub fn secured(port: Option<u16>) -> Self {
        let answer = Answer::Redirect(Redirect::Secure(port), RedirectCode::Permanent308);
        Self { answer: Some(answer), ..Self::default() }
    }
}

impl Default for RouteOptions {
    fn default() -> Self {
        Self {
            answer: None,
            rewrite: None,
            request_headers: BTreeMap::new(),
            response_headers: BTreeMap::new(),
            timeout: Limit::After(TIMEOUT),
            idle_timeout: None,
            retries: Retries::default(),
            mirror: None,
            cors: None,
            limit: None,
            auth: None,
            allow: Vec::new(),
            deny: Vec::new(),
            compress: false,
            max_body: None,
            sticky: None,
            hash: None,
        }
    }
}

/// How a service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendOptions {
    /// What its containers speak.
    pub protocol: Protocol,
    /// Which of them is asked.
    pub balance: Balance,
    /// Consecutive failures after which one is left alone for a while; 0 is never.
    pub outlier: u32,
    /// A check by Envoy, besides Docker's.
    pub check: Option<Check>,
    /// Connections at a time.
    pub max_connections: u32,
    /// Requests at a time.
    pub max_requests: u32,
    /// Requests that wait for a connection at a time.
    pub max_pending: u32,
    /// How long a container that is to be stopped may finish its requests.
    pub drain: Duration,
}

impl Default for BackendOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Http,
            balance: Balance::RoundRobin,
            outlier: OUTLIER_FAILURES,
            check: None,
            max_connections: CIRCUIT_BREAKER,
            max_requests: CIRCUIT_BREAKER,
            max_pending: CIRCUIT_BREAKER,
            drain: DRAIN,
        }
    }
}
