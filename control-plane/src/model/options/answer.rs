//! Answers of Envoy itself, and what it changes of what passes.

use std::fmt;

/// An answer that Envoy gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// "Go there instead."
    Redirect(Redirect, RedirectCode),
    /// A fixed one.
    Respond(Respond),
}

/// Where to go instead. What is not said stays as it was, the query always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// The same over HTTPS.
    Https,
    /// The same at an entry point that speaks TLS, with its port where that is to be named.
    Secure(Option<u16>),
    /// The same at another host.
    Host(Authority),
    /// There.
    Url {
        /// Whether by HTTPS.
        https: bool,
        /// The host.
        to: Authority,
        /// The path, if it is another one.
        path: Option<String>,
    },
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https | Self::Secure(_) => f.write_str("https"),
            Self::Host(to) => write!(f, "host:{to}"),
            Self::Url { https, to, path } => {
                let scheme = if *https { "https" } else { "http" };
                write!(f, "{scheme}://{to}{}", path.as_deref().unwrap_or_default())
            }
        }
    }
}

/// A host name, and a port where it is not the scheme's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authority {
    /// The name.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The status of a redirect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RedirectCode {
    /// For good; browsers make a GET of a POST.
    Moved301,
    /// For now; browsers make a GET of a POST.
    Found302,
    /// For now.
    Temporary307,
    /// For good.
    #[default]
    Permanent308,
}

/// A fixed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl fmt::Display for Respond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if self.body.is_empty() { Ok(()) } else { write!(f, ":{}", self.body) }
    }
}

/// What stands in place of what the path matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrite {
    /// Nothing: `/api/x` becomes `/x`.
    Strip,
    /// This prefix.
    To(String),
}

/// A change to a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// It says this and nothing else.
    Set(String),
    /// It says this as well.
    Append(String),
    /// It is taken away.
    Remove,
}

impl fmt::Display for HeaderEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove => Ok(()),
            Self::Append(value) => write!(f, "+{value}"),
            Self::Set(value) if value.starts_with(['+', '=']) => write!(f, "={value}"),
            Self::Set(value) => f.write_str(value),
        }
    }
}
