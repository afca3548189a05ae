//! Which route takes a request, and why the others do not: what Envoy decides with the routes it was given, said in
//! words. Pure; the tests of the whole system hold it against a real Envoy.

pub mod connection;
mod question;

use std::sync::Arc;

use regex::Regex;

use crate::model::matching::{HeaderMatch, Match, PathMatch, TextMatch};
use crate::model::{Host, Route, Site, Topology};
use crate::policies::EntryName;

pub use question::Question;

/// What becomes of a request, and how that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whose routes are asked; nothing where no container claims the host or a wildcard that covers it.
    pub host: Option<Site>,
    /// The path that routes are asked for: with one spelling for what means the same.
    pub path: String,
    /// Those routes in order, and what each says.
    pub asked: Vec<(&'a Route, Answer)>,
    /// What becomes of it.
    pub outcome: Outcome<'a>,
}

/// What one route says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It takes it.
    Takes,
    /// It does not, and why.
    Differs(String),
    /// One before it takes it.
    NotAsked,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// This route takes it.
    Routed(&'a Route),
    /// It is for the dashboard.
    Dashboard,
    /// Envoy sends the client to [`Verdict::path`] first: a slash or backslash was escaped in the path.
    Redirected,
    /// Envoy sends the client to the same at this entry point, which speaks TLS.
    Secured(&'a EntryName),
    /// Nobody claims the host: Envoy answers 404.
    UnknownHost,
    /// Nobody claims that path of the host: Envoy answers 404.
    UnknownPath,
}

/// Decides as Envoy does with the routes of `topology`.
#[must_use]
pub fn decide<'a>(topology: &'a Topology, dashboard_host: &str, question: &Question) -> Verdict<'a> {
    let (unescaped, is_escaped) = unescape_slashes(&question.path);
    let path = normalize(&unescaped);
    let ended = |host, path, outcome| Verdict { host, path, asked: Vec::new(), outcome };
    let entry = Arc::clone(topology.policies.entry_at(question.secure, question.port));
    let redirect = topology.policies.entry_points.get(&entry).and_then(|entry| entry.redirect.as_ref());
    let site = Site { entry, host: Host::Exact(question.host.clone()) };
    if is_escaped {
        return ended(None, path, Outcome::Redirected);
    }
    if question.host == dashboard_host.to_ascii_lowercase() && topology.policies.shows_dashboard(&site.entry)
    {
        return ended(Some(site), path, Outcome::Dashboard);
    }
    // One virtual host alone is asked: the name's own, else the longest wildcard's (Envoy, "VirtualHost.domains").
    let Some(host) = site.covering().into_iter().find(|host| topology.hosts.contains_key(host)) else {
        return ended(None, path, redirect.map_or(Outcome::UnknownHost, Outcome::Secured));
    };
    let mut winner = None;
    let mut asked = Vec::new();
    for route in topology.routes_of(&host) {
        let answer = match (winner, differs(route, &path, question)) {
            (Some(_), _) => Answer::NotAsked,
            (None, Some(why)) => Answer::Differs(why),
            (None, None) => {
                winner = Some(route);
                Answer::Takes
            }
        };
        asked.push((route, answer));
    }
    let nobody = redirect.map_or(Outcome::UnknownPath, Outcome::Secured);
    let outcome = winner.map_or(nobody, Outcome::Routed);
    Verdict { host: Some(host), path, asked, outcome }
}

/// Why a request is none of this route's, or nothing where it is.
fn differs(route: &Route, path: &str, question: &Question) -> Option<String> {
    // Routes of TCP are at entry points of their own.
    let Match { path: at, methods, headers, query, is_connection: _ } = &route.matches;
    let other_path = path_differs(at, path);
    let by_method = || {
        let is_preflight = route.options.cors.is_some() && question.method == "OPTIONS";
        let fits = methods.is_empty() || methods.contains(&question.method) || is_preflight;
        let listed: Vec<&str> = methods.iter().map(String::as_str).collect();
        (!fits).then(|| format!("it takes {}, and this is {}", listed.join(", "), question.method))
    };
    let by_header = || headers.iter().find_map(|(name, wanted)| header_differs(name, wanted, question));
    let by_query = || query.iter().find_map(|(name, wanted)| parameter_differs(name, wanted, question));
    other_path.or_else(by_method).or_else(by_header).or_else(by_query)
}

fn path_differs(at: &PathMatch, path: &str) -> Option<String> {
    match at {
        PathMatch::Exact(exact) => {
            (path != exact).then(|| format!("{path} is not {exact}, and nothing else will do"))
        }
        PathMatch::Prefix(prefix) => {
            let below = path.strip_prefix(prefix.as_str());
            let fits = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix == "/");
            match below {
                _ if fits => None,
                Some(_) => Some(format!("{path} begins with {prefix}, and not with whole segments of it")),
                None => Some(format!("{path} does not begin with {prefix}")),
            }
        }
        PathMatch::Regex(text) => {
            (!matches_whole(text, path)).then(|| format!("{path} as a whole does not match {text}"))
        }
    }
}

fn header_differs(name: &str, wanted: &HeaderMatch, question: &Question) -> Option<String> {
    let there = question.headers.get(name).map(String::as_str);
    // One that must not say something, and is not there, does not say it.
    let value = there.or((wanted.not && wanted.value != TextMatch::Present).then_some(""));
    let says = value.is_some_and(|value| says(&wanted.value, value));
    // Of one that is not there and should say something nothing is turned round.
    let fits = if value.is_none() && wanted.value != TextMatch::Present { false } else { says != wanted.not };
    let is = there.map_or_else(|| "the request has none".to_owned(), |value| format!("it is {value:?}"));
    (!fits).then(|| format!("it takes header {name}={wanted}, and {is}"))
}

fn parameter_differs(name: &str, wanted: &TextMatch, question: &Question) -> Option<String> {
    let there = question.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    let is = there.map_or_else(|| "the query has none".to_owned(), |value| format!("it is {value:?}"));
    (!there.is_some_and(|value| says(wanted, value)))
        .then(|| format!("it takes query {name}={wanted}, and {is}"))
}

fn says(wanted: &TextMatch, value: &str) -> bool {
    match wanted {
        TextMatch::Present => true,
        TextMatch::Exact(exact) => value == exact,
        TextMatch::Regex(text) => matches_whole(text, value),
    }
}

/// The model lets no expression through that cannot be read; one that cannot matches nothing.
fn matches_whole(regex: &str, text: &str) -> bool {
    Regex::new(&format!(r"\A(?:{regex})\z")).is_ok_and(|regex| regex.is_match(text))
}

/// `%2F` and `%5C` as what they stand for, and whether there was one.
fn unescape_slashes(path: &str) -> (String, bool) {
    let mut unescaped = path.to_owned();
    for (escaped, plain) in [("%2F", "/"), ("%2f", "/"), ("%5C", "\\"), ("%5c", "\\")] {
        unescaped = unescaped.replace(escaped, plain);
    }
    let differs = unescaped != path;
    (unescaped, differs)
}

/// One spelling for what means the same: no dot segments, no doubled slashes, nothing escaped that need not be
/// (RFC 3986, 6.2.2; Envoy's `normalize_path` and `merge_slashes`).
fn normalize(path: &str) -> String {
    let path = unescape_plain(path).replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.split('/').skip(1) {
        ends_in_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let end = if ends_in_slash && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// `%41` as `A`: letters, digits and `-._~` mean the same escaped or not.
fn unescape_plain(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte.map(char::from) {
            Some(c) if c.is_ascii_alphanumeric() || "-._~".contains(c) => {
                plain.push(c);
                rest = &after[2..];
            }
            _ => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{self, Options};

    fn topology() -> Topology {
        let services = r#"services:
            web: {labels: {portolan.host: "shop.localhost, *.shop.localhost"}, endpoints: ["127.0.0.1:1"]}
            api: {labels: {portolan.host: shop.localhost, portolan.path: /api}, endpoints: ["127.0.0.1:2"]}
            one: {labels: {portolan.host: shop.localhost, portolan.path: "=/one"}, endpoints: ["127.0.0.1:3"]}
            put: {labels: {portolan.host: shop.localhost, portolan.path: /m, portolan.methods: "PUT, POST"}, endpoints: ["127.0.0.1:5"]}
            old: {labels: {portolan.host: shop.localhost, portolan.path: /q, portolan.query.v: "~[12]"}, endpoints: ["127.0.0.1:6"]}
            dev: {labels: {portolan.host: shop.localhost, portolan.path: /h, portolan.header.x-dev: "yes"}, endpoints: ["127.0.0.1:7"]}
            non: {labels: {portolan.host: shop.localhost, portolan.path: /n, portolan.header.x-dev: "!yes"}, endpoints: ["127.0.0.1:8"]}
            ids: {labels: {portolan.host: ids.localhost, portolan.path: "~/[0-9]+"}, endpoints: ["127.0.0.1:4"]}"#;
        let options = Options {
            label_prefix: "portolan".to_owned(),
            reserved_host: "dashboard.localhost".to_owned(),
            policies: Arc::default(),
        };
        model::build(&Arc::new(crate::file::parse(services).unwrap()), &options, None).topology
    }

    fn found(url: &str) -> String {
        found_by(&Question::read(url).unwrap())
    }

    fn found_by(question: &Question) -> String {
        let topology = topology();
        match decide(&topology, "dashboard.localhost", question).outcome {
            Outcome::Routed(route) => route.name.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_route_that_envoy_would_take_wins() {
        for (url, expected) in [
            ("http://shop.localhost:8080/", "web"),
            ("shop.localhost", "web"),
            ("SHOP.localhost./x?a=/api", "web"),
            ("https://shop.localhost/api", "api"),
            ("shop.localhost/api/x", "api"),
            ("shop.localhost/apix", "web"),
            ("shop.localhost/a/../api", "api"),
            ("shop.localhost//api//x", "api"),
            ("shop.localhost/%61pi", "api"),
            ("shop.localhost/api%2Fx", "Redirected"),
            ("shop.localhost/api%5Cx", "Redirected"),
            ("shop.localhost/one", "one"),
            ("shop.localhost/one/", "web"),
            ("a.shop.localhost/api", "web"),
            ("a.b.shop.localhost/", "web"),
            ("ids.localhost/12", "ids"),
            ("ids.localhost/12a", "UnknownPath"),
            ("localhost/", "UnknownHost"),
            ("dashboard.localhost/routes", "Dashboard"),
        ] {
            assert_eq!(found(url), expected, "{url}");
        }
    }

    #[test]
    fn methods_headers_and_the_query_are_asked_for() {
        let by = |url: &str, method: &str, headers: &[(&str, &str)]| {
            let mut question = Question::read(url).unwrap().by(method);
            question.headers =
                headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            found_by(&question)
        };
        assert_eq!(by("shop.localhost/m", "put", &[]), "put");
        assert_eq!(by("shop.localhost/m", "GET", &[]), "web");
        assert_eq!(by("shop.localhost/q?a=b&v=2&v=3", "GET", &[]), "old", "the first one counts");
        assert_eq!(by("shop.localhost/q?v=3&v=2", "GET", &[]), "web");
        assert_eq!(by("shop.localhost/q?w=1", "GET", &[]), "web");
        assert_eq!(by("shop.localhost/h", "GET", &[("x-dev", "yes")]), "dev");
        assert_eq!(by("shop.localhost/h", "GET", &[("x-dev", "no")]), "web");
        assert_eq!(by("shop.localhost/h", "GET", &[]), "web");
        assert_eq!(by("shop.localhost/n", "GET", &[]), "non");
        assert_eq!(by("shop.localhost/n", "GET", &[("x-dev", "no")]), "non");
        assert_eq!(by("shop.localhost/n", "GET", &[("x-dev", "yes")]), "web");
    }

    #[test]
    fn every_route_that_is_asked_says_why_not() {
        let topology = topology();
        let question = Question::read("shop.localhost/apix").unwrap();
        let verdict = decide(&topology, "dashboard.localhost", &question);
        let said: Vec<(&str, &Answer)> = verdict
            .asked
            .iter()
            .map(|(route, answer)| (route.name.as_str(), answer))
            .filter(|(name, _)| ["one", "api", "web"].contains(name))
            .collect();
        let differs = |why: &str| Answer::Differs(why.to_owned());
        assert_eq!(
            said,
            [
                ("one", &differs("/apix is not /one, and nothing else will do")),
                ("api", &differs("/apix begins with /api, and not with whole segments of it")),
                ("web", &Answer::Takes),
            ]
        );
        let question = Question::read("shop.localhost/one").unwrap();
        let verdict = decide(&topology, "dashboard.localhost", &question);
        assert!(verdict.asked[1..].iter().all(|(_, answer)| *answer == Answer::NotAsked));
    }
}
