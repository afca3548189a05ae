//! Compose files, and where in them everything stands.
//!
//! [`yaml`] reads one file as it is written.

pub mod yaml;
