//! An xDS server: it serves listeners, routes, clusters, endpoints and secrets to Envoy and to gRPC clients, over one
//! aggregated stream (ADS), in delta and in state of the world.
//!
//! What it is: a [`Snapshot`] of everything there is to say, an I/O-free [`session::Session`] for each stream, and a thin
//! tonic service around it. What it is not: a cache with callbacks, a REST server, a watcher of anything. It knows no
//! Docker and no label; whoever makes snapshots publishes them on a `watch` channel and is done.
//!
//! ```text
//!   watch<Option<Arc<Snapshot>>> ---> service (one driver a stream) ---> session (pure) ---> wire
//! ```
//!
//! The rules it keeps are those of the [xDS protocol](https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol).

mod clients;
mod csds;
mod kind;
mod metrics;
mod protobuf;
mod references;
mod resource;
pub mod service;
pub mod session;
mod snapshot;
mod source;
mod subscription;
mod wire;

pub use clients::{ClientStream, Clients};
pub use kind::Kind;
pub use metrics::Metrics;
pub use references::References;
pub use resource::{Name, Resource, Version};
pub use service::{ServeError, XdsService, serve};
pub use snapshot::{Section, Snapshot, SnapshotError};
pub use source::{SnapshotReceiver, SnapshotSource};
