//! A server under test, real clients of it, and what happens between them.
#![allow(unreachable_pub)]

pub mod changes;
pub mod envoy;
pub mod extensions;
pub mod lab;
pub mod reconnects;
pub mod refusals;
pub mod resources;
pub mod secrets;
pub mod server;
pub mod several;
pub mod status;
pub mod traffic;
pub mod upstream;
pub mod without_proxy;

use std::time::Duration;

/// No wait for a condition takes longer.
pub const LIMIT: Duration = Duration::from_secs(30);
