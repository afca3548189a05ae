//! Request rates and latencies, as Envoy counts them. Asked for only while somebody looks.
//!
//! Envoy's admin interface is on loopback in its container; its statistics are read as everybody reads them, at the
//! dashboard's host of the edge, whose address is where the Envoys' streams come from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xds_server::{ClientStream, Clients};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// For so long after the last page was asked for, somebody looks.
const INTEREST: Duration = Duration::from_secs(20);
/// Envoy answers from memory.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Four thousand services fit; what is longer is not read.
const MAX_BYTES: usize = 4 * 1024 * 1024;
const QUERY: &str =
    "/stats?format=json&filter=%5Ecluster%5C..*%5C.upstream_rq_(total%7C5xx%7Cactive%7Ctime)%24";

/// What goes through a service at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Rates {
    /// Nothing at the first look.
    pub(crate) requests_per_second: Option<f64>,
    /// Answered with 5xx, by the containers or for them.
    pub(crate) errors_per_second: Option<f64>,
    /// In flight.
    pub(crate) active: u64,
    /// Of the last few seconds; nothing where nothing was answered.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
}

/// What is known of the traffic.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Traffic {
    /// Why it is not known.
    Missing(String),
    /// By service.
    Known(BTreeMap<String, Rates>),
}

impl Traffic {
    pub(crate) fn of(&self, service: &str) -> Option<Rates> {
        match self {
            Self::Known(services) => services.get(service).copied(),
            Self::Missing(_) => None,
        }
    }

    pub(crate) fn missing(&self) -> Option<String> {
        match self {
            Self::Known(_) => None,
            Self::Missing(why) => Some(why.clone()),
        }
    }
}

/// Counters of one cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counters {
    total: u64,
    errors: u64,
    active: u64,
    p50: Option<f64>,
    p95: Option<f64>,
}

type Counts = BTreeMap<String, Counters>;

#[derive(Deserialize)]
struct Stats {
    stats: Vec<Stat>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stat {
    Number { name: String, value: u64 },
    Histograms { histograms: Histograms },
}

#[derive(Deserialize)]
struct Histograms {
    supported_quantiles: Vec<f64>,
    #[serde(default)]
    computed_quantiles: Vec<Quantiles>,
}

#[derive(Deserialize)]
struct Quantiles {
    name: String,
    values: Vec<Quantile>,
}

#[derive(Deserialize)]
struct Quantile {
    interval: Option<f64>,
}

/// What Envoy's `/stats?format=json` says of clusters.
fn parse(text: &[u8]) -> anyhow::Result<Counts> {
    let stats: Stats = serde_json::from_slice(text).context("its statistics are not as expected")?;
    let mut counts = Counts::new();
    let mut clusters = BTreeSet::new();
    for stat in stats.stats {
        match stat {
            Stat::Number { name, value } => {
                let Some((cluster, what)) = split(&name) else { continue };
                let counters = counts.entry(cluster.to_owned()).or_default();
                match what {
                    "upstream_rq_total" => {
                        counters.total = value;
                        clusters.insert(cluster.to_owned());
                    }
                    "upstream_rq_5xx" => counters.errors = value,
                    "upstream_rq_active" => counters.active = value,
                    _ => {}
                }
            }
            Stat::Histograms { histograms } => {
                let at = |wanted: f64| {
                    histograms.supported_quantiles.iter().position(|each| (each - wanted).abs() < 1e-9)
                };
                let (p50, p95) = (at(50.0), at(95.0));
                for quantiles in &histograms.computed_quantiles {
                    let Some((cluster, "upstream_rq_time")) = split(&quantiles.name) else { continue };
                    let value = |at: Option<usize>| quantiles.values.get(at?)?.interval;
                    let counters = counts.entry(cluster.to_owned()).or_default();
                    (counters.p50, counters.p95) = (value(p50), value(p95));
                }
            }
        }
    }
    // `cluster.web.external.upstream_rq_5xx` is a part of web's, and no cluster.
    counts.retain(|cluster, _| clusters.contains(cluster));
    Ok(counts)
}

/// Cluster and counter of `cluster.shop/web.upstream_rq_total`.
fn split(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("cluster.")?.rsplit_once('.')
}

/// What happened between two looks at one Envoy. One that was restarted counts from zero again.
fn rates(before: Option<(&Counts, Duration)>, now: &Counts) -> BTreeMap<String, Rates> {
    let of = |(cluster, counters): (&String, &Counters)| {
        let before = before.and_then(|(before, elapsed)| {
            let old = before.get(cluster)?;
            (elapsed > Duration::ZERO && old.total <= counters.total).then_some((old, elapsed))
        });
        #[allow(clippy::cast_precision_loss, reason = "a rate that is shown with one digit")]
        let per_second =
            |old: u64, new: u64, elapsed: Duration| new.saturating_sub(old) as f64 / elapsed.as_secs_f64();
        let rates = Rates {
            requests_per_second: before.map(|(old, elapsed)| per_second(old.total, counters.total, elapsed)),
            errors_per_second: before.map(|(old, elapsed)| per_second(old.errors, counters.errors, elapsed)),
            active: counters.active,
            p50_ms: counters.p50,
            p95_ms: counters.p95,
        };
        (cluster.clone(), rates)
    };
    now.iter().map(of).collect()
}

/// Several Envoys together: the sum of what goes through, and the slower one's latencies.
fn add(sum: &mut BTreeMap<String, Rates>, other: BTreeMap<String, Rates>) {
    let plus = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b).or(a).or(b);
    let slower = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.max(b)).or(a).or(b);
    for (service, rates) in other {
        let into = sum.entry(service).or_default();
        into.requests_per_second = plus(into.requests_per_second, rates.requests_per_second);
        into.errors_per_second = plus(into.errors_per_second, rates.errors_per_second);
        into.active += rates.active;
        into.p50_ms = slower(into.p50_ms, rates.p50_ms);
        into.p95_ms = slower(into.p95_ms, rates.p95_ms);
    }
}

/// Shared by the pages, which say that somebody looks, and the poller.
#[derive(Debug, Clone)]
pub(crate) struct Interest(watch::Sender<Instant>);

impl Interest {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Instant::now() - INTEREST))
    }

    /// Somebody looks.
    pub(crate) fn show(&self) {
        self.0.send_replace(Instant::now());
    }
}

/// Looks at the Envoys' statistics for as long as somebody is interested.
#[derive(Debug)]
pub(crate) struct Poller {
    clients: Clients,
    interest: watch::Receiver<Instant>,
    host: String,
    edge_port: u16,
    traffic: watch::Sender<Traffic>,
    seen: BTreeMap<IpAddr, (Counts, Instant)>,
}

impl Poller {
    pub(crate) fn new(
        clients: Clients,
        interest: &Interest,
        host: String,
        edge_port: u16,
    ) -> (Self, watch::Receiver<Traffic>) {
        let first = Traffic::Missing("Envoy has not been asked yet".to_owned());
        let (traffic, receiver) = watch::channel(first);
        let interest = interest.0.subscribe();
        (Self { clients, interest, host, edge_port, traffic, seen: BTreeMap::new() }, receiver)
    }

    /// Runs until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        // No redirect: whoever is served decides what is answered, and not where the control plane asks.
        let none = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().redirect(none).timeout(TIMEOUT).build()?;
        loop {
            let last = *self.interest.borrow_and_update();
            if last.elapsed() < INTEREST {
                let traffic = self.look(&http).await;
                self.traffic.send_if_modified(|old| {
                    let differs = *old != traffic;
                    *old = traffic;
                    differs
                });
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(EVERY) => {}
                }
            } else {
                // What was counted while nobody looked is no rate of now.
                self.seen.clear();
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    changed = self.interest.changed() => if changed.is_err() {
                        stop.cancelled().await;
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn look(&mut self, http: &reqwest::Client) -> Traffic {
        let envoys = addresses(&self.clients.list());
        if envoys.is_empty() {
            return Traffic::Missing("no Envoy is connected".to_owned());
        }
        let mut sum = BTreeMap::new();
        let mut failed = None;
        self.seen.retain(|ip, _| envoys.contains(ip));
        for ip in envoys {
            let at = SocketAddr::new(ip, self.edge_port);
            match ask(http, at, &self.host).await {
                Ok(counts) => {
                    let now = Instant::now();
                    let before = self.seen.get(&ip).map(|(counts, then)| (counts, now - *then));
                    add(&mut sum, rates(before, &counts));
                    self.seen.insert(ip, (counts, now));
                }
                Err(error) => {
                    failed = Some(format!("the statistics of the Envoy at {at} cannot be read: {error:#}"))
                }
            }
        }
        match failed {
            Some(why) if sum.is_empty() => Traffic::Missing(why),
            _ => Traffic::Known(sum),
        }
    }
}

/// Where the Envoys are that are served.
fn addresses(clients: &[ClientStream]) -> BTreeSet<IpAddr> {
    let envoys = clients
        .iter()
        .filter(|client| client.node.as_ref().is_some_and(|node| node.user_agent_name == "envoy"));
    envoys.filter_map(|client| Some(client.peer.parse::<SocketAddr>().ok()?.ip())).collect()
}

async fn ask(http: &reqwest::Client, at: SocketAddr, host: &str) -> anyhow::Result<Counts> {
    let request =
        http.get(format!("http://{at}{QUERY}")).header("host", host).header("user-agent", "portolan");
    let answer = request.send().await.map_err(reqwest::Error::without_url)?;
    ensure!(answer.status().is_success(), "it answers {}", answer.status());
    let mut chunks = answer.bytes_stream();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(reqwest::Error::without_url)?);
        ensure!(body.len() <= MAX_BYTES, "the answer is longer than {MAX_BYTES} bytes");
    }
    parse(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Envoy 1.40 writes it.
    const STATS: &str = r#"{"stats":[
        {"name":"cluster.shop/web.upstream_rq_5xx","value":2},
        {"name":"cluster.shop/web.upstream_rq_active","value":3},
        {"name":"cluster.shop/web.upstream_rq_total","value":40},
        {"name":"cluster.shop/web.external.upstream_rq_5xx","value":2},
        {"name":"cluster.a.b.upstream_rq_total","value":7},
        {"histograms":{"supported_quantiles":[0.0,25.0,50.0,75.0,90.0,95.0,99.0,99.5,99.9,100.0],
         "computed_quantiles":[{"name":"cluster.shop/web.upstream_rq_time","values":[
          {"cumulative":1.0,"interval":1.0},{"cumulative":1.0,"interval":1.0},{"cumulative":1.0,"interval":1.5},
          {"cumulative":1.0,"interval":1.0},{"cumulative":1.0,"interval":1.0},{"cumulative":1.0,"interval":4.2},
          {"cumulative":1.0,"interval":null},{"cumulative":1.0,"interval":1.0},{"cumulative":1.0,"interval":1.0},
          {"cumulative":1.0,"interval":1.0}]}]}}]}"#;

    #[test]
    fn envoys_statistics_are_read() {
        let counts = parse(STATS.as_bytes()).unwrap();
        let web = Counters { total: 40, errors: 2, active: 3, p50: Some(1.5), p95: Some(4.2) };
        assert_eq!(counts.get("shop/web"), Some(&web));
        assert_eq!(counts.len(), 2, "a part of a cluster is none: {counts:?}");
        assert_eq!(counts.get("a.b").map(|counters| counters.total), Some(7));
        assert!(parse(b"no").is_err());
        assert!(parse(br#"{"stats":[]}"#).unwrap().is_empty());
    }

    #[test]
    fn a_rate_is_what_was_counted_between_two_looks() {
        let counts = |total, errors| -> Counts {
            [("web".to_owned(), Counters { total, errors, ..Counters::default() })].into()
        };
        let of = |before: Option<(&Counts, Duration)>, now: &Counts| {
            let rates = rates(before, now)["web"];
            (rates.requests_per_second, rates.errors_per_second)
        };
        let two = Duration::from_secs(2);
        assert_eq!(of(None, &counts(10, 1)), (None, None), "the first look");
        assert_eq!(of(Some((&counts(10, 1), two)), &counts(30, 2)), (Some(10.0), Some(0.5)));
        assert_eq!(of(Some((&counts(10, 1), two)), &counts(3, 0)), (None, None), "Envoy was restarted");
    }

    #[test]
    fn envoys_add_up() {
        let one = |requests, p95_ms| -> BTreeMap<String, Rates> {
            let rates = Rates { requests_per_second: requests, active: 1, p95_ms, ..Rates::default() };
            [("web".to_owned(), rates)].into()
        };
        let mut sum = one(Some(1.0), None);
        add(&mut sum, one(Some(2.0), Some(3.0)));
        add(&mut sum, one(None, Some(2.0)));
        let expected =
            Rates { requests_per_second: Some(3.0), active: 3, p95_ms: Some(3.0), ..Rates::default() };
        assert_eq!(sum["web"], expected);
    }
}
