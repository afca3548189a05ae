//! The discovery services on gRPC. They differ in their names and in the types they carry, and in nothing else, so one
//! implementation serves them all; it takes the place of generated code, which would decode and encode every resource
//! again for every client.

use std::convert::Infallible;
use std::task::{Context, Poll};

use std::future::{Ready, ready};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{self, HeaderValue, header::CONTENT_TYPE};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;

use super::XdsService;
use super::driver;
use crate::kind::Kind;
use crate::session::Scope;
use crate::wire::{Delta, Requests, Responses, StateOfTheWorld, Variant};

/// A discovery service: its name, its two methods, what it carries.
struct Discovery {
    name: &'static str,
    state_of_the_world: &'static str,
    delta: &'static str,
    scope: Scope,
}

const fn only(
    name: &'static str,
    state_of_the_world: &'static str,
    delta: &'static str,
    kind: Kind,
) -> Discovery {
    Discovery { name, state_of_the_world, delta, scope: Scope::Only(kind) }
}

/// The services of `envoy/service/*/v3/*.proto`. The third method of those for one type, `Fetch...`, is for REST.
const SERVICES: [Discovery; 7] = [
    Discovery {
        name: "envoy.service.discovery.v3.AggregatedDiscoveryService",
        state_of_the_world: "StreamAggregatedResources",
        delta: "DeltaAggregatedResources",
        scope: Scope::Aggregated,
    },
    only(
        "envoy.service.cluster.v3.ClusterDiscoveryService",
        "StreamClusters",
        "DeltaClusters",
        Kind::Cluster,
    ),
    only(
        "envoy.service.endpoint.v3.EndpointDiscoveryService",
        "StreamEndpoints",
        "DeltaEndpoints",
        Kind::Endpoint,
    ),
    only(
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        "StreamExtensionConfigs",
        "DeltaExtensionConfigs",
        Kind::Extension,
    ),
    only(
        "envoy.service.listener.v3.ListenerDiscoveryService",
        "StreamListeners",
        "DeltaListeners",
        Kind::Listener,
    ),
    only("envoy.service.route.v3.RouteDiscoveryService", "StreamRoutes", "DeltaRoutes", Kind::Route),
    only("envoy.service.secret.v3.SecretDiscoveryService", "StreamSecrets", "DeltaSecrets", Kind::Secret),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|service| service.name)
}

pub(super) fn add(routes: Routes, xds: &XdsService) -> Routes {
    routes
        .add_service(Served::<0>(xds.clone()))
        .add_service(Served::<1>(xds.clone()))
        .add_service(Served::<2>(xds.clone()))
        .add_service(Served::<3>(xds.clone()))
        .add_service(Served::<4>(xds.clone()))
        .add_service(Served::<5>(xds.clone()))
        .add_service(Served::<6>(xds.clone()))
}

/// One of [`SERVICES`]; tonic routes by the name of a type.
#[derive(Debug, Clone)]
struct Served<const INDEX: usize>(XdsService);

impl<const INDEX: usize> NamedService for Served<INDEX> {
    const NAME: &'static str = SERVICES[INDEX].name;
}

impl<const INDEX: usize> Service<http::Request<Body>> for Served<INDEX> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Discovery { name, state_of_the_world, delta, scope } = &SERVICES[INDEX];
        let path = request.uri().path();
        let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(name)?.strip_prefix('/'));
        let response = if method == Some(state_of_the_world) {
            open::<StateOfTheWorld>(&self.0, *scope, request)
        } else if method == Some(delta) {
            open::<Delta>(&self.0, *scope, request)
        } else {
            Err(Status::unimplemented(format!("{name} has {state_of_the_world} and {delta}, not {path}")))
        };
        ready(Ok(response.unwrap_or_else(Status::into_http)))
    }
}

/// Opens a stream.
fn open<V: Variant>(
    xds: &XdsService,
    scope: Scope,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Status> {
    if request.headers().get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Status::unimplemented("requests must not be compressed"));
    }
    let peer = request.extensions().get().and_then(TcpConnectInfo::remote_addr);
    let responses = driver::open::<V>(xds, scope, peer, Requests::new(request.into_body()));
    let mut response = http::Response::new(Body::new(Responses::new(responses)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
