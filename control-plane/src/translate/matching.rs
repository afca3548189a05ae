//! What a request must have, in Envoy's words.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::envoy::r#type::v3::Int64Range;

use crate::model::matching::{HeaderMatch, Match, PathMatch, TextMatch};
use crate::model::options::{Rewrite, RouteOptions};

/// The methods of an entry's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Methods<'a> {
    Any,
    OneOf(BTreeSet<&'a str>),
    NoneOf(&'a [&'a str]),
}

impl Methods<'_> {
    fn matchers(&self) -> Vec<HeaderMatcher> {
        let exact = |method: &str| MatchPattern::Exact(method.to_owned());
        let is = |pattern| matcher(":method", HeaderMatchSpecifier::StringMatch(string(pattern)));
        match self {
            Self::Any => Vec::new(),
            Self::OneOf(methods) => {
                let all: Vec<&str> = methods.iter().copied().collect();
                vec![is(match all.as_slice() {
                    [one] => exact(one),
                    all => MatchPattern::SafeRegex(regex(&all.join("|"))),
                })]
            }
            // All conditions of an entry hold together, so none of several needs no regular expression.
            Self::NoneOf(methods) => {
                methods.iter().map(|one| HeaderMatcher { invert_match: true, ..is(exact(one)) }).collect()
            }
        }
    }
}

/// A path, and what stands in its place.
pub(super) type Place = (PathSpecifier, Option<String>);

/// Where a route is found: at one path, or at two where that makes a rewrite right.
pub(super) fn places(path: &PathMatch, rewrite: Option<&Rewrite>) -> Vec<Place> {
    let to = match rewrite {
        None => None,
        Some(Rewrite::Strip) => Some("/"),
        Some(Rewrite::To(prefix)) => Some(prefix.as_str()),
    };
    match (path, to) {
        // With one prefix `/api` in place of `/`, `/api/x` would become `//x`.
        (PathMatch::Prefix(prefix), Some("/")) if prefix != "/" => vec![
            (PathSpecifier::Prefix(format!("{prefix}/")), Some("/".to_owned())),
            (PathSpecifier::Path(prefix.clone()), Some("/".to_owned())),
        ],
        (PathMatch::Prefix(prefix), Some("/")) if prefix == "/" => vec![(specifier(path), None)],
        (PathMatch::Prefix(prefix), Some(to)) if prefix == "/" => {
            vec![(specifier(path), Some(format!("{to}/")))]
        }
        (path, to) => vec![(specifier(path), to.map(str::to_owned))],
    }
}

fn specifier(path: &PathMatch) -> PathSpecifier {
    match path {
        PathMatch::Exact(path) => PathSpecifier::Path(path.clone()),
        PathMatch::Prefix(prefix) if prefix == "/" => PathSpecifier::Prefix(prefix.clone()),
        PathMatch::Prefix(prefix) => PathSpecifier::PathSeparatedPrefix(prefix.clone()),
        PathMatch::Regex(pattern) => PathSpecifier::SafeRegex(regex(pattern)),
    }
}

/// A route's request, at one of its places, by one of these methods.
pub(super) fn request(matches: &Match, path: PathSpecifier, methods: &Methods<'_>) -> RouteMatch {
    let headers = matches.headers.iter().map(|(name, value)| header(name, value));
    RouteMatch {
        headers: methods.matchers().into_iter().chain(headers).collect(),
        query_parameters: matches.query.iter().map(|(name, value)| parameter(name, value)).collect(),
        ..at(path)
    }
}

/// Every request at `path`.
pub(super) fn at(path: PathSpecifier) -> RouteMatch {
    RouteMatch { path_specifier: Some(path), ..Default::default() }
}

/// The methods that a route takes; none is any.
pub(super) fn methods<'a>(matches: &'a Match, options: &RouteOptions) -> BTreeSet<&'a str> {
    let mut methods: BTreeSet<&str> = matches.methods.iter().map(String::as_str).collect();
    if options.cors.is_some() && !methods.is_empty() {
        // A preflight asks for the route before the request that it is about, so it must find it.
        methods.insert("OPTIONS");
    }
    methods
}

fn header(name: &str, value: &HeaderMatch) -> HeaderMatcher {
    let specifier = match text(&value.value) {
        None => HeaderMatchSpecifier::PresentMatch(true),
        Some(text) => HeaderMatchSpecifier::StringMatch(text),
    };
    let is_text = matches!(specifier, HeaderMatchSpecifier::StringMatch(_));
    HeaderMatcher {
        invert_match: value.not,
        // A header that is not there does not say it either; without this line Envoy would match neither way.
        treat_missing_header_as_empty: value.not && is_text,
        ..matcher(name, specifier)
    }
}

fn matcher(name: &str, specifier: HeaderMatchSpecifier) -> HeaderMatcher {
    HeaderMatcher { name: name.to_owned(), header_match_specifier: Some(specifier), ..Default::default() }
}

fn parameter(name: &str, value: &TextMatch) -> QueryParameterMatcher {
    let specifier = match text(value) {
        None => QueryParameterMatchSpecifier::PresentMatch(true),
        Some(text) => QueryParameterMatchSpecifier::StringMatch(text),
    };
    QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: Some(specifier) }
}

fn text(value: &TextMatch) -> Option<StringMatcher> {
    match value {
        TextMatch::Present => None,
        TextMatch::Exact(value) => Some(string(MatchPattern::Exact(value.clone()))),
        TextMatch::Regex(pattern) => Some(string(MatchPattern::SafeRegex(regex(pattern)))),
    }
}

fn string(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

pub(super) fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher { regex: pattern.to_owned(), ..Default::default() }
}

/// The request says that its body is longer than `bytes`.
pub(super) fn body_longer_than(bytes: u64) -> HeaderMatcher {
    let start = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_add(1);
    let range = Int64Range { start, end: i64::MAX };
    matcher("content-length", HeaderMatchSpecifier::RangeMatch(range))
}

/// The request does not say how long its body is, and it is none that becomes another protocol (websocket).
pub(super) fn body_of_unknown_length() -> [HeaderMatcher; 2] {
    ["content-length", "upgrade"].map(|name| HeaderMatcher {
        invert_match: true,
        ..matcher(name, HeaderMatchSpecifier::PresentMatch(true))
    })
}
