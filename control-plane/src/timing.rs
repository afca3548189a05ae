//! How many snapshots there were, and how long it took from an event of a provider to the one it leads to; from there on it
//! is `xds_server` that measures.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use xds_server::EVENT_BUCKETS;

use crate::provider::OldestEvent;

/// What [`Publisher::run`](crate::publish::Publisher::run) measures. All clones are the same.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The events that inventories go back to.
    pub events: OldestEvent,
    event_to_snapshot: Histogram,
    snapshots: Counter,
}

impl Timing {
    /// Nothing is measured yet.
    #[must_use]
    pub fn new(events: OldestEvent) -> Self {
        Self { events, event_to_snapshot: Histogram::new(EVENT_BUCKETS), snapshots: Counter::default() }
    }

    /// A snapshot was published just now that goes back to `event`.
    pub fn published(&self, event: Option<Instant>) {
        self.snapshots.inc();
        if let Some(event) = event {
            self.event_to_snapshot.observe(event.elapsed().as_secs_f64());
        }
    }

    /// Adds what it measures to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("snapshots", "Snapshots published", self.snapshots.clone());
        registry.register_with_unit(
            "event_to_snapshot",
            "From the oldest event of the source of the containers that led to a snapshot to its publication",
            Unit::Seconds,
            self.event_to_snapshot.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;
    use tokio::sync::watch;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::overrides::{Overrides, OverridesSender};
    use crate::provider::port;
    use crate::publish::Publisher;
    use crate::translate::EdgeOptions;
    use crate::{file, model};

    fn publisher() -> Publisher {
        let model = model::Options {
            label_prefix: "portolan".to_owned(),
            reserved_host: "dashboard.localhost".to_owned(),
            policies: Default::default(),
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let edge = EdgeOptions {
            listen: any,
            dashboard_host: "dashboard.localhost".to_owned(),
            dashboard_at: "control-plane:18001".parse().unwrap(),
            envoy_admin: any,
            traces: None,
        };
        Publisher::new(model, edge)
    }

    /// What never comes is a failure, not a test that hangs.
    async fn soon<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(60), what).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_from_an_event_to_its_snapshot_is_in_the_metrics_and_goes_on_with_the_snapshot() {
        let (outlet, inventories, _) = port(Duration::ZERO);
        let timing = Timing::new(outlet.events());
        let mut registry = Registry::with_prefix("portolan");
        timing.register(&mut registry);
        let (views, _) = watch::channel(None);
        let (snapshots, mut newest) = watch::channel(None);
        let (overrides, stop) = (OverridesSender::new(Overrides::default()), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(publisher().run(inventories, timing, overrides, views, snapshots, stop));
        let publish = |port: u16, event: Option<Instant>| {
            let labels = "{portolan.host: web.localhost}";
            let text = format!("services: {{web: {{labels: {labels}, endpoints: [\"127.0.0.1:{port}\"]}}}}");
            outlet.publish_since(&Arc::new(file::parse(&text).unwrap()), event)
        };
        let lines = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text
        };

        publish(1, None);
        soon(newest.changed()).await.unwrap();
        assert_eq!(newest.borrow_and_update().as_ref().unwrap().event(), None);
        let event = Instant::now();
        tokio::time::advance(Duration::from_millis(4)).await;
        publish(2, Some(event));
        soon(newest.changed()).await.unwrap();
        assert_eq!(newest.borrow_and_update().as_ref().unwrap().event(), Some(event));
        tokio::task::yield_now().await;
        assert!(lines().contains("\nportolan_event_to_snapshot_seconds_sum 0.004\n"), "{}", lines());
        assert!(
            lines().contains("\nportolan_event_to_snapshot_seconds_count 1\n"),
            "not the first: {}",
            lines()
        );
        for (limit, count) in [("0.0025", 0), ("0.005", 1), ("10.0", 1)] {
            let line = format!("portolan_event_to_snapshot_seconds_bucket{{le=\"{limit}\"}} {count}\n");
            assert!(lines().contains(&line), "{line} in {}", lines());
        }
        assert!(lines().contains("\nportolan_snapshots_total 2\n"), "{}", lines());
    }
}
