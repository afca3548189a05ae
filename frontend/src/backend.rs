//! The backend, as seen from here.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use lifecycle::trace::Origin;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use tracing::warn;

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
    /// It, or what it needs, is away.
    Away,
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

impl Backend {
    /// What is stored, at most `limit` of it.
    pub(crate) async fn list(
        &self,
        limit: usize,
        origin: &Origin,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let asking = origin.asks("GET /messages");
        let mut url = self.messages.clone();
        url.set_query(Some(&format!("limit={limit}")));
        let response = self.client.get(url).headers(asking.headers()).send().await;
        let response = response.map_err(|error| away(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        response.json().await.map_err(|error| away(&error))
    }

    /// Stores a value.
    pub(crate) async fn save(&self, key: &str, value: &str, origin: &Origin) -> Result<(), Failure> {
        let asking = origin.asks("POST /messages");
        let message = serde_json::json!({ "key": key, "value": value });
        let request = self.client.post(self.messages.clone()).json(&message);
        let response = request.headers(asking.headers()).send().await.map_err(|error| away(&error))?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(response).await) }
    }
}

async fn refusal(response: reqwest::Response) -> Failure {
    let status = response.status();
    if !status.is_client_error() {
        warn!(%status, "the backend fails");
        return Failure::Away;
    }
    let Refusal { error, fix } = response.json().await.unwrap_or_default();
    Failure::Refused { status: status.as_u16(), error, fix }
}

fn away(error: &reqwest::Error) -> Failure {
    warn!("the backend does not answer: {error}");
    Failure::Away
}
