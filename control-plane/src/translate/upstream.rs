//! How Envoy speaks to the containers of a service, and asks how they are.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::health_check::{HealthChecker, HttpHealthCheck};
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{
    HealthCheck, Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as CommonOptions,
    KeepaliveSettings, TransportSocket, UpstreamHttpProtocolOptions,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::v3::CodecClientType;

use crate::model::options::{Check, Protocol};

use super::any::any;
use super::{duration, uint};

/// A connection without a request is closed sooner than the server would: some do it after 5 s (Node.js, uvicorn), and
/// a request sent at that very moment is lost.
const KEEP_IDLE: Duration = Duration::from_secs(4);
/// Over HTTP/2 a server says that it will close, so nothing is lost; and one connection carries all.
const KEEP_IDLE_H2: Duration = Duration::from_secs(300);
/// A peer that is gone without a word is noticed by a ping, which many requests share.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Checks in a row that change a container's health: one success, and not one failure alone.
const HEALTHY_AFTER: u32 = 1;
const UNHEALTHY_AFTER: u32 = 2;

fn is_h2(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::H2c | Protocol::Grpc)
}

/// HTTP to somebody who is asked by `protocol`.
pub(super) fn http_options(protocol: Protocol) -> HttpProtocolOptions {
    let (idle, config) = if is_h2(protocol) {
        let keepalive = KeepaliveSettings {
            interval: duration(PING_INTERVAL),
            timeout: duration(PING_TIMEOUT),
            ..Default::default()
        };
        let options = Http2ProtocolOptions { connection_keepalive: Some(keepalive), ..Default::default() };
        (KEEP_IDLE_H2, ProtocolConfig::Http2ProtocolOptions(options))
    } else {
        (KEEP_IDLE, ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()))
    };
    HttpProtocolOptions {
        common_http_protocol_options: Some(CommonOptions {
            idle_timeout: duration(idle),
            ..Default::default()
        }),
        // A server with several certificates shows the one of the host that the client asked for.
        upstream_http_protocol_options: (protocol == Protocol::Https)
            .then(|| UpstreamHttpProtocolOptions { auto_sni: true, ..Default::default() }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })),
        ..Default::default()
    }
}

/// TLS to a container: it keeps others on the network from reading along. The certificate is not checked, since a container
/// has none that anybody has signed.
pub(super) fn transport(protocol: Protocol) -> Option<TransportSocket> {
    (protocol == Protocol::Https).then(|| TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(ConfigType::TypedConfig(any(&UpstreamTlsContext::default()))),
    })
}

pub(super) fn health_check(check: &Check, protocol: Protocol) -> HealthCheck {
    let codec = if is_h2(protocol) { CodecClientType::Http2 } else { CodecClientType::Http1 };
    let request =
        HttpHealthCheck { path: check.path.clone(), codec_client_type: codec as i32, ..Default::default() };
    HealthCheck {
        timeout: duration(check.timeout),
        interval: duration(check.interval),
        // Without it a service that nobody uses is looked at once a minute, and its first user pays.
        no_traffic_interval: duration(check.interval),
        healthy_threshold: uint(HEALTHY_AFTER),
        unhealthy_threshold: uint(UNHEALTHY_AFTER),
        health_checker: Some(HealthChecker::HttpHealthCheck(request)),
        ..Default::default()
    }
}
