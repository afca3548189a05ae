//! What the control plane shows over HTTP: so far `/metrics`.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;
use warp::Filter;
use warp::http::{Response, StatusCode, header};
use xds_server::XdsService;

/// The media type of what `encode` writes (OpenMetrics 1.0, "Overall Structure").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the control plane.
#[must_use]
pub fn registry(xds: &XdsService) -> Registry {
    let mut registry = Registry::with_prefix("portolan");
    xds.metrics().register(&mut registry);
    registry
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
