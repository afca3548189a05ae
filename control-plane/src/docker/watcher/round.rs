//! What one connection brings in: events as they come, and lists that are compared with what is known.
//!
//! A round is a list and the looks it led to. When its last look is answered the view is what the engine showed when the
//! round began, which confirms it. A change that a round brings up and no event tells of is a suspicion: a stream that
//! went silent looks just like a quiet one. Where the suspicion lasts, a new connection is made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::bail;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::inventory::WorkloadId;
use crate::provider::{Outlet, earlier};
use crate::recording::Recorder;

use super::super::convert::Container;
use super::super::event::{Event, Heard};
use super::super::looks::{Looks, Seen};
use super::super::steps::{List, Step};
use super::super::view::{Effect, View};

/// How much later than a list the event may come that tells the same.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Round {
    began: Instant,
    listed: bool,
    /// What events told about since it began: the list may be older.
    told: BTreeSet<WorkloadId>,
    /// What the list tells otherwise, and no event did.
    untold: BTreeSet<WorkloadId>,
}

/// What is known, whatever becomes of a connection.
#[derive(Debug, Default)]
pub(in crate::docker) struct Known {
    pub(in crate::docker) view: View,
    /// Whether the view was complete once: before that it is nobody's business.
    complete: bool,
}

/// Takes in what comes over one connection. What becomes of it depends on that alone, and on the times that are handed in: so a
/// recording of it can be played again.
pub(in crate::docker) struct Follower<'e, F> {
    pub(in crate::docker) looks: Looks<'e, F>,
    known: Known,
    outlet: Outlet,
    recorder: Recorder,
    /// What was listed last, where that is recorded.
    list: Option<List>,
    round: Option<Round>,
    /// Whether a round of this connection is over.
    settled: bool,
    /// What has changed, by name, and no event told.
    suspicions: BTreeMap<WorkloadId, String>,
    verdict: Option<Instant>,
    /// When the oldest event came that led to what is not published yet.
    event: Option<Instant>,
}

impl<'e, F> Follower<'e, F>
where
    F: Fn(WorkloadId) -> BoxFuture<'e, anyhow::Result<Option<Container>>>,
{
    pub(in crate::docker) fn new(look: F, known: Known, outlet: Outlet, recorder: Recorder) -> Self {
        Self {
            looks: Looks::new(look),
            known,
            outlet,
            recorder,
            list: None,
            round: None,
            settled: false,
            suspicions: BTreeMap::new(),
            verdict: None,
            event: None,
        }
    }

    /// What is known, at the end of the connection.
    pub(in crate::docker) fn into_known(self) -> Known {
        self.known
    }

    /// A list was asked for.
    pub(in crate::docker) fn begin(&mut self, now: Instant) {
        self.recorder.note(now, |_| Step::Listing);
        let (told, untold) = (BTreeSet::new(), BTreeSet::new());
        self.round = Some(Round { began: now, listed: false, told, untold });
    }

    /// Takes in `first` and every event that waits behind it.
    pub(super) fn take(
        &mut self,
        first: Heard,
        events: &mut mpsc::Receiver<anyhow::Result<Heard>>,
        now: Instant,
    ) -> anyhow::Result<()> {
        let mut next = Some(first);
        while let Some(heard) = next {
            self.hear(&heard, now);
            next = events.try_recv().ok().transpose()?;
        }
        if self.settled {
            // The stream is in order: one event proves that all before it have come.
            self.outlet.confirm(now);
        }
        Ok(())
    }

    /// Takes in one event.
    pub(in crate::docker) fn hear(&mut self, heard: &Heard, now: Instant) {
        let Heard { event, at } = heard;
        debug!(container = &*event.id.0, what = ?event.what, "event");
        self.recorder.note(now, |_| Step::Event(event.clone()));
        self.looks.note(event);
        self.suspicions.remove(&event.id);
        if let Some(round) = &mut self.round {
            round.untold.remove(&event.id);
            round.told.insert(event.id.clone());
        }
        self.apply(event, Some(*at), now);
    }

    /// Takes in an event that came in at `at`; nothing where it did so earlier already.
    fn apply(&mut self, event: &Event, at: Option<Instant>, now: Instant) {
        match self.known.view.apply(event, now) {
            Effect::Look => self.looks.ask(event.id.clone(), at),
            Effect::Done => self.lead_back_to(at),
            Effect::DoneAndLook => {
                self.lead_back_to(at);
                self.looks.ask(event.id.clone(), None);
            }
        }
    }

    fn lead_back_to(&mut self, event: Option<Instant>) {
        self.event = earlier(self.event, event);
    }

    /// Takes in the list.
    pub(in crate::docker) fn compare(&mut self, list: &List, now: Instant) {
        self.record(list, now);
        let Some(round) = &mut self.round else { return };
        round.listed = true;
        let difference = self.known.view.reconcile(list, &round.told);
        round.untold = difference.looks.iter().filter(|id| !round.told.contains(*id)).cloned().collect();
        for id in difference.looks {
            self.looks.ask(id, None);
        }
        for gone in difference.gone {
            self.suspect(gone.id.clone(), gone.name.clone(), now);
        }
    }

    fn record(&mut self, list: &List, now: Instant) {
        if self.recorder.is_on() {
            let same = self.list.as_ref() == Some(list);
            self.recorder.note(now, |_| if same { Step::ListedAsBefore } else { Step::Listed(list.clone()) });
            self.list = Some(list.clone());
        }
    }

    /// Takes in a look.
    pub(in crate::docker) fn see(&mut self, seen: Seen, now: Instant) -> anyhow::Result<()> {
        let Seen { id, event, answer, meanwhile } = seen;
        self.lead_back_to(event);
        let answer = answer?;
        self.recorder.note(now, |hide| Step::look(&id, answer.as_ref(), hide));
        let changed = match answer {
            Some(container) => self.known.view.replace(container, now),
            None => self.known.view.leave(&id),
        };
        let untold = self.round.as_mut().is_some_and(|round| round.untold.remove(&id));
        if untold && changed {
            let name = self.known.view.inventory().workloads.get(&id).map_or(&*id.0, |known| &known.name);
            let name = name.to_owned();
            self.suspect(id, name, now);
        }
        // The answer may be older than what was told meanwhile, and never says less.
        for event in &meanwhile {
            self.apply(event, None, now);
        }
        Ok(())
    }

    fn suspect(&mut self, id: WorkloadId, name: String, now: Instant) {
        // Before the first round is over the events have had no time to tell anything.
        if self.settled {
            self.suspicions.insert(id, name);
            self.verdict = Some(now + GRACE);
        }
    }

    /// When [`Follower::do_what_is_due`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.known.view.next_deadline().into_iter().chain(self.verdict).min()
    }

    pub(in crate::docker) fn do_what_is_due(&mut self, now: Instant) -> anyhow::Result<()> {
        self.recorder.note(now, |_| Step::Due);
        for id in self.known.view.due(now) {
            self.looks.ask(id, None);
        }
        if self.verdict.take_if(|verdict| *verdict <= now).is_some()
            && let Some(name) = self.suspicions.values().next()
        {
            warn!("no event of the Docker Engine told of a change of {name}; connecting to it again");
            bail!("no event told of a change of {name}");
        }
        Ok(())
    }

    /// Whether the engine has answered everything once.
    pub(super) const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Publishes what is known, if that is everything, and ends the round if it is over.
    pub(in crate::docker) fn settle(&mut self) {
        let is_idle = self.looks.is_idle();
        if is_idle {
            self.known.view.let_go();
        }
        let over = is_idle && self.round.as_ref().is_some_and(|round| round.listed);
        self.known.complete |= over;
        // What changed nothing leads to nothing.
        let event = self.event.take();
        if self.known.complete {
            self.recorder.made(self.known.view.inventory());
            self.outlet.publish_since(self.known.view.inventory(), event);
        }
        if let Some(round) = self.round.take_if(|_| over) {
            self.outlet.confirm(round.began);
            self.settled = true;
        }
    }
}
