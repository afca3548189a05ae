//! When and how often a request is tried again: what all have alike stands with the cluster, and what a route has otherwise in headers
//! that the router takes as its orders
//! ([Router, `x-envoy-retry-on`](https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter)).
//!
//! A policy in each route would cost Envoy a third of the time that it takes to read the route, at every change of any. The
//! connection manager strips these headers from what clients send, and the router from what containers get.

use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::RetryHostPredicate;
use envoy_types::pb::envoy::config::route::v3::retry_policy::retry_host_predicate::ConfigType;
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

use crate::model::options::{RETRIES, Retries};

use super::any::any;
use super::local_reply::header;
use super::reads::Retried;
use super::uint;

/// A request that never reached an application is tried again, on another host: nobody notices that one went away.
const RETRY_ON: &str = "connect-failure,refused-stream,reset-before-request";
/// A connection that broke off: what only reads may have reached an application, and does no harm a second time.
const ALSO_ON: &str = "reset";
/// How often another host is drawn when one comes up that was tried already.
const HOST_SELECTION_ATTEMPTS: i64 = 5;

/// What holds for every request to a service.
pub(super) fn policy() -> RetryPolicy {
    RetryPolicy {
        retry_on: RETRY_ON.to_owned(),
        num_retries: uint(RETRIES),
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(ConfigType::TypedConfig(any(&PreviousHostsPredicate {}))),
        }],
        host_selection_retry_max_attempts: HOST_SELECTION_ATTEMPTS,
        ..Default::default()
    }
}

/// What an entry of a route says besides.
pub(super) fn headers(retries: &Retries, retried: Retried) -> Vec<HeaderValueOption> {
    let mut headers = Vec::new();
    if retries.attempts != RETRIES {
        headers.push(header("x-envoy-max-retries", &retries.attempts.to_string()));
    }
    if retries.attempts == 0 {
        return headers;
    }
    let words = |is_grpc: bool| {
        let on = retries.on.iter().filter(move |on| on.is_grpc() == is_grpc);
        on.map(|on| on.word()).collect::<Vec<_>>()
    };
    let mut on = words(false);
    on.extend((retried == Retried::AlsoBrokenOff).then_some(ALSO_ON));
    if !on.is_empty() {
        headers.push(also_on(&on.join(",")));
    }
    let on = words(true);
    if !on.is_empty() {
        headers.push(header("x-envoy-retry-grpc-on", &on.join(",")));
    }
    headers
}

/// Adds the case of what only reads to those of a request.
pub(super) fn broken_off() -> HeaderValueOption {
    also_on(ALSO_ON)
}

fn also_on(cases: &str) -> HeaderValueOption {
    HeaderValueOption {
        append_action: HeaderAppendAction::AppendIfExistsOrAdd as i32,
        ..header("x-envoy-retry-on", cases)
    }
}
