//! What a request must have: methods, and what headers and query parameters say.

use std::fmt;

use super::value::Value;
use super::{Mistake, header, regex};
use crate::model::matching::{HeaderMatch, TextMatch};

/// Methods that people mean, for a near miss.
const METHODS: [&str; 8] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

const EXAMPLE: &str = "write a value, * for any, ~v[0-9]+ for a regular expression, and = before a value that begins with one of these signs";

/// The longest name of a query parameter.
const QUERY_BYTES: usize = 255;

/// A method.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Method(pub(super) String);

impl Value for Method {
    fn parse(text: &str) -> Result<Self, Mistake> {
        let fix = "write a list such as GET, HEAD";
        if text.is_empty() {
            return Err(Mistake::new("a method is missing", fix));
        }
        let upper = text.to_ascii_uppercase();
        if upper != text {
            let reason = format!("{text:?} is not a method: methods are written in capitals");
            return Err(Mistake::new(reason, format!("write {upper}")));
        }
        if let Some(place) = text.find(|c: char| !(c.is_ascii_uppercase() || c == '-')) {
            return Err(Mistake::new(format!("{text:?} is not a method"), fix).at(place));
        }
        if text == "CONNECT" {
            return Err(Mistake::new("CONNECT asks a proxy for a tunnel, and this one makes none", fix));
        }
        let near = METHODS.iter().find(|word| strsim::damerau_levenshtein(text, word) == 1);
        match near {
            // PUT and POST apart, one letter is a slip.
            Some(near) if !METHODS.contains(&text) => {
                Err(Mistake::new(format!("{text:?} is not a method"), format!("did you mean {near}?")))
            }
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for TextMatch {
    fn parse(text: &str) -> Result<Self, Mistake> {
        match text.chars().next() {
            None => Err(Mistake::new("nothing is said about the value", EXAMPLE)),
            Some('*') if text == "*" => Ok(Self::Present),
            Some('*') => {
                let fix = format!("write ~.*{} for what ends so, or = before a value with a *", &text[1..]);
                Err(Mistake::new("a * stands alone, for any value", fix).at(1))
            }
            Some('~') => {
                regex::check(&text[1..]).map_err(|mistake| mistake.shifted(1))?;
                Ok(Self::Regex(text[1..].to_owned()))
            }
            Some('!') => Err(Mistake::new(
                "Envoy cannot ask for a parameter that does not say something",
                "ask for what it says; a second route without this label takes the rest",
            )),
            Some('=') => header::text(&text[1..], 1).map(|value| Self::Exact(value.to_owned())),
            Some(_) => header::text(text, 0).map(|value| Self::Exact(value.to_owned())),
        }
    }
}

impl Value for HeaderMatch {
    fn parse(text: &str) -> Result<Self, Mistake> {
        match text.strip_prefix('!') {
            Some(rest) => {
                let value = TextMatch::parse(rest).map_err(|mistake| mistake.shifted(1))?;
                Ok(Self { not: true, value })
            }
            None => Ok(Self { not: false, value: TextMatch::parse(text)? }),
        }
    }
}

/// The name of a query parameter, as a request's line has it.
pub(super) fn query_name(name: &str) -> Result<String, Mistake> {
    let bad = name.find(|c: char| !c.is_ascii_graphic() || "&=#".contains(c));
    match bad {
        None if name.len() <= QUERY_BYTES => Ok(name.to_owned()),
        _ => Err(Mistake::new(
            format!("{name:?} is not the name of a query parameter as it is sent"),
            "write 1 to 255 ASCII characters without space, &, = and #",
        )),
    }
}
