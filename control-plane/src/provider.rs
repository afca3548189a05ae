//! The port through which facts come in.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::inventory::Inventory;

/// A source of inventories.
pub trait Provider: Send + 'static {
    /// What to call it in a log line: `docker` or `file`.
    fn name(&self) -> &'static str;

    /// Publishes on `outlet` until `stop` is cancelled.
    ///
    /// It never publishes a partial view, keeps its last view standing while its source is away, and confirms it as
    /// often as it can tell that it still holds.
    ///
    /// # Errors
    ///
    /// What can never get better by waiting. A source that is away is not an error: a provider waits and says so.
    fn run(self, outlet: Outlet, stop: CancellationToken) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The receiving end of the views; `None` until the first one.
///
/// The whole state travels each time (level-triggered), so a receiver that was busy sees the newest inventory and
/// never a queue of stale ones.
pub type InventoryReceiver = watch::Receiver<Option<Arc<Inventory>>>;

/// Both ends of the port. A view is stale when its source has not confirmed it for `max_age`; zero is for ever.
#[must_use]
pub fn port(max_age: Duration) -> (Outlet, InventoryReceiver, Freshness) {
    let (inventories, receiver) = watch::channel(None);
    let (confirmed, confirmations) = watch::channel(None);
    (
        Outlet { inventories, confirmed, events: OldestEvent::default() },
        receiver,
        Freshness { confirmed: confirmations, max_age },
    )
}

/// The sending end.
#[derive(Debug, Clone)]
pub struct Outlet {
    inventories: watch::Sender<Option<Arc<Inventory>>>,
    confirmed: watch::Sender<Option<Instant>>,
    events: OldestEvent,
}

impl Outlet {
    /// Publishes `inventory` where it differs from the last one, and says whether it does.
    pub fn publish(&self, inventory: &Arc<Inventory>) -> bool {
        self.publish_since(inventory, None)
    }

    /// The same for what an event at `event` led to, the oldest if there were several.
    pub fn publish_since(&self, inventory: &Arc<Inventory>, event: Option<Instant>) -> bool {
        self.inventories.send_if_modified(|last| {
            let same = last.as_ref().is_some_and(|last| Arc::ptr_eq(last, inventory) || last == inventory);
            if !same {
                *last = Some(Arc::clone(inventory));
                self.events.note(event);
            }
            !same
        })
    }

    /// Publishes `inventory` where there is no other yet, and says whether there was none. It is not confirmed by it.
    pub fn stand_in(&self, inventory: Arc<Inventory>) -> bool {
        self.inventories.send_if_modified(|last| {
            let none = last.is_none();
            if none {
                *last = Some(inventory);
            }
            none
        })
    }

    /// The view that was published last is what the source showed at `at`.
    pub fn confirm(&self, at: Instant) {
        self.confirmed.send_replace(Some(at));
    }

    /// When the oldest event came that led to what was published and is not taken up yet.
    #[must_use]
    pub fn events(&self) -> OldestEvent {
        self.events.clone()
    }

    /// Whether anything was published yet.
    #[must_use]
    pub fn has_view(&self) -> bool {
        self.inventories.borrow().is_some()
    }
}

/// When the oldest event came that led to what was published and is not taken up yet. All clones are the same.
///
/// It is beside the inventories because it has to outlive those that nobody saw: only who takes one up knows that.
#[derive(Debug, Clone)]
pub struct OldestEvent(watch::Sender<Option<Instant>>);

impl Default for OldestEvent {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl OldestEvent {
    fn note(&self, event: Option<Instant>) {
        self.0.send_modify(|oldest| *oldest = earlier(*oldest, event));
    }

    /// Takes up the newest inventory, and with it the event it goes back to.
    pub fn take_up(&self, inventories: &mut InventoryReceiver) -> (Option<Arc<Inventory>>, Option<Instant>) {
        // None is published while this is held: what is taken belongs together.
        let inventory = inventories.borrow_and_update();
        let event = self.0.send_replace(None);
        (inventory.clone(), event)
    }
}

/// The earlier of two times, where there are two.
#[must_use]
pub fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// How long ago the source confirmed the view that stands.
#[derive(Debug, Clone)]
pub struct Freshness {
    confirmed: watch::Receiver<Option<Instant>>,
    max_age: Duration,
}

impl Freshness {
    /// The age of the last confirmation; nothing before the first one, when what stands is from an earlier run.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.confirmed.borrow().map(|at| at.elapsed())
    }

    /// Whether the view that stands was confirmed too long ago, or not at all.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.age().is_none_or(|age| self.is_limited() && age > self.max_age)
    }

    /// Whether a view can be too old to be called ready.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        !self.max_age.is_zero()
    }

    /// Waits until [`Freshness::is_stale`] may have changed.
    pub async fn turn(&mut self) {
        let last = *self.confirmed.borrow();
        let limit = last.filter(|_| self.is_limited()).map(|at| at + self.max_age);
        let expired = async move {
            match limit {
                // A moment later: at the limit itself it is not too old yet.
                Some(limit) if limit >= Instant::now() => {
                    tokio::time::sleep_until(limit + Duration::from_millis(1)).await;
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = self.confirmed.changed() => if changed.is_err() {
                // Nobody is left who could confirm anything.
                std::future::pending::<()>().await;
            },
            () = expired => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_view_is_stale_before_it_is_confirmed_and_when_that_is_too_long_ago() {
        let (outlet, _views, mut freshness) = port(MINUTE);
        assert!(freshness.is_stale() && freshness.age().is_none());
        outlet.confirm(Instant::now());
        freshness.turn().await;
        assert!(!freshness.is_stale());
        let began = Instant::now();
        freshness.turn().await;
        assert!(freshness.is_stale() && began.elapsed() > MINUTE, "{:?}", began.elapsed());
        outlet.confirm(Instant::now());
        freshness.turn().await;
        assert_eq!((freshness.is_stale(), freshness.age()), (false, Some(Duration::ZERO)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_a_confirmed_view_never_gets_stale() {
        let (outlet, _views, freshness) = port(Duration::ZERO);
        assert!(freshness.is_stale(), "not even once confirmed");
        outlet.confirm(Instant::now());
        tokio::time::advance(1_000 * MINUTE).await;
        assert!(!freshness.is_stale());
    }

    #[tokio::test(start_paused = true)]
    async fn an_inventory_goes_back_to_the_oldest_event_that_nobody_took_up() {
        let (outlet, mut views, _) = port(MINUTE);
        let events = outlet.events();
        let named = |name: &str| {
            let text = format!("services: {{{name}: {{endpoints: [\"127.0.0.1:1\"]}}}}");
            Arc::new(crate::file::parse(&text).unwrap())
        };
        let first = Instant::now();
        assert!(outlet.publish_since(&named("a"), Some(first)));
        tokio::time::advance(MINUTE).await;
        assert!(outlet.publish_since(&named("b"), Some(Instant::now())));
        assert!(!outlet.publish_since(&named("b"), Some(Instant::now())), "equal");
        let taken = events.take_up(&mut views);
        assert_eq!((taken.0, taken.1), (Some(named("b")), Some(first)));
        assert!(!outlet.publish_since(&named("b"), Some(first)), "an event without an outcome");
        assert!(outlet.publish(&named("c")));
        assert_eq!(events.take_up(&mut views).1, None, "no event led to it");
    }

    #[test]
    fn what_stands_in_gives_way_to_what_is_published_and_never_the_other_way_round() {
        let (outlet, views, _) = port(MINUTE);
        let saved = Arc::new(Inventory::default());
        assert!(outlet.stand_in(Arc::clone(&saved)));
        assert!(!outlet.stand_in(saved));
        assert!(!outlet.publish(&Arc::new(Inventory::default())), "equal");
        assert!(views.borrow().is_some());
    }
}
