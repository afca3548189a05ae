//! Any services with any labels: Envoy takes what is made of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use portolan::model::label::{KEYS, Key};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::lab::{Lab, Service};
use super::values::values;

/// Each takes Envoy some milliseconds.
const TOPOLOGIES: usize = 250;
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

fn row_of(key: &str) -> Option<&'static Key> {
    KEYS.iter().find(|row| row.name == key)
}

/// A control plane and an Envoy of their own follow one topology after the other.
pub fn envoy_takes_whatever_is_made_of_any_labels(lab: &Lab) -> Result<()> {
    let mut runner = TestRunner::deterministic();
    let topology = prop::collection::btree_map(prop::sample::select(&SERVICES[..]), service(), 1..6);
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
        let accepted = lab.serve_all(&services).and_then(|()| lab.is_spotless());
        accepted.with_context(|| format!("topology {n}: {topology:#?}"))?;
        routed.insert(lab.counter("cluster_manager.active_clusters")?);
    }
    // Most labels are right, so that there is something to take.
    ensure!(routed.len() > 3, "{routed:?} clusters at a time");
    let problems = lab.control_plane.log().matches(": label ").count();
    ensure!(
        problems < 10 * TOPOLOGIES,
        "{problems} problems: most of it was refused before it came to Envoy"
    );
    Ok(())
}
