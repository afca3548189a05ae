//! The health check a container runs on itself, without a shell.

use std::time::Duration;

use anyhow::{Context, bail};

/// Asks `url` and wants 200.
///
/// # Errors
///
/// No answer within `timeout`, or another status: in one line.
pub async fn check(url: &str, timeout: Duration) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(timeout).no_proxy().build()?;
    let response = client.get(url).send().await.with_context(|| format!("no answer from {url}"))?;
    match response.status() {
        reqwest::StatusCode::OK => Ok(()),
        other => bail!("{url} answers {other}"),
    }
}
