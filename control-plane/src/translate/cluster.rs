//! Clusters and their endpoints.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, OutlierDetection, UpstreamConnectionOptions,
};
use envoy_types::pb::envoy::config::core::v3::{
    HealthStatus, Http1ProtocolOptions, HttpProtocolOptions as CommonOptions, Locality, TcpKeepalive,
};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as PbEndpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::v3::Percent;

use crate::model::{Endpoint, EndpointState, Service};

use super::any::any;
use super::listener::BUFFER_BYTES;
use super::{address, ads, duration, uint};

/// A container that is gone does not refuse a connection, its address stays silent: so another host is tried soon.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// A connection without a request is closed sooner than the server would: some do it after 5 s (Node.js, uvicorn), and
/// a request sent at that very moment is lost.
const KEEP_IDLE: Duration = Duration::from_secs(4);
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Each kind of thing that may be open towards one service at a time.
const CIRCUIT_BREAKER: u32 = 1_024;
/// A host is taken out after this many failures in a row,
const OUTLIER_FAILURES: u32 = 5;
/// for this long the first time,
const EJECTION_TIME: Duration = Duration::from_secs(5);
/// longer each time, up to this.
const MAX_EJECTION_TIME: Duration = Duration::from_secs(60);
/// At most this share of the hosts: never the only one, and never most of them.
const MAX_EJECTED_PERCENT: u32 = 50;

pub(super) fn of_service(service: &Service) -> Cluster {
    Cluster {
        name: service.name.to_string(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), ..Default::default() }),
        connect_timeout: duration(CONNECT_TIMEOUT),
        lb_policy: LbPolicy::RoundRobin as i32,
        common_lb_config: Some(CommonLbConfig {
            // With no ready host at all, the draining and ejected ones are tried; with a single ready one, only that.
            healthy_panic_threshold: Some(Percent { value: 1.0 }),
            // Envoy collects health changes for a second by default; a draining host would get requests that long.
            update_merge_window: duration(Duration::ZERO),
            ..Default::default()
        }),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_connections: uint(CIRCUIT_BREAKER),
                max_pending_requests: uint(CIRCUIT_BREAKER),
                max_requests: uint(CIRCUIT_BREAKER),
                // Three by default: a container that dies under load would use them up at once.
                max_retries: uint(CIRCUIT_BREAKER),
                ..Default::default()
            }],
            ..Default::default()
        }),
        outlier_detection: Some(OutlierDetection {
            consecutive_5xx: uint(OUTLIER_FAILURES),
            consecutive_gateway_failure: uint(OUTLIER_FAILURES),
            enforcing_consecutive_gateway_failure: uint(100),
            enforcing_success_rate: uint(0),
            interval: duration(Duration::from_secs(1)),
            base_ejection_time: duration(EJECTION_TIME),
            max_ejection_time: duration(MAX_EJECTION_TIME),
            max_ejection_percent: uint(MAX_EJECTED_PERCENT),
            ..Default::default()
        }),
        // One that is gone is gone, whatever its health. And `close_connections_on_host_health_failure` stays off: to
        // Envoy a draining host is an unhealthy one, and what it is answering must be finished.
        ignore_health_on_host_removal: true,
        per_connection_buffer_limit_bytes: uint(BUFFER_BYTES),
        upstream_connection_options: Some(UpstreamConnectionOptions {
            tcp_keepalive: Some(TcpKeepalive {
                keepalive_probes: uint(3),
                keepalive_time: uint(30),
                keepalive_interval: uint(5),
            }),
            ..Default::default()
        }),
        // One entry: a map of more would be encoded in another order each time.
        typed_extension_protocol_options: [(HTTP_OPTIONS.to_owned(), any(&http_options()))].into(),
        ..Default::default()
    }
}

/// HTTP/1.1, with connections that are kept.
fn http_options() -> HttpProtocolOptions {
    HttpProtocolOptions {
        common_http_protocol_options: Some(CommonOptions {
            idle_timeout: duration(KEEP_IDLE),
            ..Default::default()
        }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default())),
        })),
        ..Default::default()
    }
}

pub(super) fn assignment(service: &Service) -> ClusterLoadAssignment {
    let locality = LocalityLbEndpoints {
        // gRPC without a proxy takes no locality without a weight (gRFC A27).
        locality: Some(Locality::default()),
        load_balancing_weight: uint(1),
        lb_endpoints: service.endpoints.iter().map(endpoint).collect(),
        ..Default::default()
    };
    ClusterLoadAssignment {
        cluster_name: service.name.to_string(),
        endpoints: if service.endpoints.is_empty() { Vec::new() } else { vec![locality] },
        ..Default::default()
    }
}

fn endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let state = match endpoint.state {
        EndpointState::Ready => HealthStatus::Healthy,
        EndpointState::Draining => HealthStatus::Draining,
    };
    LbEndpoint {
        health_status: state as i32,
        host_identifier: Some(at(endpoint.address)),
        ..Default::default()
    }
}

pub(super) fn at(socket: std::net::SocketAddr) -> HostIdentifier {
    HostIdentifier::Endpoint(PbEndpoint { address: Some(address(socket)), ..Default::default() })
}
