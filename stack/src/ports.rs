//! Ports: which are free, and clear words about those that are not.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use tokio::net::TcpSocket;

/// Below what the system gives to connections and to whoever asks for any port (`ip_local_port_range`, from 32768 on): between the
/// look and the use of a port nobody is given it by chance.
const FREE: std::ops::Range<u16> = 15_000..32_000;

/// A port that nobody uses at the moment, and that this process is not given again before all others were.
///
/// # Errors
///
/// The system has none left.
pub fn free() -> anyhow::Result<u16> {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    // Processes that run side by side begin at different places.
    let next = NEXT.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        AtomicU32::new(now.subsec_micros().wrapping_add(std::process::id().wrapping_mul(7_919)))
    });
    let length = u32::from(FREE.end - FREE.start);
    for _ in FREE {
        let offset = next.fetch_add(1, Ordering::Relaxed) % length;
        let port = FREE.start + u16::try_from(offset)?;
        // Taken on any address is taken.
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("all ports from {} to {} are taken", FREE.start, FREE.end - 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_given_once_and_never_one_that_the_system_gives_by_chance() {
        let first = free().unwrap();
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        let others: Vec<u16> = (0..100).map(|_| free().unwrap()).collect();
        assert!(
            !others.contains(&first) && others.iter().all(|port| FREE.contains(port)),
            "{first}: {others:?}"
        );
        drop(held);
    }
}
