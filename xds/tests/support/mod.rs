//! Resources and requests for tests, in few words.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::JwksSourceSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::{JwtAuthentication, JwtProvider, RemoteJwks};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as HttpFilterConfig;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds,
};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType as SocketConfig;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::http_uri::HttpUpstreamType;
use envoy_types::pb::envoy::config::core::v3::{
    ConfigSource, DataSource, ExtensionConfigSource, HttpUri, TransportSocket, TypedExtensionConfig,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, Secret, TlsCertificate,
};
use envoy_types::pb::google::protobuf::{Any, Duration};
use prost::{Message, Name as _};
use tokio::time::Instant;
use xds_server::session::{Event, Protocol, Request, Response, Scope, Session, Settings, Wants};
use xds_server::{Kind, Resource, Snapshot};

/// An EDS cluster; `revision` changes its content.
pub fn cluster(name: &str, revision: i64) -> Resource {
    Resource::from(&Cluster {
        name: name.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        connect_timeout: Some(Duration { seconds: revision, nanos: 0 }),
        ..Default::default()
    })
}

/// The assignment of a cluster with `count` endpoints.
pub fn endpoints(name: &str, count: usize) -> Resource {
    let endpoint =
        LbEndpoint { host_identifier: Some(HostIdentifier::EndpointName("e".into())), ..Default::default() };
    let locality = LocalityLbEndpoints { lb_endpoints: vec![endpoint; count], ..Default::default() };
    Resource::from(&ClusterLoadAssignment {
        cluster_name: name.into(),
        endpoints: vec![locality],
        ..Default::default()
    })
}

/// A route configuration with one host a cluster.
pub fn routes(name: &str, clusters: &[&str]) -> Resource {
    let host = |cluster: &&str| VirtualHost {
        name: (*cluster).into(),
        domains: vec![(*cluster).into()],
        routes: vec![Route {
            action: Some(Action::Route(RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster((*cluster).into())),
                ..Default::default()
            })),
            ..Default::default()
        }],
        ..Default::default()
    };
    Resource::from(&RouteConfiguration {
        name: name.into(),
        virtual_hosts: clusters.iter().map(host).collect(),
        ..Default::default()
    })
}

/// A listener for gRPC without a proxy (gRFC A27).
pub fn api_listener(name: &str, route: &str) -> Resource {
    let api_listener = Some(ApiListener { api_listener: Some(manager(route, Vec::new())) });
    Resource::from(&Listener { name: name.into(), api_listener, ..Default::default() })
}

/// An HTTP connection manager that asks for a route configuration.
fn manager(route: &str, http_filters: Vec<HttpFilter>) -> Any {
    let rds = Rds { route_config_name: route.into(), ..Default::default() };
    let route_specifier = Some(RouteSpecifier::Rds(rds));
    let manager = HttpConnectionManager { route_specifier, http_filters, ..Default::default() };
    let type_url = format!("type.googleapis.com/{}", HttpConnectionManager::full_name());
    Any { type_url, value: manager.encode_to_vec() }
}

/// An HTTP listener that asks for a route configuration.
pub fn listener(name: &str, route: &str) -> Resource {
    http_listener(name, manager(route, Vec::new()))
}

/// The same, with a filter that is configured by the extension `by`, from there.
pub fn filtered_listener(name: &str, route: &str, by: &str, from: ConfigSourceSpecifier) -> Resource {
    let config_source = Some(ConfigSource { config_source_specifier: Some(from), ..Default::default() });
    let source = ExtensionConfigSource { config_source, ..Default::default() };
    let config_type = Some(HttpFilterConfig::ConfigDiscovery(source));
    http_listener(
        name,
        manager(route, vec![HttpFilter { name: by.into(), config_type, ..Default::default() }]),
    )
}

/// The configuration of a filter that asks `cluster` for keys; `revision` changes its content.
pub fn extension(name: &str, cluster: &str, revision: &str) -> Resource {
    let upstream = Some(HttpUpstreamType::Cluster(cluster.into()));
    let http_uri = Some(HttpUri { http_upstream_type: upstream, ..Default::default() });
    let provider = JwtProvider {
        issuer: revision.into(),
        jwks_source_specifier: Some(JwksSourceSpecifier::RemoteJwks(RemoteJwks {
            http_uri,
            ..Default::default()
        })),
        ..Default::default()
    };
    let filter = JwtAuthentication { providers: [("one".to_owned(), provider)].into(), ..Default::default() };
    let type_url = format!("type.googleapis.com/{}", JwtAuthentication::full_name());
    let typed_config = Some(Any { type_url, value: filter.encode_to_vec() });
    Resource::from(&TypedExtensionConfig { name: name.into(), typed_config })
}

fn http_listener(name: &str, manager: Any) -> Resource {
    let config = ConfigType::TypedConfig(manager);
    let filter = Filter { name: "http".into(), config_type: Some(config) };
    Resource::from(&Listener {
        name: name.into(),
        filter_chains: vec![FilterChain { filters: vec![filter], ..Default::default() }],
        ..Default::default()
    })
}

/// A listener that serves a certificate.
pub fn tls_listener(name: &str, certificate: &str) -> Resource {
    let secret = SdsSecretConfig { name: certificate.into(), ..Default::default() };
    let common = CommonTlsContext { tls_certificate_sds_secret_configs: vec![secret], ..Default::default() };
    let context = DownstreamTlsContext { common_tls_context: Some(common), ..Default::default() };
    let type_url = format!("type.googleapis.com/{}", DownstreamTlsContext::full_name());
    let config = Any { type_url, value: context.encode_to_vec() };
    let socket = TransportSocket { name: "tls".into(), config_type: Some(SocketConfig::TypedConfig(config)) };
    Resource::from(&Listener {
        name: name.into(),
        filter_chains: vec![FilterChain { transport_socket: Some(socket), ..Default::default() }],
        ..Default::default()
    })
}

/// A secret; `revision` changes its content.
pub fn secret(name: &str, revision: &str) -> Resource {
    let chain =
        DataSource { specifier: Some(Specifier::InlineString(revision.into())), ..Default::default() };
    let certificate = TlsCertificate { certificate_chain: Some(chain), ..Default::default() };
    Resource::from(&Secret { name: name.into(), r#type: Some(Type::TlsCertificate(certificate)) })
}

pub fn snapshot(resources: impl IntoIterator<Item = Resource>) -> Arc<Snapshot> {
    Arc::new(Snapshot::default().next(resources).unwrap())
}

pub fn after(previous: &Snapshot, resources: impl IntoIterator<Item = Resource>) -> Arc<Snapshot> {
    Arc::new(previous.next(resources).unwrap())
}

/// A stream under test: requests in, responses out, on a clock that the test moves.
#[derive(Debug)]
pub struct Stream {
    pub session: Session,
    pub now: Instant,
}

impl Stream {
    pub fn new(protocol: Protocol) -> Self {
        Self::with(protocol, Scope::Aggregated, Settings::default())
    }

    pub fn delta() -> Self {
        Self::new(Protocol::Delta)
    }

    pub fn sotw() -> Self {
        Self::new(Protocol::StateOfTheWorld)
    }

    pub fn with(protocol: Protocol, scope: Scope, settings: Settings) -> Self {
        Self { session: Session::new(protocol, scope, settings), now: Instant::now() }
    }

    pub fn publish(&mut self, snapshot: &Arc<Snapshot>) -> Vec<Response> {
        self.session.on_snapshot(Arc::clone(snapshot));
        self.session.flush(self.now)
    }

    pub fn send(&mut self, request: Request) -> Vec<Response> {
        self.session.on_request(request).unwrap();
        self.session.flush(self.now)
    }

    pub fn event(&mut self, request: Request) -> Event {
        self.session.on_request(request).unwrap()
    }

    /// State of the world: a request for `names`, answering no response.
    pub fn want(&mut self, kind: Kind, names: &[&str]) -> Vec<Response> {
        self.send(names_request(kind, names, ""))
    }

    /// State of the world: accepts `response`, asking for `names` from now on.
    pub fn ack_wanting(&mut self, response: &Response, names: &[&str]) -> Vec<Response> {
        self.send(names_request(response.kind, names, &response.nonce))
    }

    /// Delta: subscribes to and unsubscribes from names, answering no response.
    pub fn update(&mut self, kind: Kind, subscribe: &[&str], unsubscribe: &[&str]) -> Vec<Response> {
        self.send(update_request(kind, subscribe, unsubscribe))
    }

    /// Delta: accepts `response`.
    pub fn ack(&mut self, response: &Response) -> Vec<Response> {
        self.send(Request { nonce: response.nonce.clone(), ..update_request(response.kind, &[], &[]) })
    }

    /// Delta: refuses `response`.
    pub fn nack(&mut self, response: &Response, reason: &str) -> Vec<Response> {
        self.send(nack_request(response, reason))
    }

    /// Delta: subscribes to everything Envoy would, and acknowledges until nothing comes any more.
    pub fn settle(&mut self, first: Vec<Response>) -> Vec<Response> {
        let mut all = Vec::new();
        let mut queue = first;
        while !queue.is_empty() {
            let response = queue.remove(0);
            let more = self.ack(&response);
            queue.extend(more);
            all.push(response);
            assert!(all.len() < 1_000, "there is no end to the responses");
        }
        all
    }
}

pub fn names_request(kind: Kind, names: &[&str], nonce: &str) -> Request {
    Request { node: None, kind, nonce: nonce.into(), refused: None, wants: Wants::Names(strings(names)) }
}

pub fn update_request(kind: Kind, subscribe: &[&str], unsubscribe: &[&str]) -> Request {
    Request {
        node: None,
        kind,
        nonce: String::new(),
        refused: None,
        wants: Wants::Update {
            subscribe: strings(subscribe),
            unsubscribe: strings(unsubscribe),
            initial_versions: BTreeMap::new(),
        },
    }
}

/// A delta client's first request after a reconnect, with what it kept.
pub fn reconnect_request(kind: Kind, subscribe: &[&str], kept: &[(&str, String)]) -> Request {
    let initial_versions = kept.iter().map(|(name, version)| ((*name).to_owned(), version.clone())).collect();
    let wants = Wants::Update { subscribe: strings(subscribe), unsubscribe: Vec::new(), initial_versions };
    Request { wants, ..update_request(kind, &[], &[]) }
}

pub fn nack_request(response: &Response, reason: &str) -> Request {
    Request {
        nonce: response.nonce.clone(),
        refused: Some(reason.into()),
        ..update_request(response.kind, &[], &[])
    }
}

pub fn version(snapshot: &Snapshot, kind: Kind, name: &str) -> String {
    snapshot.get(kind, name).unwrap().version().to_string()
}

/// The names in a response.
pub fn listed(response: &Response) -> Vec<&str> {
    response.resources.iter().map(|resource| &**resource.name()).collect()
}

pub fn removed(response: &Response) -> Vec<&str> {
    response.removed.iter().map(|name| &**name).collect()
}

/// The types of some responses, in order.
pub fn kinds(responses: &[Response]) -> Vec<Kind> {
    responses.iter().map(|response| response.kind).collect()
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
