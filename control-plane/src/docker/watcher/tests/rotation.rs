//! Who is in rotation: from what the engine tells, through the model, to the endpoints of a service.

use super::*;
use crate::model::{self, EndpointState};

/// Envoy runs on the host here, and reaches everything.
fn rotation(view: &Inventory) -> Vec<(String, EndpointState)> {
    let options = model::Options {
        label_prefix: "portolan".to_owned(),
        reserved_host: "dashboard.localhost".to_owned(),
        policies: Default::default(),
    };
    let model = model::build(&Arc::new(view.clone()), &options, None);
    assert_eq!(model.problems, []);
    assert_eq!(model.topology.hosts.len(), 1, "the route is there, whoever is in rotation");
    let services = model.topology.services.values();
    let endpoints = services.flat_map(|service| &service.endpoints);
    endpoints.map(|endpoint| (endpoint.id.0.to_string(), endpoint.state)).collect()
}

impl Watching {
    async fn until_rotation(&mut self, wanted: &[(&str, EndpointState)]) {
        let wanted: Vec<_> = wanted.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect();
        self.until(|view| rotation(view) == wanted).await;
    }

    fn in_rotation(&self, id: &str) -> bool {
        rotation(&self.now()).iter().any(|(other, _)| other == id)
    }
}

/// Each has an address of its own: two endpoints on one address are one.
fn at(host: u8) -> impl Fn(&mut Value) {
    move |value| {
        value["NetworkSettings"]["Networks"] = json!({"shop_app": {"IPAddress": format!("172.20.0.{host}")}})
    }
}

async fn two() -> Watching {
    let script = Script::new();
    script.add("a", at(1)).await;
    script.add("b", at(2)).await;
    let mut it = Watching::begin(&script);
    it.until_rotation(&[("a", EndpointState::Ready), ("b", EndpointState::Ready)]).await;
    it
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_told_to_stop_drains_and_is_removed_when_it_ends() {
    let mut it = two().await;
    it.script.kill("a", "15").await;
    it.until_rotation(&[("a", EndpointState::Draining), ("b", EndpointState::Ready)]).await;
    // A server that stops fails its checks on purpose, and finishes what it has.
    it.script.container("health_status: unhealthy", "a").await;
    it.rest().await;
    assert!(it.in_rotation("a"));
    it.script.container("die", "a").await;
    it.until_rotation(&[("b", EndpointState::Ready)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_with_a_check_waits_for_its_first_success_and_one_without_does_not() {
    let mut it = two().await;
    it.script
        .add("c", |value| {
            at(3)(value);
            value["State"]["Health"]["Status"] = json!("starting");
        })
        .await;
    it.script.container("start", "c").await;
    it.script
        .add("d", |value| {
            at(4)(value);
            value["State"]["Health"] = Value::Null;
        })
        .await;
    it.script.container("start", "d").await;
    let ready = EndpointState::Ready;
    it.until_rotation(&[("a", ready), ("b", ready), ("d", ready)]).await;
    it.script.container("health_status: healthy", "c").await;
    it.until_rotation(&[("a", ready), ("b", ready), ("c", ready), ("d", ready)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ignores_its_check_is_in_rotation_while_it_runs() {
    let mut it = two().await;
    it.script
        .add("c", |value| {
            at(3)(value);
            value["State"]["Health"]["Status"] = json!("starting");
            value["Config"]["Labels"]["portolan.health"] = json!("ignore");
        })
        .await;
    it.script.container("start", "c").await;
    let ready = EndpointState::Ready;
    it.until_rotation(&[("a", ready), ("b", ready), ("c", ready)]).await;
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_container_leaves_and_returns_when_it_is_well() {
    let mut it = two().await;
    it.script.container("health_status: unhealthy", "a").await;
    it.until_rotation(&[("b", EndpointState::Ready)]).await;
    it.script.container("health_status: healthy", "a").await;
    it.until_rotation(&[("a", EndpointState::Ready), ("b", EndpointState::Ready)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_takes_a_container_out_and_its_end_brings_it_back() {
    let mut it = two().await;
    it.script.container("pause", "a").await;
    it.until_rotation(&[("b", EndpointState::Ready)]).await;
    it.script.container("unpause", "a").await;
    it.until_rotation(&[("a", EndpointState::Ready), ("b", EndpointState::Ready)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_a_container_out_until_it_is_healthy_again() {
    let mut it = two().await;
    let alone = [("b", EndpointState::Ready)];
    it.script.kill("a", "15").await;
    it.script.container("die", "a").await;
    it.until_rotation(&alone).await;
    it.script
        .change("a", |value| {
            value["State"]["StartedAt"] = json!("2026-11-25T08:00:00Z");
            value["State"]["Health"]["Status"] = json!("starting");
        })
        .await;
    it.script.container("start", "a").await;
    it.until_state("a", State::Running).await;
    assert!(!it.in_rotation("a"));
    it.script.container("health_status: healthy", "a").await;
    it.until_rotation(&[("a", EndpointState::Ready), ("b", EndpointState::Ready)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_leaves_the_shared_network_leaves_the_rotation_before_the_engine_is_asked() {
    let mut it = two().await;
    it.script.hold(Some("/containers/a/json"));
    it.script.network("disconnect", "a").await;
    it.until_rotation(&[("b", EndpointState::Ready)]).await;
    it.script.hold(None);
    it.script.network("connect", "a").await;
    it.until_rotation(&[("a", EndpointState::Ready), ("b", EndpointState::Ready)]).await;
}
