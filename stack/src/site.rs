//! The system as a client sees it: one port, many hosts.

use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::HOST;

/// The edge of a running system.
#[derive(Debug, Clone)]
pub struct Site {
    client: Client,
    port: u16,
}

impl Site {
    /// The system whose Envoy listens on `port` of loopback.
    ///
    /// # Errors
    ///
    /// No HTTP client can be made.
    pub fn new(port: u16) -> anyhow::Result<Self> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .build()?;
        Ok(Self { client, port })
    }

    /// The port of the edge.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A request to `host`. Names under `localhost` are not resolved everywhere, so the address is loopback and the
    /// name a header.
    pub fn request(&self, method: Method, host: &str, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://127.0.0.1:{}{path}", self.port)).header(HOST, host)
    }

    /// GET, whatever the answer.
    ///
    /// # Errors
    ///
    /// There is no answer.
    pub fn get(&self, host: &str, path: &str) -> anyhow::Result<Response> {
        self.request(Method::GET, host, path).send().with_context(|| format!("GET {host}{path}"))
    }
}
