//! The listeners of HTTP, one an entry point. They depend on no container: routes come over RDS, so that no deploy touches a connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use envoy_types::pb::envoy::config::core::v3::{CidrRange, Http2ProtocolOptions, HttpProtocolOptions};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    InternalAddressConfig, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation, UpgradeConfig,
};
use envoy_types::pb::google::protobuf::BoolValue;

use super::any::any;
use super::{
    EdgeOptions, HTTP, access_log, address, ads, duration, filters, listener_name, local_reply, tls, tracing,
    uint,
};
use crate::policies::{EntryPoint, Policies, WEB};

/// An idle client connection is closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);
/// A request on which nothing moves in either direction is ended after this long.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A client that sends its headers more slowly than this is cut: it would hold a connection for nothing.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// A request that is not here in full after this long, and not answered either, is ended.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
const HEADERS_KIBIBYTES: u32 = 60;
const HEADERS_COUNT: u32 = 100;
const HTTP2_STREAMS: u32 = 100;
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// One an entry point of HTTP, but for those that speak TLS while there is no certificate: their port is closed.
pub(super) fn all(edge: &EdgeOptions, policies: &Policies) -> Vec<Listener> {
    let entries = policies.entry_points.iter();
    let entries = entries.filter(|(_, entry)| !entry.is_tcp() && policies.is_able(entry));
    entries.map(|(name, entry)| http(edge, name, entry, policies)).collect()
}

fn http(edge: &EdgeOptions, name: &str, entry: &EntryPoint, policies: &Policies) -> Listener {
    let filter = Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(FilterConfig::TypedConfig(any(&connection_manager(edge, name, policies)))),
    };
    Listener {
        name: listener_name(name),
        address: Some(listen_address(entry.listen.unwrap_or(edge.listen))),
        filter_chains: vec![FilterChain {
            filters: vec![filter],
            transport_socket: tls::to_clients(entry, policies),
            ..Default::default()
        }],
        per_connection_buffer_limit_bytes: uint(policies.buffer_bytes),
        ..Default::default()
    }
}

/// `[::]` takes IPv4 as well, as a person who writes it expects.
pub(super) fn listen_address(listen: SocketAddr) -> envoy_types::pb::envoy::config::core::v3::Address {
    use envoy_types::pb::envoy::config::core::v3::address::Address::SocketAddress;
    let mut address = address(listen);
    if let (IpAddr::V6(ip), Some(SocketAddress(socket))) = (listen.ip(), &mut address.address) {
        socket.ipv4_compat = ip.is_unspecified();
    }
    address
}

/// No client's address. An empty list would mean Envoy's default, which is every private one.
fn nobody() -> InternalAddressConfig {
    let broadcast = CidrRange { address_prefix: Ipv4Addr::BROADCAST.to_string(), prefix_len: uint(32) };
    InternalAddressConfig { cidr_ranges: vec![broadcast], ..Default::default() }
}

/// What an edge proxy should set (Envoy documentation, "Configuring Envoy as an edge proxy").
fn connection_manager(edge: &EdgeOptions, name: &str, policies: &Policies) -> hcm::HttpConnectionManager {
    let yes = Some(BoolValue { value: true });
    hcm::HttpConnectionManager {
        stat_prefix: if name == WEB { HTTP.to_owned() } else { name.to_owned() },
        route_specifier: Some(RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(ads()),
            route_config_name: listener_name(name),
        })),
        http_filters: filters::chain(),
        access_log: access_log::on_stdout(policies.access_log).into_iter().collect(),
        // The peer's address is the client's; what it claims in X-Forwarded-For is not believed.
        use_remote_address: yes,
        // Nobody is trusted for their address: behind a published port every client seems to come from Docker's bridge,
        // and `x-envoy-*` headers of an "internal" client would set retries and time-outs.
        internal_address_config: Some(nobody()),
        // One path has one spelling: `/a//b`, `/a/%2e%2e/b` and `/a%2Fb` must not get round a route.
        normalize_path: yes,
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::UnescapeAndRedirect as i32,
        strip_trailing_host_dot: true,
        // The application's `server` header or none: who stands in front is nobody's business.
        server_header_transformation: ServerHeaderTransformation::PassThrough as i32,
        // A client may bring an id of its own to find its request by; whoever brings none gets one.
        preserve_external_request_id: true,
        always_set_request_id_in_response: true,
        tracing: edge.traces.as_ref().map(|_| tracing::provider()),
        local_reply_config: Some(local_reply::config()),
        max_request_headers_kb: uint(HEADERS_KIBIBYTES),
        common_http_protocol_options: Some(HttpProtocolOptions {
            idle_timeout: duration(IDLE_TIMEOUT),
            max_headers_count: uint(HEADERS_COUNT),
            // As nginx does: to many applications `x_forwarded_for` is the same as `x-forwarded-for`.
            headers_with_underscores_action: HeadersWithUnderscoresAction::DropHeader as i32,
            ..Default::default()
        }),
        http2_protocol_options: Some(Http2ProtocolOptions {
            max_concurrent_streams: uint(HTTP2_STREAMS),
            initial_stream_window_size: uint(HTTP2_STREAM_WINDOW),
            initial_connection_window_size: uint(HTTP2_CONNECTION_WINDOW),
            ..Default::default()
        }),
        stream_idle_timeout: duration(STREAM_IDLE_TIMEOUT),
        request_timeout: duration(REQUEST_TIMEOUT),
        request_headers_timeout: duration(HEADERS_TIMEOUT),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..Default::default() }],
        ..Default::default()
    }
}
