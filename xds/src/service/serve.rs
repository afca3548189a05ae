//! A server with the settings that long-lived streams need, and an end.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::warn;

/// How a server looks after its connections.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// A peer that has said nothing for this long is asked for a sign of life (an HTTP/2 PING).
    pub keepalive_interval: Duration,
    /// One that does not give it within this time is dead, and its streams end.
    pub keepalive_timeout: Duration,
    /// How long connections may stay open after the stop.
    pub stop_deadline: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            stop_deadline: Duration::from_secs(5),
        }
    }
}

/// The server failed.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves `routes` on `listener` until `stop` is cancelled, and then for at most `stop_deadline` longer: streams end by
/// themselves, but a peer that has gone silent could hold up a graceful stop for ever (hyper #4170).
///
/// # Errors
///
/// [`ServeError`] where the listener cannot be served.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    options: ServeOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(options.keepalive_interval))
        .http2_keepalive_timeout(Some(options.keepalive_timeout))
        .add_routes(routes.prepare())
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop.cancelled());
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(options.stop_deadline).await;
    };
    tokio::select! {
        served = server => Ok(served?),
        () = too_long => {
            warn!("some connections were still open {:?} after the stop and are cut", options.stop_deadline);
            Ok(())
        }
    }
}
