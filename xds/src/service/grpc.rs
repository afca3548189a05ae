//! The discovery services on gRPC. They differ in their names and in the types they carry, and in nothing else, so one
//! implementation serves them all; it takes the place of generated code, which would decode and encode every resource
//! again for every client.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt, ready};
use futures::stream::BoxStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::service::Routes;
use tonic::{Status, Streaming};

use super::XdsService;
use super::driver;
use crate::kind::Kind;
use crate::session::Scope;
use crate::wire::{Codec, Delta, Encoded, StateOfTheWorld, Variant};

/// Largest request that is read, in bytes. A reconnecting client lists everything it has: room for some 100,000 names.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

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
const SERVICES: [Discovery; 6] = [
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
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Discovery { name, state_of_the_world, delta, scope } = &SERVICES[INDEX];
        let path = request.uri().path();
        let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(name)?.strip_prefix('/'));
        if method == Some(state_of_the_world) {
            Open::<StateOfTheWorld>::new(&self.0, *scope).serve(request)
        } else if method == Some(delta) {
            Open::<Delta>::new(&self.0, *scope).serve(request)
        } else {
            let status =
                Status::unimplemented(format!("{name} has {state_of_the_world} and {delta}, not {path}"));
            ready(Ok(status.into_http())).boxed()
        }
    }
}

/// Opens streams of one variant and scope.
struct Open<V> {
    xds: XdsService,
    scope: Scope,
    variant: PhantomData<V>,
}

impl<V: Variant> Open<V> {
    fn new(xds: &XdsService, scope: Scope) -> Self {
        Self { xds: xds.clone(), scope, variant: PhantomData }
    }

    fn serve(
        self,
        request: http::Request<Body>,
    ) -> BoxFuture<'static, Result<http::Response<Body>, Infallible>> {
        let mut grpc = Grpc::new(Codec::<V::Request>::default()).max_decoding_message_size(MAX_REQUEST_BYTES);
        async move { Ok(grpc.streaming(self, request).await) }.boxed()
    }
}

impl<V: Variant> StreamingService<V::Request> for Open<V> {
    type Response = Encoded;
    type ResponseStream = BoxStream<'static, Result<Encoded, Status>>;
    type Future = BoxFuture<'static, Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, requests: tonic::Request<Streaming<V::Request>>) -> Self::Future {
        ready(Ok(tonic::Response::new(driver::open::<V>(&self.xds, self.scope, requests)))).boxed()
    }
}
