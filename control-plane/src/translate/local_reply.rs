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

/// What Envoy answers with one of its response flags.
struct Reason {
    flag: &'static str,
    /// The names of services are Envoy's to fill in for each request, so that the listener's bytes depend on none of them.
    word: &'static str,
    sentence: &'static str,
    /// Whether it is worth to come back at once: the application never saw the request, or will be another one by then.
    passes: bool,
}

const REASONS: [Reason; 7] = [
    Reason {
        flag: "UH",
        word: "no-ready-endpoint; service=%UPSTREAM_CLUSTER%",
        sentence: "No container of this service is ready.\n",
        passes: true,
    },
    // A cluster that is not there has no name to fill in.
    Reason {
        flag: "NC",
        word: "no-cluster",
        sentence: "This service is not known to the proxy yet, or no longer.\n",
        passes: true,
    },
    Reason {
        flag: "UF",
        word: "connect-failure; service=%UPSTREAM_CLUSTER%",
        sentence: "No container of this service could be reached.\n",
        passes: true,
    },
    Reason {
        flag: "UO",
        word: "overload; service=%UPSTREAM_CLUSTER%",
        sentence: "This service has as many requests as it may have at a time.\n",
        passes: true,
    },
    Reason {
        flag: "UC",
        word: "connection-lost; service=%UPSTREAM_CLUSTER%",
        sentence: "A container of this service closed the connection before it answered.\n",
        passes: true,
    },
    Reason {
        flag: "UR",
        word: "reset; service=%UPSTREAM_CLUSTER%",
        sentence: "A container of this service broke off before it answered.\n",
        passes: true,
    },
    // It may be at work on it still: the next one would only add to that.
    Reason {
        flag: "UT",
        word: "timeout; service=%UPSTREAM_CLUSTER%",
        sentence: "A container of this service did not answer in time.\n",
        passes: false,
    },
];

pub(super) fn config() -> LocalReplyConfig {
    LocalReplyConfig { mappers: REASONS.iter().map(mapper).collect(), ..Default::default() }
}

fn mapper(reason: &Reason) -> ResponseMapper {
    let retry_after = reason.passes.then(|| header("retry-after", RETRY_AFTER_SECONDS));
    ResponseMapper {
        filter: Some(AccessLogFilter {
            filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
                flags: vec![reason.flag.to_owned()],
            })),
        }),
        body: Some(DataSource {
            specifier: Some(Specifier::InlineString(reason.sentence.to_owned())),
            ..Default::default()
        }),
        headers_to_add: retry_after.into_iter().chain([header(REASON, reason.word)]).collect(),
        ..Default::default()
    }
}

/// `key` with this one value.
pub(super) fn header(key: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value: value.to_owned(), ..Default::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    }
}
