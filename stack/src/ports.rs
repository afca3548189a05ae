//! Ports: which are free, and clear words about those that are not.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// A port on loopback that nobody uses at the moment.
///
/// # Errors
///
/// The system has none left.
pub fn free() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
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
