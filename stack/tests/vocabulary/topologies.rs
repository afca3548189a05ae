//! Any services with any labels: Envoy takes what is made of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use portolan::model::label::{KEYS, Key};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use stack::ports;

use super::lab::{Lab, Service, is};
use super::values::values;

/// Each takes Envoy some milliseconds.
const TOPOLOGIES: usize = 250;
/// Keys that routes of TCP have as well.
const TCP_KEYS: [&str; 9] = [
    "priority",
    "idle-timeout",
    "retries",
    "allow",
    "deny",
    "health",
    "version",
    "outlier",
    "max-connections",
];
const SERVICES: [&str; 6] = ["one", "two", "three", "four", "shop/web", "a.b-c_d"];
const ROUTES: [&str; 3] = ["", "routes.b.", "routes.c."];

type Labels = BTreeMap<String, &'static str>;

/// A service: its labels, and how many endpoints it has.
fn service() -> impl Strategy<Value = (Labels, usize)> {
    let hosts = prop::sample::select(vec!["a.localhost", "b.localhost, *.b.localhost", "*", "c.localhost"]);
    let label = (prop::sample::select(&ROUTES[..]), prop::sample::select(values()));
    let labels = prop::collection::vec(label, 0..10);
    (prop::collection::vec(hosts, ROUTES.len()), labels, 0..4usize).prop_map(|(hosts, labels, endpoints)| {
        let mut all: Labels =
            ROUTES.iter().zip(hosts).map(|(route, host)| (format!("{route}host"), host)).collect();
        for (route, (key, value)) in labels {
            let route = if row_of(key).is_some_and(Key::is_of_service) { "" } else { route };
            all.insert(format!("{route}{key}"), value);
            // What it says nothing without.
            if let Some(needed) = row_of(key).and_then(|row| row_of(row.needs?)) {
                all.entry(format!("{route}{}", needed.name)).or_insert(needed.example);
            }
        }
        // It would take the whole service out.
        all.remove("enable");
        (all, endpoints)
    })
}

/// A service of TCP, at one port or at several, by names in TLS where there are some.
fn tcp_service() -> impl Strategy<Value = (Labels, usize)> {
    let places = [
        ("db", ""),
        ("names", ""),
        ("db, names", "*"),
        ("names", "a.localhost"),
        ("names", "*.b.localhost, c.localhost"),
    ];
    let right =
        |(key, value): &(&str, &str)| TCP_KEYS.contains(key) && !(*key == "retries" && value.contains(':'));
    let known: Vec<_> = values().into_iter().filter(right).collect();
    let routes = prop::collection::vec(prop::sample::select(places.to_vec()), ROUTES.len());
    let label = (prop::sample::select(&ROUTES[..]), prop::sample::select(known));
    (routes, prop::collection::vec(label, 0..6), 0..4usize).prop_map(|(routes, labels, endpoints)| {
        let mut all = Labels::from([("protocol".to_owned(), "tcp")]);
        for (route, (entry, host)) in ROUTES.iter().zip(routes) {
            all.insert(format!("{route}listen"), entry);
            all.extend((!host.is_empty()).then(|| (format!("{route}host"), host)));
        }
        for (route, (key, value)) in labels {
            let route = if row_of(key).is_some_and(Key::is_of_service) { "" } else { route };
            all.insert(format!("{route}{key}"), value);
        }
        (all, endpoints)
    })
}

/// Ports for TCP, of which the second knows names.
pub fn policies() -> Result<Value> {
    let (db, names) = (ports::free()?, ports::free()?);
    Ok(json!({ "entry-points": {
        "db": { "listen": format!("127.0.0.1:{db}"), "protocol": "tcp" },
        "names": { "listen": format!("127.0.0.1:{names}"), "protocol": "tcp", "tls": "passthrough" },
    } }))
}

fn row_of(key: &str) -> Option<&'static Key> {
    KEYS.iter().find(|row| row.name == key)
}

/// A control plane and an Envoy of their own follow one topology after the other.
pub fn envoy_takes_whatever_is_made_of_any_labels(lab: &Lab) -> Result<()> {
    let mut runner = TestRunner::deterministic();
    let any = prop_oneof![3 => service(), 1 => tcp_service()];
    let topology = prop::collection::btree_map(prop::sample::select(&SERVICES[..]), any, 1..6);
    let mut routed = BTreeSet::new();
    for n in 0..TOPOLOGIES {
        let topology = topology.new_tree(&mut runner).map_err(|why| anyhow::anyhow!("{why}"))?.current();
        let parts = topology.iter().map(|(name, (labels, endpoints))| {
            let labels: Vec<(&str, &str)> =
                labels.iter().map(|(key, value)| (key.as_str(), *value)).collect();
            let endpoints: Vec<String> =
                (0..*endpoints).map(|n| format!("127.0.0.1:{}", 1_000 + n)).collect();
            (*name, labels, endpoints)
        });
        let parts: Vec<_> = parts.collect();
        let services: Vec<Service<'_>> =
            parts.iter().map(|(name, labels, endpoints)| (*name, &labels[..], &endpoints[..])).collect();
        lab.forget();
        let accepted = lab.serve_all(&services).and_then(|()| lab.touched());
        let (anew, _) = accepted.with_context(|| format!("topology {n}: {topology:#?}"))?;
        is(anew, 0, "listeners made anew")?;
        routed.insert(lab.counter("cluster_manager.active_clusters")?);
    }
    // Most labels are right, so that there is something to take.
    ensure!(routed.len() > 3, "{routed:?} clusters at a time");
    let (_, in_place) = lab.touched()?;
    ensure!(in_place > 50, "listeners of TCP changed {in_place} times");
    let problems = lab.control_plane.log().matches(": label ").count();
    ensure!(
        problems < 10 * TOPOLOGIES,
        "{problems} problems: most of it was refused before it came to Envoy"
    );
    Ok(())
}
