//! A model of an xDS client, the world it is told about, and the wire between it and a session.
//!
//! It is written from what Envoy does and from the protocol document, not from the session: where both are wrong in the
//! same way, that is bad luck and not a shared line of code.
//!
//! ```text
//!   World --snapshot--> Session --responses--> queue --> Client
//!     ^                    ^                               |
//!   edits                  +------ queue <---requests------+
//! ```
//!
//! [`Run`] moves all of it one step at a time, in any order. [`Monitor`] watches the wire for what no server may say;
//! the client is looked at after each response for what it must never hold.
#![allow(dead_code, unreachable_pub)]

mod client;
mod monitor;
mod requests;
mod run;
mod world;

pub use client::{Client, Manner, Style};
pub use monitor::Monitor;
pub use run::{Op, Run};
pub use world::{Edit, Flavour, Note, Target, World, refusable};

use xds_server::Kind;

/// What is wrong, in words; a property fails with it.
pub type Verdict = Result<(), String>;

/// One slot for each resource type.
pub type PerKind<T> = [T; Kind::ALL.len()];

pub fn at(kind: Kind) -> usize {
    kind as usize
}

/// Ends the function with an error that says what is wrong unless `$holds`.
macro_rules! ensure {
    ($holds:expr, $($words:tt)+) => {
        if !$holds {
            return Err(format!($($words)+));
        }
    };
}
pub(crate) use ensure;
