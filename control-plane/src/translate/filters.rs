//! The HTTP filters: one chain for all routes, in which a route switches on what its labels ask for.
//!
//! The chain is part of the listener, and a listener that changes is drained with all its connections. So it has every
//! filter that a label can ask for, always, each `disabled`: Envoy then makes none of them for a request. What is left is
//! one look-up of the route's own settings for each filter and request. For all of them together that was less than 1 us of
//! the 41 us of processor time that a small request took (Envoy 1.40, one worker, forty rounds by turns); the chain is as
//! short as the vocabulary allows. A label changes routes alone.

use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::extensions::compression::brotli::compressor::v3::Brotli;
use envoy_types::pb::envoy::extensions::compression::gzip::compressor::v3::Gzip;
use envoy_types::pb::envoy::extensions::compression::zstd::compressor::v3::Zstd;
use envoy_types::pb::envoy::extensions::filters::http::buffer::v3::Buffer;
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::Compressor;
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::compressor::ResponseDirectionConfig;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::Cors;
use envoy_types::pb::envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::StatefulSession;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use prost::{Message, Name};

use super::any::any;
use super::auth;
use super::{reads, uint};

/// Which clients may come at all. Switched on it compares one address with each range.
pub(super) const CLIENTS: &str = "envoy.filters.http.rbac";
/// Answers preflights. After [`CLIENTS`]; before the limit, so that a browser can read that it was told to slow down.
pub(super) const CORS: &str = "envoy.filters.http.cors";
/// Counts requests. Switched on it takes a token from a bucket that all workers share.
pub(super) const LIMIT: &str = "envoy.filters.http.local_ratelimit";
/// Holds a body until it is whole, or too large. Switched on it costs memory and the time until the last byte, so it is
/// for bodies of unknown length only.
pub(super) const BODY: &str = "envoy.filters.http.buffer";
/// Compress, each in one way; Envoy chooses among them by the request's Accept-Encoding. Switched on they cost processor
/// time by the byte.
pub(super) const COMPRESSORS: [&str; 3] = [
    "envoy.filters.http.compressor.gzip",
    "envoy.filters.http.compressor.zstd",
    "envoy.filters.http.compressor.brotli",
];
/// Keeps a client on one container by a cookie: it tells the router where to go.
pub(super) const SESSION: &str = "envoy.filters.http.stateful_session";
/// Says of what only reads that it may be tried again where it broke off. After all that could answer. Switched on it looks at the
/// method of a request and adds a header, a tenth of what a small request costs.
pub(super) const READS: &str = "portolan.reads";
const ROUTER: &str = "envoy.filters.http.router";

/// What the buffer filter would hold if it were switched on without a size: the least.
const UNUSED_BYTES: u32 = 1;

/// The same for every listener of HTTP, whatever the policies say.
pub(super) fn chain() -> Vec<HttpFilter> {
    let limit = LocalRateLimit { stat_prefix: "limit".to_owned(), ..Default::default() };
    let buffer = Buffer { max_request_bytes: uint(UNUSED_BYTES) };
    let [gzip, zstd, brotli] = COMPRESSORS;
    let first = [off(CLIENTS, &Rbac::default()), off(CORS, &Cors::default())];
    let rest = vec![
        off(LIMIT, &limit),
        off(BODY, &buffer),
        off(gzip, &compressor("gzip", &Gzip::default())),
        off(zstd, &compressor("zstd", &Zstd::default())),
        off(brotli, &compressor("brotli", &Brotli::default())),
        off(SESSION, &StatefulSession::default()),
        off(READS, &reads::filter()),
        HttpFilter { disabled: false, ..off(ROUTER, &Router::default()) },
    ];
    // A browser asks in advance without a password (CORS), and who may not come is not counted.
    first.into_iter().chain(auth::filters()).chain(rest).collect()
}

/// A filter that a route may switch on.
pub(super) fn off<M: Message + Name>(name: &str, config: &M) -> HttpFilter {
    off_as(name, ConfigType::TypedConfig(any(config)))
}

/// The same, of which the configuration may be elsewhere.
pub(super) fn off_as(name: &str, config: ConfigType) -> HttpFilter {
    HttpFilter { name: name.to_owned(), disabled: true, config_type: Some(config), ..Default::default() }
}

fn compressor<M: Message + Name>(name: &str, library: &M) -> Compressor {
    Compressor {
        compressor_library: Some(TypedExtensionConfig {
            name: name.to_owned(),
            typed_config: Some(any(library)),
        }),
        response_direction_config: Some(ResponseDirectionConfig {
            // A strong tag names the bytes, and these are others (RFC 9110, 8.8.1).
            weaken_etag_on_compress: true,
            ..Default::default()
        }),
        ..Default::default()
    }
}
