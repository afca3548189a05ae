//! What a resource refers to by name: the edges along which additions and removals are ordered.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType as SocketConfig;
use envoy_types::pb::envoy::config::core::v3::{ExtensionConfigSource, TransportSocket, TypedExtensionConfig};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::listener_filter::ConfigType as ListenerFilterConfig;
use envoy_types::pb::envoy::config::listener::v3::{Filter, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, RequestMirrorPolicy};
use envoy_types::pb::envoy::config::route::v3::{RouteAction, RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::JwtAuthentication;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::JwksSourceSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as HttpFilterConfig;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier as TcpCluster;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use envoy_types::pb::google::protobuf::Any;
use imbl::OrdSet;
use prost::Message;

use crate::resource::Name;

/// The names a resource refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Clusters that a route or a listener sends requests to, or an extension configuration asks. A route configuration of many hosts shares them with the one
    /// before it.
    pub clusters: OrdSet<Name>,
    /// Route configurations that a listener asks for.
    pub routes: BTreeSet<Name>,
    /// Extension configurations that a listener asks for: those of its filters that are not in itself.
    pub extensions: BTreeSet<Name>,
    /// Secrets that a listener asks for: certificates it serves.
    pub secrets: BTreeSet<Name>,
    /// The load assignment that a cluster asks for: its `service_name`, or its own name.
    pub assignment: Option<Name>,
}

impl References {
    fn cluster(&mut self, name: &str) {
        if !name.is_empty() {
            self.clusters.insert(name.into());
        }
    }

    /// The configuration that a filter named `name` has from there: ours, unless it is in a file of the client's.
    fn extension(&mut self, name: &str, source: &ExtensionConfigSource) {
        let from = source.config_source.as_ref().and_then(|source| source.config_source_specifier.as_ref());
        if !matches!(from, Some(ConfigSourceSpecifier::PathConfigSource(_))) {
            self.extensions.insert(name.into());
        }
    }
}

pub(crate) fn of_cluster(cluster: &Cluster) -> References {
    let eds = DiscoveryType::Eds as i32;
    if !matches!(cluster.cluster_discovery_type, Some(ClusterDiscoveryType::Type(kind)) if kind == eds) {
        return References::default();
    }
    let service = cluster.eds_cluster_config.as_ref().map(|eds| eds.service_name.as_str());
    let name = service.filter(|name| !name.is_empty()).unwrap_or(&cluster.name);
    References { assignment: Some(name.into()), ..References::default() }
}

pub(crate) fn of_routes(routes: &RouteConfiguration) -> References {
    let mut references = References::default();
    add_routes(&mut references, routes);
    references
}

fn add_routes(references: &mut References, routes: &RouteConfiguration) {
    add_mirrors(references, &routes.request_mirror_policies);
    routes.virtual_hosts.iter().for_each(|host| add_virtual_host(references, host));
}

pub(crate) fn of_virtual_host(host: &VirtualHost) -> References {
    let mut references = References::default();
    add_virtual_host(&mut references, host);
    references
}

fn add_virtual_host(references: &mut References, host: &VirtualHost) {
    add_mirrors(references, &host.request_mirror_policies);
    for route in &host.routes {
        if let Some(Action::Route(action)) = &route.action {
            add_action(references, action);
        }
    }
}

fn add_mirrors(references: &mut References, policies: &[RequestMirrorPolicy]) {
    for policy in policies {
        references.cluster(&policy.cluster);
    }
}

fn add_action(references: &mut References, action: &RouteAction) {
    add_mirrors(references, &action.request_mirror_policies);
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => references.cluster(name),
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            for share in &weighted.clusters {
                references.cluster(&share.name);
            }
        }
        _ => {}
    }
}

/// Whom a filter asks, as far as we know its kind: that of tokens fetches keys.
pub(crate) fn of_extension(config: &TypedExtensionConfig) -> References {
    use envoy_types::pb::envoy::config::core::v3::http_uri::HttpUpstreamType;
    let mut references = References::default();
    let tokens = config.typed_config.as_ref().and_then(unpack::<JwtAuthentication>);
    for provider in tokens.iter().flat_map(|tokens| tokens.providers.values()) {
        if let Some(JwksSourceSpecifier::RemoteJwks(keys)) = &provider.jwks_source_specifier
            && let Some(HttpUpstreamType::Cluster(name)) =
                keys.http_uri.as_ref().and_then(|uri| uri.http_upstream_type.as_ref())
        {
            references.cluster(name);
        }
    }
    references
}

pub(crate) fn of_listener(listener: &Listener) -> References {
    let mut references = References::default();
    let chains = || listener.filter_chains.iter().chain(&listener.default_filter_chain);
    for socket in chains().filter_map(|chain| chain.transport_socket.as_ref()) {
        add_certificates(&mut references, socket);
    }
    for filter in &listener.listener_filters {
        if let Some(ListenerFilterConfig::ConfigDiscovery(source)) = &filter.config_type {
            references.extension(&filter.name, source);
        }
    }
    let filters = || chains().flat_map(|chain| &chain.filters);
    filters().for_each(|filter| add_discovered(&mut references, filter));
    let configs = filters().filter_map(|filter| match &filter.config_type {
        Some(ConfigType::TypedConfig(config)) => Some(config),
        _ => None,
    });
    // gRPC without a proxy looks at `api_listener` only (gRFC A27).
    let api = listener.api_listener.as_ref().and_then(|api| api.api_listener.as_ref());
    for config in configs.chain(api) {
        if let Some(manager) = unpack::<HttpConnectionManager>(config) {
            for filter in &manager.http_filters {
                if let Some(HttpFilterConfig::ConfigDiscovery(source)) = &filter.config_type {
                    references.extension(&filter.name, source);
                }
            }
            match &manager.route_specifier {
                Some(RouteSpecifier::Rds(rds)) => {
                    references.routes.insert(rds.route_config_name.as_str().into());
                }
                Some(RouteSpecifier::RouteConfig(routes)) => add_routes(&mut references, routes),
                _ => {}
            }
        } else if let Some(proxy) = unpack::<TcpProxy>(config) {
            match &proxy.cluster_specifier {
                Some(TcpCluster::Cluster(name)) => references.cluster(name),
                Some(TcpCluster::WeightedClusters(weighted)) => {
                    for share in &weighted.clusters {
                        references.cluster(&share.name);
                    }
                }
                None => {}
            }
        }
    }
    references
}

fn add_discovered(references: &mut References, filter: &Filter) {
    if let Some(ConfigType::ConfigDiscovery(source)) = &filter.config_type {
        references.extension(&filter.name, source);
    }
}

/// The certificates that a TLS listener asks for by name.
fn add_certificates(references: &mut References, socket: &TransportSocket) {
    let Some(SocketConfig::TypedConfig(config)) = &socket.config_type else { return };
    let common = unpack::<DownstreamTlsContext>(config).and_then(|context| context.common_tls_context);
    let certificates = common.into_iter().flat_map(|common| common.tls_certificate_sds_secret_configs);
    references.secrets.extend(certificates.map(|secret| Name::from(secret.name)));
}

/// The message in `any` where it is one of type `M`; bytes that do not decode refer to nothing, and Envoy will say so.
fn unpack<M: Message + prost::Name + Default>(any: &Any) -> Option<M> {
    let name = any.type_url.rsplit('/').next()?;
    (name == M::full_name()).then(|| M::decode(any.value.as_slice()).ok()).flatten()
}
