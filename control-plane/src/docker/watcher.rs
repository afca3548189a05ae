//! The loop: subscribe, list, follow; and again from the start whenever anything is in doubt.
//!
//! Nothing in it waits for the engine but the connecting: lists and looks are under way while events are taken in, so
//! that what stops leaves the rotation at once, however slow the engine is.

pub(super) mod round;

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::provider::Outlet;

use super::engine::Engine;
use super::event::{Event, Heard};
use super::steps::{List, Step};
use crate::recording::Recorder;
use round::{Follower, Known};

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
/// Events that may wait while others are taken in; more than that, and the list is asked for again.
const EVENT_BUFFER: usize = 1_024;

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// The engine could not be asked everything.
    Away(anyhow::Error),
    /// It could, and then the events ended or failed. That is normal: proxies cut what is idle, engines restart.
    Cut(anyhow::Error),
}

pub(super) struct Watcher {
    engine: Engine,
    outlet: Outlet,
    recorder: Recorder,
    known: Known,
}

impl Watcher {
    pub(super) fn new(engine: Engine, outlet: Outlet, recorder: Recorder) -> Self {
        Self { engine, outlet, recorder, known: Known::default() }
    }

    /// Follows the engine for ever. Whatever goes wrong, the last view stands and it begins again.
    pub(super) async fn run(mut self) {
        let mut delay = FIRST_DELAY;
        let mut told: Option<Instant> = None;
        loop {
            let began = Instant::now();
            let Err(end) = self.follow(&mut told).await;
            if began.elapsed() > LONGEST_DELAY {
                delay = FIRST_DELAY;
            }
            self.tell(&end, &mut told);
            tokio::time::sleep(jittered(delay)).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    fn tell(&self, end: &End, told: &mut Option<Instant>) {
        let now = Instant::now();
        match end {
            End::Away(error) if told.is_none_or(|told| now.duration_since(told) >= REMIND) => {
                let stands =
                    if self.outlet.has_view() { "the last view stands" } else { "nothing is served yet" };
                warn!("the Docker Engine is away, {stands}; trying again: {error:#}");
                *told = Some(now);
            }
            End::Away(error) => debug!("the Docker Engine is away: {error:#}"),
            End::Cut(error) => debug!("connecting to the Docker Engine again: {error:#}"),
        }
    }

    /// One connection, from its beginning to whatever ends it.
    async fn follow(&mut self, told: &mut Option<Instant>) -> Result<Infallible, End> {
        let version = answer(self.engine.connect()).await.context("cannot connect").map_err(End::Away)?;
        // Subscribe first, then list: what happens in between is in both.
        let stream = self.engine.events(now_in_seconds() - OVERLAP).map_err(End::Away)?;
        let (mut events, _reader) = read(stream);
        tokio::task::yield_now().await;
        let engine = &self.engine;
        let look = |id| async move { answer(engine.inspect(&id)).await }.boxed();
        self.recorder.note(Instant::now(), |_| Step::Connected(version));
        let known = std::mem::take(&mut self.known);
        let mut follower = Follower::new(look, known, self.outlet.clone(), self.recorder.clone());
        let mut list = list_all(engine);
        follower.begin(Instant::now());
        let mut resync = tokio::time::interval_at(Instant::now() + RESYNC, RESYNC);
        let mut listing = true;
        loop {
            let deadline = follower.next_deadline();
            let step = tokio::select! {
                event = events.recv() => match event {
                    Some(heard) => heard.and_then(|heard| follower.take(heard, &mut events, Instant::now())),
                    None => Err(anyhow!("more events came than could be taken in, or their stream ended")),
                },
                answer = &mut list, if listing => {
                    listing = false;
                    answer.map(|answer| follower.compare(&answer, Instant::now()))
                }
                seen = follower.looks.next() => follower.see(seen, Instant::now()),
                _ = resync.tick(), if !listing => {
                    list = list_all(engine);
                    listing = true;
                    follower.begin(Instant::now());
                    Ok(())
                }
                () = until(deadline) => follower.do_what_is_due(Instant::now()),
            };
            if let Err(error) = step {
                let end = if follower.is_settled() { End::Cut(error) } else { End::Away(error) };
                self.recorder.note(Instant::now(), |_| Step::Lost);
                self.known = follower.into_known();
                return Err(end);
            }
            follower.settle();
            if follower.is_settled() && told.take().is_some() {
                info!("the Docker Engine is back");
            }
        }
    }
}

fn list_all(engine: &Engine) -> BoxFuture<'_, anyhow::Result<List>> {
    answer(engine.list()).boxed()
}

/// Reads `events` in a task of its own, so that the engine never finds us slow and drops us; the task ends with the
/// set it is returned in.
fn read(
    mut events: BoxStream<'static, anyhow::Result<Event>>,
) -> (mpsc::Receiver<anyhow::Result<Heard>>, JoinSet<()>) {
    let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        while let Some(event) = events.next().await {
            // A full buffer ends the stream, and with it this connection: the next one lists again.
            let heard = event.map(|event| Heard { event, at: Instant::now() });
            if sender.try_send(heard).is_err() {
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
