//! What Envoy answers itself where a service cannot: when to come back, and why, for people and for programs.

use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::{AccessLogFilter, ResponseFlagFilter};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{DataSource, HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    LocalReplyConfig, ResponseMapper,
};

/// The header that says why, in a word, and which service it is about.
const REASON: &str = "x-portolan-reason";
/// Containers start within seconds.
const RETRY_AFTER_SECONDS: &str = "1";

/// Envoy's response flag, the reason, and a sentence. All of them are 503. The names of services are Envoy's to fill
/// in for each request, so that the listener's bytes depend on none of them.
const REASONS: [(&str, &str, &str); 4] = [
    ("UH", "no-ready-endpoint; service=%UPSTREAM_CLUSTER%", "No container of this service is ready.\n"),
    // A cluster that is not there has no name to fill in.
    ("NC", "no-cluster", "This service is not known to the proxy yet, or no longer.\n"),
    ("UF", "connect-failure; service=%UPSTREAM_CLUSTER%", "No container of this service could be reached.\n"),
    (
        "UO",
        "overload; service=%UPSTREAM_CLUSTER%",
        "This service has as many requests as it may have at a time.\n",
    ),
];

pub(super) fn config() -> LocalReplyConfig {
    let mappers = REASONS.map(|(flag, reason, sentence)| ResponseMapper {
        filter: Some(AccessLogFilter {
            filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
                flags: vec![flag.to_owned()],
            })),
        }),
        body: Some(DataSource {
            specifier: Some(Specifier::InlineString(sentence.to_owned())),
            ..Default::default()
        }),
        headers_to_add: vec![header("retry-after", RETRY_AFTER_SECONDS), header(REASON, reason)],
        ..Default::default()
    });
    LocalReplyConfig { mappers: mappers.into(), ..Default::default() }
}

/// `key` with this one value.
pub(super) fn header(key: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value: value.to_owned(), ..Default::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    }
}
