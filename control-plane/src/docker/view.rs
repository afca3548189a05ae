//! What is known of the engine's containers. Pure: the list and inspects are the truth, events are hints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::inventory::{Inventory, Labels, Placement, State, Workload, WorkloadId};

use super::convert::Container;
use super::event::{Event, What};
use super::listed::Listed;

/// Signals that end a process which does not handle them in some way of its own.
const TERMINATING: [&str; 4] = ["TERM", "INT", "QUIT", "KILL"];
/// How much later than the engine's SIGKILL a container must have ended, if it was told to stop at all.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// A container that runs without an address is looked at again after this long, then after twice as long, and so on,
const ADDRESS_DELAY: Duration = Duration::from_millis(200);
/// this often. After that only an event or the next list brings it up: there are networks without addresses.
const ADDRESS_LOOKS: u32 = 5;

/// All containers, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct View {
    inventory: Arc<Inventory>,
    /// The labels of all of them, each set once.
    labels: BTreeSet<Labels>,
    lives: BTreeMap<WorkloadId, Life>,
    /// Containers to look at again at a time: told to stop and not ended, or running without an address.
    look_again: BTreeMap<WorkloadId, Instant>,
    /// Containers that are gone, and are still in the inventory as ones that stopped: see [`View::let_go`].
    leaving: BTreeSet<WorkloadId>,
}

/// What only this provider needs to know of a container.
#[derive(Debug)]
struct Life {
    stop_signal: String,
    stop_timeout: Duration,
    started_at: i64,
    /// When it must have ended, since it was told to stop.
    ends: Option<Instant>,
    /// How often it was looked at and had no address.
    addressless: u32,
}

/// What an event calls for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing, or what it said is in the view.
    Done,
    /// A look at the container it is about.
    Look,
    /// What it said is in the view, and only a look tells the rest.
    DoneAndLook,
}

/// Where a list and the view differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// What has to be looked at.
    pub(super) looks: Vec<WorkloadId>,
    /// What is gone.
    pub(super) gone: Vec<Arc<Workload>>,
}

impl View {
    /// Takes in an event. A kill and a death never call for a look: what stops must not wait for the engine.
    pub(super) fn apply(&mut self, event: &Event, now: Instant) -> Effect {
        let (Some(known), Some(life)) =
            (self.inventory.workloads.get(&event.id), self.lives.get_mut(&event.id))
        else {
            return match event.what {
                What::Look | What::Pause | What::Unpause | What::Health(_) => Effect::Look,
                // What nobody knows needs no undoing; and it joins its networks before it starts.
                What::Kill(_) | What::Die | What::Destroy | What::Join | What::Leave(_) => Effect::Done,
            };
        };
        // An event from before its last start says nothing about the life it has now.
        if event.at < life.started_at {
            return Effect::Done;
        }
        let (mut workload, mut effect) = (Workload::clone(known), Effect::Done);
        match &event.what {
            What::Look => return Effect::Look,
            What::Join if matches!(workload.state, State::Created | State::Stopped) => return Effect::Done,
            What::Join => return Effect::Look,
            What::Destroy => {
                self.leave(&event.id);
                return Effect::Done;
            }
            What::Leave(network) => {
                without_addresses(&mut workload, |on| on == network);
                // One that ends leaves its networks too. Newer engines tell of that before its death, older ones after it.
                if matches!(workload.state, State::Running | State::Paused) {
                    effect = Effect::DoneAndLook;
                }
            }
            What::Kill(signal) => {
                let terminating = *signal == life.stop_signal || TERMINATING.contains(&signal.as_str());
                if terminating && workload.state == State::Running {
                    workload.state = State::Stopping;
                    let ends = now + life.stop_timeout + STOP_GRACE;
                    life.ends = Some(ends);
                    self.look_again.insert(event.id.clone(), ends);
                }
            }
            What::Die => {
                workload.state = State::Stopped;
                without_addresses(&mut workload, |_| true);
                self.look_again.remove(&event.id);
            }
            What::Pause => workload.state = State::Paused,
            What::Unpause if life.ends.is_some_and(|ends| now < ends) => workload.state = State::Stopping,
            What::Unpause => workload.state = State::Running,
            What::Health(health) => workload.health = *health,
        }
        self.set(workload);
        effect
    }

    /// Takes in what a look at a container has shown, and says whether that was news.
    pub(super) fn replace(&mut self, container: Container, now: Instant) -> bool {
        let Container { mut workload, stop_signal, stop_timeout, started_at } = container;
        let id = workload.id.clone();
        self.leaving.remove(&id);
        self.share_labels(&mut workload);
        let before = self.lives.get(&id).filter(|life| life.started_at == started_at);
        let ends = before.and_then(|life| life.ends).filter(|ends| now < *ends);
        let ends = ends.filter(|_| matches!(workload.state, State::Running | State::Paused));
        if ends.is_some() && workload.state == State::Running {
            // The engine calls a container that was told to stop running; the event knew better.
            workload.state = State::Stopping;
        }
        let addressless = match before {
            _ if !is_nowhere(&workload) => 0,
            None => 1,
            Some(life) => life.addressless + 1,
        };
        let patient = (1..=ADDRESS_LOOKS).contains(&addressless);
        let look = ends.or_else(|| patient.then(|| now + ADDRESS_DELAY * 2u32.pow(addressless - 1)));
        match look {
            Some(at) => self.look_again.insert(id.clone(), at),
            None => self.look_again.remove(&id),
        };
        self.lives.insert(id, Life { stop_signal, stop_timeout, started_at, ends, addressless });
        self.set(workload)
    }

    /// Has it share its labels with its replicas.
    fn share_labels(&mut self, workload: &mut Workload) {
        match self.labels.get(&workload.labels) {
            Some(same) => workload.labels = same.clone(),
            None => drop(self.labels.insert(workload.labels.clone())),
        }
    }

    fn set(&mut self, workload: Workload) -> bool {
        let known = self.inventory.workloads.get(&workload.id);
        let differs = known.is_none_or(|known| **known != workload);
        if differs {
            let workloads = &mut Arc::make_mut(&mut self.inventory).workloads;
            workloads.insert(workload.id.clone(), Arc::new(workload));
        }
        differs
    }

    /// Takes in that a container is gone, and says whether that was news.
    pub(super) fn leave(&mut self, id: &WorkloadId) -> bool {
        self.lives.remove(id);
        self.look_again.remove(id);
        let Some(known) = self.inventory.workloads.get(id) else { return false };
        let mut workload = Workload::clone(known);
        workload.state = State::Stopped;
        without_addresses(&mut workload, |_| true);
        self.set(workload);
        self.leaving.insert(id.clone())
    }

    /// Forgets what is gone. While a look is under way it may be at the container that takes the place of one that is gone:
    /// if that were forgotten before, what it asked for would be gone for a moment as well, and the two would not be known
    /// for what they are, the earlier and the later one of one service.
    pub(super) fn let_go(&mut self) {
        for id in std::mem::take(&mut self.leaving) {
            Arc::make_mut(&mut self.inventory).workloads.remove(&id);
        }
    }

    /// Takes in that what `list` no longer has is gone, and says what has to be looked at. What an event `told` about since the list was
    /// asked for may be newer than the list, and is looked at in doubt.
    pub(super) fn reconcile(
        &mut self,
        list: &BTreeMap<WorkloadId, Listed>,
        told: &BTreeSet<WorkloadId>,
    ) -> Difference {
        let mut difference = Difference::default();
        for (id, listed) in list {
            let known = self.inventory.workloads.get(id);
            if known.is_none_or(|known| !listed.agrees_with(known)) {
                difference.looks.push(id.clone());
            }
        }
        let is_news = |id: &WorkloadId| !list.contains_key(id) && !self.leaving.contains(id);
        let unlisted = self.inventory.workloads.values().filter(|known| is_news(&known.id));
        for known in unlisted.cloned().collect::<Vec<_>>() {
            if told.contains(&known.id) {
                difference.looks.push(known.id.clone());
            } else {
                self.leave(&known.id);
                difference.gone.push(known);
            }
        }
        self.labels.retain(|labels| !labels.is_last());
        difference
    }

    /// What has to be looked at by now; each is named once.
    pub(super) fn due(&mut self, now: Instant) -> Vec<WorkloadId> {
        let due: Vec<_> =
            self.look_again.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        self.look_again.retain(|_, at| *at > now);
        due
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.look_again.values().min().copied()
    }

    /// Everything that is known. The same allocation as before while nothing has changed.
    pub(super) const fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }
}

/// A container that leaves a network has no address there any more.
fn without_addresses(workload: &mut Workload, left: impl Fn(&String) -> bool) {
    if let Placement::Networks(on) = &mut workload.placement {
        on.iter_mut().filter(|on| left(&on.network)).for_each(|on| on.addresses.clear());
    }
}

/// Whether it runs and has no address yet, as right after its start.
fn is_nowhere(workload: &Workload) -> bool {
    workload.state == State::Running
        && matches!(&workload.placement, Placement::Networks(on) if !on.is_empty() && on.iter().all(|on| on.addresses.is_empty()))
}

#[cfg(test)]
mod tests;
