//! From a topology to Envoy's own messages. Pure, and deterministic to the byte: Envoy drains every connection of a
//! listener whose bytes change, so nothing here may depend on the order of a hash map.

mod access_log;
mod action;
mod any;
mod auth;
mod cluster;
mod dashboard;
mod filters;
mod jwt;
mod listener;
mod local_reply;
mod matching;
mod per_route;
mod reads;
mod retries;
mod route;
mod tcp;
mod tls;
mod tracing;
mod trust;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress, TypedExtensionConfig, address,
};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::google::protobuf::{Duration as PbDuration, UInt32Value};

use crate::model::{Service, Site, Topology};
use crate::policies::{EntryName, Policies, WEB};

/// The name of the listener of the entry point `web`, and of its route configuration.
const HTTP: &str = "http";
/// The name of the dashboard's cluster.
pub const DASHBOARD: &str = dashboard::NAME;

/// How the edge looks, apart from what the containers ask for.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// The address on which Envoy listens for HTTP, as seen from Envoy.
    pub listen: SocketAddr,
    /// The host name of the dashboard, under which Envoy's admin pages are shown as well: for reading only.
    pub dashboard_host: String,
    /// Where the control plane's HTTP port is, as seen from Envoy.
    pub dashboard_at: HostPort,
    /// Envoy's admin address, as seen from Envoy.
    pub envoy_admin: SocketAddr,
    /// Where traces go, as seen from Envoy (OTLP over gRPC), if anywhere.
    pub traces: Option<HostPort>,
}

/// A name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name that Envoy can resolve, or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    /// `control-plane:18001`, `10.0.0.1:18001`, `[::1]:18001`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not HOST:PORT; write a name or an address, and a port: control-plane:18001")
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.parse::<IpAddr>().is_err() && (host.is_empty() || !host.bytes().all(is_name)) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Everything Envoy is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// One cluster a service, one for the dashboard and one for Envoy's own admin pages.
    pub clusters: Vec<Cluster>,
    /// One assignment a service, an empty one where no container is ready.
    pub endpoints: Vec<ClusterLoadAssignment>,
    /// One an entry point. The bytes of those of HTTP do not depend on any container; those of TCP name the services.
    pub listeners: Vec<Listener>,
    /// The configurations of filters that are not in listeners: the rules of tokens.
    pub extensions: Vec<TypedExtensionConfig>,
    /// The routes of all hosts, by entry point of HTTP.
    pub routes: Vec<RouteConfiguration>,
    /// The certificates of which the files can be read.
    pub secrets: Vec<Secret>,
}

/// Envoy's messages for `topology`.
#[must_use]
pub fn translate(topology: &Topology, edge: &EdgeOptions) -> Resources {
    let Settled { clusters, mut listeners } = settled(edge, &topology.policies);
    listeners.extend(tcp_entries(topology).filter_map(|entry| tcp_listener(topology, edge, entry)));
    let services = || topology.services.values();
    Resources {
        clusters: services().map(|service| cluster(service, &topology.policies)).chain(clusters).collect(),
        endpoints: services().map(|service| assignment(service)).collect(),
        listeners,
        extensions: vec![extension(&topology.policies, None)],
        routes: http_entries(topology).map(|entry| routes(topology, edge, entry)).collect(),
        secrets: secrets(&topology.policies),
    }
}

/// What depends on settings alone.
#[derive(Debug)]
pub struct Settled {
    /// Envoy's own admin pages, the dashboard, where traces go, and the services that policies ask.
    pub clusters: Vec<Cluster>,
    /// One an entry point of HTTP.
    pub listeners: Vec<Listener>,
}

/// The entry points that have a route configuration.
pub fn http_entries(topology: &Topology) -> impl Iterator<Item = &EntryName> {
    topology.policies.entry_points.iter().filter(|(_, entry)| !entry.is_tcp()).map(|(name, _)| name)
}

/// The entry points that have none: their listeners name the services.
pub fn tcp_entries(topology: &Topology) -> impl Iterator<Item = &EntryName> {
    topology.policies.tcp_entries().map(|(name, _)| name)
}

/// The listener of an entry point of TCP; nothing while it has to show a certificate and has none. It depends on [`Topology::hosts`] and settings alone.
#[must_use]
pub fn tcp_listener(topology: &Topology, edge: &EdgeOptions, entry: &EntryName) -> Option<Listener> {
    tcp::listener(topology, edge, entry)
}

/// What depends on settings alone.
#[must_use]
pub fn settled(edge: &EdgeOptions, policies: &Policies) -> Settled {
    let clusters = [dashboard::admin_cluster(edge), dashboard::pages_cluster(edge)];
    let clusters = clusters.into_iter().chain(edge.traces.as_ref().map(tracing::cluster));
    let clusters = clusters.chain(auth::clusters(policies)).collect();
    Settled { clusters, listeners: listener::all(edge, policies) }
}

/// The cluster of a service; it depends on the service and settings alone.
#[must_use]
pub fn cluster(service: &Service, policies: &Policies) -> Cluster {
    cluster::of_service(service, policies)
}

/// The endpoints of a service.
#[must_use]
pub fn assignment(service: &Service) -> ClusterLoadAssignment {
    cluster::assignment(service)
}

/// The routes of all hosts at one entry point; they depend on [`Topology::hosts`] and settings alone.
#[must_use]
pub fn routes(topology: &Topology, edge: &EdgeOptions, entry: &EntryName) -> RouteConfiguration {
    let mut virtual_hosts: Vec<VirtualHost> =
        topology.sites(entry).map(|site| virtual_host(topology, site)).collect();
    let frame = routes_frame(topology, edge, entry);
    virtual_hosts.extend(frame.virtual_hosts);
    RouteConfiguration { virtual_hosts, ..frame }
}

/// What one of the containers' hosts answers: it depends on the routes of that host and of the wildcards that cover it.
#[must_use]
pub fn virtual_host(topology: &Topology, site: &Site) -> VirtualHost {
    route::virtual_host(&topology.policies, site, &topology.routes_of(site))
}

/// The routes at one entry point without those of the containers' hosts.
#[must_use]
pub fn routes_frame(topology: &Topology, edge: &EdgeOptions, entry: &EntryName) -> RouteConfiguration {
    route::frame(topology, edge, entry)
}

/// What tokens must be, by the policies. The rules of `before`, the policies that held last, stand beside those that took their places: a client has the routes
/// that name them for a moment longer.
#[must_use]
pub fn extension(policies: &Policies, before: Option<&Policies>) -> TypedExtensionConfig {
    jwt::extension(policies, before)
}

/// The certificates that listeners ask for by name.
#[must_use]
pub fn secrets(policies: &Policies) -> Vec<Secret> {
    tls::secrets(policies)
}

/// The name of an entry point's listener, and of its route configuration. An entry point has no colon in its name.
#[must_use]
pub fn listener_name(entry: &str) -> String {
    if entry == WEB { HTTP.to_owned() } else { format!("{HTTP}:{entry}") }
}

/// "Over the stream this came on" (ADS).
fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    }
}

fn address(address: SocketAddr) -> Address {
    let socket = SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(address.port().into())),
        ..Default::default()
    };
    Address { address: Some(address::Address::SocketAddress(socket)) }
}

fn duration(duration: Duration) -> Option<PbDuration> {
    // Every duration here is a constant of a few minutes at most.
    let nanos = i32::try_from(duration.subsec_nanos()).unwrap_or(0);
    Some(PbDuration { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos })
}

const fn uint(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_its_port_is_read_and_nothing_else_is() {
        let read = |text: &str| text.parse::<HostPort>().map(|read| (read.host, read.port));
        for (text, host) in [
            ("control-plane:18001", "control-plane"),
            ("127.0.0.1:18001", "127.0.0.1"),
            ("[::1]:18001", "::1"),
        ] {
            assert_eq!(read(text), Ok((host.to_owned(), 18001)));
        }
        for text in ["", ":", "a", "a:", ":1", "a:0", "a:70000", "http://a:1", "a b:1", "[x y]:1"] {
            assert!(read(text).unwrap_err().contains("is not HOST:PORT"), "{text}");
        }
    }
}
