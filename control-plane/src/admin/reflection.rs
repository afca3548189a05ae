//! gRPC server reflection. Hardly anybody asks, and decoded descriptors take more memory than some containers do: so they are
//! decoded for each who asks, in a few milliseconds, and dropped with its stream.

use std::convert::Infallible;
use std::future::ready;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic_reflection::server::{Builder, Error};

use super::services;

const OWN_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/portolan.bin"));
/// Envoy's messages that we send, and what they are made of.
pub(crate) const ENVOY_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin"));

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
pub fn reflection() -> impl GrpcService + Clone + Send + Sync + 'static {
    OnDemand(|| descriptors().build_v1())
}

/// The same in the older version of the protocol, which grpcurl up to 1.8 speaks.
pub fn reflection_v1alpha() -> impl GrpcService + Clone + Send + Sync + 'static {
    OnDemand(|| descriptors().build_v1alpha())
}

/// A service of a gRPC server, as tonic generates them.
pub trait GrpcService:
    Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send + 'static>
    + NamedService
{
}

impl<S> GrpcService for S where
    S: Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + NamedService
{
}

/// A service that is made for each call.
#[derive(Debug, Clone)]
struct OnDemand<M>(M);

impl<M, S> NamedService for OnDemand<M>
where
    M: Fn() -> Result<S, Error>,
    S: GrpcService,
{
    const NAME: &'static str = S::NAME;
}

impl<M, S> Service<http::Request<Body>> for OnDemand<M>
where
    M: Fn() -> Result<S, Error>,
    S: GrpcService,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match (self.0)() {
            Ok(mut service) => Box::pin(service.call(request)),
            Err(error) => {
                let status =
                    Status::internal(format!("the descriptors that are compiled in do not decode: {error}"));
                Box::pin(ready(Ok(status.into_http())))
            }
        }
    }
}
