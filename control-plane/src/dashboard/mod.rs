//! What the control plane shows over HTTP: the dashboard, the same as JSON under `/api/`, and `/metrics`. It reads, and
//! changes nothing.
//!
//! ```text
//! views, inventories, clients, Envoy's statistics --> picture (pure) --> site: pages, /api/
//!                                                 --> timeline, and live: "changed", over server-sent events
//! ```

mod live;
mod map;
mod pages;
mod picture;
mod site;
mod timeline;
mod traffic;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;
use warp::Filter;
use warp::filters::path::FullPath;
use warp::http::{Response, StatusCode, header};
use xds_server::{Clients, XdsService};

use crate::overrides::Overrides;
use crate::provider::{Freshness, InventoryReceiver};
use crate::publish::ViewReceiver;
use crate::timing::Timing;

use site::{Call, Site};
use timeline::{Lags, Recorder, Timeline};
use traffic::{Interest, Poller};

/// The media type of what `encode` writes (OpenMetrics 1.0, "Overall Structure").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the control plane.
#[must_use]
pub fn registry(xds: &XdsService, timing: &Timing, freshness: Freshness) -> Registry {
    let mut registry = Registry::with_prefix("portolan");
    timing.register(&mut registry);
    xds.metrics().register(&mut registry);
    registry.register_collector(Box::new(ViewAge(freshness)));
    registry
}

/// How old the view is when it is asked.
#[derive(Debug)]
struct ViewAge(Freshness);

impl Collector for ViewAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stale = ConstGauge::new(i64::from(self.0.is_stale()));
        let help = "Whether nothing has confirmed the view for too long, or at all since the start";
        stale.encode(encoder.encode_descriptor("view_stale", help, None, stale.metric_type())?)?;
        // Before the first confirmation there is no age, and none is invented.
        if let Some(age) = self.0.age() {
            let age = ConstGauge::new(age.as_secs_f64());
            let help = "Time since the source of the containers last confirmed the view";
            age.encode(encoder.encode_descriptor(
                "view_age",
                help,
                Some(&Unit::Seconds),
                age.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// Where the dashboard looks.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What is made of the containers.
    pub views: ViewReceiver,
    /// The containers.
    pub inventories: InventoryReceiver,
    /// What was decided by hand.
    pub decisions: watch::Receiver<Overrides>,
    /// Who is served.
    pub clients: Clients,
    /// How old the view is.
    pub freshness: Freshness,
}

/// Settings of the dashboard.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its host name at the edge.
    pub host: String,
    /// The port on which the Envoys that are served listen for HTTP: their statistics are there, at `host`.
    pub edge_port: u16,
}

/// Answers on `listener` until `stop` is cancelled.
///
/// # Errors
///
/// A template does not parse, or no HTTP client can be made.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    sources: Sources,
    options: Options,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let registry = Arc::new(registry);
    let metrics = warp::path!("metrics").and(warp::get()).map(move || metrics(&registry));

    let (timeline, lags) = (Timeline::default(), Lags::default());
    let (revision, revisions) = watch::channel(0);
    let interest = Interest::new();
    let (poller, traffic) =
        Poller::new(sources.clients.clone(), &interest, options.host.clone(), options.edge_port);
    let site = Site::new(
        sources.clone(),
        (timeline.clone(), lags.clone()),
        (traffic, interest),
        revisions,
        options.host,
        stop.clone(),
    )?;
    let site = Arc::new(site);
    let pages = warp::method()
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .map(move |method, path: FullPath, query, headers| {
            site.answer(&Call { method, path: path.as_str().to_owned(), query, headers })
        });
    let server =
        warp::serve(metrics.or(pages)).incoming(listener).graceful(stop.clone().cancelled_owned()).run();
    let server = async {
        server.await;
        Ok(())
    };
    let follow = live::follow(sources, Recorder::new(timeline, lags), revision, stop.clone());
    tokio::try_join!(server, follow, poller.run(stop))?;
    Ok(())
}

fn metrics(registry: &Registry) -> Response<String> {
    let mut text = String::new();
    let mut response = match encode(&mut text, registry) {
        Ok(()) => Response::new(text),
        Err(error) => {
            error!(%error, "the metrics cannot be written");
            let mut response = Response::new("the metrics cannot be written; the log says why\n".to_owned());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
    };
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(OPEN_METRICS));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::provider::port;

    #[tokio::test(start_paused = true)]
    async fn the_metrics_say_how_old_the_view_is() {
        let (outlet, _, freshness) = port(Duration::from_secs(60));
        let mut registry = Registry::with_prefix("portolan");
        registry.register_collector(Box::new(ViewAge(freshness)));
        let lines = || metrics(&registry).into_body();
        assert!(
            lines().contains("\nportolan_view_stale 1\n") && !lines().contains("view_age"),
            "{}",
            lines()
        );
        outlet.confirm(Instant::now());
        tokio::time::advance(Duration::from_millis(2_500)).await;
        assert!(lines().contains("\nportolan_view_stale 0\n"), "{}", lines());
        assert!(lines().contains("\nportolan_view_age_seconds 2.5\n"), "{}", lines());
    }
}
