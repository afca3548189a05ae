//! All messages as one JSON object, sent in steps: however many there are, only a page of them is in memory.

use std::collections::HashSet;

use bytes::Bytes;
use futures::Stream;
use serde_json::Value;
use sync_wrapper::SyncStream;
use warp::Reply;
use warp::http::{HeaderValue, header};
use warp::reply::Response;
use xxhash_rust::xxh3::xxh3_128;

use crate::store::{Away, Page, Store};

const PAGE: usize = 256;

/// `{"key": "value", ...}`, at most `limit` of them. The first page is read before the answer begins: a store that is
/// away is a 503.
pub(crate) async fn all(store: &Store, limit: usize) -> Result<Response, Away> {
    let first = store.page(0, PAGE).await?;
    let stream = SyncStream::new(pages(store.clone(), first, limit));
    let mut response = warp::reply::stream(stream).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

enum Step {
    First(Page),
    At(u64),
    End,
}

/// Chunks of JSON. A store that goes away half-way breaks the answer off: half an object must not look like a whole one.
fn pages(store: Store, first: Page, limit: usize) -> impl Stream<Item = Result<Bytes, Away>> + Send {
    let seen = Seen { limit, ..Seen::default() };
    futures::stream::unfold((store, seen, Step::First(first)), |(store, mut seen, step)| async move {
        let page = match step {
            Step::First(page) => page,
            Step::At(cursor) => match store.page(cursor, PAGE).await {
                Ok(page) => page,
                Err(away) => return Some((Err(away), (store, seen, Step::End))),
            },
            Step::End => return None,
        };
        let chunk = seen.chunk(&page);
        let next = if seen.ended { Step::End } else { Step::At(page.cursor) };
        Some((Ok(chunk), (store, seen, next)))
    })
}

/// What was sent: HSCAN may return a field more than once while the hash grows or shrinks, and a JSON object must not.
/// Keys are kept as hashes of 128 bits, 16 bytes each.
#[derive(Default)]
struct Seen {
    keys: HashSet<u128>,
    limit: usize,
    begun: bool,
    ended: bool,
}

impl Seen {
    fn chunk(&mut self, page: &Page) -> Bytes {
        let mut chunk = String::new();
        if !std::mem::replace(&mut self.begun, true) {
            chunk.push('{');
        }
        for (key, value) in &page.entries {
            let first = self.keys.is_empty();
            if self.keys.len() == self.limit {
                break;
            }
            if self.keys.insert(xxh3_128(key.as_bytes())) {
                chunk.push_str(if first { "\n" } else { ",\n" });
                chunk.push_str(&Value::from(key.as_str()).to_string());
                chunk.push(':');
                chunk.push_str(&Value::from(value.as_str()).to_string());
            }
        }
        if page.cursor == 0 || self.keys.len() == self.limit {
            self.ended = true;
            chunk.push_str("\n}\n");
        }
        chunk.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(cursor: u64, entries: &[(&str, &str)]) -> Page {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Page { cursor, entries }
    }

    #[test]
    fn pages_make_one_object_without_doubles() {
        let mut seen = Seen { limit: 10, ..Seen::default() };
        let pages = [page(7, &[("a", "1"), ("\"", "\n")]), page(9, &[]), page(0, &[("a", "1"), ("b", "2")])];
        let text: Vec<u8> = pages.iter().flat_map(|page| seen.chunk(page).to_vec()).collect();
        let json: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json, serde_json::json!({"a": "1", "\"": "\n", "b": "2"}));
        assert_eq!(String::from_utf8(text).unwrap().matches("\"a\"").count(), 1);
    }

    #[test]
    fn a_limit_ends_the_object_early() {
        let mut seen = Seen { limit: 1, ..Seen::default() };
        let text = seen.chunk(&page(7, &[("a", "1"), ("b", "2")]));
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), serde_json::json!({"a": "1"}));
        assert!(seen.ended);
    }

    #[test]
    fn nothing_stored_is_an_empty_object() {
        let text = Seen::default().chunk(&page(0, &[]));
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), serde_json::json!({}));
    }
}
