//! What the control plane answers over gRPC besides xDS: its view, its health, and its own description. And the few
//! things that may be changed: on this port alone, which Envoy does not route to.

mod access;
mod changes;
pub mod container;
mod control;
mod health;
mod inspect;
mod lists;
mod refusal;
mod watch;

use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::{Builder, v1alpha};
use xds_server::XdsService;

pub use access::{Access, Token};
pub use control::Control;
pub use health::{health, report};
pub use inspect::Inspect;
pub(crate) use inspect::explained;
pub(crate) use lists::Facts;

/// The generated types of `proto/portolan/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod pb {
    tonic::include_proto!("portolan.v1");
}

const OWN_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/portolan.bin"));
pub(crate) const ENVOY_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin"));

/// The services that reflection lists, besides itself.
fn services() -> impl Iterator<Item = &'static str> {
    XdsService::service_names().into_iter().chain([
        "grpc.health.v1.Health",
        "portolan.v1.AdminService",
        "portolan.v1.InspectService",
    ])
}

fn descriptors<'b>() -> Builder<'b> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(OWN_DESCRIPTORS)
        .register_encoded_file_descriptor_set(ENVOY_DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // What stands in the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
    services().fold(builder, |builder, name| builder.with_service_name(name))
}

/// gRPC server reflection, with the descriptors of everything that is sent inside an `Any`, so that grpcurl prints a
/// discovery response in full.
///
/// # Errors
///
/// The descriptors that were compiled in do not decode.
pub fn reflection() -> anyhow::Result<ServerReflectionServer<impl ServerReflection>> {
    Ok(descriptors().build_v1()?)
}

/// The same in the older version of the protocol, which grpcurl up to 1.8 speaks.
///
/// # Errors
///
/// The descriptors that were compiled in do not decode.
pub fn reflection_v1alpha() -> anyhow::Result<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>>
{
    Ok(descriptors().build_v1alpha()?)
}
