//! What only reads is tried again in more cases than the rest: a filter says so, request by request.
//!
//! Envoy's retry policy knows no methods, so the route alone cannot tell. The router takes more conditions from a request header,
//! which the connection manager strips from what clients send and the router from what containers get
//! ([Router, `x-envoy-retry-on`](https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter)).

use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation as Mutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig as EnvoyExtension;
use envoy_types::pb::envoy::extensions::common::matching::v3::ExtensionWithMatcher;
use envoy_types::pb::envoy::extensions::filters::common::matcher::action::v3::SkipFilter;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{HeaderMutation, Mutations};
use envoy_types::pb::envoy::r#type::matcher::v3::HttpRequestHeaderMatchInput;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::single_predicate;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::{
    MatchType, PredicateList, SinglePredicate,
};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{MatcherList, MatcherType, OnMatch, on_match};
use envoy_types::pb::xds::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::xds::r#type::matcher::v3::{Matcher, StringMatcher};
use prost::{Message, Name};

use super::any::any;
use super::local_reply::header;

/// The methods that only read (RFC 9110, section 9.2.1).
const READS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// A connection that broke off: what only reads may have reached an application, and does no harm a second time.
const ALSO_ON: &str = "reset";

/// Adds [`ALSO_ON`] to the retry conditions of every request that only reads. A route without retries has none for it all the
/// same: the number of tries is the route's.
pub(super) fn filter() -> ExtensionWithMatcher {
    let set = Mutation { action: Some(Action::Append(header("x-envoy-retry-on", ALSO_ON))) };
    let mutations = Mutations { request_mutations: vec![set], ..Default::default() };
    let adds = HeaderMutation { mutations: Some(mutations), ..Default::default() };
    ExtensionWithMatcher {
        xds_matcher: Some(unless_it_reads(extension("skip", &SkipFilter {}))),
        extension_config: Some(EnvoyExtension {
            name: "envoy.filters.http.header_mutation".to_owned(),
            typed_config: Some(any(&adds)),
        }),
        ..Default::default()
    }
}

fn unless_it_reads(action: TypedExtensionConfig) -> Matcher {
    let input = HttpRequestHeaderMatchInput { header_name: ":method".to_owned() };
    let is = |method: &str| {
        let exact = MatchPattern::Exact(method.to_owned());
        let exact = StringMatcher { match_pattern: Some(exact), ..Default::default() };
        predicate(MatchType::SinglePredicate(SinglePredicate {
            input: Some(extension("method", &input)),
            matcher: Some(single_predicate::Matcher::ValueMatch(exact)),
        }))
    };
    let reads = predicate(MatchType::OrMatcher(PredicateList { predicate: READS.map(is).to_vec() }));
    let writes = predicate(MatchType::NotMatcher(Box::new(reads)));
    let on_match = OnMatch { on_match: Some(on_match::OnMatch::Action(action)), ..Default::default() };
    let matchers = vec![FieldMatcher { predicate: Some(writes), on_match: Some(on_match) }];
    Matcher { matcher_type: Some(MatcherType::MatcherList(MatcherList { matchers })), ..Default::default() }
}

const fn predicate(of: MatchType) -> Predicate {
    Predicate { match_type: Some(of) }
}

fn extension<M: Message + Name>(name: &str, config: &M) -> TypedExtensionConfig {
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(any(config)) }
}
