//! What happens to containers, and what the engine is asked about it.

use super::*;
use crate::inventory::Placement;

#[tokio::test(start_paused = true)]
async fn what_is_there_is_published_and_what_starts_follows() {
    let mut it = Watching::with(&["a"]).await;
    it.script.start("b").await;
    it.until_count(2).await;
    assert_eq!((it.script.lists().await, it.script.looks().await), (1, 2), "one look a container");
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_told_of_while_the_engine_is_slow_to_answer() {
    let mut it = Watching::with(&["a"]).await;
    for slow in ["/containers/b/json", "/containers/json"] {
        it.script.hold(Some(slow));
        if slow.contains("/b/") {
            it.script.start("b").await;
        }
        it.script.until_asked(slow, 1 + usize::from(!slow.contains("/b/"))).await;
        let began = Instant::now();
        it.script.kill("a", "15").await;
        it.until_state("a", State::Stopping).await;
        it.script.container("die", "a").await;
        it.until_state("a", State::Stopped).await;
        assert!(began.elapsed() < Duration::from_millis(100), "{slow}: {:?}", began.elapsed());
        it.script.hold(None);
        it.script.container("start", "a").await;
        it.until_state("a", State::Running).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_during_a_look_is_not_undone_by_its_answer() {
    let mut it = Watching::with(&["a"]).await;
    it.script.hold(Some("/containers/b/json"));
    it.script.start("b").await;
    it.script.until_asked("/containers/b/json", 1).await;
    // The engine still shows it running and healthy, and it was told to stop since.
    it.script.kill("b", "9").await;
    it.rest().await;
    it.script.hold(None);
    it.until_count(2).await;
    assert_eq!(it.state("b"), State::Stopping);
}

#[tokio::test(start_paused = true)]
async fn a_whole_life_costs_two_looks() {
    let mut it = Watching::with(&["a"]).await;
    let before = it.script.looks().await;
    it.script.add("b", |value| value["State"]["Status"] = json!("created")).await;
    it.script.container("create", "b").await;
    it.until_state("b", State::Created).await;
    it.script.network("connect", "b").await;
    it.rest().await;
    it.script.change("b", |value| value["State"]["Status"] = json!("running")).await;
    it.script.container("start", "b").await;
    it.until_state("b", State::Running).await;
    it.script.container("health_status: healthy", "b").await;
    it.script.kill("b", "15").await;
    it.until_state("b", State::Stopping).await;
    it.script.container("die", "b").await;
    it.script.network("disconnect", "b").await;
    it.script.container("stop", "b").await;
    it.until_state("b", State::Stopped).await;
    it.script.world.lock().await.containers.remove("b");
    it.script.container("destroy", "b").await;
    it.until_count(1).await;
    assert_eq!((it.script.looks().await - before, it.script.lists().await), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn kill_and_die_ask_the_engine_nothing() {
    let mut it = Watching::with(&["a", "b"]).await;
    let before = it.script.world.lock().await.requests.len();
    for id in ["a", "nobody"] {
        it.script.kill(id, "15").await;
        it.script.container("die", id).await;
        it.script.network("disconnect", id).await;
    }
    // In the order of newer engines.
    it.script.kill("b", "15").await;
    it.script.network("disconnect", "b").await;
    it.script.container("stop", "b").await;
    it.script.container("die", "b").await;
    it.until_state("a", State::Stopped).await;
    it.until_state("b", State::Stopped).await;
    it.rest().await;
    assert_eq!(it.script.world.lock().await.requests.len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_taken_off_its_network_is_on_none_and_nothing_to_wonder_about_later() {
    let mut it = Watching::with(&["a"]).await;
    it.script.change("a", |value| value["NetworkSettings"]["Networks"] = json!({})).await;
    it.script.network("disconnect", "a").await;
    it.until_is("a", |workload| workload.placement == Placement::Networks(vec![])).await;
    tokio::time::sleep(2 * RESYNC).await;
    assert_eq!((it.script.looks().await, it.script.connections().await), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_container_that_joins_a_network_is_nothing_to_wonder_about_later() {
    let mut it = Watching::with(&["a"]).await;
    let stopped = |networks: Value| {
        move |value: &mut Value| {
            value["State"]["Status"] = json!("exited");
            value["NetworkSettings"]["Networks"] = networks;
        }
    };
    it.script.kill("a", "15").await;
    it.script.container("die", "a").await;
    it.until_state("a", State::Stopped).await;
    it.script.change("a", stopped(json!({"shop_app": {"IPAddress": ""}, "extra": {"IPAddress": ""}}))).await;
    it.script.network("connect", "a").await;
    tokio::time::sleep(2 * RESYNC).await;
    assert_eq!((it.script.looks().await, it.script.connections().await), (1, 1));
}

/// Newer engines tell of the networks before the death; where nobody told it to stop, the first of that calls for a look.
#[tokio::test(start_paused = true)]
async fn a_container_that_crashes_is_stopped_whatever_the_look_shows_that_its_networks_led_to() {
    let mut it = Watching::with(&["a"]).await;
    it.script.hold(Some("/containers/a/json"));
    it.script.network("disconnect", "a").await;
    it.script.until_asked("/containers/a/json", 2).await;
    it.script.container("die", "a").await;
    it.until_state("a", State::Stopped).await;
    it.script.hold(None);
    it.rest().await;
    assert_eq!(it.state("a"), State::Stopped);
    assert!(!has_address(&it.now().workloads[&WorkloadId("a".into())]));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_gone_when_it_is_looked_at_is_passed_over() {
    let script = Script::new();
    script.add("a", |_| ()).await;
    script.add("ghost", |_| ()).await;
    script.world.lock().await.ghosts.insert("ghost".to_owned());
    let mut it = Watching::begin(&script);
    it.until_count(1).await;
    script.container("start", "another-ghost").await;
    script.start("b").await;
    it.until_count(2).await;
    assert_eq!(script.connections().await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_understood_costs_that_container_alone() {
    let mut it = Watching::with(&["a"]).await;
    {
        let mut world = it.script.world.lock().await;
        world
            .containers
            .insert("odd".to_owned(), json!({"Id": "odd", "Name": "/odd", "State": {"Status": "molten"}}));
        world.containers.insert("bare".to_owned(), json!({"Id": "bare"}));
    }
    it.script.container("start", "odd").await;
    it.script.container("start", "bare").await;
    it.script.start("b").await;
    it.until_count(2).await;
    assert_eq!(it.script.connections().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_gets_its_address_when_it_joins_its_network() {
    let mut it = Watching::with(&["a"]).await;
    let address = |value: &mut Value, ip: &str| {
        value["NetworkSettings"]["Networks"] = json!({"shop_app": {"IPAddress": ip}});
    };
    it.script.add("b", |value| address(value, "")).await;
    it.script.container("start", "b").await;
    it.until_count(2).await;
    // Later than the last of our own tries.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let looks = it.script.looks().await;
    it.script.change("b", |value| address(value, "172.20.0.9")).await;
    it.script.network("connect", "b").await;
    it.until_is("b", has_address).await;
    assert_eq!(it.script.looks().await, looks + 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_comes_without_an_event_is_found_soon() {
    let mut it = Watching::with(&["a"]).await;
    it.script
        .add("b", |value| value["NetworkSettings"]["Networks"] = json!({"shop_app": {"IPAddress": ""}}))
        .await;
    it.script.container("start", "b").await;
    it.until_count(2).await;
    it.script
        .change("b", |value| {
            value["NetworkSettings"]["Networks"]["shop_app"]["IPAddress"] = json!("172.20.0.9")
        })
        .await;
    let began = Instant::now();
    it.until_is("b", has_address).await;
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
}

fn has_address(workload: &Workload) -> bool {
    matches!(&workload.placement, Placement::Networks(on) if on.iter().any(|on| !on.addresses.is_empty()))
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_does_not_end_it_does_not_drain() {
    let mut it = Watching::with(&["a", "b"]).await;
    it.script.kill("a", "1").await;
    it.script.kill("b", "15").await;
    it.until_state("b", State::Stopping).await;
    assert_eq!(it.state("a"), State::Running);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_told_to_stop_and_did_not_returns() {
    let mut it = Watching::with(&["a"]).await;
    it.script.kill("a", "15").await;
    it.until_state("a", State::Stopping).await;
    let began = Instant::now();
    it.until_state("a", State::Running).await;
    let waited = began.elapsed();
    // Its own stop time-out is 30 s.
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(35), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn one_off_containers_are_passed_over_in_lists_and_events() {
    let one_off = |value: &mut Value| value["Config"]["Labels"]["com.docker.compose.oneoff"] = json!("True");
    let script = Script::new();
    script.add("a", |_| ()).await;
    script.add("run-1", one_off).await;
    let mut it = Watching::begin(&script);
    it.until_count(1).await;
    script.add("run-2", one_off).await;
    script.container("create", "run-2").await;
    script.container("start", "run-2").await;
    script.container("health_status: healthy", "run-2").await;
    it.rest().await;
    script.start("b").await;
    it.until_count(2).await;
    assert!(it.now().workloads.keys().all(|id| !id.0.starts_with("run")), "{:?}", it.now());
}

#[tokio::test(start_paused = true)]
async fn a_view_goes_back_to_the_oldest_event_that_led_to_it() {
    let mut it = Watching::with(&["a"]).await;
    assert_eq!(it.taken_up(), None, "the first view is a list");
    // The engine takes its time to show what started, and that counts.
    it.script.hold(Some("/containers/b/json"));
    let event = Instant::now();
    it.script.start("b").await;
    it.script.until_asked("/containers/b/json", 1).await;
    it.rest().await;
    it.script.hold(None);
    it.until_count(2).await;
    let taken = it.taken_up().unwrap();
    assert!(taken - event < Duration::from_millis(10), "{:?} of {:?}", taken - event, event.elapsed());
    assert!(event.elapsed() >= Duration::from_secs(1));
    // What needs no look, and is not taken up at once.
    let event = Instant::now();
    it.script.kill("a", "15").await;
    it.until_state("a", State::Stopping).await;
    it.rest().await;
    it.script.container("die", "a").await;
    it.until_state("a", State::Stopped).await;
    let taken = it.taken_up().unwrap();
    assert!(taken - event < Duration::from_millis(10), "{:?}", taken - event);
    // An event that tells nothing new leads to nothing.
    it.script.container("die", "a").await;
    it.rest().await;
    assert_eq!(it.taken_up(), None);
}
