//! The loop: subscribe, list, follow; and again from the start whenever anything is in doubt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::inventory::WorkloadId;
use crate::provider::InventorySender;

use super::convert::Listed;
use super::engine::Engine;
use super::event::Event;
use super::view::{Effect, View};

/// A stream that went silent without an end is found out by a fresh list this often.
const RESYNC: Duration = Duration::from_secs(60);
/// No question to the engine takes longer than this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How far before the list the events begin, in seconds: none may fall between the two.
const OVERLAP: i64 = 2;
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// How often a person is told that the engine is still away.
const REMIND: Duration = Duration::from_secs(60);
/// Events that may wait while the engine is asked something; more than that, and the list is asked for again.
const EVENT_BUFFER: usize = 1_024;
/// Containers that are looked at side by side.
const LOOKS: usize = 8;

pub(super) struct Watcher<E> {
    engine: E,
    sender: InventorySender,
    view: View,
}

impl<E: Engine> Watcher<E> {
    pub(super) fn new(engine: E, sender: InventorySender) -> Self {
        Self { engine, sender, view: View::default() }
    }

    /// Follows the engine for ever. Whatever goes wrong, the last view stands and it begins again.
    pub(super) async fn run(mut self) {
        let mut delay = FIRST_DELAY;
        let mut told: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let Err(error) = self.follow(&mut told).await;
            if began.elapsed() > LONGEST_DELAY {
                delay = FIRST_DELAY;
            }
            let now = Instant::now();
            if told.is_none_or(|told| now.duration_since(told) >= REMIND) {
                let stands = if self.sender.borrow().is_some() {
                    "the last view stands"
                } else {
                    "nothing is served yet"
                };
                warn!("the Docker Engine is away, {stands}; trying again: {error:#}");
                told = Some(now);
            } else {
                debug!("the Docker Engine is away: {error:#}");
            }
            tokio::time::sleep(jittered(delay)).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    /// One connection, from its beginning to whatever ends it.
    async fn follow(&mut self, told: &mut Option<Instant>) -> anyhow::Result<std::convert::Infallible> {
        answer(self.engine.connect()).await.context("cannot connect")?;
        // Subscribe first, then list: what happens in between is in both.
        let (mut events, _reader) = read(self.engine.events(now_in_seconds() - OVERLAP));
        self.resync().await?;
        if told.take().is_some() {
            info!("the Docker Engine is back");
        }
        let mut resync = tokio::time::interval_at(Instant::now() + RESYNC, RESYNC);
        loop {
            let deadline = self.view.next_deadline();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(event?, &mut events).await?,
                    None => bail!("more events came than could be taken in, or their stream ended"),
                },
                _ = resync.tick() => self.resync().await?,
                () = until(deadline) => {
                    let due = self.view.due(Instant::now());
                    self.look(due, &BTreeMap::new()).await?;
                }
            }
            self.publish();
        }
    }

    /// Takes in `first` and every event that waits behind it. What they say by themselves is published before the
    /// engine is asked anything: a container that stops must not wait for one that starts.
    async fn take(
        &mut self,
        first: Event,
        events: &mut mpsc::Receiver<anyhow::Result<Event>>,
    ) -> anyhow::Result<()> {
        let mut looks = BTreeSet::new();
        let mut next = Some(first);
        while let Some(event) = next {
            debug!(container = event.id.0, what = ?event.what, "event");
            if self.view.apply(&event, Instant::now()) == Effect::Look {
                looks.insert(event.id);
            }
            next = events.try_recv().ok().transpose()?;
        }
        self.publish();
        self.look(looks, &BTreeMap::new()).await
    }

    async fn resync(&mut self) -> anyhow::Result<()> {
        let list = answer(self.engine.list()).await?;
        let looks = self.view.reconcile(&list);
        self.look(looks, &list).await?;
        self.publish();
        Ok(())
    }

    async fn look(
        &mut self,
        ids: impl IntoIterator<Item = WorkloadId>,
        list: &BTreeMap<WorkloadId, Listed>,
    ) -> anyhow::Result<()> {
        let engine = &self.engine;
        let looks = ids.into_iter().map(|id| async move {
            let listed = list.get(&id).cloned().unwrap_or_default();
            let seen = answer(engine.inspect(&id, listed)).await;
            (id, seen)
        });
        let seen: Vec<_> = futures::stream::iter(looks).buffer_unordered(LOOKS).collect().await;
        for (id, seen) in seen {
            match seen? {
                Some(container) => self.view.replace(container, Instant::now()),
                None => self.view.remove(&id),
            }
        }
        Ok(())
    }

    /// Publishes the view where it differs from the last one.
    fn publish(&self) {
        let inventory = self.view.inventory();
        self.sender.send_if_modified(|last| {
            let differs = last.as_ref() != Some(&inventory);
            if differs {
                *last = Some(Arc::clone(&inventory));
            }
            differs
        });
    }
}

/// Reads `events` in a task of its own, so that the engine never finds us slow and drops us; the task ends with the
/// set it is returned in.
fn read(
    mut events: BoxStream<'static, anyhow::Result<Event>>,
) -> (mpsc::Receiver<anyhow::Result<Event>>, JoinSet<()>) {
    let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        while let Some(event) = events.next().await {
            // A full buffer ends the stream, and with it this connection: the next one lists again.
            if sender.try_send(event).is_err() {
                return;
            }
        }
    });
    (receiver, reader)
}

async fn answer<T>(question: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, question)
        .await
        .with_context(|| format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))?
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn now_in_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Between half of `delay` and all of it: many control planes must not come back at the same moment.
fn jittered(delay: Duration) -> Duration {
    let noise = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos() % 1_000;
    delay / 2 + delay * noise / 2_000
}

#[cfg(test)]
mod tests;
