//! The whole system as local processes: real Envoy, real Redis, the three binaries of this workspace, no Docker. What
//! `cargo stack` runs, and what the end-to-end tests are made of.
//!
//! It is for Linux: children are started through `setpriv`, so that none outlives the stack, however that ends.

pub mod binaries;
pub mod browser;
pub mod envoy;
pub mod load;
pub mod ports;
pub mod process;
pub mod site;
pub mod system;
pub mod tools;
pub mod wait;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}
