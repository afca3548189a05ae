//! The routes: one virtual host a host name, routes in the order in which they are matched.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::retry_policy::RetryHostPredicate;
use envoy_types::pb::envoy::config::route::v3::retry_policy::retry_host_predicate::ConfigType;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, HeaderMatcher, RetryPolicy, Route as PbRoute, RouteAction, RouteConfiguration,
    RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::UInt64Value;

use crate::model::{Host, PathMatch, Route, Topology};

use super::any::any;
use super::{EdgeOptions, ROUTES, dashboard, duration, uint};

/// The longest a whole request may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A request that never reached an application is tried again, on another host: nobody notices that one went away.
const RETRY_ON: &str = "connect-failure,refused-stream,reset-before-request";
/// What only reads may have reached one as well.
const RETRY_READS_ON: &str = "connect-failure,refused-stream,reset";
/// The methods that only read (RFC 9110, section 9.2.1), as a regular expression.
const READS: &str = "GET|HEAD|OPTIONS";
const RETRIES: u32 = 2;
/// How much of a body is kept for another try. A longer one is not tried again: without this line that would be all
/// above the connection's 32 KiB, and a form sent to a container that just went away would be answered 507.
const RETRY_BODY_BYTES: u64 = 256 * 1024;
/// How often another host is drawn when one comes up that was tried already.
const HOST_SELECTION_ATTEMPTS: i64 = 5;

pub(super) fn configuration(topology: &Topology, edge: &EdgeOptions) -> RouteConfiguration {
    let mut virtual_hosts: Vec<VirtualHost> =
        topology.hosts.keys().map(|host| virtual_host(host, &topology.routes_of(host))).collect();
    virtual_hosts.push(dashboard::virtual_host(edge));
    if !topology.hosts.contains_key(&Host::Any) {
        let routes = vec![not_found("portolan:unknown-host", "No container claims this host.\n")];
        virtual_hosts.push(a_virtual_host("portolan:unknown-host", "*", routes));
    }
    RouteConfiguration {
        name: ROUTES.to_owned(),
        virtual_hosts,
        // `shop.localhost` answers on every port; a redirect keeps the one the client came by.
        ignore_port_in_host_matching: true,
        ..Default::default()
    }
}

/// A domain stands in one virtual host only, and Envoy asks that one alone: so it has the routes of the wildcards that
/// cover it as well, and an answer of its own where none of them matches.
fn virtual_host(host: &Host, routes: &[&Route]) -> VirtualHost {
    let is_complete = routes.last().is_some_and(|last| last.matches.is_everything());
    let mut routes: Vec<PbRoute> = routes.iter().flat_map(|each| [reads(each), route(each)]).collect();
    if !is_complete {
        routes.push(not_found("portolan:unknown-path", "No container claims this path of the host.\n"));
    }
    a_virtual_host(&host.to_string(), &host.to_string(), routes)
}

fn a_virtual_host(name: &str, domain: &str, routes: Vec<PbRoute>) -> VirtualHost {
    VirtualHost {
        name: name.to_owned(),
        domains: vec![domain.to_owned()],
        routes,
        request_body_buffer_limit: Some(UInt64Value { value: RETRY_BODY_BYTES }),
        ..Default::default()
    }
}

fn not_found(name: &str, body: &str) -> PbRoute {
    answer(name, PathSpecifier::Prefix("/".to_owned()), 404, body)
}

/// The part of a route that only reads. Envoy's retry policy knows no methods, so it takes a route of its own.
fn reads(route: &Route) -> PbRoute {
    let method = HeaderMatcher {
        name: ":method".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::SafeRegex(RegexMatcher {
                regex: READS.to_owned(),
                ..Default::default()
            })),
            ..Default::default()
        })),
        ..Default::default()
    };
    let matches = RouteMatch { headers: vec![method], ..matching(path(&route.matches.path)) };
    forward(route, matches, RETRY_READS_ON)
}

fn route(route: &Route) -> PbRoute {
    forward(route, matching(path(&route.matches.path)), RETRY_ON)
}

fn forward(route: &Route, matches: RouteMatch, retry_on: &str) -> PbRoute {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(route.service.to_string())),
        timeout: duration(TIMEOUT),
        retry_policy: Some(retry_policy(retry_on)),
        ..Default::default()
    };
    PbRoute {
        name: route.name.clone(),
        r#match: Some(matches),
        action: Some(Action::Route(action)),
        ..Default::default()
    }
}

fn retry_policy(retry_on: &str) -> RetryPolicy {
    RetryPolicy {
        retry_on: retry_on.to_owned(),
        num_retries: uint(RETRIES),
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(ConfigType::TypedConfig(any(&PreviousHostsPredicate {}))),
        }],
        host_selection_retry_max_attempts: HOST_SELECTION_ATTEMPTS,
        ..Default::default()
    }
}

fn path(path: &PathMatch) -> PathSpecifier {
    match path {
        PathMatch::Exact(path) => PathSpecifier::Path(path.clone()),
        PathMatch::Prefix(prefix) if prefix == "/" => PathSpecifier::Prefix(prefix.clone()),
        PathMatch::Prefix(prefix) => PathSpecifier::PathSeparatedPrefix(prefix.clone()),
        PathMatch::Regex(regex) => {
            PathSpecifier::SafeRegex(RegexMatcher { regex: regex.clone(), ..Default::default() })
        }
    }
}

pub(super) fn matching(path: PathSpecifier) -> RouteMatch {
    RouteMatch { path_specifier: Some(path), ..Default::default() }
}

/// A fixed answer by Envoy itself.
pub(super) fn answer(name: &str, path: PathSpecifier, status: u32, body: &str) -> PbRoute {
    let body = DataSource { specifier: Some(Specifier::InlineString(body.to_owned())), ..Default::default() };
    PbRoute {
        name: name.to_owned(),
        r#match: Some(matching(path)),
        action: Some(Action::DirectResponse(DirectResponseAction {
            status,
            body: Some(body),
            ..Default::default()
        })),
        ..Default::default()
    }
}
