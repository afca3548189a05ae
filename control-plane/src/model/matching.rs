//! What a request must have to be taken by a route.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How a path is matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// A prefix of whole segments: `/api` matches `/api` and `/api/x`, and not `/apix`.
    Prefix(String),
    /// A regular expression (RE2) that matches the whole path.
    Regex(String),
}

/// Every path.
impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".to_owned())
    }
}

impl PathMatch {
    /// The place in the order of matching: exact before prefix before regex, longer before shorter.
    fn rank(&self) -> (u8, Reverse<usize>) {
        match self {
            Self::Exact(path) => (0, Reverse(path.len())),
            Self::Prefix(path) => (1, Reverse(path.len())),
            Self::Regex(regex) => (2, Reverse(regex.len())),
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "={path}"),
            Self::Prefix(path) => f.write_str(path),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

/// How the value of a header or of a query parameter is matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextMatch {
    /// It is there, whatever it says.
    Present,
    /// It says exactly this.
    Exact(String),
    /// A regular expression (RE2) matches the whole of it.
    Regex(String),
}

impl fmt::Display for TextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("*"),
            // A value that begins like one of the others is written after an `=`.
            Self::Exact(value) if value.is_empty() || value.starts_with(['*', '~', '!', '=']) => {
                write!(f, "={value}")
            }
            Self::Exact(value) => f.write_str(value),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

/// How a header is matched, or must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderMatch {
    /// Whether the header must be other than that, or absent.
    pub not: bool,
    /// What it is, or is not.
    pub value: TextMatch,
}

impl fmt::Display for HeaderMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.not { "!" } else { "" })?;
        self.value.fmt(f)
    }
}

/// Everything a request must have to be taken by a route, besides its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// How the path is matched.
    pub path: PathMatch,
    /// The methods, in capitals; none means any.
    pub methods: BTreeSet<String>,
    /// What headers must say, by their names in lower case.
    pub headers: BTreeMap<String, HeaderMatch>,
    /// What query parameters must say, by their names.
    pub query: BTreeMap<String, TextMatch>,
    /// Whether it is about connections (TCP), and not about requests: then there is nothing else in it.
    pub is_connection: bool,
}

impl Match {
    /// What every connection has.
    #[must_use]
    pub fn connection() -> Self {
        Self { is_connection: true, ..Self::default() }
    }

    /// Whether every request has it, so that nothing after it is asked.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.path == PathMatch::default() && self.matchers() == 0
    }

    /// How much is asked besides the path.
    fn matchers(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.headers.len() + self.query.len()
    }

    /// Sorts by the documented order, the one that is asked first before the others.
    pub(crate) fn rank(&self) -> (u8, Reverse<usize>, Reverse<usize>) {
        let (class, length) = self.path.rank();
        (class, length, Reverse(self.matchers()))
    }
}

/// `/api`, or `/api with methods GET and header x-a=b`; `TCP` for connections.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_connection {
            return f.write_str("TCP");
        }
        self.path.fmt(f)?;
        let methods: Vec<&str> = self.methods.iter().map(String::as_str).collect();
        let methods = (!methods.is_empty()).then(|| format!("methods {}", methods.join(", ")));
        let headers = self.headers.iter().map(|(name, value)| format!("header {name}={value}"));
        let query = self.query.iter().map(|(name, value)| format!("query {name}={value}"));
        let all: Vec<String> = methods.into_iter().chain(headers).chain(query).collect();
        if all.is_empty() { Ok(()) } else { write!(f, " with {}", all.join(" and ")) }
    }
}
