//! A server with the settings that long-lived streams need, and an end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::warn;

/// Connections that may wait to be accepted. After a restart every client comes back at once, and one that finds no room
/// loses a second or more; std's listeners, and so tokio's, have room for 128.
const BACKLOG: u32 = 4_096;

/// A listener for [`serve`], with room for many clients that come at once.
///
/// # Errors
///
/// `address` cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As tokio's own listeners have it: connections of a predecessor that are still closing do not hold the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures::future::try_join_all;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn clients_that_come_at_once_find_room() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        // More than a listener of std's has room for; nobody accepts them.
        let all = try_join_all((0..200).map(|_| TcpStream::connect(address)));
        let connected = tokio::time::timeout(Duration::from_secs(20), all).await;
        assert_eq!(connected.expect("some clients find no room").unwrap().len(), 200);
    }
}
