//! What the control plane answers over gRPC besides xDS: its view, its health, and its own description. And the few
//! things that may be changed: on this port alone, which Envoy does not route to.

mod access;
mod changes;
pub mod container;
mod control;
mod health;
mod inspect;
mod lists;
pub mod policies;
mod reflection;
mod refusal;
mod watch;

use xds_server::XdsService;

pub use access::{Access, Token};
pub use control::Control;
pub use health::{health, report};
pub use inspect::Inspect;
pub(crate) use inspect::explained;
pub(crate) use lists::workloads;
pub(crate) use reflection::ENVOY_DESCRIPTORS;
pub use reflection::{reflection, reflection_v1alpha};
pub(crate) use watch::status;

/// The generated types of `proto/portolan/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod pb {
    tonic::include_proto!("portolan.v1");
}

/// The services that reflection lists, besides itself.
fn services() -> impl Iterator<Item = &'static str> {
    XdsService::service_names().into_iter().chain([
        "grpc.health.v1.Health",
        "portolan.v1.AdminService",
        "portolan.v1.InspectService",
    ])
}
