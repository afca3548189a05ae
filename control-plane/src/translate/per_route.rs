//! What a route switches on in the filters, by the names that they have in the chain.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::core::v3::{CidrRange, TypedExtensionConfig};
use envoy_types::pb::envoy::config::rbac::v3::principal::{Identifier, Set};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac as Rules, permission};
use envoy_types::pb::envoy::config::route::v3::RateLimit as Descriptors;
use envoy_types::pb::envoy::config::route::v3::rate_limit::Action as DescriptorAction;
use envoy_types::pb::envoy::config::route::v3::rate_limit::action::{ActionSpecifier, RemoteAddress};
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::{
    LocalRateLimitDescriptor, XRateLimitHeadersRfcVersion,
};
use envoy_types::pb::envoy::extensions::filters::http::buffer::v3::buffer_per_route;
use envoy_types::pb::envoy::extensions::filters::http::buffer::v3::{Buffer, BufferPerRoute};
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::compressor_per_route;
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::{
    CompressorOverrides, CompressorPerRoute, ResponseDirectionOverrides,
};
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use envoy_types::pb::envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::{Rbac, RbacPerRoute};
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::stateful_session_per_route;
use envoy_types::pb::envoy::extensions::filters::http::stateful_session::v3::{
    StatefulSession, StatefulSessionPerRoute,
};
use envoy_types::pb::envoy::extensions::http::stateful_session::cookie::v3::CookieBasedSessionState;
use envoy_types::pb::envoy::r#type::http::v3::{Cookie, CookieAttribute};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, TokenBucket};
use envoy_types::pb::google::protobuf::{Any, BoolValue};

use crate::model::options::{Cidr, Cors, Origin, RateLimit, RouteOptions, Sticky};

use super::any::any;
use super::matching::regex;
use super::reads::{self, Retried};
use super::{duration, filters, uint};

/// How many clients' addresses have a bucket at a time; the one that was idle for longest gives its own up.
const MOST_ADDRESSES: u32 = 10_000;
/// The name of the policy of addresses in the filter's counters.
const ADDRESSES: &str = "addresses";

/// What `options` switch on, whichever body a request has, in an entry that is tried again so.
pub(super) fn configs(options: &RouteOptions, retried: Retried) -> HashMap<String, Any> {
    let mut configs = HashMap::new();
    let mut on = |name: &str, config: Any| drop(configs.insert(name.to_owned(), config));
    if let Some(rules) = addresses(options) {
        let rbac = Some(Rbac { rules: Some(rules), ..Default::default() });
        on(filters::CLIENTS, any(&RbacPerRoute { rbac }));
    }
    if let Some(cors) = &options.cors {
        on(filters::CORS, any(&policy(cors)));
    }
    if let Some(limit) = &options.limit {
        on(filters::LIMIT, any(&local_limit(limit)));
    }
    if options.compress {
        for name in filters::COMPRESSORS {
            on(name, any(&compressor()));
        }
    }
    if let Some(sticky) = options.sticky.as_ref().filter(|_| options.answer.is_none()) {
        on(filters::SESSION, any(&session(sticky)));
    }
    if retried == Retried::AsTheFilterSays {
        on(filters::READS, any(&reads::as_in_the_chain()));
    }
    configs
}

/// Holds a body of unknown length until it is whole; 413 where it is larger than `bytes`.
pub(super) fn hold_body(bytes: u32) -> (String, Any) {
    let buffer = Buffer { max_request_bytes: uint(bytes) };
    let config = BufferPerRoute { r#override: Some(buffer_per_route::Override::Buffer(buffer)) };
    (filters::BODY.to_owned(), any(&config))
}

/// Lets clients through that are in `allow`, if it says any, and not in `deny`; nothing where neither says anything.
pub(super) fn addresses(options: &RouteOptions) -> Option<Rules> {
    let RouteOptions { allow, deny, .. } = options;
    if allow.is_empty() && deny.is_empty() {
        return None;
    }
    let allowed = (!allow.is_empty()).then(|| one_of(allow));
    let not_denied = (!deny.is_empty()).then(|| principal(Identifier::NotId(Box::new(one_of(deny)))));
    let all: Vec<Principal> = allowed.into_iter().chain(not_denied).collect();
    let policy = Policy {
        permissions: vec![Permission { rule: Some(permission::Rule::Any(true)) }],
        principals: vec![principal(Identifier::AndIds(Set { ids: all }))],
        ..Default::default()
    };
    Some(Rules {
        action: Action::Allow as i32,
        policies: [(ADDRESSES.to_owned(), policy)].into(),
        ..Default::default()
    })
}

fn one_of(ranges: &[Cidr]) -> Principal {
    let range = |range: &Cidr| CidrRange {
        address_prefix: range.address.to_string(),
        prefix_len: uint(range.bits.into()),
    };
    let ids = ranges.iter().map(|each| principal(Identifier::RemoteIp(range(each)))).collect();
    principal(Identifier::OrIds(Set { ids }))
}

fn principal(identifier: Identifier) -> Principal {
    Principal { identifier: Some(identifier) }
}

fn policy(cors: &Cors) -> CorsPolicy {
    CorsPolicy {
        allow_origin_string_match: cors.origins.iter().map(origin).collect(),
        allow_methods: cors.methods.join(", "),
        allow_headers: cors.headers.join(", "),
        allow_credentials: Some(BoolValue { value: cors.credentials }),
        max_age: cors.max_age.map(|age| age.as_secs().to_string()).unwrap_or_default(),
        ..Default::default()
    }
}

fn origin(origin: &Origin) -> StringMatcher {
    let pattern = match (origin, origin.pattern()) {
        (_, Some(pattern)) => MatchPattern::SafeRegex(regex(&pattern)),
        // To Envoy this is every origin.
        (Origin::Any, None) => MatchPattern::Exact("*".to_owned()),
        (origin, None) => MatchPattern::Exact(origin.to_string()),
    };
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

fn local_limit(limit: &RateLimit) -> LocalRateLimit {
    let always = Some(RuntimeFractionalPercent {
        default_value: Some(FractionalPercent { numerator: 100, ..Default::default() }),
        ..Default::default()
    });
    let bucket = Some(TokenBucket {
        max_tokens: limit.burst,
        tokens_per_fill: uint(limit.rate.count),
        fill_interval: duration(limit.rate.per.duration()),
    });
    let mut config = LocalRateLimit {
        stat_prefix: "limit".to_owned(),
        token_bucket: bucket,
        filter_enabled: always.clone(),
        filter_enforced: always,
        enable_x_ratelimit_headers: XRateLimitHeadersRfcVersion::DraftVersion03 as i32,
        enable_retry_after_header: true,
        ..Default::default()
    };
    if limit.by_address {
        let action =
            DescriptorAction { action_specifier: Some(ActionSpecifier::RemoteAddress(RemoteAddress {})) };
        config.rate_limits = vec![Descriptors { actions: vec![action], ..Default::default() }];
        // An entry without a value stands for each value: it has a bucket of its own.
        let entry = Entry { key: "remote_address".to_owned(), ..Default::default() };
        config.descriptors = vec![LocalRateLimitDescriptor {
            entries: vec![entry],
            token_bucket: bucket,
            ..Default::default()
        }];
        // Else all addresses would share the one bucket besides.
        config.always_consume_default_token_bucket = Some(BoolValue { value: false });
        config.max_dynamic_descriptors = uint(MOST_ADDRESSES);
    }
    config
}

fn compressor() -> CompressorPerRoute {
    let overrides = CompressorOverrides {
        response_direction_config: Some(ResponseDirectionOverrides::default()),
        ..Default::default()
    };
    CompressorPerRoute { r#override: Some(compressor_per_route::Override::Overrides(overrides)) }
}

/// A cookie that lasts as long as the browser runs, and that no script reads: it says which container was chosen.
fn session(sticky: &Sticky) -> StatefulSessionPerRoute {
    let attribute =
        |name: &str, value: &str| CookieAttribute { name: name.to_owned(), value: value.to_owned() };
    let state = CookieBasedSessionState {
        cookie: Some(Cookie {
            name: sticky.cookie.clone(),
            path: "/".to_owned(),
            attributes: vec![attribute("HttpOnly", ""), attribute("SameSite", "Lax")],
            ..Default::default()
        }),
    };
    let session = StatefulSession {
        session_state: Some(TypedExtensionConfig {
            name: "envoy.http.stateful_session.cookie".to_owned(),
            typed_config: Some(any(&state)),
        }),
        ..Default::default()
    };
    StatefulSessionPerRoute {
        r#override: Some(stateful_session_per_route::Override::StatefulSession(session)),
    }
}
