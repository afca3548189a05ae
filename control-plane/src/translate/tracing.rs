//! Traces: Envoy's own spans, exported by OTLP over gRPC where an endpoint is set.
//!
//! Envoy begins a trace, or goes on with the one that a client's `traceparent` names, and tells the container of it in the
//! same header. Without an endpoint nothing of this is there, and the header passes through as it is.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::GrpcService;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::trace::v3::OpenTelemetryConfig;
use envoy_types::pb::envoy::config::trace::v3::tracing::Http;
use envoy_types::pb::envoy::config::trace::v3::tracing::http::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::Tracing;

use crate::model::options::Protocol;

use super::any::any;
use super::upstream::http_options;
use super::{HostPort, dashboard, duration};

/// The name of the collector's cluster. No service has a colon in its name, so none has this one.
const NAME: &str = "portolan:traces";
/// What Envoy calls itself (`service.name`).
const SERVICE: &str = "envoy";
/// Spans that are not taken by then are lost; nothing waits for them.
const TIMEOUT: Duration = Duration::from_secs(1);
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

pub(super) fn cluster(collector: &HostPort) -> Cluster {
    let options = (HTTP_OPTIONS.to_owned(), any(&http_options(Protocol::Grpc)));
    Cluster { typed_extension_protocol_options: [options].into(), ..dashboard::elsewhere(NAME, collector) }
}

pub(super) fn provider() -> Tracing {
    let target = EnvoyGrpc { cluster_name: NAME.to_owned(), ..Default::default() };
    let config = OpenTelemetryConfig {
        grpc_service: Some(GrpcService {
            timeout: duration(TIMEOUT),
            target_specifier: Some(TargetSpecifier::EnvoyGrpc(target)),
            ..Default::default()
        }),
        service_name: SERVICE.to_owned(),
        ..Default::default()
    };
    let provider = Http {
        name: "envoy.tracers.opentelemetry".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&config))),
    };
    Tracing { provider: Some(provider), ..Default::default() }
}
