//! A route while its labels are read, and what they add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::policy::Named;
use super::{Claims, Mistake, RouteClaim, tcp};
use crate::model::matching::{Match, PathMatch};
use crate::model::options::{
    Answer, Check, Cors, Limit, MaxBody, Origin, Protocol, Rate, RateLimit, Redirect, RedirectCode, Respond,
    Rewrite, RouteOptions, TIMEOUT,
};
use crate::model::topology::Host;
use crate::policies::Policies;

/// What pages of other origins may do where `cors` says no more: what an application's own pages do.
const CORS_METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const CORS_HEADERS: [&str; 2] = ["authorization", "content-type"];
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Keys of which a route has one at most.
const EXCLUSIVE: [(&str, &str, &str); 3] = [
    ("rewrite", "strip", "both say what becomes of the matched prefix"),
    ("respond", "redirect", "a request has one answer"),
    ("mirror", "respond", "an answer by Envoy itself reaches no service"),
];

/// A route while its labels are read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) hosts: Option<Vec<Host>>,
    pub(super) matches: Match,
    pub(super) priority: i32,
    /// What needs nothing else.
    pub(super) options: RouteOptions,
    pub(super) timeout: Option<Limit>,
    pub(super) strip: bool,
    pub(super) rewrite: Option<String>,
    pub(super) redirect: Option<Redirect>,
    pub(super) redirect_code: RedirectCode,
    pub(super) respond: Option<Respond>,
    pub(super) cors: CorsDraft,
    pub(super) limit: LimitDraft,
    pub(super) max_body: Option<u64>,
    pub(super) policies: Named,
    /// The keys that labels say, in small letters.
    pub(super) said: BTreeSet<String>,
    /// The labels it is made of, by the keys' rows.
    pub(super) given: Given,
    pub(super) broken: bool,
}

#[derive(Debug, Default)]
pub(super) struct CorsDraft {
    pub(super) origins: Option<Vec<Origin>>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) headers: Option<Vec<String>>,
    pub(super) credentials: bool,
    pub(super) max_age: Option<Duration>,
}

#[derive(Debug, Default)]
pub(super) struct LimitDraft {
    pub(super) rate: Option<Rate>,
    pub(super) burst: Option<u32>,
    pub(super) by_address: bool,
}

/// What the labels say of a check by Envoy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CheckDraft {
    pub(super) path: Option<String>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

impl Default for CheckDraft {
    fn default() -> Self {
        Self { path: None, interval: CHECK_INTERVAL, timeout: CHECK_TIMEOUT }
    }
}

impl CheckDraft {
    pub(super) fn finish(self) -> Option<Check> {
        let Self { path, interval, timeout } = self;
        path.map(|path| Check { path, interval, timeout })
    }
}

/// Labels by the names of their keys' rows: the whole label, and its value.
#[derive(Debug, Default)]
pub(super) struct Given(BTreeMap<&'static str, (String, String)>);

impl Given {
    pub(super) fn add(&mut self, row: &'static str, label: &str, value: &str) {
        self.0.insert(row, (label.to_owned(), value.to_owned()));
    }

    pub(super) fn has(&self, row: &str) -> bool {
        self.0.contains_key(row)
    }

    /// The keys' rows, in order of their names.
    pub(super) fn rows(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }

    pub(super) fn get(&self, row: &str) -> Option<&(String, String)> {
        self.0.get(row)
    }

    /// The keys that say nothing because another one is missing, with what is to be said of them.
    pub(super) fn lonely<'a>(
        &'a self,
        policies: &'a Policies,
    ) -> impl Iterator<Item = (&'static str, Mistake)> + 'a {
        self.0.keys().filter_map(|row| {
            let needs = super::key::find(row)?
                .0
                .needs
                .filter(|needs| !self.has(needs) && !policies.defaults.contains_key(*needs))?;
            let reason = format!("{row} says nothing without {needs}");
            Some((*row, Mistake::new(reason, format!("add {needs}, or remove this label"))))
        })
    }
}

impl Draft {
    /// What does not go together: the key that is to be told, and what.
    pub(super) fn contradictions(
        &self,
        claims: &Claims,
        policies: &Policies,
    ) -> Vec<(&'static str, Mistake)> {
        if claims.is_tcp() {
            return tcp::contradictions(self, claims, policies);
        }
        let mut all: Vec<(&'static str, Mistake)> =
            self.given.lonely(policies).chain(self.policies.unknown(policies)).collect();
        for (key, other, why) in EXCLUSIVE {
            if self.given.has(key) && self.given.has(other) && (other != "strip" || self.strip) {
                let reason = format!("it does not go with {other}: {why}");
                all.push((key, Mistake::new(reason, "remove one of the two")));
            }
        }
        for (key, set) in [("strip", self.strip), ("rewrite", self.rewrite.is_some())] {
            if set && matches!(self.matches.path, PathMatch::Regex(_)) {
                let reason = "a regular expression matches the whole path, and no prefix of it";
                all.push((key, Mistake::new(reason, "match by a prefix such as /api, or remove this label")));
            }
        }
        let any = self.cors.origins.as_ref().is_some_and(|origins| origins.contains(&Origin::Any));
        if any && self.cors.credentials {
            let reason = "with * every site on the web could act in the name of whoever visits it";
            all.push(("cors.credentials", Mistake::new(reason, "name the origins in cors")));
        }
        all
    }

    /// The route, if it names a host; of TCP, if it names an entry point.
    pub(super) fn finish(self, claims: &Claims, policies: &Policies) -> Option<RouteClaim> {
        if claims.is_tcp() {
            return tcp::finish(self, claims);
        }
        let protocol = claims.backend.protocol;
        let is_grpc = protocol == Protocol::Grpc;
        let redirect = self.redirect.map(|to| Answer::Redirect(to, self.redirect_code));
        let strip = self.strip.then_some(Rewrite::Strip);
        let options = RouteOptions {
            auth: self.policies.guard(),
            answer: redirect.or(self.respond.map(Answer::Respond)),
            rewrite: strip.or(self.rewrite.map(Rewrite::To)),
            // A gRPC stream may go on for as long as it likes.
            timeout: self.timeout.unwrap_or(if is_grpc { Limit::Off } else { Limit::After(TIMEOUT) }),
            cors: self.cors.finish(),
            limit: self.limit.finish(),
            max_body: self.max_body.map(|bytes| MaxBody { bytes, streams: is_grpc }),
            sticky: claims.sticky.clone(),
            hash: claims.backend.balance.key().cloned(),
            ..self.options
        };
        let (matches, priority) = (self.matches, self.priority);
        // What names nothing was told before.
        let place = self.policies.whereabouts(policies).unwrap_or_default();
        let sites = self.hosts.map(|hosts| place.sites(&hosts));
        let upgrades = place.upgrades;
        sites.map(|sites| RouteClaim { sites, upgrades, matches, priority, options: options.into() })
    }
}

impl CorsDraft {
    fn finish(self) -> Option<Cors> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Some(Cors {
            origins: self.origins?,
            methods: self.methods.unwrap_or_else(|| owned(&CORS_METHODS)),
            headers: self.headers.unwrap_or_else(|| owned(&CORS_HEADERS)),
            credentials: self.credentials,
            max_age: self.max_age,
        })
    }
}

impl LimitDraft {
    fn finish(self) -> Option<RateLimit> {
        let rate = self.rate?;
        Some(RateLimit { rate, burst: self.burst.unwrap_or(rate.count), by_address: self.by_address })
    }
}
