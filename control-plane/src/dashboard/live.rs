//! What keeps the pages fresh: the part that watches for changes, and the stream of events that says so.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::stream::{self, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use warp::sse::Event;

use super::pages::rate_in_words;
use super::traffic::{Interest, Traffic};
use crate::sources::Sources;
use crate::timeline::Recorder;

/// Changes that come closer together are one: for the timeline,
const LOOK: Duration = Duration::from_millis(20);
/// and for a page, which asks at most this often.
const SPACING: Duration = Duration::from_millis(100);
/// An open page is somebody who looks.
const LOOKS: Duration = Duration::from_secs(5);

/// Writes the timeline, and counts changes for the pages, until `stop` is cancelled.
pub(super) async fn follow(
    sources: Sources,
    mut recorder: Recorder,
    revision: watch::Sender<u64>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Sources { mut views, mut inventories, mut decisions, clients, mut freshness, .. } = sources;
    let mut streams = clients.changes();
    loop {
        let now = SystemTime::now();
        streams.borrow_and_update();
        decisions.borrow_and_update();
        let inventory = inventories.borrow_and_update().clone();
        if let Some(inventory) = inventory {
            recorder.see_containers(&inventory, now);
        }
        let view = views.borrow_and_update().clone();
        if let Some(view) = view {
            recorder.see_view(&view, now);
            recorder.see_clients(&clients.progress(), &view.snapshot, now);
        }
        revision.send_modify(|revision| *revision = revision.wrapping_add(1));
        let stale = freshness.is_stale();
        // A view that is confirmed is the same view: nobody has to look at it again.
        let turned = async {
            while freshness.is_stale() == stale {
                freshness.turn().await;
            }
        };
        let ended = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            changed = views.changed() => changed.is_err(),
            changed = inventories.changed() => changed.is_err(),
            changed = decisions.changed() => changed.is_err(),
            changed = streams.changed() => changed.is_err(),
            () = turned => false,
        };
        if ended {
            // The control plane is stopping: what it knows does not change any more.
            stop.cancelled().await;
            return Ok(());
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

struct Watching {
    revision: watch::Receiver<u64>,
    traffic: watch::Receiver<Traffic>,
    interest: Interest,
    stop: CancellationToken,
    /// One of the places for those who watch.
    _place: OwnedSemaphorePermit,
    /// When a page was told last; nothing before.
    told: Option<Instant>,
}

/// One event a change, `changed` or `traffic`, until the client leaves or `stop` is cancelled. Nothing is queued: who
/// was busy hears of the newest.
pub(super) fn events(
    revision: watch::Receiver<u64>,
    traffic: watch::Receiver<Traffic>,
    interest: Interest,
    place: OwnedSemaphorePermit,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let watching = Watching { revision, traffic, interest, stop, _place: place, told: None };
    stream::unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok(event), watching))
    })
}

impl Watching {
    async fn next(&mut self) -> Option<Event> {
        let Some(told) = self.told else {
            // At once, so that a page that was loaded before something changed, or came back, asks again.
            return Some(self.changed());
        };
        loop {
            self.interest.show();
            let change = async {
                tokio::time::sleep_until(told + SPACING).await;
                self.revision.changed().await
            };
            tokio::select! {
                () = self.stop.cancelled() => return None,
                change = change => {
                    change.ok()?;
                    return Some(self.changed());
                }
                changed = self.traffic.changed() => {
                    changed.ok()?;
                    return Some(traffic_event(&self.traffic.borrow_and_update()));
                }
                () = tokio::time::sleep(LOOKS) => {}
            }
        }
    }

    fn changed(&mut self) -> Event {
        self.told = Some(Instant::now());
        Event::default().event("changed").data(self.revision.borrow_and_update().to_string())
    }
}

/// Service by service what stands on the page.
fn traffic_event(traffic: &Traffic) -> Event {
    let words = match traffic {
        Traffic::Missing(_) => serde_json::Map::new(),
        Traffic::Known(services) => services
            .iter()
            .map(|(service, rates)| {
                let words = rate_in_words(rates.requests_per_second, rates.errors_per_second, rates.p95_ms);
                (service.clone(), words.into())
            })
            .collect(),
    };
    Event::default().event("traffic").data(serde_json::Value::Object(words).to_string())
}

/// At most this many watch at a time: each is a connection that stays open.
pub(super) fn places() -> Arc<tokio::sync::Semaphore> {
    Arc::new(tokio::sync::Semaphore::new(100))
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use xds_server::Clients;

    use super::*;
    use crate::inventory::Inventory;
    use crate::overrides::Overrides;
    use crate::provider::port;
    use crate::timeline::Timeline;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_page_is_told_of_what_changed_and_of_a_view_that_gets_old_and_of_no_confirmation() {
        let (outlet, inventories, freshness) = port(MINUTE);
        let (_views, views) = watch::channel(None);
        let (_decisions, decisions) = watch::channel(Overrides::default());
        let timeline = Timeline::default();
        let recorder = Recorder::new(timeline.clone());
        let sources =
            Sources { views, inventories, decisions, clients: Clients::default(), freshness, timeline };
        let (revision, mut told) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(sources, recorder, revision, CancellationToken::new()));

        outlet.publish(&Arc::new(Inventory::default()));
        outlet.confirm(Instant::now());
        tokio::time::sleep(MINUTE / 2).await;
        told.borrow_and_update();
        for _ in 0..10 {
            outlet.confirm(Instant::now());
            tokio::time::sleep(MINUTE / 2).await;
        }
        assert!(!told.has_changed().unwrap(), "it was confirmed, and nothing else");
        told.changed().await.unwrap();
        let late = tokio::time::timeout(10 * MINUTE, told.changed()).await;
        assert!(late.is_err(), "it gets old once");
        outlet.confirm(Instant::now());
        told.changed().await.unwrap();
    }
}
