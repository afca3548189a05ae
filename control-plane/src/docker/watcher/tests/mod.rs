//! The loop against a scripted engine, on a paused clock. Which test shows which rule:
//!
//! | rule | test |
//! |---|---|
//! | Subscribe first, then list; what happens in between is in both | [`stream::an_event_that_comes_while_the_list_is_made_is_not_lost`], [`stream::it_subscribes_before_it_lists`] |
//! | The list is the truth, events are hints | [`stream::what_a_list_no_longer_shows_is_gone`], [`stream::a_start_whose_event_was_lost_is_found_by_the_resync`] |
//! | Nothing partial is published | [`stream::nothing_is_published_before_the_first_complete_list`] |
//! | EOF is normal: back off, list again | [`stream::the_end_of_the_stream_leads_to_a_new_list_and_the_view_stands_meanwhile`] |
//! | So is an error in the stream | [`stream::an_error_in_the_stream_leads_to_a_new_list`] |
//! | An error on the list after that enters the same path | [`stream::a_list_that_fails_after_a_reconnect_is_tried_again`] |
//! | A slow listener is dropped by the daemon: events may get lost | [`stream::events_that_are_more_than_can_be_taken_in_end_the_stream`] |
//! | A half-open stream is silent for ever | [`stream::a_stream_that_went_silent_is_found_out_by_the_resync_and_replaced`], [`stream::a_change_that_an_event_tells_a_little_later_is_no_reason_to_reconnect`] |
//! | A question that is never answered | [`stream::a_question_that_is_never_answered_ends_the_connection`] |
//! | Leading edge; what stops never waits | [`containers::a_stop_is_told_of_while_the_engine_is_slow_to_answer`], [`containers::what_happens_during_a_look_is_not_undone_by_its_answer`] |
//! | One call an event at most, none on kill and die | [`containers::a_whole_life_costs_two_looks`], [`containers::kill_and_die_ask_the_engine_nothing`] |
//! | Only the events that matter are asked for | [`stream::the_engine_is_asked_for_the_events_that_matter_only`] |
//! | Leaving a network acts at once, and is looked at while the container runs | [`rotation::a_container_that_leaves_the_shared_network_leaves_the_rotation_before_the_engine_is_asked`], [`containers::a_container_that_is_taken_off_its_network_is_on_none_and_nothing_to_wonder_about_later`] |
//! | 404 on inspect: it died, pass over | [`containers::a_container_that_is_gone_when_it_is_looked_at_is_passed_over`] |
//! | One bad answer harms no other container | [`containers::an_answer_that_cannot_be_understood_costs_that_container_alone`] |
//! | No address right after the start, then a network connect | [`containers::a_container_gets_its_address_when_it_joins_its_network`], [`containers::an_address_that_comes_without_an_event_is_found_soon`] |
//! | kill with HUP does not drain | [`containers::a_signal_that_does_not_end_it_does_not_drain`] |
//! | kill without die is undone | [`containers::a_container_that_was_told_to_stop_and_did_not_returns`] |
//! | One-off containers are passed over | [`containers::one_off_containers_are_passed_over_in_lists_and_events`] |
//! | The version of the API is negotiated at every connect | [`stream::every_connection_negotiates_the_version`], [`stream::an_engine_of_another_version_after_its_upgrade_is_followed`] |
//! | The engine restarts | [`stream::an_engine_that_restarts_is_followed_again`] |
//! | The socket goes and comes back | [`stream::a_socket_that_is_gone_and_comes_back_is_found_again`]; with a real one: `tests/docker_socket.rs` |
//! | A view goes back to the event that led to it | [`containers::a_view_goes_back_to_the_oldest_event_that_led_to_it`] |
//! | The view is confirmed by lists and by events | [`stream::lists_and_events_confirm_the_view_and_an_engine_that_is_away_does_not`] |
//!
//! From the engine to who is in rotation, through the model: [`rotation`].
//! The JSON of old and new engines: `docker/recorded.rs`. The rules about one container alone: `docker/view/tests.rs`.

mod containers;
mod rotation;
mod stream;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::docker::convert::tests::inspected;
use crate::docker::script::Script;
use crate::inventory::{Inventory, State, Workload, WorkloadId};
use crate::provider::{Freshness, InventoryReceiver, OldestEvent, port};

/// A watcher that runs, and what comes out of it.
struct Watching {
    script: Script,
    views: InventoryReceiver,
    freshness: Freshness,
    events: OldestEvent,
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
        let events = outlet.events();
        let mut tasks = JoinSet::new();
        tasks.spawn(Watcher::new(script.engine(), outlet, Recorder::default()).run());
        Self { script: script.clone(), views, freshness, events, _tasks: tasks }
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

    /// Takes up the newest view, and says to which event it goes back.
    fn taken_up(&mut self) -> Option<Instant> {
        self.events.take_up(&mut self.views).1
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
