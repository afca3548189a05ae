//! Clusters and their endpoints.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::common_lb_config::{
    LocalityConfigSpecifier, LocalityWeightedLbConfig,
};
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, OutlierDetection, UpstreamConnectionOptions,
};
use envoy_types::pb::envoy::config::core::v3::{HealthStatus, Locality, Metadata, TcpKeepalive};
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as PbEndpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{Struct, Value, value};

use crate::model::options::{BackendOptions, Balance, Protocol};
use crate::model::{Endpoint, EndpointState, Service};
use crate::policies::Policies;

use super::any::any;
use super::retries;
use super::upstream::{health_check, http_options, transport};
use super::{address, ads, duration, uint};

/// A container that is gone does not refuse a connection, its address stays silent: so another host is tried soon.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// The factor, in percent, by which what is left of a variant may be overloaded before its share shrinks.
const ONE_IS_ENOUGH: u32 = 10_000_000;
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Far more than any route asks for at once: the number of tries is the route's to say.
const RETRIES_AT_A_TIME: u32 = 1_024;
/// An ejected host is left alone
/// for this long the first time,
const EJECTION_TIME: Duration = Duration::from_secs(5);
/// longer each time, up to this.
const MAX_EJECTION_TIME: Duration = Duration::from_secs(60);
/// At most this share of the hosts: never the only one, and never most of them.
const MAX_EJECTED_PERCENT: u32 = 50;

pub(super) fn of_service(service: &Service, policies: &Policies) -> Cluster {
    let options = &*service.options;
    Cluster {
        name: service.name.to_string(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), ..Default::default() }),
        connect_timeout: duration(CONNECT_TIMEOUT),
        lb_policy: lb_policy(&options.balance) as i32,
        common_lb_config: Some(CommonLbConfig {
            // With no ready host at all, the draining and ejected ones are tried; with a single ready one, only that.
            healthy_panic_threshold: Some(Percent { value: 1.0 }),
            // Envoy collects health changes for a second by default; a draining host would get requests that long.
            update_merge_window: duration(Duration::ZERO),
            // Variants are localities, and the share of each is its weight (docs/adr/0013). Always, and not from the
            // second variant on: a cluster that changes is made anew, with all its connections.
            locality_config_specifier: Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(
                LocalityWeightedLbConfig {},
            )),
            ..Default::default()
        }),
        circuit_breakers: Some(circuit_breakers(options)),
        outlier_detection: (options.outlier > 0).then(|| outlier_detection(options.outlier)),
        health_checks: options.check.iter().map(|check| health_check(check, options.protocol)).collect(),
        transport_socket: transport(options.protocol),
        // One that is gone is gone, whatever its health. And `close_connections_on_host_health_failure` stays off: to
        // Envoy a draining host is an unhealthy one, and what it is answering must be finished.
        ignore_health_on_host_removal: true,
        per_connection_buffer_limit_bytes: uint(policies.buffer_bytes),
        upstream_connection_options: Some(UpstreamConnectionOptions {
            tcp_keepalive: Some(TcpKeepalive {
                keepalive_probes: uint(3),
                keepalive_time: uint(30),
                keepalive_interval: uint(5),
            }),
            ..Default::default()
        }),
        // One entry at most: a map of more would be encoded in another order each time.
        typed_extension_protocol_options: (options.protocol != Protocol::Tcp)
            .then(|| HttpProtocolOptions {
                retry_policy: Some(retries::policy()),
                ..http_options(options.protocol)
            })
            .map(|options| (HTTP_OPTIONS.to_owned(), any(&options)))
            .into_iter()
            .collect(),
        ..Default::default()
    }
}

fn lb_policy(balance: &Balance) -> LbPolicy {
    match balance {
        Balance::RoundRobin => LbPolicy::RoundRobin,
        Balance::LeastRequest => LbPolicy::LeastRequest,
        Balance::Random => LbPolicy::Random,
        Balance::RingHash(_) => LbPolicy::RingHash,
        Balance::Maglev(_) => LbPolicy::Maglev,
    }
}

fn circuit_breakers(options: &BackendOptions) -> CircuitBreakers {
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: uint(options.max_connections),
            max_pending_requests: uint(options.max_pending),
            max_requests: uint(options.max_requests),
            // Three by default: a container that dies under load would use them up at once.
            max_retries: uint(RETRIES_AT_A_TIME),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn outlier_detection(failures: u32) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: uint(failures),
        consecutive_gateway_failure: uint(failures),
        enforcing_consecutive_gateway_failure: uint(100),
        enforcing_success_rate: uint(0),
        interval: duration(Duration::from_secs(1)),
        base_ejection_time: duration(EJECTION_TIME),
        max_ejection_time: duration(MAX_EJECTION_TIME),
        max_ejection_percent: uint(MAX_EJECTED_PERCENT),
        ..Default::default()
    }
}

pub(super) fn assignment(service: &Service) -> ClusterLoadAssignment {
    let mut endpoints: Vec<LocalityLbEndpoints> = service
        .variants
        .iter()
        .filter_map(|(variant, share)| locality(service, variant, share.weight()))
        .collect();
    if let [only] = endpoints.as_mut_slice() {
        // gRPC without a proxy takes no locality without a weight (gRFC A27), and a lone one has all requests.
        only.load_balancing_weight = uint(1);
    }
    let policy = (endpoints.len() > 1).then(|| Policy {
        // A variant has its whole share for as long as it has one ready container.
        overprovisioning_factor: uint(ONE_IS_ENOUGH),
        ..Default::default()
    });
    ClusterLoadAssignment { cluster_name: service.name.to_string(), endpoints, policy, ..Default::default() }
}

/// The endpoints of one variant; nothing of one that gets no request.
fn locality(service: &Service, variant: &str, weight: u32) -> Option<LocalityLbEndpoints> {
    let of_variant = service.endpoints.iter().filter(|endpoint| endpoint.version == variant);
    let lb_endpoints: Vec<LbEndpoint> = of_variant.map(endpoint).collect();
    (weight > 0 && !lb_endpoints.is_empty()).then(|| LocalityLbEndpoints {
        locality: Some(Locality { sub_zone: variant.to_owned(), ..Default::default() }),
        load_balancing_weight: uint(weight),
        lb_endpoints,
        ..Default::default()
    })
}

fn endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let state = match endpoint.state {
        EndpointState::Ready => HealthStatus::Healthy,
        EndpointState::Draining => HealthStatus::Draining,
    };
    LbEndpoint {
        health_status: state as i32,
        host_identifier: Some(at(endpoint.address)),
        metadata: Some(metadata(endpoint)),
        ..Default::default()
    }
}

/// Who an endpoint is, for the access log (`%UPSTREAM_METADATA(portolan:container)%`). The maps have no order here; the
/// snapshot encodes them in one.
fn metadata(endpoint: &Endpoint) -> Metadata {
    let names = [
        ("project", endpoint.project.as_ref()),
        ("service", endpoint.compose_service.as_ref()),
        ("container", Some(&endpoint.workload)),
    ];
    let field = |(key, name): (&str, Option<&String>)| {
        let value = Value { kind: Some(value::Kind::StringValue(name?.clone())) };
        Some((key.to_owned(), value))
    };
    let fields = Struct { fields: names.into_iter().filter_map(field).collect() };
    Metadata { filter_metadata: [("portolan".to_owned(), fields)].into(), ..Default::default() }
}

pub(super) fn at(socket: std::net::SocketAddr) -> HostIdentifier {
    HostIdentifier::Endpoint(PbEndpoint { address: Some(address(socket)), ..Default::default() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use xds_server::Resource;

    use super::*;
    use crate::model::options::BackendOptions;
    use crate::model::{ServiceName, Share};

    #[test]
    fn equal_endpoints_are_equal_bytes_whatever_the_order_of_a_map() {
        let endpoint = |number: u8| Endpoint {
            address: ([10, 0, 0, number], 80).into(),
            state: EndpointState::Ready,
            workload: format!("shop-web-{number}"),
            id: format!("id-{number}").into(),
            version: String::new(),
            network: None,
            project: Some("shop".to_owned()),
            compose_service: Some("web".to_owned()),
        };
        let service = Service {
            name: ServiceName("shop/web".into()),
            options: Arc::new(BackendOptions::default()),
            variants: [(String::new(), Share { label: 100, by_hand: None })].into(),
            endpoints: (1..4).map(endpoint).collect(),
            absent: Vec::new(),
        };
        let version = || Resource::from(&assignment(&service)).version();
        let first = version();
        assert!((0..50).all(|_| version() == first));
    }
}
