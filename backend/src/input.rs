//! What may be stored, and the forms in which it may be sent.

use percent_encoding::percent_decode_str;
use serde_json::Value;
use warp::http::StatusCode;

use crate::problem::Problem;
use crate::window::{self, Edge, Window};

/// Most bytes of a request's body: the longest key and value fit, percent-encoded (three times as long) or as JSON, unless
/// that has to escape most of it.
pub(crate) const MAX_BODY: usize = 256 * 1024;
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 64 * 1024;

/// A key and a value that may be stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// What to list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// At most so many, in the order in which the store has them, which is none.
    All { limit: usize },
    /// Some, by the order of their keys.
    Page(Window),
}

/// The key in a path; a slash in it belongs to it.
pub(crate) fn key_in_path(path: &str) -> Result<String, Problem> {
    let bad = |error: &str| Problem::new(StatusCode::BAD_REQUEST, error, "percent-encode the key as UTF-8");
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('%') {
        if !after.bytes().take(2).filter(u8::is_ascii_hexdigit).count().eq(&2) {
            return Err(bad("the path has a % that no two hexadecimal digits follow"));
        }
        rest = after;
    }
    let key = percent_decode_str(path).decode_utf8().map_err(|_| bad("the key in the path is not UTF-8"))?;
    check_key(key.into_owned())
}

/// Which messages to list, from a query: `limit=100`, `after=KEY&limit=50`, `before=KEY`; without one, all.
pub(crate) fn listing(query: &str) -> Result<Listing, Problem> {
    let find = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    let limit = find("limit").map(|given| limit(&given)).transpose()?;
    let edge = match (find("after"), find("before")) {
        (None, None) => return Ok(Listing::All { limit: limit.unwrap_or(usize::MAX) }),
        (Some(key), None) => Edge::After(key),
        (None, Some(key)) => Edge::Before(key),
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "after and before are both there",
                "send one of them",
            ));
        }
    };
    let limit = limit.unwrap_or(window::MOST);
    if limit > window::MOST {
        let error = format!("limit={limit} is more than a page has");
        let fix = format!("with after or before, ask for at most {} messages at a time", window::MOST);
        return Err(Problem::new(StatusCode::BAD_REQUEST, error, fix));
    }
    Ok(Listing::Page(Window::new(edge, limit)))
}

fn limit(given: &str) -> Result<usize, Problem> {
    given.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| {
        let error = format!("limit={given:?} is not a number of messages");
        Problem::new(StatusCode::BAD_REQUEST, error, "write a whole number from 1, such as limit=100")
    })
}

/// A key and a value from a body: JSON `{"key", "value"}`, or a form.
pub(crate) fn message(media_type: &str, body: &[u8]) -> Result<Message, Problem> {
    let (key, value) = fields(media_type, body, Some("key"))?;
    // Clients leave these out of a path before they send it (RFC 3986, section 5.2.4), percent-encoded or not.
    if matches!(&*key, "." | "..") {
        return Err(unprocessable(format!("no path can name the key {key:?}"), "choose another key"));
    }
    Ok(Message { key: check_key(key)?, value: check_value(value)? })
}

/// A value from a body: JSON `{"value"}`, a form, or plain text.
pub(crate) fn value(media_type: &str, body: &[u8]) -> Result<String, Problem> {
    if media_type == "text/plain" {
        let text = std::str::from_utf8(body).map_err(|_| {
            Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8", "send text as UTF-8")
        })?;
        return check_value(text.to_owned());
    }
    check_value(fields(media_type, body, None)?.1)
}

type Finder<'a> = Box<dyn Fn(&str) -> Result<Option<String>, Problem> + 'a>;

fn fields(media_type: &str, body: &[u8], key: Option<&str>) -> Result<(String, String), Problem> {
    let find: Finder<'_> = match media_type {
        "application/json" => {
            let json: Value = serde_json::from_slice(body).map_err(|error| {
                Problem::new(
                    StatusCode::BAD_REQUEST,
                    format!("the body is not JSON: {error}"),
                    r#"send {"key": "...", "value": "..."}"#,
                )
            })?;
            Box::new(move |name| match json.get(name) {
                None => Ok(None),
                Some(Value::String(text)) => Ok(Some(text.clone())),
                Some(_) => Err(unprocessable(format!("{name} is not a string"), "send it in quotes")),
            })
        }
        "application/x-www-form-urlencoded" => {
            let pairs: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
            Box::new(move |name| {
                Ok(pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
            })
        }
        other => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                if other.is_empty() {
                    "the body has no Content-Type".to_owned()
                } else {
                    format!("{other} is not understood")
                },
                "send application/json or application/x-www-form-urlencoded",
            ));
        }
    };
    let required = |name: &str| {
        find(name)?.ok_or_else(|| unprocessable(format!("there is no {name}"), "send key and value"))
    };
    Ok((key.map(required).transpose()?.unwrap_or_default(), required("value")?))
}

fn check_key(key: String) -> Result<String, Problem> {
    match key.len() {
        0 => Err(unprocessable("the key is empty", "choose a key of 1 to 256 bytes")),
        1..=MAX_KEY => Ok(key),
        length => Err(unprocessable(format!("the key has {length} bytes"), "choose a key of 1 to 256 bytes")),
    }
}

fn check_value(value: String) -> Result<String, Problem> {
    if value.len() > MAX_VALUE {
        return Err(unprocessable(
            format!("the value has {} bytes", value.len()),
            "send at most 65536 bytes",
        ));
    }
    Ok(value)
}

fn unprocessable(error: impl Into<String>, fix: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn json_and_forms_are_read() {
        let wanted = Message { key: "a b".into(), value: "ü&<".into() };
        assert_eq!(message(JSON, r#"{"key":"a b","value":"ü&<"}"#.as_bytes()).unwrap(), wanted);
        assert_eq!(message(FORM, b"key=a+b&value=%C3%BC%26%3C").unwrap(), wanted);
        assert_eq!(value("text/plain", b"plain").unwrap(), "plain");
        assert_eq!(value(JSON, br#"{"value":""}"#).unwrap(), "");
    }

    #[test]
    fn wrong_input_has_its_status() {
        for (media_type, body, status) in [
            (JSON, &b"{"[..], 400),
            (JSON, b"[]", 422),
            (JSON, br#"{"key":1,"value":"x"}"#, 422),
            (JSON, br#"{"key":"x"}"#, 422),
            (JSON, br#"{"key":"","value":"x"}"#, 422),
            (FORM, b"", 422),
            (FORM, b"key=a", 422),
            (FORM, b"key=..&value=x", 422),
            ("", b"x", 415),
            ("text/xml", b"x", 415),
        ] {
            assert_eq!(
                message(media_type, body).unwrap_err().status.as_u16(),
                status,
                "{media_type} {body:?}"
            );
        }
    }

    #[test]
    fn lengths_are_checked_at_the_border() {
        assert!(check_key("k".repeat(256)).is_ok());
        assert!(check_key("k".repeat(257)).is_err());
        assert!(check_value("v".repeat(65_536)).is_ok());
        assert!(check_value("v".repeat(65_537)).is_err());
    }

    #[test]
    fn the_longest_message_fits_into_a_body() {
        let encoded = "%C3%BC".len() * (MAX_KEY + MAX_VALUE) / "ü".len() + "key=&value=".len();
        assert!(encoded <= MAX_BODY, "{encoded}");
    }

    #[test]
    fn a_query_says_what_to_list() {
        let page = |edge, limit| Ok(Listing::Page(Window::new(edge, limit)));
        assert_eq!(listing(""), Ok(Listing::All { limit: usize::MAX }));
        assert_eq!(listing("limit=3"), Ok(Listing::All { limit: 3 }));
        assert_eq!(listing("after=&limit=3"), page(Edge::After(String::new()), 3));
        assert_eq!(listing("after=a%20b"), page(Edge::After("a b".into()), 256));
        assert_eq!(listing("before=b&limit=256"), page(Edge::Before("b".into()), 256));
        for wrong in ["limit=0", "limit=x", "after=a&limit=-1", "after=a&before=b", "after=a&limit=257"] {
            assert_eq!(listing(wrong).unwrap_err().status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn a_key_in_a_path_is_decoded() {
        assert_eq!(key_in_path("a%20b%2Fc/d%25").unwrap(), "a b/c/d%");
        for bad in ["%", "a%2", "%zz", "%ff"] {
            assert_eq!(key_in_path(bad).unwrap_err().status.as_u16(), 400, "{bad}");
        }
        assert_eq!(key_in_path("").unwrap_err().status.as_u16(), 422);
    }
}
