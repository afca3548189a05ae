//! What every binary of the system shares: logging, a health check, and a graceful stop.

pub mod duration;
pub mod health;
pub mod http;
pub mod logging;
pub mod shutdown;
