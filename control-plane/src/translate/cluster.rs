//! Clusters and their endpoints.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection};
use envoy_types::pb::envoy::config::core::v3::{HealthStatus, Locality};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as PbEndpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::r#type::v3::Percent;

use crate::model::{Endpoint, EndpointState, Service};

use super::{address, ads, duration, uint};

/// A container that is gone does not refuse a connection, its address stays silent: so another host is tried soon.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// Each kind of thing that may be open towards one service at a time.
const CIRCUIT_BREAKER: u32 = 1_024;
/// A host is taken out after this many failures in a row,
const OUTLIER_FAILURES: u32 = 5;
/// for this long the first time,
const EJECTION_TIME: Duration = Duration::from_secs(5);
/// longer each time, up to this.
const MAX_EJECTION_TIME: Duration = Duration::from_secs(60);
/// At most this share of the hosts, and one in any case.
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
        ignore_health_on_host_removal: true,
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
