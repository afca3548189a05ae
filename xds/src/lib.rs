//! An xDS server: it serves listeners, routes, clusters, endpoints, configurations of filters and secrets to Envoy and to gRPC
//! clients, over one aggregated stream (ADS) or one stream a type, in delta and in state of the world.
//!
//! What it is: a [`Snapshot`] of everything there is to say, an I/O-free [`session::Session`] for each stream, and a thin
//! gRPC shell around it. What it is not: a cache with callbacks, a REST server, a watcher of anything. It knows no
//! Docker and no label; whoever makes snapshots publishes them on a `watch` channel and is done.
//!
//! ```text
//!                                        one of these a stream
//!                                  +------------------------------+
//!   watch<Option<Arc<Snapshot>>> ->|  driver  <->  Session (pure) |<-> gRPC <-> Envoy
//!                                  +------------------------------+
//!                                                 |
//!                                   Clients: status (CSDS), metrics
//! ```
//!
//! # A control plane in thirty lines
//!
//! ```no_run
//! use std::sync::Arc;
//! use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster::ClusterDiscoveryType, cluster::DiscoveryType};
//! use envoy_types::pb::google::protobuf::Duration;
//! use tokio::{net::TcpListener, sync::watch};
//! use tokio_util::sync::CancellationToken;
//! use xds_server::{Resource, ServeOptions, Snapshot, XdsService, serve, session::Settings};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let (snapshots, receiver) = watch::channel(None);
//!     let stop = CancellationToken::new();
//!     let xds = XdsService::new(receiver, Settings::default(), "mine 1.0", stop.clone());
//!     let listener = TcpListener::bind("127.0.0.1:18000").await?;
//!     let server = serve(listener, xds.routes(), ServeOptions::default(), stop);
//!
//!     // Whenever the world changes: the next snapshot. What did not change keeps its bytes and its version, and is
//!     // not sent again; an EDS cluster without an assignment gets an empty one; a route to nowhere is an error here.
//!     let cluster = Cluster {
//!         name: "shop".into(),
//!         cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
//!         connect_timeout: Some(Duration { seconds: 1, nanos: 0 }),
//!         ..Default::default()
//!     };
//!     let next = Snapshot::default().next([Resource::from(&cluster)])?;
//!     snapshots.send_replace(Some(Arc::new(next)));
//!     Ok(server.await?)
//! }
//! ```
//!
//! # What it promises
//!
//! Under any interleaving of requests, acknowledgements, refusals, reconnects and snapshots, a client converges to the
//! newest snapshot, never holds a listener or route that names a cluster it does not have, never has two responses of one
//! type outstanding, and hears nothing when nothing changes. The rules behind it are those of the
//! [xDS protocol](https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol), and of what broke other control planes;
//! each has a test of its own in `tests/`. How a stream decides what to send is drawn at [`session`].
//!
//! - **Versions are content.** A version is a hash of a resource's bytes: equal on every stream, in every instance and
//!   after a restart, so that a client that comes back hears what differs.
//! - **Order is kept across types.** A route goes out when its clusters are acknowledged and the configurations of filters
//!   (ECDS) are out; a cluster is removed when nothing of that client names it. Both wait for a bounded time ([`session::Settings::order_timeout`]).
//! - **A refusal stays small.** The resource at fault is found, parked until its content differs, and told with the
//!   client's own words; the rest goes through, in state of the world too.
//! - **A slow client costs one response a type.** There is no queue and no task behind a stream: it runs when its
//!   connection can take more, and then sends the newest.
//! - **A resource is encoded once** for all clients; a settled client holds the snapshot's own section, not a copy.

mod clients;
mod csds;
mod draft;
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
mod virtual_hosts;
mod wire;

pub use clients::{ClientStream, Clients, Progress};
pub use kind::Kind;
pub use metrics::{EVENT_BUCKETS, Metrics};
pub use references::References;
pub use resource::{Name, Resource, Version};
pub use service::{ServeError, ServeOptions, XdsService, listen, serve};
pub use snapshot::{Section, Snapshot, SnapshotError};
pub use source::{SnapshotReceiver, SnapshotSource};
pub use virtual_hosts::{EncodedVirtualHost, EncodedVirtualHosts};
