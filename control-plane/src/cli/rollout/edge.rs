//! How many requests Envoy has in flight to a container, by its own count.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use tokio::time::Instant;

/// How often Envoy is asked.
const LOOK: Duration = Duration::from_millis(100);
/// A request may be on its way when Envoy counts none: it has to say so this often in a row.
const TIMES: usize = 3;

/// Where Envoy's own pages are.
#[derive(Debug, Clone, Args)]
pub(super) struct Edge {
    /// Envoy's address, where its pages tell how many requests are in flight; where they do not, all of --drain is waited.
    #[arg(long, env = "PORTOLAN_EDGE", value_name = "URL", default_value = "http://127.0.0.1:80")]
    edge: String,

    /// The host name of those pages.
    #[arg(long, env = "PORTOLAN_DASHBOARD_HOST", value_name = "HOST", default_value = "dashboard.localhost")]
    dashboard_host: String,
}

/// The part of Envoy's `/clusters?format=json` that is read (`envoy.admin.v3.Clusters`).
#[derive(Debug, Deserialize)]
struct Clusters {
    #[serde(default)]
    cluster_statuses: Vec<Cluster>,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    name: String,
    #[serde(default)]
    host_statuses: Vec<Host>,
}

#[derive(Debug, Deserialize)]
struct Host {
    address: Address,
    #[serde(default)]
    stats: Vec<Stat>,
}

#[derive(Debug, Deserialize)]
struct Address {
    socket_address: Option<Socket>,
}

#[derive(Debug, Deserialize)]
struct Socket {
    address: String,
    port_value: u16,
}

#[derive(Debug, Deserialize)]
struct Stat {
    name: String,
    /// A 64-bit number, hence a text; not there where it is 0.
    #[serde(default)]
    value: Option<String>,
}

impl Edge {
    /// Waits until no request to `addresses` of `service` is in flight, `limit` at most, and says how many are left.
    ///
    /// # Errors
    ///
    /// It cannot be told; then nothing was waited for.
    pub(super) async fn idle(
        &self,
        service: &str,
        addresses: &[String],
        limit: Duration,
    ) -> anyhow::Result<u64> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).no_proxy().build()?;
        let end = Instant::now() + limit;
        let mut idle = 0;
        loop {
            let active = self.ask(&client, service, addresses).await?;
            idle = if active == 0 { idle + 1 } else { 0 };
            if idle == TIMES || Instant::now() >= end {
                return Ok(active);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn ask(
        &self,
        client: &reqwest::Client,
        service: &str,
        addresses: &[String],
    ) -> anyhow::Result<u64> {
        let url = format!("{}/clusters?format=json", self.edge.trim_end_matches('/'));
        let answer = client.get(&url).header("host", &self.dashboard_host).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let answer = answer.with_context(|| format!("no page of Envoy's at {url}"))?;
        active(&answer.text().await?, service, addresses)
    }
}

/// Requests in flight to `addresses`. One of them that Envoy does not know must not count as idle: then it is another
/// Envoy that answers.
fn active(page: &str, service: &str, addresses: &[String]) -> anyhow::Result<u64> {
    let clusters: Clusters =
        serde_json::from_str(page).context("Envoy's list of clusters is not understood")?;
    let cluster = clusters.cluster_statuses.into_iter().find(|cluster| cluster.name == service);
    let hosts = cluster.with_context(|| format!("that Envoy has no cluster {service}"))?.host_statuses;
    let count = addresses.iter().map(|address| {
        let is_it = |host: &&Host| {
            host.address.socket_address.as_ref().is_some_and(|socket| {
                let Socket { address: ip, port_value } = socket;
                *address == format!("{ip}:{port_value}") || *address == format!("[{ip}]:{port_value}")
            })
        };
        let host = hosts.iter().find(is_it).with_context(|| format!("that Envoy does not know {address}"))?;
        let active = host.stats.iter().find(|stat| stat.name == "rq_active");
        let active = active.and_then(|stat| stat.value.as_deref()).unwrap_or("0");
        active.parse::<u64>().with_context(|| format!("Envoy counts {active:?} requests"))
    });
    count.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"cluster_statuses": [
        {"name": "other"},
        {"name": "shop/web", "host_statuses": [
            {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}},
             "stats": [{"name": "cx_active", "value": "9"}, {"name": "rq_active", "value": "2", "type": "GAUGE"}]},
            {"address": {"socket_address": {"address": "::1", "port_value": 80}}, "stats": [{"name": "rq_active", "type": "GAUGE"}]}
        ]}
    ]}"#;

    #[test]
    fn requests_in_flight_are_counted_for_the_hosts_asked_for() {
        let count = |addresses: &[&str]| {
            let addresses: Vec<String> = addresses.iter().map(|each| (*each).to_owned()).collect();
            active(PAGE, "shop/web", &addresses).ok()
        };
        assert_eq!(count(&["10.0.0.1:80"]), Some(2));
        assert_eq!(count(&["[::1]:80"]), Some(0));
        assert_eq!(count(&["10.0.0.1:80", "[::1]:80"]), Some(2));
        assert_eq!(count(&["10.0.0.9:80"]), None, "an unknown host is not an idle one");
        assert!(active(PAGE, "shop/api", &[]).is_err());
        assert!(active("<html>", "shop/web", &[]).is_err());
    }
}
