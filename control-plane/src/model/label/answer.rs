//! Answers of Envoy itself, and paths that are written anew.

use super::value::{self, Value, words};
use super::{Mistake, host, path};
use crate::model::options::{Authority, Redirect, RedirectCode, Respond};

/// The longest body that Envoy answers by itself (`max_direct_response_body_size_bytes`).
const BODY_BYTES: usize = 4_096;

words!(
    RedirectCode,
    "301" => Self::Moved301,
    "302" => Self::Found302,
    "307" => Self::Temporary307,
    "308" => Self::Permanent308,
);

const REDIRECT: &str = "write https, a URL such as https://shop.example.com/new, or host:shop.example.com to change the host alone";

impl Value for Redirect {
    fn parse(text: &str) -> Result<Self, Mistake> {
        if text == "https" {
            return Ok(Self::Https);
        }
        if let Some(name) = text.strip_prefix("host:") {
            return authority(name).map(Self::Host).map_err(|mistake| mistake.shifted("host:".len()));
        }
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(Mistake::new("it is not a place to send a client to", REDIRECT)),
        };
        let offset = text.len() - rest.len();
        let (name, path) = rest.find('/').map_or((rest, None), |at| (&rest[..at], Some(&rest[at..])));
        let to = authority(name).map_err(|mistake| mistake.shifted(offset))?;
        if let Some(path) = path {
            plain_path(path).map_err(|mistake| mistake.shifted(offset + name.len()))?;
        }
        Ok(Self::Url { https, to, path: path.map(str::to_owned) })
    }
}

/// `shop.example.com`, or with a port.
pub(super) fn authority(text: &str) -> Result<Authority, Mistake> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => match value::digits::<u16>(port).filter(|port| *port > 0) {
            Some(number) => (name, Some(number)),
            None => {
                return Err(Mistake::new("a port is a number from 1 to 65535", REDIRECT).at(name.len() + 1));
            }
        },
        None => (text, None),
    };
    host::check(name)?;
    Ok(Authority { host: name.to_ascii_lowercase(), port })
}

/// A path as it is sent: begins with a slash, and is in ASCII without space.
fn plain_path(text: &str) -> Result<(), Mistake> {
    if !text.starts_with('/') {
        return Err(Mistake::new("a path begins with /", "write /, or a path such as /health"));
    }
    match text.find(|c: char| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        Some(place) => Err(Mistake::new(
            "this character is percent-encoded in a path",
            "write it that way, as a browser's address line copies it: %C3%A9 for é, %20 for a space",
        )
        .at(place)),
        None => Ok(()),
    }
}

impl Value for Respond {
    fn parse(text: &str) -> Result<Self, Mistake> {
        const FIX: &str = "write a status such as 204, or a status and a text such as 200:ok";
        let (status, body) = text.split_once(':').unwrap_or((text, ""));
        let Some(code) = value::digits::<u16>(status).filter(|code| (200..600).contains(code)) else {
            return Err(Mistake::new("an answer begins with a status from 200 to 599", FIX));
        };
        if body.len() > BODY_BYTES {
            let reason =
                format!("Envoy answers with at most {BODY_BYTES} bytes, and these are {}", body.len());
            return Err(Mistake::new(reason, "let a container answer").at(status.len() + 1));
        }
        if matches!(code, 204 | 205 | 304) && !body.is_empty() {
            return Err(Mistake::new(format!("an answer {code} has no body"), format!("write {code} alone"))
                .at(status.len()));
        }
        Ok(Self { status: code, body: body.to_owned() })
    }
}

/// A prefix that stands in place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix(pub(super) String);

impl Value for Prefix {
    fn parse(text: &str) -> Result<Self, Mistake> {
        if text.starts_with(['~', '=']) {
            return Err(Mistake::new(
                "what stands in place of the matched prefix is a path, not a pattern",
                "write a path such as /new",
            ));
        }
        path::check(text).map_err(|mistake| match text.starts_with('/') {
            true => mistake,
            false => Mistake::new("a path begins with /", "write a path such as /new"),
        })?;
        let trimmed = text.trim_end_matches('/');
        Ok(Self(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }))
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path that Envoy asks for by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckPath(pub(super) String);

impl Value for CheckPath {
    fn parse(text: &str) -> Result<Self, Mistake> {
        plain_path(text)?;
        match text.find('#') {
            Some(place) => Err(Mistake::new("a # is not sent", "write the path without it").at(place)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl std::fmt::Display for CheckPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
