//! What holds for any value of any key, and for the order of any routes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use portolan::inventory::{Inventory, Placement, Workload};
use portolan::model::label::{self, Claims, KEYS};
use portolan::model::{self, Host, Site};
use portolan::policies::Policies;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use support::values::values;

fn workload(labels: BTreeMap<String, String>) -> Workload {
    Workload {
        placement: Placement::Direct(SocketAddr::from(([127, 0, 0, 1], 80))),
        exposed_ports: BTreeSet::new(),
        ..support::labelled(labels)
    }
}

fn claims(key: &str, value: &str) -> Claims {
    let host = ("portolan.routes.other.host".to_owned(), "a".to_owned());
    let labels = [host, (format!("portolan.{key}"), value.to_owned())].into();
    label::read(&workload(labels), "portolan", &Policies::default()).0
}

/// A key, and a value that is one of it, or nearly.
fn label() -> impl Strategy<Value = (String, String)> {
    let any_key = (0..KEYS.len()).prop_map(|n| KEYS[n].name.replace('*', "x-a"));
    let anything = (any_key, "\\PC{0,30}");
    // Two values, cut and put together.
    let all: Vec<(&str, &str)> = values();
    let nearly =
        (prop::sample::select(all.clone()), prop::sample::select(all), any::<[prop::sample::Index; 2]>());
    let nearly = nearly.prop_map(|((key, one), (_, other), [end, start])| {
        let cut = |text: &str, at: prop::sample::Index| {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            *at.get(&places)
        };
        (key.to_owned(), format!("{}{}", &one[..cut(one, end)], &other[cut(other, start)..]))
    });
    let right = prop::sample::select(values()).prop_map(|(key, value)| (key.to_owned(), value.to_owned()));
    prop_oneof![1 => anything, 3 => nearly, 1 => right]
}

/// A route of one host, as labels: path, more matchers, priority.
fn route() -> impl Strategy<Value = BTreeMap<&'static str, &'static str>> {
    let path = vec!["/", "/a", "/a/b", "=/a", "=/a/b", "~/a.*", "~/a/[a-z]+"];
    (
        prop::sample::select(path),
        prop::option::of(prop::sample::select(vec!["GET", "POST"])),
        prop::option::of(prop::sample::select(vec!["1", "~[0-9]"])),
        prop::option::of(prop::sample::select(vec!["*", "x"])),
        prop::option::weighted(0.3, prop::sample::select(vec!["-1", "1", "2"])),
    )
        .prop_map(|(path, methods, header, query, priority)| {
            let all = [
                ("path", Some(path)),
                ("methods", methods),
                ("header.x-a", header),
                ("query.q", query),
                ("priority", priority),
            ];
            all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
        })
}

/// The documented order (docs/labels.md, "Which route wins"), said once more.
fn place<'a>(name: &'a str, route: &BTreeMap<&str, &str>) -> impl Ord + use<'a> {
    let path = route["path"];
    let (class, text) = match path.strip_prefix('=') {
        Some(path) => (0, path),
        None => path.strip_prefix('~').map_or((1, path), |regex| (2, regex)),
    };
    let matchers = route.keys().filter(|key| !["path", "priority"].contains(key)).count();
    let priority: i32 = route.get("priority").map_or(0, |priority| priority.parse().unwrap());
    (Reverse(priority), class, Reverse(text.len()), Reverse(matchers), name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_value_that_reads_is_written_as_one_that_reads_as_the_same((key, value) in label()) {
        if let Ok(written) = label::canonical(&key, &value) {
            prop_assert_eq!(label::canonical(&key, &written), Ok(written.clone()), "{} {:?}", key, value);
            prop_assert_eq!(claims(&key, &value), claims(&key, &written), "{} {:?} {:?}", key, value, written);
        }
    }

    #[test]
    fn a_value_that_does_not_read_is_a_problem_that_says_where(labels in vec(label(), 1..5)) {
        let labels: BTreeMap<String, String> =
            labels.into_iter().map(|(key, value)| (format!("portolan.{key}"), value)).collect();
        let (_, problems) = label::read(&workload(labels.clone()), "portolan", &Policies::default());
        for problem in &problems {
            prop_assert!(!problem.reason.is_empty() && !problem.fix.is_empty());
            if let Some(place) = problem.place {
                prop_assert!(problem.value.as_ref().unwrap().is_char_boundary(place), "{} at {}", problem, place);
            }
        }
        let wrong = labels.iter().filter(|(label, value)| {
            label::canonical(label.strip_prefix("portolan.").unwrap(), value).is_err()
        });
        for (label, _) in wrong {
            prop_assert!(problems.iter().any(|problem| problem.label.as_ref() == Some(label)), "{}", label);
        }
    }

    #[test]
    fn routes_stand_in_the_documented_order(routes in btree_map("[a-z]{1,3}", route(), 1..8)) {
        let labels = routes.iter().flat_map(|(name, route)| {
            let host = [("host", "a.localhost")];
            let all = route.iter().map(|(key, value)| (*key, *value)).chain(host);
            all.map(move |(key, value)| (format!("portolan.routes.{name}.{key}"), value.to_owned()))
        });
        let inventory: Inventory = [workload(labels.collect())].into_iter().collect();
        let topology = model::build(&Arc::new(inventory), &support::options(), None).topology;
        let host = Site::web(Host::Exact("a.localhost".to_owned()));
        let found: Vec<String> = topology.hosts[&host].iter().map(|route| route.name.clone()).collect();
        // Of those that ask for the same one is left: which one is not this property's question.
        let mut wanted: Vec<(&String, &BTreeMap<&str, &str>)> = routes.iter().collect();
        wanted.sort_by(|(a, one), (b, other)| place(a, one).cmp(&place(b, other)));
        let wanted: Vec<String> = wanted.iter().map(|(name, _)| format!("web#{name}")).collect();
        let wanted: Vec<String> = wanted.into_iter().filter(|name| found.contains(name)).collect();
        prop_assert_eq!(found, wanted);
    }
}
