//! What every binary of the system shares: logging, a health check, and a graceful stop.

pub mod duration;
pub mod health;
#[cfg(feature = "server")]
pub mod http;
pub mod logging;
pub mod shutdown;
#[cfg(feature = "server")]
pub mod trace;
