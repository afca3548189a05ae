//! The access log on standard output: one JSON object a request or connection, unless the administrator wants it otherwise.
//!
//! The format is a protobuf map. envoy-types keeps maps in a `HashMap`, whose order differs from run to run, and a
//! listener whose bytes differ is drained with all its connections. So the format is written with message types of our
//! own that have the same fields and keep their map sorted.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::accesslog::v3::access_log::ConfigType;

use super::any::any_as;
use crate::policies::AccessLog as Format;

type Fields<'a> = [(&'a str, &'a str); 20];

/// Key and Envoy's command operator (Envoy documentation, "Access logging", "Command operators"). Values that are
/// numbers stay numbers, and what a request does not have is null.
const FIELDS: Fields<'static> = [
    ("time", "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%"),
    ("client_address", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("method", "%REQ(:METHOD)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("status", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration_ms", "%DURATION%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("project", "%UPSTREAM_METADATA(portolan:project)%"),
    ("service", "%UPSTREAM_METADATA(portolan:service)%"),
    ("container", "%UPSTREAM_METADATA(portolan:container)%"),
    ("cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("route", "%ROUTE_NAME%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("trace_id", "%TRACE_ID%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
];

/// `envoy.extensions.access_loggers.stream.v3.StdoutAccessLog`.
#[derive(Clone, PartialEq, prost::Message)]
struct StdoutAccessLog {
    #[prost(message, optional, tag = "1")]
    log_format: Option<FormatString>,
}

/// `envoy.config.core.v3.SubstitutionFormatString`.
#[derive(Clone, PartialEq, prost::Message)]
struct FormatString {
    #[prost(message, optional, tag = "2")]
    json_format: Option<SortedStruct>,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, prost::Message)]
struct SortedStruct {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, StringValue>,
}

/// `google.protobuf.Value` that holds a string.
#[derive(Clone, PartialEq, prost::Message)]
struct StringValue {
    #[prost(string, tag = "3")]
    value: String,
}

/// What is written for each request.
pub(super) fn on_stdout(log: Format) -> Option<AccessLog> {
    written(log, FIELDS)
}

/// What is written for each connection of a route of TCP when it ends: the same keys, of which those about a request are null.
pub(super) fn of_connections(log: Format, route: &str) -> Option<AccessLog> {
    let fields = FIELDS.map(|(key, format)| match key {
        // What a client of TLS asks for.
        "authority" => (key, "%REQUESTED_SERVER_NAME%"),
        "protocol" => (key, "TCP"),
        "route" => (key, route),
        _ => (key, format),
    });
    written(log, fields)
}

fn written(log: Format, fields: Fields<'_>) -> Option<AccessLog> {
    match log {
        Format::Json => Some(stdout(&json(fields))),
        // Without a format it is Envoy's own line.
        Format::Text => Some(stdout(&StdoutAccessLog { log_format: None })),
        Format::Off => None,
    }
}

fn json(fields: Fields<'_>) -> StdoutAccessLog {
    let fields = fields.map(|(key, format)| (key.to_owned(), StringValue { value: format.to_owned() }));
    StdoutAccessLog {
        log_format: Some(FormatString { json_format: Some(SortedStruct { fields: fields.into() }) }),
    }
}

fn stdout(log: &StdoutAccessLog) -> AccessLog {
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(any_as(
            "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            log,
        ))),
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
    use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog as Real;
    use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::stdout_access_log::AccessLogFormat;
    use prost::Message;

    use super::*;

    #[test]
    fn our_own_message_types_read_as_the_real_ones() {
        let Some(ConfigType::TypedConfig(any)) = stdout(&json(FIELDS)).config_type else {
            panic!("no config")
        };
        let real = Real::decode(any.value.as_slice()).unwrap();
        let Some(AccessLogFormat::LogFormat(format)) = real.access_log_format else { panic!("no format") };
        let Some(Format::JsonFormat(fields)) = format.format else { panic!("no JSON") };
        assert_eq!(fields.fields.len(), FIELDS.len());
    }

    #[test]
    fn the_bytes_are_the_same_each_time() {
        let first = stdout(&json(FIELDS)).encode_to_vec();
        assert!((0..50).all(|_| stdout(&json(FIELDS)).encode_to_vec() == first));
    }
}
