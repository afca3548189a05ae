//! Looks at containers: a few at a time, each container once at a time, and nothing lost that happens meanwhile.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use crate::inventory::WorkloadId;
use crate::provider::earlier;

use super::convert::Container;
use super::event::Event;

/// Containers that are looked at side by side.
const AT_A_TIME: usize = 8;

/// What the engine showed: nothing where the container is gone.
pub(super) type Answer = anyhow::Result<Option<Container>>;

/// What a look has shown.
pub(super) struct Seen {
    pub(super) id: WorkloadId,
    /// When the oldest event came that asked for it, if one did.
    pub(super) event: Option<Instant>,
    pub(super) answer: Answer,
    /// What was told of it while the look was under way, in order: it may be newer than the answer.
    pub(super) meanwhile: Vec<Event>,
}

#[derive(Debug)]
struct UnderWay {
    event: Option<Instant>,
    meanwhile: Vec<Event>,
}

/// The looks that are under way, and those that wait.
pub(super) struct Looks<'e, F> {
    look: F,
    /// With the oldest event that asked for each.
    waiting: BTreeMap<WorkloadId, Option<Instant>>,
    under_way: BTreeMap<WorkloadId, UnderWay>,
    answers: FuturesUnordered<BoxFuture<'e, (WorkloadId, Answer)>>,
}

impl<'e, F: Fn(WorkloadId) -> BoxFuture<'e, Answer>> Looks<'e, F> {
    /// None yet; `look` asks the engine.
    pub(super) fn new(look: F) -> Self {
        Self { look, waiting: BTreeMap::new(), under_way: BTreeMap::new(), answers: FuturesUnordered::new() }
    }

    /// Asks for a look that begins after this moment. One that waits already will do; one under way will not.
    /// `event` is when the event came that asks for it, if one does.
    pub(super) fn ask(&mut self, id: WorkloadId, event: Option<Instant>) {
        let oldest = self.waiting.entry(id).or_default();
        *oldest = earlier(*oldest, event);
        self.begin();
    }

    /// Remembers what happened to a container that is being looked at.
    pub(super) fn note(&mut self, event: &Event) {
        if let Some(look) = self.under_way.get_mut(&event.id) {
            look.meanwhile.push(event.clone());
        }
    }

    /// Whether all that was asked for is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// The next answer; waits for ever while there is nothing to wait for.
    pub(super) async fn next(&mut self) -> Seen {
        match self.answers.next().await {
            Some((id, answer)) => self.answered(id, answer),
            None => std::future::pending().await,
        }
    }

    /// What is seen now that a look is answered.
    pub(super) fn answered(&mut self, id: WorkloadId, answer: Answer) -> Seen {
        let look = self.under_way.remove(&id);
        let (event, meanwhile) = look.map(|look| (look.event, look.meanwhile)).unwrap_or_default();
        self.begin();
        Seen { id, event, answer, meanwhile }
    }

    /// Whether a look at this container is under way.
    pub(super) fn is_under_way(&self, id: &WorkloadId) -> bool {
        self.under_way.contains_key(id)
    }

    fn begin(&mut self) {
        while self.under_way.len() < AT_A_TIME {
            let free = self.waiting.keys().find(|id| !self.under_way.contains_key(id)).cloned();
            let Some(id) = free else { return };
            let event = self.waiting.remove(&id).flatten();
            self.under_way.insert(id.clone(), UnderWay { event, meanwhile: Vec::new() });
            let answer = (self.look)(id.clone());
            self.answers.push(Box::pin(async move { (id, answer.await) }));
        }
    }
}
