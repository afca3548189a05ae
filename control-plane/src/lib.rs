//! Portolan: the control plane that turns the containers of a Docker host into Envoy's configuration.
//!
//! Data flows one way; each arrow is a plain value, so that everything between the two ends is pure:
//!
//! ```text
//! docker, file  -->  inventory  -->  model  -->  translate  -->  publish  -->  xds_server  -->  Envoy
//! (providers)        (facts)         (meaning)   (messages)      (snapshot)    (streams)
//! ```
//!
//! Only [`runtime`] sees both ends.

pub mod admin;
pub mod cli;
pub mod compat;
pub mod compose;
pub mod dashboard;
pub mod docker;
pub mod explain;
pub mod file;
pub mod inventory;
pub mod lint;
pub mod matching;
pub mod model;
mod moment;
pub mod naming;
pub mod overrides;
pub mod plan;
pub mod policies;
mod progress;
pub mod provider;
pub mod publish;
pub mod recording;
pub mod runtime;
pub mod sources;
pub mod state;
pub mod timeline;
pub mod timing;
pub mod translate;
