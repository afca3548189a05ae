//! The connection: subscribe, list, follow, and begin again.

use super::*;

#[tokio::test(start_paused = true)]
async fn it_subscribes_before_it_lists() {
    let it = Watching::with(&["a"]).await;
    let world = it.script.world.lock().await;
    let place = |what: &str| world.requests.iter().position(|request| request.starts_with(what)).unwrap();
    assert!(place("/events") < place("/containers/json"), "{:?}", world.requests);
    assert!(world.requests[place("/events")].contains("since="), "{:?}", world.requests);
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_asked_for_the_events_that_matter_only() {
    let it = Watching::with(&["a"]).await;
    let world = it.script.world.lock().await;
    let request = world.requests.iter().find(|request| request.starts_with("/events")).unwrap();
    for wanted in ["container", "network", "start", "die", "kill", "health_status", "connect", "disconnect"] {
        assert!(request.contains(&format!("%22{wanted}%22")), "{wanted}: {request}");
    }
    assert!(!request.contains("exec"), "{request}");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_while_the_list_is_made_is_not_lost() {
    let script = Script::new();
    script.add("a", |_| ()).await;
    script.hold(Some("/containers/json"));
    let mut it = Watching::begin(&script);
    script.until_asked("/containers/json", 1).await;
    // The list was made before `b` came and before `a` was told to stop.
    let made = json!([{"Id": "a", "Names": ["/shop-a-1"], "State": "running", "Status": "Up (healthy)"}]);
    script.world.lock().await.list = Some(made);
    script.start("b").await;
    script.until_asked("/containers/b/json", 1).await;
    it.rest().await;
    script.hold(None);
    it.until(|_| true).await;
    assert_eq!(it.now().workloads.len(), 2);
    script.kill("a", "15").await;
    it.until_state("a", State::Stopping).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_list_no_longer_shows_is_gone() {
    let mut it = Watching::with(&["a", "b"]).await;
    it.script.world.lock().await.containers.remove("a");
    it.script.cut().await;
    it.until_count(1).await;
}

/// One container took the place of another one while nobody told of it, or told of it late.
#[tokio::test(start_paused = true)]
async fn what_is_gone_makes_room_when_what_came_is_known() {
    for is_told in [false, true] {
        let mut it = Watching::with(&["a"]).await;
        it.script.hold(Some("/containers/b/json"));
        it.script.world.lock().await.containers.remove("a");
        if is_told {
            it.script.start("b").await;
            for action in ["die", "destroy"] {
                it.script.container(action, "a").await;
            }
        } else {
            it.script.add("b", |_| ()).await;
            it.script.cut().await;
        }
        it.script.until_asked("/containers/b/json", 1).await;
        it.rest().await;
        assert_eq!(
            (it.now().workloads.len(), it.state("a")),
            (1, State::Stopped),
            "its address may be another's"
        );
        it.script.hold(None);
        it.until(|view| view.workloads.contains_key(&WorkloadId("b".into()))).await;
        assert_eq!(it.now().workloads.len(), 1, "the one leaves as the other comes, in one view");
        it.rest().await;
        assert_eq!(it.script.connections().await, if is_told { 1 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_the_first_complete_list() {
    let script = Script::new();
    script.add("a", |_| ()).await;
    script.add("b", |_| ()).await;
    script.world.lock().await.refusals = 5;
    script.world.lock().await.failing_lists = 3;
    script.hold(Some("/containers/b/json"));
    let mut it = Watching::begin(&script);
    script.until_asked("/containers/b/json", 1).await;
    script.until_asked("/containers/a/json", 1).await;
    it.rest().await;
    assert!(it.views.borrow().is_none() && it.freshness.is_stale(), "one of two is half a view");
    script.hold(None);
    it.until(|_| true).await;
    assert_eq!(it.now().workloads.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_leads_to_a_new_list_and_the_view_stands_meanwhile() {
    let mut it = Watching::with(&["a"]).await;
    it.script.add("b", |_| ()).await;
    it.script.world.lock().await.refusals = 3;
    it.script.cut().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(it.now().workloads.len(), 1);
    it.until_count(2).await;
    assert_eq!((it.script.connections().await, it.script.looks().await), (2, 2), "only `b` was new");
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_stream_leads_to_a_new_list() {
    let mut it = Watching::with(&["a"]).await;
    it.script.add("b", |_| ()).await;
    it.script.write("{this is no event}\n").await;
    it.until_count(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_after_a_reconnect_is_tried_again() {
    let mut it = Watching::with(&["a"]).await;
    it.script.add("b", |_| ()).await;
    it.script.world.lock().await.failing_lists = 3;
    it.script.cut().await;
    it.until_count(2).await;
    assert_eq!(it.script.lists().await, 5);
}

#[tokio::test(start_paused = true)]
async fn events_that_are_more_than_can_be_taken_in_end_the_stream() {
    let event = Event { id: WorkloadId("a".into()), at: 1, what: crate::docker::event::What::Pause };
    let more = futures::stream::iter((0..=EVENT_BUFFER).map(move |_| Ok(event.clone())));
    let (mut events, mut reader) = read(more.chain(futures::stream::pending()).boxed());
    // It does not wait for us, as the engine would not: it ends, and so do the events.
    tokio::time::timeout(RESYNC, reader.join_next()).await.unwrap();
    let mut taken = 0;
    while events.recv().await.is_some() {
        taken += 1;
    }
    assert_eq!(taken, EVENT_BUFFER);
}

#[tokio::test(start_paused = true)]
async fn a_start_whose_event_was_lost_is_found_by_the_resync() {
    let mut it = Watching::with(&["a"]).await;
    it.script.container("die", "a").await;
    it.until_state("a", State::Stopped).await;
    // It runs again, and the engine's list says of it what it said before.
    it.until_state("a", State::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_went_silent_is_found_out_by_the_resync_and_replaced() {
    let mut it = Watching::with(&["a"]).await;
    it.script.world.lock().await.containers.clear();
    it.script.add("b", |_| ()).await;
    let began = Instant::now();
    it.until_is("b", |_| true).await;
    assert!(began.elapsed() <= RESYNC, "{:?}", began.elapsed());
    assert_eq!(it.now().workloads.len(), 1);
    it.script.until_asked("/events", 2).await;
    assert!(began.elapsed() <= RESYNC + Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_an_event_tells_a_little_later_is_no_reason_to_reconnect() {
    let mut it = Watching::with(&["a"]).await;
    it.script.change("a", |value| value["State"]["Health"]["Status"] = json!("unhealthy")).await;
    it.until_is("a", |workload| workload.health == crate::inventory::Health::Unhealthy).await;
    it.script.container("health_status: unhealthy", "a").await;
    tokio::time::sleep(2 * RESYNC).await;
    assert_eq!(it.script.connections().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_never_answered_ends_the_connection() {
    let mut it = Watching::with(&["a"]).await;
    it.script.hold(Some("/containers/b/json"));
    it.script.start("b").await;
    it.script.until_asked("/events", 2).await;
    it.script.hold(None);
    it.until_count(2).await;
}

#[tokio::test(start_paused = true)]
async fn every_connection_negotiates_the_version() {
    let it = Watching::with(&["a"]).await;
    for connections in 2..5 {
        let asked = it.script.asked("/version").await;
        it.script.cut().await;
        it.script.until_asked("/events", connections).await;
        assert!(it.script.asked("/version").await > asked);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_of_another_version_after_its_upgrade_is_followed() {
    let mut it = Watching::with(&["a"]).await;
    it.script.world.lock().await.version =
        json!({"Version": "29.3.1", "ApiVersion": "1.53", "MinAPIVersion": "1.44"});
    it.script.add("b", |_| ()).await;
    it.script.cut().await;
    it.until_count(2).await;
    assert_eq!(it.script.connections().await, 2);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_restarts_is_followed_again() {
    let mut it = Watching::with(&["a", "b"]).await;
    // It stops its containers, tells so, and goes away for a while.
    for id in ["a", "b"] {
        it.script.kill(id, "15").await;
        it.script.container("die", id).await;
    }
    it.until(|view| view.workloads.values().all(|workload| workload.state == State::Stopped)).await;
    it.script.world.lock().await.refusals = 20;
    it.script.cut().await;
    it.rest().await;
    assert_eq!(it.now().workloads.len(), 2, "their routes stand");
    // It comes back, and starts what shall always run: with another address, and no event that we could have heard.
    for id in ["a", "b"] {
        it.script
            .change(id, |value| {
                value["State"]["StartedAt"] = json!("2026-11-25T08:00:00Z");
                value["NetworkSettings"]["Networks"]["shop_app"]["IPAddress"] = json!("172.21.0.77");
            })
            .await;
    }
    it.until(|view| view.workloads.values().all(|workload| workload.state == State::Running)).await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_is_gone_and_comes_back_is_found_again() {
    let script = Script::new();
    script.add("a", |_| ()).await;
    script.world.lock().await.refusals = 10;
    let mut it = Watching::begin(&script);
    it.until_count(1).await;
    script.world.lock().await.refusals = 30;
    script.cut().await;
    script.add("b", |_| ()).await;
    it.until_count(2).await;
}

#[tokio::test(start_paused = true)]
async fn lists_and_events_confirm_the_view_and_an_engine_that_is_away_does_not() {
    let mut it = Watching::with(&["a"]).await;
    assert_eq!(it.freshness.age(), Some(Duration::ZERO));
    tokio::time::sleep(RESYNC / 2).await;
    assert_eq!(it.freshness.age(), Some(RESYNC / 2));
    it.script.container("health_status: unhealthy", "a").await;
    it.until_is("a", |workload| workload.health == crate::inventory::Health::Unhealthy).await;
    assert!(it.freshness.age().unwrap() < Duration::from_millis(10));
    it.script.change("a", |value| value["State"]["Health"]["Status"] = json!("unhealthy")).await;
    for _ in 0..10 {
        tokio::time::sleep(RESYNC).await;
        assert!(it.freshness.age().unwrap() <= RESYNC);
    }
    it.script.world.lock().await.refusals = usize::MAX;
    it.script.cut().await;
    tokio::time::sleep(4 * RESYNC).await;
    assert!(it.freshness.is_stale() && it.freshness.age().unwrap() >= 3 * RESYNC);
    it.script.world.lock().await.refusals = 0;
    while it.freshness.is_stale() {
        it.freshness.turn().await;
    }
    assert_eq!(it.script.looks().await, 1, "nothing had changed");
}
