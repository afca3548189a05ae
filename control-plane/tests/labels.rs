//! The vocabulary: what right values mean, and what is said of wrong ones.
//!
//! `tests/labels/wrong.txt` holds wrong labels, each with the message a person reads;
//! `UPDATE_GOLDEN=1 cargo test -p portolan --test labels` writes the messages anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use portolan::model::label::{self, Claims, HealthRule, KEYS};
use portolan::model::{PathMatch, Problem};
use portolan::policies::Policies;

fn read(labels: &[(&str, &str)], prefix: &str) -> (Claims, Vec<Problem>) {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let workload = support::labelled(labels);
    label::read(&workload, prefix, &Policies::default())
}

fn right(labels: &[(&str, &str)]) -> Claims {
    let (claims, problems) = read(labels, "portolan");
    assert_eq!(problems, [], "{labels:?}");
    claims
}

fn hosts(value: &str) -> Vec<String> {
    let claims = right(&[("portolan.host", value)]);
    claims.routes["default"].as_ref().unwrap().sites.iter().map(|site| site.host.to_string()).collect()
}

fn path(value: &str) -> PathMatch {
    let claims = right(&[("portolan.host", "a"), ("portolan.path", value)]);
    claims.routes["default"].as_ref().unwrap().matches.path.clone()
}

#[test]
fn a_wrong_label_is_told_with_what_to_write_instead() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/labels/wrong.txt");
    let want = std::fs::read_to_string(&file).unwrap();
    let mut got = String::new();
    // Labels that stand beside the wrong one: a host, so that the missing host is not what is wrong, and those after a +.
    let mut beside = Vec::new();
    for line in want.lines() {
        if let Some(right) = line.strip_prefix("+ ") {
            beside.extend(right.split_once('='));
        }
        let Some((label, value)) = line.split_once('=').filter(|_| !line.starts_with([' ', '#', '+'])) else {
            if line.starts_with(['#', '+']) || line.is_empty() {
                got.push_str(line);
                got.push('\n');
            }
            continue;
        };
        let host =
            if label.ends_with("host") { ("portolan.z", "") } else { ("portolan.host", "a.localhost") };
        beside.extend([host, (label, value)]);
        let (_, problems) = read(&std::mem::take(&mut beside), "portolan");
        let of_label = problems.iter().filter(|problem| problem.label.as_deref() == Some(label));
        let messages: Vec<String> = of_label.map(|problem| format!("    {problem}\n")).collect();
        assert!(!messages.is_empty(), "{label}={value:?} is taken as right");
        got.push_str(&format!("{label}={value}\n{}", messages.concat()));
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &got).unwrap();
    } else {
        assert_eq!(want, got);
    }
}

#[test]
fn hosts_are_a_list_in_one_spelling_each_once() {
    assert_eq!(hosts("b.localhost, A.localhost ,b.localhost"), ["a.localhost", "b.localhost"]);
    assert_eq!(hosts("*"), ["*"]);
    assert_eq!(hosts("*.Example.com,xn--bcher-kva.example,my_host,127.0.0.1").len(), 4);
}

#[test]
fn a_path_is_a_prefix_or_exact_or_a_regular_expression() {
    assert_eq!(path("/api"), PathMatch::Prefix("/api".to_owned()));
    assert_eq!(path("/api/"), PathMatch::Prefix("/api".to_owned()));
    assert_eq!(path("/"), PathMatch::default());
    assert_eq!(path("=/api/"), PathMatch::Exact("/api/".to_owned()));
    assert_eq!(path("~/(a|b)/[0-9]{1,3}"), PathMatch::Regex("/(a|b)/[0-9]{1,3}".to_owned()));
    assert_eq!(path("/caf%C3%A9/a+b~c"), PathMatch::Prefix("/caf%C3%A9/a+b~c".to_owned()));
}

#[test]
fn the_short_form_is_the_route_default_and_named_routes_stand_beside_it() {
    let claims = right(&[
        ("portolan.host", "a"),
        ("portolan.routes.b-1.host", "b"),
        ("portolan.routes.b-1.path", "/b"),
        ("portolan.port", "8080"),
        ("portolan.network", "front"),
        ("portolan.service", "shop/web.v2"),
        ("portolan.health", "ignore"),
        ("portolan.priority", "-3"),
        ("portolan.proxy", "true"),
        ("portolan.enable", "false"),
        ("other.key", "?"),
        ("portolano.host", "?"),
    ]);
    assert_eq!(claims.routes.keys().collect::<Vec<_>>(), ["b-1", "default"]);
    assert_eq!(claims.port, Some(8080));
    assert_eq!(claims.network.as_deref(), Some("front"));
    assert_eq!(claims.service.as_deref(), Some("shop/web.v2"));
    assert_eq!(claims.health, HealthRule::Ignore);
    assert_eq!(claims.routes["default"].as_ref().unwrap().priority, -3);
    assert!(claims.proxy && claims.hidden);
}

#[test]
fn a_mistake_takes_out_its_route_and_one_about_the_container_takes_out_all() {
    let routes = |labels: &[(&str, &str)]| {
        let (claims, problems) = read(labels, "portolan");
        assert_eq!(problems.len(), 1, "{problems:?}");
        (claims.routes["default"].is_some(), claims.routes["b"].is_some(), claims.broken.is_empty())
    };
    let (a, b) = (("portolan.host", "a"), ("portolan.routes.b.host", "b"));
    assert_eq!(routes(&[a, b, ("portolan.path", "x")]), (false, true, true));
    assert_eq!(routes(&[a, b, ("portolan.pth", "/x")]), (false, true, true));
    assert_eq!(routes(&[a, b, ("portolan.routes.b.path", "x")]), (true, false, true));
    assert_eq!(routes(&[a, b, ("portolan.port", "x")]), (true, true, false));
    assert_eq!(routes(&[a, b, ("portolan.weight", "1")]), (true, true, false));
}

#[test]
fn the_prefix_can_be_another_one() {
    let (claims, problems) =
        read(&[("edge.eu.host", "a"), ("portolan.host", "?"), ("edge.eu.hots", "b")], "edge.eu");
    assert!(claims.asks);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].fix, "did you mean edge.eu.host?");
}

#[test]
fn a_problem_tells_the_place_in_bytes_and_shows_it_in_characters() {
    let (_, problems) = read(&[("portolan.path", "/é?x"), ("portolan.host", "a")], "portolan");
    assert_eq!(problems[0].place, Some(3));
    assert!(problems[0].to_string().contains("character 3"), "{}", problems[0]);
}

#[test]
fn the_reference_has_every_key_with_its_default_and_an_example_that_is_right() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/labels.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    let rows: Vec<&str> = reference.lines().filter(|line| line.starts_with("| `")).collect();
    let of_keys = rows.iter().take_while(|row| row.matches(" | ").count() == 4);
    let cells: Vec<Vec<&str>> =
        of_keys.map(|row| row.trim_matches(['|', ' ']).split(" | ").collect()).collect();
    let names: Vec<&str> = cells.iter().map(|row| row[0].trim_matches('`')).collect();
    let wanted: Vec<String> = KEYS.iter().map(|key| key.name.replace('*', "<name>")).collect();
    assert_eq!(names, wanted, "the keys, in the order of the table in the code");
    for (row, key) in cells.iter().zip(KEYS) {
        let [_, of, _, default, example] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(*of, if key.is_of_service() { "service" } else { "route" }, "{}", key.name);
        assert_eq!(default.replace('`', ""), key.default, "{}", key.name);
        let value = example.trim_matches('`').split_once(": ").unwrap().1.trim_matches('"');
        assert_eq!(value, key.example, "{}", key.name);
        let member = key.name.replace('*', "x-a");
        let right = label::canonical(&member, value);
        assert!(right.is_ok(), "{}: {right:?}", key.name);
    }
}

#[test]
fn a_value_that_is_written_anew_reads_as_the_same() {
    let mut seen = std::collections::BTreeSet::new();
    for (key, value) in support::values::values() {
        // With all that a key may need.
        let needed = [
            ("host", "a"),
            ("redirect", "https"),
            ("cors", "https://a.b"),
            ("limit", "1/s"),
            ("version", "v"),
            ("health.path", "/"),
        ];
        let claims = |value: &str| {
            let all = needed
                .iter()
                .filter(|(other, _)| *other != key && !(*other == "redirect" && key != "redirect.code"));
            let labels: Vec<(String, &str)> = all
                .copied()
                .chain([(key, value)])
                .map(|(key, value)| (format!("portolan.{key}"), value))
                .collect();
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(key, value)| (key.as_str(), *value)).collect();
            right(&labels)
        };
        let again = label::canonical(key, value).unwrap_or_else(|error| panic!("{key}={value:?}: {error}"));
        assert_eq!(claims(value), claims(&again), "{key}={value:?} is written as {again:?}");
        assert_eq!(label::canonical(key, &again).unwrap(), again, "{key}={value:?}");
        seen.insert(
            key.split_once(".x-").or_else(|| key.split_once(".X-")).map_or(key, |(family, _)| family),
        );
    }
    for key in KEYS {
        let family = key.name.trim_end_matches(".*");
        let has = seen.iter().any(|seen| *seen == family || seen.starts_with(&format!("{family}.")));
        assert!(has, "no value of {}", key.name);
    }
}

#[test]
fn tcp_is_told_what_it_cannot_have_and_where_it_can_be() {
    let policies = "entry-points:\n  db: { listen: \"0.0.0.0:1\", protocol: tcp }\n  names: { listen: \"0.0.0.0:2\", protocol: tcp, tls: passthrough }\ndefaults: { timeout: 1m, retries: \"3:5xx\", allow: 10.0.0.0/8, lb: \"maglev:header:x\" }";
    let policies = portolan::policies::parse(policies).unwrap();
    let read = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| (format!("portolan.{key}"), (*value).to_owned()));
        label::read(&support::labelled(labels.collect()), "portolan", &policies)
    };
    let (claims, problems) = read(&[("protocol", "tcp"), ("listen", "db, names")]);
    assert_eq!(problems, []);
    let route = claims.routes["default"].as_ref().unwrap();
    assert_eq!(route.sites.iter().map(ToString::to_string).collect::<Vec<_>>(), ["* at db", "* at names"]);
    let options = &route.options;
    assert_eq!((options.retries.to_string(), options.allow.len(), &options.hash), ("3".to_owned(), 1, &None));
    for (labels, wanted) in [
        (
            &[("protocol", "tcp")][..],
            "portolan.protocol=\"tcp\": TCP needs an entry point of its own, which the label listen names; add the label listen with one of db, names",
        ),
        (
            &[("protocol", "tcp"), ("listen", "web")],
            "portolan.listen=\"web\": the entry point web speaks HTTP, and the label protocol says tcp; add",
        ),
        (&[("protocol", "tcp"), ("listen", "bd")], "there is no entry point \"bd\"; did you mean db?"),
        (
            &[("host", "a.test"), ("listen", "db")],
            "the entry point db carries TCP, and this is a route of HTTP; add the label protocol: tcp",
        ),
        (
            &[("protocol", "tcp"), ("listen", "db"), ("host", "a.test")],
            "portolan.host=\"a.test\": at the entry point db nobody says which host is wanted",
        ),
        (
            &[("protocol", "tcp"), ("listen", "db"), ("auth", "off")],
            "portolan.auth=\"off\": auth is about HTTP, and the label protocol says tcp; remove the label",
        ),
        (&[("protocol", "tcp"), ("listen", "db"), ("header.x-a", "1")], "header.* is about HTTP"),
        (&[("protocol", "tcp"), ("listen", "db"), ("sticky", "cookie")], "sticky is about HTTP"),
        (
            &[("protocol", "tcp"), ("listen", "db"), ("retries", "2:5xx")],
            "portolan.retries=\"2:5xx\": a connection of TCP is tried again where it cannot be made",
        ),
        (
            &[("protocol", "tcp"), ("listen", "db"), ("lb", "ring-hash:cookie:a")],
            "portolan.lb=\"ring-hash:cookie:a\": a connection of TCP has no headers and cookies; spread",
        ),
        (
            &[("protocol", "tcp"), ("listen", "db"), ("routes.b.host", "a.test")],
            "portolan.routes.b.host=\"a.test\": TCP needs an entry point",
        ),
    ] {
        let (claims, problems) = read(labels);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].contains(wanted), "{labels:?}: {told:?}");
        let is_out = !claims.broken.is_empty() || claims.routes.values().any(Option::is_none);
        assert!(is_out && claims.asks, "{labels:?}: {claims:?}");
    }
}
