//! What only reads is tried again in more cases than the rest: a route has an entry for each, or a filter that tells them apart.
//!
//! Envoy's retry policy knows no methods, so one entry alone cannot tell. Two cost a request next to nothing. Where a route must be one
//! entry, the filter adds the header that the other one has.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation as Mutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig as EnvoyExtension;
use envoy_types::pb::envoy::extensions::common::matching::v3::{
    ExtensionWithMatcher, ExtensionWithMatcherPerRoute,
};
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

use crate::model::matching::Match;
use crate::model::options::RouteOptions;

use super::any::any;
use super::matching::{Methods, methods};
use super::retries;

/// The methods that only read (RFC 9110, section 9.2.1).
const READS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// When a request of an entry is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retried {
    /// In the cases of the route.
    AsTheRouteSays,
    /// And where the connection broke off.
    AlsoBrokenOff,
    /// The filter adds that for what only reads.
    AsTheFilterSays,
}

/// The entries that a route takes for its methods, in their order.
pub(super) fn parts<'a>(matches: &'a Match, options: &RouteOptions) -> Vec<(Methods<'a>, Retried)> {
    let methods = methods(matches, options);
    if options.answer.is_some() || !options.retries.tells_reads_apart() {
        return vec![(one_of(methods), Retried::AsTheRouteSays)];
    }
    // A limit counts by entry, and one of the body takes entries of its own.
    if options.limit.is_some() || options.max_body.is_some() {
        return vec![(one_of(methods), Retried::AsTheFilterSays)];
    }
    if methods.is_empty() {
        // What writes stands first: it is told by what it is not, and the rest needs no condition.
        return vec![
            (Methods::NoneOf(&READS), Retried::AsTheRouteSays),
            (Methods::Any, Retried::AlsoBrokenOff),
        ];
    }
    let (reads, writes): (BTreeSet<_>, BTreeSet<_>) =
        methods.into_iter().partition(|one| READS.contains(one));
    [(writes, Retried::AsTheRouteSays), (reads, Retried::AlsoBrokenOff)]
        .into_iter()
        .filter(|(methods, _)| !methods.is_empty())
        .map(|(methods, retried)| (Methods::OneOf(methods), retried))
        .collect()
}

fn one_of(methods: BTreeSet<&str>) -> Methods<'_> {
    if methods.is_empty() { Methods::Any } else { Methods::OneOf(methods) }
}

/// Adds the case of what only reads to a request that does.
pub(super) fn filter() -> ExtensionWithMatcher {
    let set = Mutation { action: Some(Action::Append(retries::broken_off())) };
    let mutations = Mutations { request_mutations: vec![set], ..Default::default() };
    let adds = HeaderMutation { mutations: Some(mutations), ..Default::default() };
    ExtensionWithMatcher {
        xds_matcher: Some(unless_it_reads()),
        extension_config: Some(EnvoyExtension {
            name: "envoy.filters.http.header_mutation".to_owned(),
            typed_config: Some(any(&adds)),
        }),
        ..Default::default()
    }
}

/// What a route says to switch it on.
pub(super) fn as_in_the_chain() -> ExtensionWithMatcherPerRoute {
    ExtensionWithMatcherPerRoute { xds_matcher: Some(unless_it_reads()) }
}

/// Skips the filter for what may write.
fn unless_it_reads() -> Matcher {
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
    let skip = extension("skip", &SkipFilter {});
    let on_match = OnMatch { on_match: Some(on_match::OnMatch::Action(skip)), ..Default::default() };
    let matchers = vec![FieldMatcher { predicate: Some(writes), on_match: Some(on_match) }];
    Matcher { matcher_type: Some(MatcherType::MatcherList(MatcherList { matchers })), ..Default::default() }
}

const fn predicate(of: MatchType) -> Predicate {
    Predicate { match_type: Some(of) }
}

fn extension<M: Message + Name>(name: &str, config: &M) -> TypedExtensionConfig {
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(any(config)) }
}
