//! A page of the messages by the order of their keys. Redis keeps a hash in no order, so all of it is walked through, and
//! what is nearest to the page's edge is kept: as much memory as a page has, however many there are.

use std::collections::BTreeMap;

use lifecycle::http::{Body, with_type};
use warp::http::{HeaderValue, StatusCode};

use crate::store::{Away, Store};

/// Most messages of a page: 16 MiB, if each is as long as may be.
pub(crate) const MOST: usize = 256;
/// How many messages there are in all.
const TOTAL: &str = "x-total-count";

/// Where a page begins or ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// With the first key after this one; after the empty one is the first of all.
    After(String),
    /// With the last key before this one.
    Before(String),
}

/// The messages that are nearest to an edge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Window {
    edge: Edge,
    limit: usize,
    entries: BTreeMap<String, String>,
}

impl Window {
    pub(crate) const fn new(edge: Edge, limit: usize) -> Self {
        Self { edge, limit, entries: BTreeMap::new() }
    }

    /// `{"key": "value", ...}` in the order of the keys, and in a header how many there are in all.
    pub(crate) async fn find(mut self, store: &Store) -> Result<Body, Away> {
        let total = store.count().await?;
        let mut cursor = 0;
        loop {
            let page = store.page(cursor, MOST).await?;
            self.see(page.entries);
            cursor = page.cursor;
            if cursor == 0 {
                break;
            }
        }
        let body = serde_json::json!(self.entries).to_string();
        let mut response = with_type(StatusCode::OK, "application/json", body + "\n");
        response.headers_mut().insert(TOTAL, HeaderValue::from(total));
        Ok(response)
    }

    /// Keeps what belongs to the page so far. An entry may come twice while the hash grows.
    fn see(&mut self, entries: Vec<(String, String)>) {
        for (key, value) in entries {
            let belongs = match &self.edge {
                Edge::After(edge) => key > *edge,
                Edge::Before(edge) => key < *edge,
            };
            if !belongs {
                continue;
            }
            self.entries.insert(key, value);
            if self.entries.len() > self.limit {
                match self.edge {
                    Edge::After(_) => self.entries.pop_last(),
                    Edge::Before(_) => self.entries.pop_first(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of the page after the store has shown `keys`.
    fn page(edge: Edge, limit: usize, keys: &[&str]) -> Vec<String> {
        let mut window = Window::new(edge, limit);
        for key in keys {
            window.see(vec![((*key).to_owned(), "v".to_owned())]);
        }
        window.entries.into_keys().collect()
    }

    #[test]
    fn a_page_is_what_is_nearest_to_its_edge_in_the_order_of_the_keys() {
        let keys = ["d", "a", "c", "e", "c", "b"];
        assert_eq!(page(Edge::After(String::new()), 2, &keys), ["a", "b"]);
        assert_eq!(page(Edge::After("b".into()), 2, &keys), ["c", "d"]);
        assert_eq!(page(Edge::After("bb".into()), 9, &keys), ["c", "d", "e"]);
        assert_eq!(page(Edge::Before("e".into()), 2, &keys), ["c", "d"]);
        assert_eq!(page(Edge::Before("b".into()), 2, &keys), ["a"]);
        assert!(page(Edge::After("e".into()), 2, &keys).is_empty());
    }
}
