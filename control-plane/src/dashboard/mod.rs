//! What the control plane shows over HTTP: the dashboard, the same as JSON under `/api/`, and `/metrics`. It reads, and
//! changes nothing.
//!
//! ```text
//! views, inventories, clients, Envoy's statistics --> picture (pure) --> site: pages, /api/
//!                                                 --> crate::timeline, and live: "changed", over server-sent events
//! ```

mod live;
mod map;
mod metrics;
mod pages;
mod picture;
mod site;
mod traffic;

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use warp::Filter;
use warp::filters::path::FullPath;

use crate::sources::Sources;
use crate::timeline::Recorder;

pub use metrics::registry;
use site::{Call, Site};
use traffic::{Interest, Poller};

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
    let accept = warp::header::optional("accept");
    let metrics = warp::path!("metrics")
        .and(warp::get())
        .and(accept)
        .map(move |accept: Option<String>| metrics::answer(&registry, &accept.unwrap_or_default()));

    let (revision, revisions) = watch::channel(0);
    let interest = Interest::new();
    let (poller, traffic) =
        Poller::new(sources.clients.clone(), &interest, options.host.clone(), options.edge_port);
    let site = Site::new(sources.clone(), (traffic, interest), revisions, options.host, stop.clone())?;
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
    let recorder = Recorder::new(sources.timeline.clone());
    let follow = live::follow(sources, recorder, revision, stop.clone());
    tokio::try_join!(server, follow, poller.run(stop))?;
    Ok(())
}
