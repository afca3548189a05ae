//! Labels of Traefik in our vocabulary: `tests/compat/*.txt` hold labels in, labels out and what is said of them;
//! `UPDATE_GOLDEN=1 cargo test -p portolan --test compat` writes what comes out anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use portolan::compat::{Kind, Source, Translated, traefik};
use portolan::model::{Problem, label};
use portolan::policies::Policies;
use proptest::prelude::*;

/// Labels of services by their names.
type Services = BTreeMap<String, BTreeMap<String, String>>;

fn translate(services: &Services) -> Vec<Translated> {
    let ports = BTreeSet::new();
    let sources: Vec<Source<'_>> = services
        .iter()
        .map(|(name, labels)| Source { name, compose: Some(("shop", name)), labels, ports: &ports })
        .collect();
    traefik::translate(&sources)
}

/// What is wrong with our labels, as whoever reads them says.
fn problems(labels: &[(String, String)]) -> Vec<Problem> {
    let workload = support::labelled(
        labels.iter().map(|(key, value)| (format!("portolan.{key}"), value.clone())).collect(),
    );
    let (_, problems) = label::read(&workload, "portolan", &Policies::default());
    // A policy and an entry point are for somebody to write: that is said in a note.
    let is_for_somebody = |problem: &Problem| {
        ["there is no policy", "there is no entry point"]
            .iter()
            .any(|start| problem.reason.starts_with(start))
    };
    problems.into_iter().filter(|problem| !is_for_somebody(problem)).collect()
}

fn shown(services: &Services) -> String {
    let mut text = String::new();
    for (name, translated) in services.keys().zip(translate(services)) {
        assert_eq!(problems(&translated.labels), [], "{services:?}");
        for (key, value) in translated.labels {
            writeln!(text, "> {name}: {key}={value}").unwrap();
        }
        for note in translated.notes {
            writeln!(text, "! {name}: {note}").unwrap();
        }
    }
    text
}

fn golden(file: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat").join(file);
    let want = std::fs::read_to_string(&file).unwrap();
    let mut got = String::new();
    for case in want.split("\n\n") {
        let mut services = Services::new();
        let lines = case.lines().filter(|line| !line.starts_with(['>', '!']));
        for line in lines {
            writeln!(got, "{line}").unwrap();
            if let Some((name, label)) = line.split_once(": ").filter(|_| !line.starts_with('#')) {
                let (label, value) = label.split_once('=').unwrap();
                let labels = services.entry(name.to_owned()).or_default();
                assert!(labels.insert(label.to_owned(), value.to_owned()).is_none(), "{line}");
            }
        }
        writeln!(got, "{}", shown(&services)).unwrap();
    }
    let got = format!("{}\n", got.trim_end());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &got).unwrap();
    } else {
        assert_eq!(want, got);
    }
}

#[test]
fn rules_become_routes() {
    golden("rules.txt");
}

#[test]
fn middlewares_become_what_a_route_does() {
    golden("middlewares.txt");
}

#[test]
fn routers_and_services_become_routes_of_one_container() {
    golden("routers.txt");
}

#[test]
fn routers_of_tcp_become_routes_of_an_entry_point() {
    golden("tcp.txt");
}

fn words() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "Host(`a.localhost`)",
        "Host(`b.localhost`)",
        "HostRegexp(`^.+\\.localhost$`)",
        "HostRegexp(`^[ab]\\.c$`)",
        "HostRegexp(`.+`)",
        "Path(`/a`)",
        "Path(`/a/b`)",
        "PathPrefix(`/a`)",
        "PathPrefix(`/a/b/`)",
        "PathPrefix(`/`)",
        "PathRegexp(`^/a/[0-9]+$`)",
        "PathRegexp(`x|y`)",
        "Method(`GET`)",
        "Method(`POST`)",
        "Header(`X-A`, `b`)",
        "HeaderRegexp(`X-A`, `^b`)",
        "Query(`a`, `b`)",
        "Query(`a`)",
        "QueryRegexp(`a`, `[0-9]+`)",
        "ClientIP(`10.0.0.0/8`)",
        "&&",
        "&&",
        "||",
        "||",
        "!",
        "(",
        ")",
        "\"",
        "`",
        ",",
        "é",
        "Host(",
        "$",
    ]);
    prop::collection::vec(prop_oneof![6 => known.prop_map(str::to_owned), 1 => ".{0,3}"], 0..9)
        .prop_map(|words| words.join(" "))
}

/// A rule that has no mistake in its grammar.
fn rule() -> impl Strategy<Value = String> {
    let matcher = prop::sample::select(vec![
        "Host(`a.localhost`)",
        "Host(`b.localhost`)",
        "HostRegexp(`^.+\\.localhost$`)",
        "HostRegexp(`^[ab]\\.c$`)",
        "Path(`/a`)",
        "PathPrefix(`/a`)",
        "PathPrefix(`/a/b/`)",
        "PathRegexp(`^/a/[0-9]+$`)",
        "Method(`GET`)",
        "Method(`POST`)",
        "Header(`X-A`, `b`)",
        "HeaderRegexp(`X-A`, `^b`)",
        "Query(`a`, `b`)",
        "QueryRegexp(`a`, `[0-9]+`)",
    ]);
    matcher.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} && {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn label() -> impl Strategy<Value = (String, String)> {
    let fields = prop::sample::select(vec![
        "routers.a.rule",
        "routers.b.rule",
        "routers.a.middlewares",
        "routers.b.middlewares",
        "routers.a.entrypoints",
        "routers.a.priority",
        "routers.a.service",
        "routers.b.tls",
        "services.s.loadbalancer.server.port",
        "services.s.loadbalancer.server.scheme",
        "services.t.loadbalancer.sticky.cookie.name",
        "services.s.loadbalancer.healthcheck.path",
        "services.s.loadbalancer.healthcheck.interval",
        "middlewares.m.stripprefix.prefixes",
        "middlewares.n.addprefix.prefix",
        "middlewares.o.redirectscheme.scheme",
        "middlewares.p.redirectregex.regex",
        "middlewares.p.redirectregex.replacement",
        "middlewares.q.headers.customrequestheaders.X-A",
        "middlewares.q.headers.accesscontrolalloworiginlist",
        "middlewares.r.ratelimit.average",
        "middlewares.r.ratelimit.period",
        "middlewares.s.ipallowlist.sourcerange",
        "middlewares.t.basicauth.users",
        "middlewares.u.retry.attempts",
        "middlewares.v.chain.middlewares",
        "middlewares.w.replacepath.path",
        "middlewares.x.inflightreq.amount",
        "middlewares.y.buffering.maxrequestbodybytes",
        "nothing",
    ]);
    let values = prop::sample::select(vec![
        "m",
        "m,n",
        "o",
        "p",
        "q,r",
        "s,t",
        "u,v",
        "v",
        "w",
        "x,y",
        "/a",
        "/a/b",
        "/a,/a/b",
        "/",
        "a",
        "https",
        "80",
        "0",
        "-1",
        "99999999999999999999",
        "10s",
        "1h",
        "true",
        "web",
        "websecure",
        "^http://(.*)$",
        "^https?://a.localhost/(.*)",
        "https://${1}",
        "https://b.localhost/$1",
        "10.1.2.3/8",
        "*",
        "api@internal",
        "$",
    ]);
    let value = prop_oneof![3 => rule(), 1 => words(), 4 => values.prop_map(str::to_owned), 1 => ".{0,8}"];
    (fields, value).prop_map(|(field, value)| {
        let value =
            if field.ends_with("rule") && !value.contains('(') { format!("Host(`{value}`)") } else { value };
        (format!("http.{field}"), value)
    })
}

fn label_of_tcp() -> impl Strategy<Value = (String, String)> {
    let fields = prop::sample::select(vec![
        "routers.a.rule",
        "routers.b.rule",
        "routers.a.entrypoints",
        "routers.b.entrypoints",
        "routers.a.tls",
        "routers.b.tls.passthrough",
        "routers.a.service",
        "routers.b.middlewares",
        "services.s.loadbalancer.server.port",
        "services.s.loadbalancer.server.tls",
        "services.t.loadbalancer.proxyprotocol.version",
    ]);
    let values = prop::sample::select(vec![
        "HostSNI(`*`)",
        "HostSNI(`a.localhost`)",
        "HostSNI(`a.localhost`) || HostSNI(`b.localhost`)",
        "HostSNIRegexp(`^.+\\.localhost$`)",
        "HostSNI(`a b`) || HostSNI(`é`)",
        "ClientIP(`10.0.0.0/8`)",
        "db",
        "db,db",
        "db, other",
        "web",
        "websecure",
        "true",
        "false",
        "80",
        "99999",
        "s",
        "",
    ]);
    (fields, values).prop_map(|(field, value)| (format!("tcp.{field}"), value.to_owned()))
}

fn services() -> impl Strategy<Value = Services> {
    let labels = prop::collection::btree_map("[a-z.é]{0,6}", ".{0,4}", 0..2);
    let of_traefik = prop::collection::vec(prop_oneof![3 => label(), 1 => label_of_tcp()], 0..9);
    let service = (of_traefik, labels).prop_map(|(labels, more)| {
        let all = labels.into_iter().chain(more);
        all.map(|(label, value)| (format!("traefik.{label}"), value)).collect()
    });
    prop::collection::btree_map("[a-c]", service, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Nothing panics, and whatever comes out is right.
    #[test]
    fn whatever_is_made_of_any_labels_reads_without_a_mistake(services in services()) {
        for translated in translate(&services) {
            prop_assert_eq!(problems(&translated.labels), []);
        }
    }

    /// The same of routers of TCP alone.
    #[test]
    fn whatever_is_made_of_tcp_reads_without_a_mistake(all in prop::collection::vec(label_of_tcp(), 0..9)) {
        let labels = all.into_iter().map(|(label, value)| (format!("traefik.{label}"), value)).collect();
        let translated = translate(&BTreeMap::from([("db".to_owned(), labels)])).remove(0);
        prop_assert_eq!(problems(&translated.labels), []);
    }

    /// A router has routes, or there is a note that says why not.
    #[test]
    fn a_rule_is_carried_over_or_told(rule in prop_oneof![rule(), words(), ".{0,20}"]) {
        let labels = BTreeMap::from([("traefik.http.routers.a.rule".to_owned(), rule)]);
        let translated = translate(&BTreeMap::from([("web".to_owned(), labels)])).remove(0);
        let is_told = translated.notes.iter().any(|note| note.kind == Kind::Lost);
        prop_assert!(translated.labels.is_empty() == is_told, "{:?}", translated);
    }
}
