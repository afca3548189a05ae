//! The backend, as seen from here.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use lifecycle::trace::Origin;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tracing::warn;

use crate::place::Place;

/// How to reach the backend.
#[derive(Debug, Clone, Args)]
#[group(id = "backend")]
pub struct Options {
    /// Where the backend is.
    #[arg(long, env = "BACKEND_URL", value_name = "URL", default_value = "http://backend:8080")]
    pub backend_url: String,
    /// How long the backend may take to answer.
    #[arg(long, env = "BACKEND_TIMEOUT", value_name = "DURATION", default_value = "3s", value_parser = lifecycle::duration::parse)]
    pub backend_timeout: Duration,
}

impl Options {
    /// A client with these settings. Whether the backend is there is seen by the first request.
    ///
    /// # Errors
    ///
    /// The URL is none.
    pub fn open(&self) -> anyhow::Result<Backend> {
        let wrong = || format!("BACKEND_URL={:?} is not a URL; write http://host:8080", self.backend_url);
        let base = Url::parse(&self.backend_url).with_context(wrong)?;
        let messages = base.join("/messages").with_context(wrong)?;
        let client = Client::builder()
            .timeout(self.backend_timeout)
            .connect_timeout(self.backend_timeout)
            .no_proxy()
            .build()?;
        Ok(Backend { client, messages })
    }
}

/// A client of the backend.
#[derive(Debug, Clone)]
pub struct Backend {
    client: Client,
    messages: Url,
}

/// Why the backend did not do what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It does not answer, or not with what it should.
    Away,
    /// It answers that its store is away.
    StoreAway,
    /// It refuses the input: with what status, and in its own words.
    Refused { status: u16, error: String, fix: String },
}

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    fix: String,
}

#[derive(Debug, Deserialize)]
struct One {
    value: String,
}

/// Some of what is stored.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) messages: BTreeMap<String, String>,
    /// How many messages there are in all.
    pub(crate) total: u64,
    /// Which backend says so.
    pub(crate) by: String,
}

impl Backend {
    /// What is stored at `place`, at most `limit` of it.
    pub(crate) async fn list(&self, place: &Place, limit: usize, origin: &Origin) -> Result<Listed, Failure> {
        let mut url = self.messages.clone();
        let (edge, key) = place.pair().unwrap_or(("after", ""));
        url.query_pairs_mut().append_pair(edge, key).append_pair("limit", &limit.to_string());
        let asking = self.client.get(url);
        let response = allowed(ask(asking, "GET /messages", origin).await?).await?;
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (total, by) = (header("x-total-count"), header("x-served-by"));
        let messages: BTreeMap<String, String> = response.json().await.map_err(|error| away(&error))?;
        let total = total.parse().unwrap_or(messages.len() as u64);
        Ok(Listed { messages, total, by })
    }

    /// The value under a key, if there is one.
    pub(crate) async fn get(&self, key: &str, origin: &Origin) -> Result<Option<String>, Failure> {
        let asking = self.client.get(self.one(key));
        let response = ask(asking, "GET /messages/{key}", origin).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let One { value } = allowed(response).await?.json().await.map_err(|error| away(&error))?;
        Ok(Some(value))
    }

    /// Stores a value, and says whether its key is new.
    pub(crate) async fn save(&self, key: &str, value: &str, origin: &Origin) -> Result<bool, Failure> {
        let message = serde_json::json!({ "key": key, "value": value });
        let asking = self.client.post(self.messages.clone()).json(&message);
        let response = allowed(ask(asking, "POST /messages", origin).await?).await?;
        Ok(response.status() == StatusCode::CREATED)
    }

    /// Deletes a key; one that is not there is as good as deleted.
    pub(crate) async fn delete(&self, key: &str, origin: &Origin) -> Result<(), Failure> {
        let asking = self.client.request(Method::DELETE, self.one(key));
        let response = ask(asking, "DELETE /messages/{key}", origin).await?;
        if response.status() != StatusCode::NOT_FOUND {
            allowed(response).await?;
        }
        Ok(())
    }

    fn one(&self, key: &str) -> Url {
        let mut url = self.messages.clone();
        url.set_path(&format!("/messages/{}", utf8_percent_encode(key, NON_ALPHANUMERIC)));
        url
    }
}

/// Asks for the sake of `origin`; `what` is the name of its span.
async fn ask(request: RequestBuilder, what: &'static str, origin: &Origin) -> Result<Response, Failure> {
    let asking = origin.asks(what);
    request.headers(asking.headers()).send().await.map_err(|error| away(&error))
}

/// The answer, if it is a success.
async fn allowed(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_client_error() {
        let Refusal { error, fix } = response.json().await.unwrap_or_default();
        return Err(Failure::Refused { status: status.as_u16(), error, fix });
    }
    warn!(%status, "the backend fails");
    Err(if status == StatusCode::SERVICE_UNAVAILABLE { Failure::StoreAway } else { Failure::Away })
}

fn away(error: &reqwest::Error) -> Failure {
    warn!("the backend does not answer: {error}");
    Failure::Away
}
