//! What a request means.

use lifecycle::http::{Body, Call, with_type};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::json;
use warp::http::{HeaderValue, Method, StatusCode, header};

use crate::input::{self, Listing, MAX_BODY, Message};
use crate::listing;
use crate::problem::Problem;
use crate::store::{Away, Store};

/// What a path segment must not hold as it is (RFC 3986, section 3.3).
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The answer to `call`.
pub(crate) async fn answer(call: Call, store: &Store) -> Body {
    let path = call.path.clone();
    let result = match path.strip_prefix("/messages") {
        Some("") => collection(call, store).await,
        Some(rest) if rest.starts_with('/') => one(call, &rest[1..], store).await,
        _ if path == "/" => index(&call),
        _ => Err(Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path", "see /messages")),
    };
    result.unwrap_or_else(|problem| problem.response())
}

impl From<Away> for Problem {
    fn from(_: Away) -> Self {
        Self::away()
    }
}

fn index(call: &Call) -> Result<Body, Problem> {
    match call.verb() {
        Method::GET => Ok(json_body(
            StatusCode::OK,
            &json!({ "messages": "/messages", "page": "/messages?after={key}&limit=50", "one": "/messages/{key}", "health": "/health" }),
        )),
        _ => Err(Problem::method("GET, HEAD")),
    }
}

async fn collection(call: Call, store: &Store) -> Result<Body, Problem> {
    match call.verb() {
        Method::GET => match input::listing(&call.query)? {
            Listing::All { limit } => Ok(listing::all(store, limit).await?),
            Listing::Page(window) => Ok(window.find(store).await?),
        },
        Method::POST => {
            let media_type = call.media_type();
            let body = call.body(MAX_BODY).await?;
            save(store, input::message(&media_type, &body)?).await
        }
        _ => Err(Problem::method("GET, HEAD, POST")),
    }
}

async fn one(call: Call, key: &str, store: &Store) -> Result<Body, Problem> {
    let key = input::key_in_path(key)?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "nothing is stored under this key", "see /messages");
    match call.verb() {
        Method::GET => {
            let value = store.get(&key).await?.ok_or_else(unknown)?;
            Ok(json_body(StatusCode::OK, &json!({ "key": key, "value": value })))
        }
        Method::PUT => {
            let media_type = call.media_type();
            let body = call.body(MAX_BODY).await?;
            save(store, Message { key, value: input::value(&media_type, &body)? }).await
        }
        Method::DELETE => {
            if !store.delete(&key).await? {
                return Err(unknown());
            }
            let mut response = Body::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        _ => Err(Problem::method("GET, HEAD, PUT, DELETE")),
    }
}

/// 201 with its place for a new key, 200 for one that had a value.
async fn save(store: &Store, message: Message) -> Result<Body, Problem> {
    let new = store.set(&message.key, &message.value).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = json_body(status, &json!({ "key": message.key, "value": message.value }));
    let location = format!("/messages/{}", utf8_percent_encode(&message.key, IN_PATH));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn json_body(status: StatusCode, value: &serde_json::Value) -> Body {
    with_type(status, "application/json", format!("{value}\n"))
}
