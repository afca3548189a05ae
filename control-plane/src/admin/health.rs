//! `grpc.health.v1`: whether there is a view to serve, and whether it is one of today.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;
use tracing::{info, warn};
use xds_server::SnapshotReceiver;

use super::services;
use crate::provider::Freshness;

/// `grpc.health.v1`: NOT_SERVING until [`report`] says otherwise.
pub async fn health() -> (HealthReporter, HealthServer<impl Health>) {
    let (reporter, service) = tonic_health::server::health_reporter();
    set(&reporter, ServingStatus::NotServing).await;
    (reporter, service)
}

/// Reports for ever: SERVING while there is a snapshot and its view is not stale. A stale one is served all the same;
/// only whoever asks is told.
pub async fn report(reporter: &HealthReporter, snapshots: SnapshotReceiver, freshness: Freshness) {
    let tell = |ready| set(reporter, if ready { ServingStatus::Serving } else { ServingStatus::NotServing });
    follow(snapshots, freshness, tell).await;
}

async fn follow<F: Future<Output = ()>>(
    mut snapshots: SnapshotReceiver,
    mut freshness: Freshness,
    mut tell: impl FnMut(bool) -> F,
) {
    // An error means that nobody will make a snapshot any more; then this is never healthy, and rightly so.
    if snapshots.wait_for(Option::is_some).await.is_err() {
        return std::future::pending().await;
    }
    let mut last = None;
    loop {
        let ready = !(freshness.is_stale() && freshness.is_limited());
        if last != Some(ready) {
            match freshness.age() {
                _ if ready => info!("ready"),
                Some(age) => warn!(
                    "not ready: nothing has confirmed the view for {} s; it stands meanwhile",
                    age.as_secs()
                ),
                None => {
                    warn!("not ready: the view is one that an earlier run has saved; it stands meanwhile")
                }
            }
            tell(ready).await;
            last = Some(ready);
        }
        freshness.turn().await;
    }
}

async fn set(reporter: &HealthReporter, status: ServingStatus) {
    // The empty name is the whole server (gRPC health checking protocol).
    for name in std::iter::once("").chain(services()) {
        reporter.set_service_status(name, status).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio::task::JoinSet;
    use tokio::time::Instant;
    use xds_server::Snapshot;

    use super::*;
    use crate::provider::{Outlet, port};

    const LIMIT: Duration = Duration::from_secs(180);

    struct Following {
        outlet: Outlet,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        /// What was told last.
        ready: watch::Receiver<Option<bool>>,
        _tasks: JoinSet<()>,
    }

    impl Following {
        fn new(limit: Duration) -> Self {
            let (outlet, _, freshness) = port(limit);
            let (snapshots, receiver) = watch::channel(None);
            let (told, ready) = watch::channel(None);
            let mut tasks = JoinSet::new();
            let tell = move |ready| {
                told.send_replace(Some(ready));
                std::future::ready(())
            };
            tasks.spawn(follow(receiver, freshness, tell));
            Self { outlet, snapshots, ready, _tasks: tasks }
        }

        /// How long it takes until that is told.
        async fn until(&mut self, ready: bool) -> Duration {
            let began = Instant::now();
            let told = self.ready.wait_for(|told| *told == Some(ready));
            tokio::time::timeout(10 * LIMIT, told).await.unwrap().unwrap();
            began.elapsed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_view_is_ready_once_it_is_confirmed_and_served_and_until_it_is_stale() {
        let mut it = Following::new(LIMIT);
        it.outlet.confirm(Instant::now());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*it.ready.borrow(), None, "there is nothing to serve");
        it.snapshots.send_replace(Some(Arc::default()));
        assert_eq!(it.until(true).await, Duration::ZERO);
        let left = it.until(false).await;
        assert!(left >= LIMIT - Duration::from_secs(1) && left < LIMIT, "{left:?}");
        it.outlet.confirm(Instant::now());
        assert_eq!(it.until(true).await, Duration::ZERO);
        // Confirmed again and again it stays ready.
        for _ in 0..10 {
            tokio::time::sleep(LIMIT / 2).await;
            it.outlet.confirm(Instant::now());
        }
        assert_eq!(*it.ready.borrow(), Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_view_of_an_earlier_run_is_served_and_not_ready() {
        let mut it = Following::new(LIMIT);
        it.snapshots.send_replace(Some(Arc::default()));
        it.until(false).await;
        it.outlet.confirm(Instant::now());
        it.until(true).await;
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_whatever_is_served_is_ready() {
        let mut it = Following::new(Duration::ZERO);
        it.snapshots.send_replace(Some(Arc::default()));
        it.until(true).await;
        tokio::time::sleep(100 * LIMIT).await;
        assert_eq!(*it.ready.borrow(), Some(true));
    }
}
