//! A server with the settings that long-lived streams need, and an end.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::warn;

/// A dead peer is found after this long without a sign of life, and [`KEEPALIVE_TIMEOUT`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The server failed.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves `routes` on `listener` until `stop` is cancelled, and then for at most `deadline` longer: streams end by
/// themselves, but a peer that has gone silent could hold up a graceful stop for ever (hyper #4170).
///
/// # Errors
///
/// [`ServeError`] where the listener cannot be served.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    stop: CancellationToken,
    deadline: Duration,
) -> Result<(), ServeError> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes.prepare())
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop.cancelled());
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(deadline).await;
    };
    tokio::select! {
        served = server => Ok(served?),
        () = too_long => {
            warn!("some connections were still open {deadline:?} after the stop and are cut");
            Ok(())
        }
    }
}
