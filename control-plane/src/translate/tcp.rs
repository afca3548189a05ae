//! The listeners of TCP: a filter chain a host, and one for whoever asks for none that is there.
//!
//! There are no routes of TCP that come by themselves, so a service stands in the listener. What the labels of others say, endpoints, health and
//! weights included, does not: they come by EDS. Where two listeners differ in chains alone Envoy takes the new one in place, and drains the connections of those
//! chains that are others now (Envoy documentation, "Listener discovery service"). For that the listener always has a chain: without one Envoy would make it anew.

use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::listener_filter::ConfigType as ListenerFilterConfig;
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
};
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::envoy::r#type::v3::HashPolicy;
use envoy_types::pb::envoy::r#type::v3::hash_policy::{PolicySpecifier, SourceIp};
use prost::{Message, Name};

use super::any::any;
use super::listener::listen_address;
use super::{EdgeOptions, access_log, action, per_route, tls, uint};
use crate::model::options::HashKey;
use crate::model::{Host, Route, Site, Topology};
use crate::policies::{Carries, EntryName, EntryPoint, Policies};

/// As Envoy calls connections of TLS.
const TLS: &str = "tls";
/// The chain of those who ask for a host that nobody claims.
const NOBODY: &str = "portolan:nobody";

/// The name of an entry point's listener.
pub(super) fn listener_name(entry: &str) -> String {
    format!("tcp:{entry}")
}

/// The listener of an entry point; nothing while it has to show a certificate and has none.
pub(super) fn listener(topology: &Topology, edge: &EdgeOptions, name: &EntryName) -> Option<Listener> {
    let policies = &topology.policies;
    let entry = policies.entry_points.get(name).filter(|entry| entry.is_tcp() && policies.is_able(entry))?;
    let mut chains: Vec<FilterChain> = topology
        .sites(name)
        .filter_map(|site| Some((site, topology.hosts.get(site)?.first()?)))
        .map(|(site, route)| chain(site, route, entry, policies))
        .collect();
    if !topology.hosts.contains_key(&Site { entry: EntryName::clone(name), host: Host::Any }) {
        // Without a filter Envoy closes the connection.
        chains.push(FilterChain { name: NOBODY.to_owned(), ..FilterChain::default() });
    }
    Some(Listener {
        name: listener_name(name),
        address: Some(listen_address(entry.listen.unwrap_or(edge.listen))),
        filter_chains: chains,
        listener_filters: entry.is_secure().then(inspector).into_iter().collect(),
        per_connection_buffer_limit_bytes: uint(policies.buffer_bytes),
        ..Default::default()
    })
}

/// What becomes of the connections to a host.
fn chain(site: &Site, route: &Route, entry: &EntryPoint, policies: &Policies) -> FilterChain {
    let server_names = match &site.host {
        Host::Any => Vec::new(),
        host => vec![host.to_string()],
    };
    let matching = FilterChainMatch {
        server_names,
        // What is not TLS has no business where TLS passes through.
        transport_protocol: if entry.carries == Carries::TlsUnread { TLS } else { "" }.to_owned(),
        ..Default::default()
    };
    let options = &*route.options;
    let addresses = per_route::addresses(options).map(|rules| {
        let rules = Rbac { rules: Some(rules), stat_prefix: "addresses".to_owned(), ..Default::default() };
        filter("envoy.filters.network.rbac", &rules)
    });
    let proxy = filter("envoy.filters.network.tcp_proxy", &proxy(site, route, policies));
    FilterChain {
        name: site.host.to_string(),
        filter_chain_match: (matching != FilterChainMatch::default()).then_some(matching),
        filters: addresses.into_iter().chain([proxy]).collect(),
        transport_socket: tls::to_tcp_clients(entry, policies),
        ..Default::default()
    }
}

fn proxy(site: &Site, route: &Route, policies: &Policies) -> TcpProxy {
    let options = &*route.options;
    let by_address = HashPolicy { policy_specifier: Some(PolicySpecifier::SourceIp(SourceIp {})) };
    TcpProxy {
        stat_prefix: site.entry.to_string(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(route.service.to_string())),
        access_log: access_log::of_connections(policies.access_log, &route.name).into_iter().collect(),
        // Envoy's own where nothing is said, an hour: who waits for a notice from a database has nothing to say for long.
        idle_timeout: options.idle_timeout.and_then(action::limit),
        max_connect_attempts: uint(options.retries.attempts.saturating_add(1)),
        hash_policy: (options.hash == Some(HashKey::Ip)).then_some(by_address).into_iter().collect(),
        ..Default::default()
    }
}

/// Reads which host a client of TLS asks for.
fn inspector() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(ListenerFilterConfig::TypedConfig(any(&TlsInspector::default()))),
        ..Default::default()
    }
}

fn filter<M: Message + Name>(name: &str, config: &M) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(any(config))) }
}
