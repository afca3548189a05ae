use std::time::Duration;

use super::*;
use crate::inventory::{Health, Inventory, Placement, State};
use crate::provider::{InventoryReceiver, port};

const GOOD: &str = "services:\n  web:\n    labels:\n      portolan.host: web.localhost\n      portolan.port: 80\n      portolan.enable: true\n    endpoints: [\"127.0.0.1:9001\", {address: \"[::1]:9002\", name: b, health: unhealthy}]\n";

#[test]
fn endpoints_become_workloads_with_their_service_s_labels() {
    let inventory = parse(GOOD).unwrap();
    let all: Vec<_> = inventory.workloads.values().collect();
    assert_eq!(all.len(), 2);
    let named = all.iter().find(|workload| workload.name == "b").unwrap();
    assert_eq!(named.placement, Placement::Direct("[::1]:9002".parse().unwrap()));
    assert_eq!(named.health, Health::Unhealthy);
    assert_eq!(named.labels["portolan.port"], "80");
    assert_eq!(named.labels["portolan.enable"], "true");
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    for (text, line, word) in [
        ("services:\n  web:\n    endpoint: []\n", "3:", "endpoint"),
        ("services:\n  web:\n    endpoints: [nonsense]\n", "3:", ""),
        ("services:\n  - a\n", "2:", ""),
        ("services: {\n", "", ""),
        ("", "1:1:", "services: {}"),
        (" \n", "1:1:", "services: {}"),
        (
            "services:\n  web:\n    endpoints: [{address: \"127.0.0.1:1\", name: a}, {address: \"127.0.0.1:2\", name: a}]\n",
            "",
            "named a",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(line) && error.contains(word), "{text:?}: {error}");
        assert!(error.split(':').take(2).all(|part| part.parse::<u32>().is_ok()), "no place: {error}");
    }
}

#[test]
fn an_empty_list_of_services_is_a_view_too() {
    assert_eq!(parse("services: {}\n").unwrap(), Inventory::default());
}

#[test]
fn a_service_without_endpoints_is_one_that_is_stopped() {
    for text in [
        "services: {web: {labels: {portolan.host: web.localhost}}}",
        "services: {web: {labels: {portolan.host: web.localhost}, endpoints: []}}",
    ] {
        let inventory = parse(text).unwrap();
        let all: Vec<_> = inventory.workloads.values().collect();
        assert!(all.len() == 1 && all[0].state == State::Stopped, "{all:?}");
        assert_eq!(all[0].labels["portolan.host"], "web.localhost");
    }
}

async fn until(receiver: &mut InventoryReceiver, endpoints: usize) {
    let there = receiver.wait_for(|view| view.as_ref().is_some_and(|view| view.workloads.len() == endpoints));
    tokio::time::timeout(Duration::from_secs(20), there).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_file_is_followed_and_a_bad_edit_leaves_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("services.yaml");
    let (outlet, mut receiver, freshness) = port(Duration::from_secs(60));
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(FileProvider::new(path.clone()).run(outlet, stop.clone()));
    // It may appear later.
    std::fs::write(&path, GOOD).unwrap();
    until(&mut receiver, 2).await;
    assert!(!freshness.is_stale());
    std::fs::write(&path, "services: [").unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(receiver.borrow().as_ref().unwrap().workloads.len(), 2);
    // Editors write beside and rename.
    let beside = folder.path().join("services.yaml~");
    std::fs::write(&beside, "services: {web: {endpoints: [\"127.0.0.1:1\"]}}").unwrap();
    std::fs::rename(&beside, &path).unwrap();
    until(&mut receiver, 1).await;
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}
