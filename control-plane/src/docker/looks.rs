//! Looks at containers: a few at a time, each container once at a time, and nothing lost that happens meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::inventory::WorkloadId;

use super::convert::Container;
use super::event::Event;

/// Containers that are looked at side by side.
const AT_A_TIME: usize = 8;

/// What the engine showed: nothing where the container is gone.
type Answer = anyhow::Result<Option<Container>>;

/// What a look has shown.
pub(super) struct Seen {
    pub(super) id: WorkloadId,
    pub(super) answer: Answer,
    /// What was told of it while the look was under way, in order: it may be newer than the answer.
    pub(super) meanwhile: Vec<Event>,
}

/// The looks that are under way, and those that wait.
pub(super) struct Looks<'e, F> {
    look: F,
    waiting: BTreeSet<WorkloadId>,
    under_way: BTreeMap<WorkloadId, Vec<Event>>,
    answers: FuturesUnordered<BoxFuture<'e, (WorkloadId, Answer)>>,
}

impl<'e, F: Fn(WorkloadId) -> BoxFuture<'e, Answer>> Looks<'e, F> {
    /// None yet; `look` asks the engine.
    pub(super) fn new(look: F) -> Self {
        Self { look, waiting: BTreeSet::new(), under_way: BTreeMap::new(), answers: FuturesUnordered::new() }
    }

    /// Asks for a look that begins after this moment. One that waits already will do; one under way will not.
    pub(super) fn ask(&mut self, id: WorkloadId) {
        self.waiting.insert(id);
        self.begin();
    }

    /// Remembers what happened to a container that is being looked at.
    pub(super) fn note(&mut self, event: &Event) {
        if let Some(meanwhile) = self.under_way.get_mut(&event.id) {
            meanwhile.push(event.clone());
        }
    }

    /// Whether all that was asked for is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// The next answer; waits for ever while there is nothing to wait for.
    pub(super) async fn next(&mut self) -> Seen {
        match self.answers.next().await {
            Some((id, answer)) => {
                let meanwhile = self.under_way.remove(&id).unwrap_or_default();
                self.begin();
                Seen { id, answer, meanwhile }
            }
            None => std::future::pending().await,
        }
    }

    fn begin(&mut self) {
        while self.under_way.len() < AT_A_TIME {
            let free = self.waiting.iter().find(|id| !self.under_way.contains_key(id)).cloned();
            let Some(id) = free else { return };
            self.waiting.remove(&id);
            self.under_way.insert(id.clone(), Vec::new());
            let answer = (self.look)(id.clone());
            self.answers.push(Box::pin(async move { (id, answer.await) }));
        }
    }
}
