//! The loop against a scripted engine, on a paused clock. Which test shows which rule:
//!
//! | rule | test |
//! |---|---|
//! | Subscribe first, then list; what happens in between is in both | [`an_event_that_comes_while_the_list_is_made_is_not_lost`], [`it_subscribes_before_it_lists`] |
//! | The list is the truth, events are hints | [`what_a_list_no_longer_shows_is_gone`], [`a_start_whose_event_was_lost_is_found_by_the_resync`] |
//! | Nothing partial is published | [`nothing_is_published_before_the_first_complete_list`] |
//! | EOF is normal: back off, list again | [`the_end_of_the_stream_leads_to_a_new_list_and_the_view_stands_meanwhile`] |
//! | So is an error in the stream | [`an_error_in_the_stream_leads_to_a_new_list`] |
//! | An error on the list after that enters the same path | [`a_list_that_fails_after_a_reconnect_is_tried_again`] |
//! | A slow listener is dropped by the daemon: events may get lost | [`events_that_are_more_than_can_be_taken_in_end_the_stream`] |
//! | A half-open stream is silent for ever | [`a_stream_that_went_silent_is_found_out_by_the_resync_and_replaced`], [`a_change_that_an_event_tells_a_little_later_is_no_reason_to_reconnect`] |
//! | A question that is never answered | [`a_question_that_is_never_answered_ends_the_connection`] |
//! | Leading edge; what stops never waits | [`a_stop_is_told_of_while_the_engine_is_slow_to_answer`], [`what_happens_during_a_look_is_not_undone_by_its_answer`] |
//! | One call an event at most, none on kill and die | [`a_whole_life_costs_two_looks`], [`kill_and_die_ask_the_engine_nothing`] |
//! | Only the events that matter are asked for | [`the_engine_is_asked_for_the_events_that_matter_only`] |
//! | 404 on inspect: it died, pass over | [`a_container_that_is_gone_when_it_is_looked_at_is_passed_over`] |
//! | One bad answer harms no other container | [`an_answer_that_cannot_be_understood_costs_that_container_alone`] |
//! | No address right after the start, then a network connect | [`a_container_gets_its_address_when_it_joins_its_network`], [`an_address_that_comes_without_an_event_is_found_soon`] |
//! | kill with HUP does not drain | [`a_signal_that_does_not_end_it_does_not_drain`] |
//! | kill without die is undone | [`a_container_that_was_told_to_stop_and_did_not_returns`] |
//! | One-off containers are passed over | [`one_off_containers_are_passed_over_in_lists_and_events`] |
//! | The version of the API is negotiated at every connect | [`every_connection_negotiates_the_version`], [`an_engine_of_another_version_after_its_upgrade_is_followed`] |
//! | The engine restarts | [`an_engine_that_restarts_is_followed_again`] |
//! | The socket goes and comes back | [`a_socket_that_is_gone_and_comes_back_is_found_again`]; with a real one: `tests/docker_socket.rs` |
//! | The view is confirmed by lists and by events | [`lists_and_events_confirm_the_view_and_an_engine_that_is_away_does_not`] |
//!
//! The JSON of old and new engines: `docker/recorded.rs`. The rules about one container alone: `docker/view/tests.rs`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::docker::convert::tests::inspected;
use crate::docker::script::Script;
use crate::inventory::{Inventory, State, Workload, WorkloadId};
use crate::provider::{Freshness, InventoryReceiver, port};

/// A watcher that runs, and what comes out of it.
struct Watching {
    script: Script,
    views: InventoryReceiver,
    freshness: Freshness,
    _tasks: JoinSet<()>,
}

impl Watching {
    /// Watches an engine with these containers, and waits until they are seen.
    async fn with(ids: &[&str]) -> Self {
        let script = Script::new();
        for id in ids {
            script.add(id, |_| ()).await;
        }
        let mut watching = Self::begin(&script);
        watching.until_count(ids.len()).await;
        watching
    }

    fn begin(script: &Script) -> Self {
        let (outlet, views, freshness) = port(3 * RESYNC);
        let mut tasks = JoinSet::new();
        tasks.spawn(Watcher::new(script.engine(), outlet).run());
        Self { script: script.clone(), views, freshness, _tasks: tasks }
    }

    async fn until(&mut self, is: impl Fn(&Inventory) -> bool) {
        let seen = self.views.wait_for(|view| view.as_ref().is_some_and(|view| is(view)));
        tokio::time::timeout(Duration::from_secs(600), seen).await.unwrap().unwrap();
    }

    async fn until_count(&mut self, n: usize) {
        self.until(|view| view.workloads.len() == n).await;
    }

    async fn until_is(&mut self, id: &str, is: impl Fn(&Workload) -> bool) {
        let id = WorkloadId(id.into());
        self.until(|view| view.workloads.get(&id).is_some_and(|workload| is(workload))).await;
    }

    async fn until_state(&mut self, id: &str, state: State) {
        self.until_is(id, |workload| workload.state == state).await;
    }

    fn now(&self) -> Arc<Inventory> {
        self.views.borrow().clone().unwrap()
    }

    fn state(&self, id: &str) -> State {
        self.now().workloads[&WorkloadId(id.into())].state
    }

    /// Lets everything happen that needs no more than some time.
    async fn rest(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

impl Script {
    /// There is a container that runs, and no event tells of it.
    async fn add(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let value = serde_json::to_value(inspected(id, change)).unwrap();
        self.world.lock().await.containers.insert(id.to_owned(), value);
    }

    async fn change(&self, id: &str, change: impl FnOnce(&mut Value)) {
        change(self.world.lock().await.containers.get_mut(id).unwrap());
    }

    /// Tells of something, on the stream that was opened last.
    async fn tell(&self, kind: &str, action: &str, id: &str, attributes: Value) {
        let event = json!({"Type": kind, "Action": action, "timeNano": i64::MAX, "Actor": {"ID": id, "Attributes": attributes}});
        self.write(&format!("{event}\n")).await;
    }

    async fn write(&self, line: &str) {
        let frame = hyper::body::Frame::data(hyper::body::Bytes::from(line.to_owned()));
        let world = self.world.lock().await;
        world.events.as_ref().unwrap().send(Ok(frame)).unwrap();
    }

    async fn container(&self, action: &str, id: &str) {
        self.tell("container", action, id, json!({})).await;
    }

    async fn kill(&self, id: &str, signal: &str) {
        self.tell("container", "kill", id, json!({"signal": signal})).await;
    }

    async fn network(&self, action: &str, id: &str) {
        self.tell("network", action, "net", json!({"container": id, "name": "shop_app"})).await;
    }

    /// It is there, and told of.
    async fn start(&self, id: &str) {
        self.add(id, |_| ()).await;
        self.container("start", id).await;
    }

    /// Cuts the stream of events.
    async fn cut(&self) {
        self.world.lock().await.events = None;
    }

    /// How often something was asked whose path holds `what`.
    async fn asked(&self, what: &str) -> usize {
        self.world.lock().await.requests.iter().filter(|request| request.contains(what)).count()
    }

    async fn lists(&self) -> usize {
        self.asked("/containers/json").await
    }

    async fn looks(&self) -> usize {
        self.asked("/containers/").await - self.lists().await
    }

    async fn connections(&self) -> usize {
        self.asked("/events").await
    }

    fn hold(&self, what: Option<&'static str>) {
        self.held.send_replace(what);
    }

    async fn until_asked(&self, what: &str, times: usize) {
        let asked = async {
            while self.asked(what).await < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(600), asked).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_published_and_what_starts_follows() {
    let mut it = Watching::with(&["a"]).await;
    it.script.start("b").await;
    it.until_count(2).await;
    assert_eq!((it.script.lists().await, it.script.looks().await), (1, 2), "one look a container");
}

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
    let mut it = Watching::with(&["a"]).await;
    let before = it.script.world.lock().await.requests.len();
    for id in ["a", "nobody"] {
        it.script.kill(id, "15").await;
        it.script.container("die", id).await;
        it.script.network("disconnect", id).await;
    }
    it.until_state("a", State::Stopped).await;
    it.rest().await;
    assert_eq!(it.script.world.lock().await.requests.len(), before);
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
    use crate::inventory::Placement::Networks;
    matches!(&workload.placement, Networks(on) if on.iter().any(|on| !on.addresses.is_empty()))
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
