//! A share of requests that was decided by hand: what it moves, and what it leaves alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::sync::Arc;

use portolan::file;
use portolan::overrides::{Overrides, Weight};
use portolan::publish::{Publisher, View};
use xds_server::Kind;

const SERVICES: &str = r#"services:
    one: {labels: {portolan.host: w.localhost, portolan.service: web, portolan.version: v1, portolan.weight: "90"}, endpoints: ["127.0.0.1:1"]}
    two: {labels: {portolan.host: w.localhost, portolan.service: web, portolan.version: v2, portolan.weight: "10"}, endpoints: ["127.0.0.1:2"]}
    api: {labels: {portolan.host: api.localhost}, endpoints: ["127.0.0.1:3"]}"#;

/// Type and name of every resource that is not the same in both.
fn differing(old: &View, new: &View) -> Vec<(Kind, String)> {
    let all = Kind::ALL.into_iter().flat_map(|kind| {
        let names = old.snapshot.section(kind).keys().chain(new.snapshot.section(kind).keys());
        names.map(move |name| (kind, name.to_string()))
    });
    let version = |view: &View, kind, name: &str| view.snapshot.get(kind, name).map(|each| each.version());
    let mut found: Vec<_> =
        all.filter(|(kind, name)| version(old, *kind, name) != version(new, *kind, name)).collect();
    found.dedup();
    found
}

#[test]
fn a_weight_by_hand_moves_the_endpoints_of_its_service_and_nothing_else() {
    let facts = Arc::new(file::parse(SERVICES).unwrap());
    let publisher = Publisher::new(support::options(), support::edge());
    let labels = publisher.next(&facts, None).unwrap();
    let mut decisions = Overrides::default();
    decisions.set_weight("web", "v2", Weight { share: 50, end: None });
    let by_hand = publisher.next(&decisions.apply(&facts), Some(&labels)).unwrap();
    let moved = differing(&labels, &by_hand);
    assert!(moved.iter().all(|(kind, name)| *kind == Kind::Endpoint && name == "web"), "{moved:?}");
    assert!(!moved.is_empty());
    let weight = |view: &View| {
        let service = view.model.topology.services.values().find(|service| &*service.name.0 == "web");
        let share = service.unwrap().variants["v2"];
        (share.weight(), share.label)
    };
    assert_eq!((weight(&labels), weight(&by_hand)), ((10, 10), (50, 10)));
    // Back to the labels it is what it was, to the byte.
    decisions.reset_weights("web", None);
    let again = publisher.next(&decisions.apply(&facts), Some(&by_hand)).unwrap();
    assert!(differing(&labels, &again).is_empty());
}

#[test]
fn a_label_that_has_a_mistake_does_not_take_the_weight_by_hand_for_its_own() {
    let facts = Arc::new(file::parse(SERVICES).unwrap());
    let publisher = Publisher::new(support::options(), support::edge());
    let mut decisions = Overrides::default();
    decisions.set_weight("web", "v2", Weight { share: 50, end: None });
    let by_hand = publisher.next(&decisions.apply(&facts), None).unwrap();
    let broken = SERVICES.replace("portolan.weight: \"10\"", "portolan.weight: ten");
    let broken = Arc::new(file::parse(&broken).unwrap());
    let kept = publisher.next(&decisions.apply(&broken), Some(&by_hand)).unwrap();
    let reset = publisher.next(&broken, Some(&kept)).unwrap();
    let service = reset.model.topology.services.values().find(|service| &*service.name.0 == "web");
    assert_eq!(service.unwrap().variants["v2"].weight(), 10, "the last good label counts again");
}
