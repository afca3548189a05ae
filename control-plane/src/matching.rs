//! Which route takes a request, and why the others do not: what Envoy decides with the routes it was given, said in
//! words. Pure; the tests of the whole system hold it against a real Envoy.

use std::collections::BTreeMap;

use regex::Regex;

use crate::model::{HeaderMatch, Host, Match, PathMatch, Route, TextMatch, Topology};

/// A request, as far as routes look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The host, in lower case and without its port.
    pub host: String,
    /// The path as it is sent, without the query.
    pub path: String,
    /// The method, in capitals.
    pub method: String,
    /// The parameters of the query as they are sent; of one that comes twice the first value counts.
    pub query: BTreeMap<String, String>,
    /// The headers, by their names in lower case.
    pub headers: BTreeMap<String, String>,
}

impl Question {
    /// Reads what a person types: `http://shop.localhost:8080/cart?a=b`, or the same without scheme. It is a GET without
    /// headers of its own.
    ///
    /// # Errors
    ///
    /// It names no host, or something that is none; says what to write instead.
    pub fn read(url: &str) -> Result<Self, String> {
        let url = url.trim();
        let rest = match url.split_once("://") {
            Some(("http" | "https", rest)) => rest,
            Some((scheme, _)) if !scheme.contains(['/', '?', '#']) => {
                return Err(format!("{scheme}:// is not routed here; write http://, or the host alone"));
            }
            _ => url,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(format!("{authority:?} is not a host; write shop.localhost/path"));
        }
        let path = path.split('#').next().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = if path.is_empty() { "/" } else { path };
        if let Some(wrong) = path.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("a path has no {wrong:?}; write %20 for a space"));
        }
        let mut parameters = BTreeMap::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            parameters.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let (path, method) = (path.to_owned(), "GET".to_owned());
        Ok(Self { host, path, method, query: parameters, headers: BTreeMap::new() })
    }
}

/// What becomes of a request, and how that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whose routes are asked; nothing where no container claims the host or a wildcard that covers it.
    pub host: Option<Host>,
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
    let host = Host::Exact(question.host.clone());
    if is_escaped {
        return ended(None, path, Outcome::Redirected);
    }
    if question.host == dashboard_host.to_ascii_lowercase() {
        return ended(Some(host), path, Outcome::Dashboard);
    }
    // One virtual host alone is asked: the name's own, else the longest wildcard's (Envoy, "VirtualHost.domains").
    let Some(host) = host.covering().into_iter().find(|host| topology.hosts.contains_key(host)) else {
        return ended(None, path, Outcome::UnknownHost);
    };
    let mut winner = None;
    let mut asked = Vec::new();
    for route in topology.routes_of(&host) {
        let answer = match (winner, differs(&route.matches, &path, question)) {
            (Some(_), _) => Answer::NotAsked,
            (None, Some(why)) => Answer::Differs(why),
            (None, None) => {
                winner = Some(route);
                Answer::Takes
            }
        };
        asked.push((route, answer));
    }
    let outcome = winner.map_or(Outcome::UnknownPath, Outcome::Routed);
    Verdict { host: Some(host), path, asked, outcome }
}

/// Why a request is none of this route's, or nothing where it is.
fn differs(matches: &Match, path: &str, question: &Question) -> Option<String> {
    let of_method = || {
        let none = !matches.methods.is_empty() && !matches.methods.contains(&question.method);
        let methods = || matches.methods.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        none.then(|| format!("{} is none of the methods {}", question.method, methods()))
    };
    let of_headers =
        || matches.headers.iter().find_map(|(name, wanted)| header_differs(name, wanted, question));
    let of_query = || {
        matches.query.iter().find_map(|(name, wanted)| {
            let value = question.query.get(name);
            let is = value.is_some_and(|value| is_text(wanted, value));
            (!is).then(|| told("query parameter", name, &wanted.to_string(), value))
        })
    };
    path_differs(&matches.path, path).or_else(of_method).or_else(of_headers).or_else(of_query)
}

fn header_differs(name: &str, wanted: &HeaderMatch, question: &Question) -> Option<String> {
    let value = question.headers.get(name);
    let is = match (&wanted.value, value) {
        (TextMatch::Present, value) => value.is_some(),
        // A header that is not there is empty, where one must not say something.
        (text, None) => wanted.not && is_text(text, ""),
        (text, Some(value)) => is_text(text, value),
    };
    (is == wanted.not).then(|| told("header", name, &wanted.to_string(), value))
}

fn is_text(wanted: &TextMatch, value: &str) -> bool {
    match wanted {
        TextMatch::Present => true,
        TextMatch::Exact(exact) => value == exact,
        TextMatch::Regex(text) => {
            Regex::new(&format!(r"\A(?:{text})\z")).is_ok_and(|regex| regex.is_match(value))
        }
    }
}

fn told(what: &str, name: &str, wanted: &str, value: Option<&String>) -> String {
    let found = value.map_or_else(|| "not there".to_owned(), |value| format!("{value:?}"));
    format!("the {what} {name} is {found}, and {wanted} is wanted")
}

/// Why a path is none of this route's, or nothing where it is.
fn path_differs(wanted: &PathMatch, path: &str) -> Option<String> {
    match wanted {
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
        PathMatch::Regex(text) => match Regex::new(&format!(r"\A(?:{text})\z")) {
            Ok(regex) => (!regex.is_match(path)).then(|| format!("{path} as a whole does not match {text}")),
            Err(error) => Some(format!("{text} cannot be read as a regular expression: {error}")),
        },
    }
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
            ids: {labels: {portolan.host: ids.localhost, portolan.path: "~/[0-9]+"}, endpoints: ["127.0.0.1:4"]}
            posts: {labels: {portolan.host: m.localhost, portolan.methods: POST}, endpoints: ["127.0.0.1:5"]}
            search: {labels: {portolan.host: m.localhost, portolan.query.q: "*", portolan.query.lang: "~e."}, endpoints: ["127.0.0.1:6"]}
            tenant: {labels: {portolan.host: m.localhost, portolan.header.x-tenant: acme, portolan.path: /t}, endpoints: ["127.0.0.1:7"]}
            others: {labels: {portolan.host: m.localhost, portolan.header.x-tenant: "!acme", portolan.path: /t}, endpoints: ["127.0.0.1:8"]}"#;
        let options =
            Options { label_prefix: "portolan".to_owned(), reserved_host: "dashboard.localhost".to_owned() };
        model::build(&Arc::new(crate::file::parse(services).unwrap()), &options, None).topology
    }

    fn found(url: &str) -> String {
        let topology = topology();
        let question = Question::read(url).unwrap();
        match decide(&topology, "dashboard.localhost", &question).outcome {
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
            ("m.localhost/", "UnknownPath"),
            ("m.localhost/?lang=en&q&q=1", "search"),
            ("m.localhost/?q=1&lang=de", "UnknownPath"),
            ("m.localhost/t", "others"),
            ("localhost/", "UnknownHost"),
            ("dashboard.localhost/routes", "Dashboard"),
        ] {
            assert_eq!(found(url), expected, "{url}");
        }
    }

    #[test]
    fn every_route_that_is_asked_says_why_not() {
        let topology = topology();
        let question = Question::read("shop.localhost/apix").unwrap();
        let verdict = decide(&topology, "dashboard.localhost", &question);
        let said: Vec<(&str, &Answer)> =
            verdict.asked.iter().map(|(route, answer)| (route.name.as_str(), answer)).collect();
        let differs = |why: &str| Answer::Differs(why.to_owned());
        assert_eq!(
            said,
            [
                ("one", &differs("/apix is not /one, and nothing else will do")),
                ("api", &differs("/apix begins with /api, and not with whole segments of it")),
                ("web", &Answer::Takes),
            ]
        );
        let question = Question { method: "PUT".to_owned(), ..Question::read("m.localhost/?q=1").unwrap() };
        let verdict = decide(&topology, "dashboard.localhost", &question);
        let said: Vec<&Answer> = verdict.asked.iter().map(|(_, answer)| answer).collect();
        for why in [
            "/ does not begin with /t",
            "the query parameter lang is not there, and ~e. is wanted",
            "PUT is none of the methods POST",
        ] {
            assert!(said.contains(&&differs(why)), "{said:?}");
        }
        let headers = [("x-tenant".to_owned(), "acme".to_owned())].into();
        let question = Question { headers, ..Question::read("m.localhost/t").unwrap() };
        let verdict = decide(&topology, "dashboard.localhost", &question);
        assert!(matches!(verdict.outcome, Outcome::Routed(route) if route.name == "tenant"), "{verdict:?}");
        let question = Question::read("shop.localhost/one").unwrap();
        let verdict = decide(&topology, "dashboard.localhost", &question);
        assert!(verdict.asked[1..].iter().all(|(_, answer)| *answer == Answer::NotAsked));
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (url, word) in [
            ("", "is not a host"),
            ("/path", "is not a host"),
            ("ftp://a/", "ftp:// is not routed"),
            ("a b/", "is not a host"),
            ("a/x y", "%20"),
        ] {
            let told = Question::read(url).unwrap_err();
            assert!(told.contains(word), "{url}: {told}");
        }
    }
}
