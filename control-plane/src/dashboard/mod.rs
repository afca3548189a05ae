//! What the control plane shows over HTTP: so far `/metrics`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;
use warp::Filter;
use warp::http::{Response, StatusCode, header};
use xds_server::XdsService;

use crate::provider::Freshness;
use crate::timing::Timing;

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

/// Answers on `listener` until `stop` is cancelled.
///
/// # Errors
///
/// None so far; the type is that of every part the runtime watches over.
pub async fn serve(listener: TcpListener, registry: Registry, stop: CancellationToken) -> anyhow::Result<()> {
    let registry = Arc::new(registry);
    let metrics = warp::path!("metrics").and(warp::get()).map(move || metrics(&registry));
    warp::serve(metrics).incoming(listener).graceful(stop.cancelled_owned()).run().await;
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
