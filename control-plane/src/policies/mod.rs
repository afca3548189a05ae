//! What the administrator says and no label may: entry points, certificates and ways to prove who one is, which project may claim which host and port, what holds where no label
//! says, how the access log is written. One YAML file, `portolan.yaml` (docs/policies.md).
//!
//! ```text
//! portolan.yaml --> schema (words, places) --> check (what they mean together) --> Policies --> labels name what is there
//!   watch: read again when it changes; with a mistake in it the last good one stands, and the mistake is a problem
//! ```

mod auth;
mod check;
mod exposure;
mod hosts;
mod jwt;
mod ports;
mod schema;
mod secret;
mod trust;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use crate::model::{Host, Problem};

pub use auth::Auth;
pub use exposure::Exposure;
pub use jwt::{Jwt, Keys};
pub use schema::parse;
pub use secret::{Certificate, Hidden, Pair};
pub use trust::Trust;
pub use watch::{PoliciesFile, PoliciesReceiver};

/// The entry point that every edge has.
pub const WEB: &str = "web";

/// Where the control plane's HTTP port has the keys of a policy, by its name.
pub const KEYS_PATH: &str = "/keys/";

/// The port of a URL that says none.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// What [`Policies::buffer_bytes`] is where the file does not say (docs/adr/0022).
pub const BUFFER_BYTES: u32 = 128 * 1024;

/// The name of an entry point.
pub type EntryName = Arc<str>;

/// Everything the file says. Without one it is [`Policies::default`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// Whether there is a file, though it may say nothing.
    pub is_given: bool,
    /// Where clients come in, by name. `web` is always there.
    pub entry_points: BTreeMap<EntryName, EntryPoint>,
    /// Certificates with their keys, by name.
    pub certificates: BTreeMap<String, Certificate>,
    /// Ways to prove who one is, by name.
    pub auth: BTreeMap<String, Auth>,
    /// What holds where no label says, by key.
    pub defaults: BTreeMap<String, String>,
    /// The hosts that belong to a Compose project alone, and are all that it may claim.
    pub projects: BTreeMap<String, Vec<Host>>,
    /// The entry points of TCP that belong to a Compose project alone, and are all of TCP that it may claim.
    pub ports: BTreeMap<String, Vec<EntryName>>,
    /// How requests are logged.
    pub access_log: AccessLog,
    /// How many bytes Envoy holds of what one side of a connection sends and the other has not taken, before it reads no more.
    pub buffer_bytes: u32,
}

/// What holds without a file.
impl Default for Policies {
    fn default() -> Self {
        Self {
            is_given: false,
            entry_points: [(WEB.into(), EntryPoint::default())].into(),
            certificates: BTreeMap::new(),
            auth: BTreeMap::new(),
            defaults: BTreeMap::new(),
            projects: BTreeMap::new(),
            ports: BTreeMap::new(),
            access_log: AccessLog::default(),
            buffer_bytes: BUFFER_BYTES,
        }
    }
}

impl Policies {
    /// Where a route is that does not say.
    #[must_use]
    pub fn home(&self) -> &str {
        self.entry_points.get(WEB).and_then(|web| web.redirect.as_deref()).unwrap_or(WEB)
    }

    /// The entry points that speak HTTP over TLS; with this certificate, if it says one.
    pub fn secure_entries<'a>(&'a self, certificate: Option<&'a str>) -> impl Iterator<Item = &'a EntryName> {
        let has = move |entry: &EntryPoint| {
            !entry.is_tcp()
                && entry.is_secure()
                && certificate.is_none_or(|name| entry.tls.iter().any(|has| has == name))
        };
        self.entry_points.iter().filter(move |(_, entry)| has(entry)).map(|(name, _)| name)
    }

    /// The certificates of `entry` that can be served now.
    pub fn served<'a>(&'a self, entry: &'a EntryPoint) -> impl Iterator<Item = &'a str> {
        let is_there = |name: &&String| self.certificates.get(*name).is_some_and(|each| each.pair.is_some());
        entry.tls.iter().filter(is_there).map(String::as_str)
    }

    /// Whether what `entry` has to show to clients is there: one of its certificates, if it has any.
    #[must_use]
    pub fn is_able(&self, entry: &EntryPoint) -> bool {
        entry.tls.is_empty() || self.served(entry).next().is_some()
    }

    /// Whether it is where clients go that ask for HTTPS and name no port.
    #[must_use]
    pub fn is_https(&self, name: &str) -> bool {
        self.entry_points.get(name).and_then(EntryPoint::port) == Some(HTTPS)
    }

    /// The port that a redirect from one entry point to another one, which speaks TLS, has to name: none where the client leaves it out.
    #[must_use]
    pub fn port_between(&self, from: &str, to: &str) -> Option<u16> {
        let port = |name: &str| self.entry_points.get(name).and_then(EntryPoint::port);
        // Envoy leaves out port 80 by itself.
        let is_plain = port(to) == Some(HTTPS) && port(from).is_none_or(|port| port == HTTP);
        port(to).filter(|_| !is_plain)
    }

    /// Whether labels may name this entry point.
    #[must_use]
    pub fn has_entry(&self, name: &str) -> bool {
        self.entry_points.contains_key(name)
    }

    /// The entry points that carry TCP.
    pub fn tcp_entries(&self) -> impl Iterator<Item = (&EntryName, &EntryPoint)> {
        self.entry_points.iter().filter(|(_, entry)| entry.is_tcp())
    }

    /// Whether clients open connections there, and ask nothing by HTTP.
    #[must_use]
    pub fn is_tcp(&self, entry: &str) -> bool {
        self.entry_points.get(entry).is_some_and(EntryPoint::is_tcp)
    }

    /// Whether clients name the host they want there: in TCP without TLS nobody does.
    #[must_use]
    pub fn knows_hosts(&self, entry: &str) -> bool {
        self.entry_points.get(entry).is_none_or(|entry| !entry.is_tcp() || entry.is_secure())
    }

    /// The entry point that a URL leads to, by its scheme and port, as far as one can tell: which port `web` is published under
    /// is known to who published it.
    #[must_use]
    pub fn entry_at(&self, secure: bool, port: Option<u16>) -> &EntryName {
        static DEFAULT: LazyLock<EntryName> = LazyLock::new(|| WEB.into());
        let port = port.unwrap_or(if secure { HTTPS } else { HTTP });
        let fits = |entry: &EntryPoint| !entry.is_tcp() && entry.is_secure() == secure;
        let fitting = || self.entry_points.iter().filter(|(_, entry)| fits(entry));
        let found = fitting().find(|(_, entry)| entry.port() == Some(port));
        let first = || fitting().find(|(name, _)| secure || &***name == WEB);
        found.or_else(first).map_or_else(|| &*DEFAULT, |(name, _)| name)
    }

    /// Whether the dashboard's host is at this entry point.
    #[must_use]
    pub fn shows_dashboard(&self, entry: &str) -> bool {
        [WEB, self.home()].contains(&entry)
    }
}

/// A port on which clients come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryPoint {
    /// Where Envoy listens, as seen from Envoy; `--edge-listen` where nothing is said, as `web` may.
    pub listen: Option<SocketAddr>,
    /// The port that clients use, where it is another one: a container's port is published under some other.
    pub published: Option<u16>,
    /// Where it sends whoever asks for what is not here: to the same over TLS.
    pub redirect: Option<EntryName>,
    /// The certificates of which a client is shown the one for the name it asks for; none where Envoy speaks no TLS.
    pub tls: Vec<String>,
    /// What clients bring.
    pub carries: Carries,
}

/// What clients bring to an entry point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Carries {
    /// Requests.
    #[default]
    Http,
    /// Connections of whatever kind.
    Tcp,
    /// Connections of TLS that the service itself ends: Envoy reads which host is asked for, and nothing else.
    TlsUnread,
}

impl EntryPoint {
    /// Whether clients speak TLS there, to Envoy or through it.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        !self.tls.is_empty() || self.carries == Carries::TlsUnread
    }

    /// Whether it carries connections, and not requests.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.carries != Carries::Http
    }

    /// The port that clients use, if it is said.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.published.or_else(|| Some(self.listen?.port()))
    }
}

/// How requests are logged, on Envoy's standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AccessLog {
    /// One JSON object a request.
    #[default]
    Json,
    /// One line a request, in Envoy's own format.
    Text,
    /// Not at all.
    Off,
}

/// What is wrong in the file, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line and column, from 1; nothing where it is about no single place.
    pub place: Option<(u64, u64)>,
    /// What is wrong, and why.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

/// `3:5: there is no ...; write ...`
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        write!(f, "{}; {}", self.reason, self.fix)
    }
}

/// The policies that hold, and what is wrong with the file as it is now.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The last good ones.
    pub policies: Arc<Policies>,
    /// What is wrong since.
    pub problems: Arc<Vec<Problem>>,
    /// The text of the file when it was right last,
    pub good: Hidden,
    /// and as it is now.
    pub now: Hidden,
}

impl State {
    /// Whether another one means the same: comments aside.
    fn is_as(&self, other: &Self) -> bool {
        self.policies == other.policies && self.problems == other.problems
    }
}

#[cfg(test)]
mod tests;
