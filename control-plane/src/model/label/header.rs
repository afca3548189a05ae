//! Names and values of headers.

use std::fmt;

use super::Mistake;
use super::value::Value;
use crate::model::options::HeaderEdit;

/// Headers of one connection, or of the message's own form: Envoy writes them, and nobody else.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The name of a header, in lower case, that a label may be about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeaderName(pub(super) String);

impl Value for HeaderName {
    fn parse(text: &str) -> Result<Self, Mistake> {
        let bad = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)));
        if text.is_empty() || bad.is_some() {
            let mistake =
                Mistake::new(format!("{text:?} is not the name of a header"), "write one such as x-tenant");
            return Err(bad.map_or(mistake.clone(), |place| mistake.at(place)));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a header that a request can be chosen by.
pub(super) fn to_match(name: &str) -> Result<String, Mistake> {
    let HeaderName(name) = HeaderName::parse(name).map_err(Mistake::whole)?;
    match name.as_str() {
        "host" => Err(Mistake::new(
            "Envoy chooses the route by the host before it looks at headers",
            "use the key host",
        )),
        _ if name.contains('_') => Err(Mistake::new(
            "Envoy drops headers with an underscore, so the route would never be chosen",
            format!("let the client send {}", name.replace('_', "-")),
        )),
        _ => Ok(name),
    }
}

/// The name of a header that can be changed.
pub(super) fn to_edit(name: &str) -> Result<String, Mistake> {
    let HeaderName(name) = HeaderName::parse(name).map_err(Mistake::whole)?;
    if name == "host" {
        return Err(Mistake::new(
            "the host of a request stays what the client asked for",
            "remove the label",
        ));
    }
    if FRAMING.contains(&name.as_str()) {
        return Err(Mistake::new(
            format!("{name} is about one connection, and Envoy writes it itself"),
            "remove the label",
        ));
    }
    if name.starts_with("x-envoy-") {
        return Err(Mistake::new(
            "headers that begin with x-envoy- are orders to Envoy",
            "use the key for what is wanted, such as timeout or retries",
        ));
    }
    Ok(name)
}

/// What a header can say; `offset` is where it begins in the label's value.
pub(super) fn text(value: &str, offset: usize) -> Result<&str, Mistake> {
    match value.find(|c: char| c.is_control()) {
        None => Ok(value),
        Some(place) => {
            Err(Mistake::new("this character cannot be sent in a header", "remove it; a value is one line")
                .at(offset + place))
        }
    }
}

impl Value for HeaderEdit {
    fn parse(value: &str) -> Result<Self, Mistake> {
        match value.chars().next() {
            None => Ok(Self::Remove),
            Some('+') if value.len() == 1 => Err(Mistake::new(
                "there is nothing after the +",
                "write +v to add v, or nothing to remove the header",
            )),
            Some('+') => text(&value[1..], 1).map(|value| Self::Append(value.to_owned())),
            Some('=') => text(&value[1..], 1).map(|value| Self::Set(value.to_owned())),
            Some(_) => text(value, 0).map(|value| Self::Set(value.to_owned())),
        }
    }
}
