//! One alternative of a rule as a route of ours: hosts, and what a request must have besides.

use std::collections::BTreeSet;

use super::alternatives::Condition;
use super::pattern::{finds, implies, whole};
use super::{Matcher, MatcherKind, names};
use crate::compat::note::Refusal;
use crate::model::{HeaderMatch, Host, Match, PathMatch, TextMatch};

/// What is left where a method is taken away.
const METHODS: [&str; 8] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Which requests a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::compat) struct Shape {
    pub(in crate::compat) hosts: Vec<Host>,
    pub(in crate::compat) matches: Match,
}

/// Whether every name of `inner` is one of `outer`.
pub(in crate::compat) fn covers(outer: &Host, inner: &Host) -> bool {
    match (outer, inner) {
        (Host::Any, _) => true,
        (Host::Exact(a), Host::Exact(b)) => a == b,
        (Host::Suffix(suffix), Host::Exact(name) | Host::Suffix(name)) => {
            name.ends_with(suffix.as_str()) && (name.len() > suffix.len() || matches!(inner, Host::Suffix(_)))
        }
        (Host::Exact(_) | Host::Suffix(_), _) => false,
    }
}

impl Shape {
    /// The route that takes what has all of `conditions`; nothing where nothing has.
    pub(super) fn of(
        conditions: &[Condition<'_>],
        differences: &mut Vec<String>,
    ) -> Result<Option<Self>, Refusal> {
        let mut builder = Builder {
            hosts: None,
            path: None,
            prefix: None,
            methods: None,
            without: BTreeSet::new(),
            matches: Match::default(),
            is_possible: true,
        };
        // What narrows most goes first, so that the rest can be looked at in its light.
        for round in [&FIRST[..], &SECOND, &THIRD] {
            for condition in conditions.iter().filter(|it| round.contains(&it.matcher.kind)) {
                let Matcher { place, .. } = condition.matcher;
                builder.add(*condition, differences).map_err(|refusal| refusal.at(*place))?;
            }
        }
        Ok(builder.finish(differences))
    }
}

const FIRST: [MatcherKind; 6] = [
    MatcherKind::Host,
    MatcherKind::Path,
    MatcherKind::Method,
    MatcherKind::Header,
    MatcherKind::Query,
    MatcherKind::ClientIp,
];
const SECOND: [MatcherKind; 2] = [MatcherKind::PathPrefix, MatcherKind::HeaderRegexp];
const THIRD: [MatcherKind; 3] = [MatcherKind::HostRegexp, MatcherKind::PathRegexp, MatcherKind::QueryRegexp];

struct Builder {
    hosts: Option<Vec<Host>>,
    path: Option<PathMatch>,
    /// The prefix as it is written.
    prefix: Option<String>,
    methods: Option<String>,
    without: BTreeSet<String>,
    matches: Match,
    is_possible: bool,
}

impl Builder {
    fn add(&mut self, condition: Condition<'_>, differences: &mut Vec<String>) -> Result<(), Refusal> {
        let Condition { not, matcher } = condition;
        let first = matcher.arguments.first().map_or("", String::as_str);
        let second = matcher.arguments.get(1).map_or("", String::as_str);
        match matcher.kind {
            MatcherKind::Method => self.method(first, not),
            MatcherKind::Header => {
                return self.header(first, not, TextMatch::Exact(second.to_owned()));
            }
            MatcherKind::HeaderRegexp => return self.header_regexp(first, second, not, differences),
            // There is none of ALPN in a rule of HTTP.
            MatcherKind::ClientIp | MatcherKind::Alpn => {
                return Err(Refusal::new(
                    "our routes are not chosen by the client's address",
                    "allow and deny say who may use a route: the answer to others is 403",
                ));
            }
            kind if not => return Err(negated(kind)),
            MatcherKind::Host => self.narrow_hosts(&[Host::Exact(first.to_ascii_lowercase())]),
            MatcherKind::HostRegexp => return self.host_regexp(first, differences),
            MatcherKind::Path => self.exact(rooted(first)?),
            MatcherKind::PathPrefix => self.prefix(rooted(first)?),
            MatcherKind::PathRegexp => return self.path_regexp(first),
            MatcherKind::Query => return self.query(first, &TextMatch::Exact(second.to_owned())),
            MatcherKind::QueryRegexp if matcher.arguments.len() == 1 => {
                return self.query(first, &TextMatch::Exact(String::new()));
            }
            MatcherKind::QueryRegexp => return self.query(first, &regex_text(second)?),
        }
        Ok(())
    }

    fn method(&mut self, method: &str, not: bool) {
        let method = method.to_ascii_uppercase();
        if not {
            self.without.insert(method);
        } else if self.methods.as_ref().is_some_and(|other| *other != method) {
            self.is_possible = false;
        } else {
            self.methods = Some(method);
        }
    }

    fn header(&mut self, name: &str, not: bool, value: TextMatch) -> Result<(), Refusal> {
        let name = name.to_ascii_lowercase();
        let new = HeaderMatch { not, value };
        match self.matches.headers.insert(name, new.clone()) {
            Some(other) if other != new => Err(Refusal::new(
                "a route of ours asks one thing of a header",
                "say both in one regular expression",
            )),
            _ => Ok(()),
        }
    }

    fn header_regexp(
        &mut self,
        name: &str,
        pattern: &str,
        not: bool,
        differences: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let value = regex_text(pattern)?;
        if not && value != TextMatch::Present && finds(pattern, "")? {
            differences
                .push(format!("a request without the header {name} is taken for one in which it is empty"));
        }
        self.header(name, not, value)
    }

    fn query(&mut self, name: &str, value: &TextMatch) -> Result<(), Refusal> {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~*,:/".contains(&b));
        if matches!(value, TextMatch::Exact(text) if !plain(text)) || !plain(name) {
            return Err(Refusal::new(
                "a query is compared as it is sent, where such characters are escaped in one way or another",
                "match it by a regular expression that takes each of the ways",
            ));
        }
        match self.matches.query.insert(name.to_owned(), value.clone()) {
            Some(other) if other != *value => Err(Refusal::new(
                "a route of ours asks one thing of a query parameter",
                "say both in one regular expression",
            )),
            _ => Ok(()),
        }
    }

    fn narrow_hosts(&mut self, to: &[Host]) {
        self.hosts = Some(match self.hosts.take() {
            None => to.to_vec(),
            Some(hosts) => {
                let narrower = |a: &Host, b: &Host| {
                    if covers(a, b) { Some(b.clone()) } else { covers(b, a).then(|| a.clone()) }
                };
                hosts.iter().flat_map(|a| to.iter().filter_map(move |b| narrower(a, b))).collect()
            }
        });
    }

    fn host_regexp(&mut self, pattern: &str, differences: &mut Vec<String>) -> Result<(), Refusal> {
        let exact = |host: &Host| match host {
            Host::Exact(name) => Some(name.clone()),
            Host::Suffix(_) | Host::Any => None,
        };
        let known: Option<Vec<String>> =
            self.hosts.as_ref().and_then(|hosts| hosts.iter().map(exact).collect());
        match known {
            Some(known) => {
                let mut kept = Vec::new();
                for name in known {
                    if finds(pattern, &name)? {
                        kept.push(Host::Exact(name));
                    }
                }
                self.hosts = Some(kept);
            }
            None => self.narrow_hosts(&names::hosts(pattern, differences)?),
        }
        Ok(())
    }

    fn exact(&mut self, path: &str) {
        let path = PathMatch::Exact(path.to_owned());
        self.is_possible &= self.path.as_ref().is_none_or(|other| *other == path);
        self.path = Some(path);
    }

    fn prefix(&mut self, prefix: &str) {
        let trimmed = prefix.trim_end_matches('/');
        let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
        match &self.path {
            Some(PathMatch::Exact(path)) => {
                self.is_possible &= path.starts_with(prefix);
                return;
            }
            Some(PathMatch::Prefix(other)) if other.starts_with(trimmed) => return,
            Some(PathMatch::Prefix(other)) => self.is_possible &= trimmed.starts_with(other.as_str()),
            Some(PathMatch::Regex(_)) | None => {}
        }
        self.prefix = Some(prefix.to_owned());
        self.path = Some(PathMatch::Prefix(trimmed.to_owned()));
    }

    fn path_regexp(&mut self, pattern: &str) -> Result<(), Refusal> {
        let anything = PathMatch::default();
        match &self.path {
            Some(PathMatch::Exact(path)) => self.is_possible &= finds(pattern, path)?,
            Some(PathMatch::Prefix(prefix)) if prefix != "/" && !implies(pattern, prefix) => {
                return Err(Refusal::new(
                    "a route of ours has one way to match its path",
                    format!("say all in one regular expression that begins with ^{prefix}"),
                ));
            }
            Some(PathMatch::Regex(_)) => {
                return Err(Refusal::new(
                    "a route of ours has one way to match its path",
                    "say both in one regular expression",
                ));
            }
            Some(PathMatch::Prefix(_)) | None => {
                let whole = whole(pattern)?;
                self.path = Some(if whole == ".*" { anything } else { PathMatch::Regex(whole) });
            }
        }
        Ok(())
    }

    fn finish(self, differences: &mut Vec<String>) -> Option<Shape> {
        let Self { hosts, path, prefix, methods, without, mut matches, is_possible } = self;
        let hosts = hosts.unwrap_or_else(|| vec![Host::Any]);
        if let Some(method) = methods {
            if without.contains(&method) {
                return None;
            }
            matches.methods.insert(method);
        } else if !without.is_empty() {
            matches.methods = METHODS
                .iter()
                .map(|method| (*method).to_owned())
                .filter(|method| !without.contains(method))
                .collect();
            differences.push("methods that HTTP does not define are not taken".to_owned());
        }
        matches.path = path.unwrap_or_default();
        if let (PathMatch::Prefix(path), Some(prefix)) = (&matches.path, prefix)
            && path != "/"
        {
            differences.push(if prefix.ends_with('/') {
                format!("the prefix {prefix} takes {path} as well")
            } else {
                format!("the prefix {prefix} is one of whole segments: {prefix}x is not below it")
            });
        }
        (is_possible && !hosts.is_empty()).then_some(Shape { hosts, matches })
    }
}

fn regex_text(pattern: &str) -> Result<TextMatch, Refusal> {
    let whole = whole(pattern)?;
    Ok(if whole == ".*" { TextMatch::Present } else { TextMatch::Regex(whole) })
}

fn rooted(path: &str) -> Result<&str, Refusal> {
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(Refusal::new("a path begins with /", "correct the rule"))
    }
}

fn negated(kind: MatcherKind) -> Refusal {
    let (reason, fix) = match kind {
        MatcherKind::Path | MatcherKind::PathPrefix | MatcherKind::PathRegexp => (
            "our routes cannot ask for any path but one",
            "where another router takes that path, leave the ! out: the longer path comes first anyway; else give it a route of its own that answers 404 (respond)",
        ),
        MatcherKind::Host | MatcherKind::HostRegexp => (
            "our routes cannot ask for any host but one",
            "leave the ! out: a host that has routes of its own comes before * and *.example.com",
        ),
        _ => (
            "Envoy cannot ask for a parameter that does not say something",
            "a second router without it takes the rest",
        ),
    };
    Refusal::new(reason, fix)
}

/// The same routes with fewer of them: those that differ in their hosts alone, or in their methods alone, as one.
pub(super) fn merged(mut shapes: Vec<Shape>) -> Vec<Shape> {
    loop {
        let before = shapes.len();
        shapes = shapes.into_iter().fold(Vec::new(), |mut kept: Vec<Shape>, shape| {
            match kept.iter_mut().find(|other| joins(other, &shape)) {
                Some(other) => join(other, shape),
                None => kept.push(shape),
            }
            kept
        });
        if shapes.len() == before {
            return shapes;
        }
    }
}

fn joins(a: &Shape, b: &Shape) -> bool {
    let rest = |shape: &Shape| Match { methods: BTreeSet::new(), ..shape.matches.clone() };
    a.matches == b.matches || (a.hosts == b.hosts && rest(a) == rest(b))
}

fn join(into: &mut Shape, shape: Shape) {
    if into.matches == shape.matches {
        for host in shape.hosts {
            if !into.hosts.contains(&host) {
                into.hosts.push(host);
            }
        }
    } else if into.matches.methods.is_empty() || shape.matches.methods.is_empty() {
        into.matches.methods.clear();
    } else {
        into.matches.methods.extend(shape.matches.methods);
    }
}
