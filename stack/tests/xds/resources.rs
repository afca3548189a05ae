//! The resources of the tests: typed messages, so that a test may spoil one before it is published.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::Result;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::address::Address as AnyAddress;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, ConfigSource, DataSource, ExtensionConfigSource, HeaderValue, HeaderValueOption, Locality,
    SocketAddress, TransportSocket, TypedExtensionConfig, data_source, transport_socket,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, Secret, TlsCertificate, secret,
};
use envoy_types::pb::google::protobuf::{Any, Duration, UInt32Value};
use prost::{Message, Name};
use stack::ports::Reserved;
use xds_server::Resource;

use super::envoy::Holds;

/// The listener, and its route configuration.
pub const HTTP: &str = "http";
/// In each answer of a route: the address from which the client connected.
pub const CLIENT_HEADER: &str = "x-client";

/// What a test wants there to be: listeners, hosts that lead to clusters, clusters that lead to ports.
#[derive(Debug, Clone)]
pub struct World {
    /// Where clusters, listeners and secrets shall get what they refer to.
    pub source: ConfigSource,
    /// Each has a route configuration of the same name.
    pub listeners: BTreeMap<&'static str, Entrance>,
    /// Cluster to the ports of its endpoints.
    pub clusters: BTreeMap<&'static str, Vec<u16>>,
    /// The connection time-out of every cluster: a detail that may change.
    pub connect_seconds: i64,
    /// Whatever else there is. What has the type and the name of one of the above takes its place.
    pub extra: Vec<Resource>,
}

/// A listener with its routes.
#[derive(Debug, Clone)]
pub struct Entrance {
    pub port: Reserved,
    /// Host name to cluster.
    pub hosts: BTreeMap<&'static str, &'static str>,
    /// The name of the secret, for TLS.
    pub certificate: Option<&'static str>,
    /// The name of a filter of which the configuration is a resource of its own.
    pub filter: Option<&'static str>,
}

impl Entrance {
    /// A listener on a port that nobody else has.
    pub fn new(hosts: &[(&'static str, &'static str)]) -> Result<Self> {
        let hosts = hosts.iter().copied().collect();
        Ok(Self { port: Reserved::new()?, hosts, certificate: None, filter: None })
    }
}

impl World {
    /// Nothing.
    pub fn new(source: ConfigSource) -> Self {
        Self {
            source,
            listeners: BTreeMap::new(),
            clusters: BTreeMap::new(),
            connect_seconds: 1,
            extra: Vec::new(),
        }
    }

    /// The hosts of a listener that is there.
    pub fn hosts(&mut self, listener: &str) -> &mut BTreeMap<&'static str, &'static str> {
        &mut self.listeners.get_mut(listener).expect("there is such a listener").hosts
    }

    pub fn cluster(&self, name: &str) -> Cluster {
        let eds = EdsClusterConfig { eds_config: Some(self.source.clone()), ..Default::default() };
        Cluster {
            name: name.to_owned(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
            eds_cluster_config: Some(eds),
            connect_timeout: Some(Duration { seconds: self.connect_seconds, nanos: 0 }),
            ..Default::default()
        }
    }

    /// A listener that gets its routes by its own name.
    pub fn listener(&self, name: &str, entrance: &Entrance) -> Listener {
        let mut manager = self.connection_manager(name);
        manager.http_filters.splice(0..0, entrance.filter.map(|name| self.discovered(name)));
        let filters = vec![filter(&manager)];
        let transport_socket = entrance.certificate.map(|certificate| self.tls(certificate));
        Listener {
            name: name.to_owned(),
            address: Some(loopback(entrance.port.port())),
            filter_chains: vec![FilterChain { filters, transport_socket, ..Default::default() }],
            ..Default::default()
        }
    }

    /// A filter that lets requests through or not, as its configuration says.
    fn discovered(&self, name: &str) -> hcm::HttpFilter {
        let source = ExtensionConfigSource {
            config_source: Some(self.source.clone()),
            type_urls: vec![any(&Rbac::default()).type_url],
            ..Default::default()
        };
        hcm::HttpFilter {
            name: name.to_owned(),
            config_type: Some(hcm::http_filter::ConfigType::ConfigDiscovery(source)),
            ..Default::default()
        }
    }

    fn tls(&self, certificate: &str) -> TransportSocket {
        let sds = SdsSecretConfig { name: certificate.to_owned(), sds_config: Some(self.source.clone()) };
        let context = DownstreamTlsContext {
            common_tls_context: Some(CommonTlsContext {
                tls_certificate_sds_secret_configs: vec![sds],
                ..Default::default()
            }),
            ..Default::default()
        };
        TransportSocket {
            name: "envoy.transport_sockets.tls".to_owned(),
            config_type: Some(transport_socket::ConfigType::TypedConfig(any(&context))),
        }
    }

    /// What a gRPC client resolves under the name `xds:///NAME`.
    pub fn api_listener(&self, name: &str, routes: &str) -> Listener {
        let api = any(&self.connection_manager(routes));
        Listener {
            name: name.to_owned(),
            api_listener: Some(ApiListener { api_listener: Some(api) }),
            ..Default::default()
        }
    }

    fn connection_manager(&self, routes: &str) -> hcm::HttpConnectionManager {
        let router = hcm::HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(&Router::default()))),
            ..Default::default()
        };
        hcm::HttpConnectionManager {
            stat_prefix: "http".to_owned(),
            route_specifier: Some(RouteSpecifier::Rds(hcm::Rds {
                config_source: Some(self.source.clone()),
                route_config_name: routes.to_owned(),
            })),
            http_filters: vec![router],
            ..Default::default()
        }
    }

    /// What an Envoy shall hold that was told all of this but [`extra`](Self::extra).
    pub fn expected(&self) -> Holds {
        let owned = |text: &&str| (*text).to_owned();
        let clusters = self.clusters.keys().map(|name| (owned(name), format!("{}s", self.connect_seconds)));
        let endpoints = self.clusters.iter().map(|(name, ports)| {
            let ports = ports.iter().map(|port| u64::from(*port)).collect();
            (owned(name), ports)
        });
        let hosts = self.listeners.values().flat_map(|entrance| &entrance.hosts);
        Holds {
            clusters: clusters.collect(),
            endpoints: endpoints.collect(),
            listeners: self.listeners.keys().map(owned).collect(),
            hosts: hosts.map(|(host, cluster)| (owned(host), owned(cluster))).collect(),
            unfinished: Default::default(),
        }
    }

    /// Everything.
    pub fn resources(&self) -> Vec<Resource> {
        let mut all = Vec::new();
        for (name, ports) in &self.clusters {
            all.push(Resource::from(&self.cluster(name)));
            all.push(Resource::from(&assignment(name, ports)));
        }
        for (name, entrance) in &self.listeners {
            all.push(Resource::from(&self.listener(name, entrance)));
            all.push(Resource::from(&routes(name, &entrance.hosts)));
        }
        let same = |a: &Resource, b: &Resource| a.kind() == b.kind() && a.name() == b.name();
        all.retain(|resource| !self.extra.iter().any(|extra| same(extra, resource)));
        all.extend(self.extra.iter().cloned());
        all
    }
}

/// "Over the stream this came on".
pub fn ads() -> ConfigSource {
    source(ConfigSourceSpecifier::Ads(Default::default()))
}

pub fn source(specifier: ConfigSourceSpecifier) -> ConfigSource {
    use envoy_types::pb::envoy::config::core::v3::ApiVersion;
    ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(specifier),
        ..Default::default()
    }
}

/// One virtual host for each host, with one route to its cluster.
pub fn routes(name: &str, hosts: &BTreeMap<&'static str, &'static str>) -> RouteConfiguration {
    let client = HeaderValueOption {
        header: Some(HeaderValue {
            key: CLIENT_HEADER.to_owned(),
            value: "%DOWNSTREAM_REMOTE_ADDRESS%".to_owned(),
            ..Default::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    };
    RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: hosts.iter().map(|(host, cluster)| virtual_host(host, cluster)).collect(),
        response_headers_to_add: vec![client],
        ..Default::default()
    }
}

pub fn virtual_host(host: &str, cluster: &str) -> VirtualHost {
    VirtualHost {
        name: host.to_owned(),
        domains: vec![host.to_owned()],
        routes: vec![Route {
            r#match: Some(RouteMatch {
                path_specifier: Some(PathSpecifier::Prefix(String::new())),
                ..Default::default()
            }),
            action: Some(Action::Route(RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
                ..Default::default()
            })),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The endpoints of a cluster, in one locality with a weight (gRFC A27 ignores one without).
pub fn assignment(cluster: &str, ports: &[u16]) -> ClusterLoadAssignment {
    let endpoints = ports.iter().map(|port| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(loopback(*port)),
            ..Default::default()
        })),
        ..Default::default()
    });
    let locality = LocalityLbEndpoints {
        locality: Some(Locality::default()),
        load_balancing_weight: Some(UInt32Value { value: 1 }),
        lb_endpoints: endpoints.collect(),
        ..Default::default()
    };
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![locality],
        ..Default::default()
    }
}

/// A certificate with its key, both as PEM.
pub fn certificate(name: &str, chain: &str, key: &str) -> Secret {
    let inline = |text: &str| {
        Some(DataSource {
            specifier: Some(data_source::Specifier::InlineString(text.to_owned())),
            ..Default::default()
        })
    };
    let certificate =
        TlsCertificate { certificate_chain: inline(chain), private_key: inline(key), ..Default::default() };
    Secret { name: name.to_owned(), r#type: Some(secret::Type::TlsCertificate(certificate)) }
}

/// The configuration of a filter that lets everybody through, or nobody.
pub fn gate(name: &str, is_open: bool) -> TypedExtensionConfig {
    // Rules that allow no one.
    let rules = (!is_open).then(Default::default);
    let config = Rbac { rules, ..Default::default() };
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(any(&config)) }
}

/// A filter of a listener.
pub fn filter<M: Message + Name>(config: &M) -> Filter {
    Filter { name: M::full_name(), config_type: Some(ConfigType::TypedConfig(any(config))) }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

fn loopback(port: u16) -> Address {
    let socket = SocketAddress {
        address: Ipv4Addr::LOCALHOST.to_string(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    Address { address: Some(AnyAddress::SocketAddress(socket)) }
}
