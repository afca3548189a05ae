//! Ports: which are free, and clear words about those that are not.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpSocket;

/// A port on loopback that nobody uses at the moment.
///
/// # Errors
///
/// The system has none left.
pub fn free() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A port on loopback that nobody else is given for as long as this or a clone of it lives. Who is to use it binds it with
/// `SO_REUSEPORT`, as Envoy does.
#[derive(Debug, Clone)]
pub struct Reserved {
    port: u16,
    // Bound, and not listening: connections are for those who are.
    _socket: Arc<TcpSocket>,
}

impl Reserved {
    /// One that is free at the moment.
    ///
    /// # Errors
    ///
    /// The system has none left.
    pub fn new() -> anyhow::Result<Self> {
        let socket = reusable(0)?;
        Ok(Self { port: socket.local_addr()?.port(), _socket: Arc::new(socket) })
    }

    /// Its number.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Listens on it, among others.
    ///
    /// # Errors
    ///
    /// Somebody has taken it without `SO_REUSEPORT`. Panics outside a tokio runtime.
    pub fn listen(&self) -> anyhow::Result<tokio::net::TcpListener> {
        Ok(reusable(self.port)?.listen(1_024)?)
    }
}

fn reusable(port: u16) -> anyhow::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

/// Whether `port` may be bound on loopback.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// `port`, if it may be bound. Envoy shares its port with whoever asks (`SO_REUSEPORT`): a left-over one would silently
/// take half of the requests, so this is looked at before anything is started.
///
/// # Errors
///
/// It is taken, or may not be bound.
pub fn claim(port: u16, what: &str) -> anyhow::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
        format!("{what}: port {port} cannot be had on 127.0.0.1; is another system running? (see --help for other ports)")
    })?;
    Ok(port)
}
