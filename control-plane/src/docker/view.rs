//! What is known of the engine's containers. Pure: the list and inspects are the truth, events are hints.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::inventory::{Inventory, State, Workload, WorkloadId};

use super::convert::{Container, Listed};
use super::event::{Event, What};

/// Signals that end a process which does not handle them in some way of its own.
const TERMINATING: [&str; 4] = ["TERM", "INT", "QUIT", "KILL"];
/// How much later than the engine's SIGKILL a container must have ended, if it was told to stop at all.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// A container that runs without an address is looked at again after this long.
const ADDRESS_DELAY: Duration = Duration::from_millis(200);

/// All containers, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct View {
    containers: BTreeMap<WorkloadId, Container>,
    /// Containers to look at again at a time: told to stop and not ended, or running without an address.
    look_again: BTreeMap<WorkloadId, Instant>,
}

/// What an event calls for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing, or what it said is in the view.
    Done,
    /// A look at the container it is about.
    Look,
}

impl View {
    pub(super) fn apply(&mut self, event: &Event, now: Instant) -> Effect {
        if event.what == What::Look {
            return Effect::Look;
        }
        if event.what == What::Destroy {
            self.remove(&event.id);
            return Effect::Done;
        }
        let Some(container) = self.containers.get_mut(&event.id) else { return Effect::Look };
        // An event from before its last start says nothing about the life it has now.
        if event.at < container.started_at {
            return Effect::Done;
        }
        let workload = &mut container.workload;
        match &event.what {
            What::Kill(signal) => {
                let terminating = *signal == container.stop_signal || TERMINATING.contains(&signal.as_str());
                if terminating && workload.state == State::Running {
                    workload.state = State::Stopping;
                    self.look_again.insert(event.id.clone(), now + container.stop_timeout + STOP_GRACE);
                }
            }
            What::Die => {
                workload.state = State::Stopped;
                self.look_again.remove(&event.id);
            }
            What::Pause => workload.state = State::Paused,
            What::Unpause => workload.state = State::Running,
            What::Health(health) => workload.health = *health,
            What::Look | What::Destroy => {}
        }
        Effect::Done
    }

    /// Takes in what a look at a container has shown.
    pub(super) fn replace(&mut self, container: Container, now: Instant) {
        let id = container.workload.id.clone();
        let known = self.containers.get(&id);
        let stopping = known.is_some_and(|known| {
            known.workload.state == State::Stopping && known.started_at == container.started_at
        });
        let due = self.look_again.get(&id).is_some_and(|due| *due <= now);
        let mut container = container;
        if stopping && !due && container.workload.state == State::Running {
            // The engine calls a container that was told to stop running; the event knew better.
            container.workload.state = State::Stopping;
        } else if is_nowhere(&container.workload) {
            self.look_again.insert(id.clone(), now + ADDRESS_DELAY);
        } else {
            self.look_again.remove(&id);
        }
        self.containers.insert(id, container);
    }

    pub(super) fn remove(&mut self, id: &WorkloadId) {
        self.containers.remove(id);
        self.look_again.remove(id);
    }

    /// Drops what the list no longer has, and returns what has to be looked at.
    pub(super) fn reconcile(&mut self, list: &BTreeMap<WorkloadId, Listed>) -> Vec<WorkloadId> {
        self.containers.retain(|id, _| list.contains_key(id));
        self.look_again.retain(|id, _| list.contains_key(id));
        let known = |id: &WorkloadId, listed: &Listed| {
            self.containers.get(id).is_some_and(|container| container.listed == *listed)
        };
        list.iter().filter(|(id, listed)| !known(id, listed)).map(|(id, _)| id.clone()).collect()
    }

    /// What has to be looked at by now.
    pub(super) fn due(&self, now: Instant) -> Vec<WorkloadId> {
        self.look_again.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.look_again.values().min().copied()
    }

    pub(super) fn inventory(&self) -> Arc<Inventory> {
        let workloads =
            self.containers.iter().map(|(id, container)| (id.clone(), container.workload.clone()));
        Arc::new(Inventory { workloads: workloads.collect() })
    }
}

/// Whether it runs and has no address yet, as right after its start.
fn is_nowhere(workload: &Workload) -> bool {
    use crate::inventory::Placement::Networks;
    workload.state == State::Running
        && matches!(&workload.placement, Networks(on) if !on.is_empty() && on.iter().all(|on| on.addresses.is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::convert::{container, tests::inspected};
    use super::*;
    use crate::inventory::Health;

    fn id() -> WorkloadId {
        WorkloadId("a".into())
    }

    fn running() -> View {
        let mut view = View::default();
        view.replace(container(inspected("a", |_| ()), Listed::default()).unwrap(), Instant::now());
        view
    }

    fn event(what: What) -> Event {
        Event { id: id(), at: i64::MAX, what }
    }

    fn state(view: &View) -> State {
        view.inventory().workloads[&id()].state
    }

    #[test]
    fn a_terminating_signal_drains_and_another_does_not() {
        for (signal, expected) in [
            ("TERM", State::Stopping),
            ("KILL", State::Stopping),
            ("QUIT", State::Stopping),
            ("HUP", State::Running),
            ("USR1", State::Running),
        ] {
            let mut view = running();
            assert_eq!(view.apply(&event(What::Kill(signal.into())), Instant::now()), Effect::Done);
            assert_eq!(state(&view), expected, "{signal}");
        }
    }

    #[test]
    fn draining_is_undone_when_the_container_does_not_end() {
        let mut view = running();
        let now = Instant::now();
        view.apply(&event(What::Kill("TERM".into())), now);
        let again = container(inspected("a", |_| ()), Listed::default()).unwrap();
        view.replace(again.clone(), now);
        assert_eq!(state(&view), State::Stopping, "a look in between does not undo it");
        let due = view.next_deadline().unwrap();
        assert_eq!(due, now + Duration::from_secs(32), "its own stop time-out, and a little more");
        assert_eq!(view.due(due), [id()]);
        view.replace(again, due);
        assert_eq!(state(&view), State::Running);
        assert_eq!(view.next_deadline(), None);
    }

    #[test]
    fn die_stops_and_destroy_removes_without_a_look() {
        let mut view = running();
        assert_eq!(view.apply(&event(What::Die), Instant::now()), Effect::Done);
        assert_eq!(state(&view), State::Stopped);
        assert_eq!(view.apply(&event(What::Destroy), Instant::now()), Effect::Done);
        assert!(view.inventory().workloads.is_empty());
    }

    #[test]
    fn an_event_from_an_earlier_life_is_ignored() {
        let mut view = running();
        let old = Event { at: 5, ..event(What::Die) };
        view.apply(&old, Instant::now());
        assert_eq!(state(&view), State::Running);
    }

    #[test]
    fn health_and_pause_follow_the_events() {
        let mut view = running();
        view.apply(&event(What::Health(Health::Unhealthy)), Instant::now());
        assert_eq!(view.inventory().workloads[&id()].health, Health::Unhealthy);
        view.apply(&event(What::Pause), Instant::now());
        assert_eq!(state(&view), State::Paused);
        view.apply(&event(What::Unpause), Instant::now());
        assert_eq!(state(&view), State::Running);
    }

    #[test]
    fn an_unknown_container_is_looked_at() {
        assert_eq!(View::default().apply(&event(What::Die), Instant::now()), Effect::Look);
    }

    #[test]
    fn a_container_without_an_address_is_looked_at_again_soon() {
        let mut view = View::default();
        let bare = inspected("a", |value| {
            value["NetworkSettings"] = json!({"Networks": {"n": {"IPAddress": ""}}});
        });
        let now = Instant::now();
        view.replace(container(bare, Listed::default()).unwrap(), now);
        assert_eq!(view.due(now + ADDRESS_DELAY), [id()]);
    }

    #[test]
    fn the_list_removes_what_is_gone_and_names_what_is_new() {
        let mut view = running();
        let list = BTreeMap::from([(WorkloadId("b".into()), Listed::default())]);
        assert_eq!(view.reconcile(&list), [WorkloadId("b".into())]);
        assert!(view.inventory().workloads.is_empty());
    }

    #[test]
    fn what_the_list_shows_unchanged_is_not_looked_at() {
        let mut view = running();
        assert!(view.reconcile(&BTreeMap::from([(id(), Listed::default())])).is_empty());
    }
}
