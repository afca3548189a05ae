//! The xDS server, with the settings the control plane gives it.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use xds_server::{Snapshot, XdsService};

use crate::gauge::{Gauge, Gauged};
use crate::world::World;

use super::Subject;

/// As in the control plane's runtime.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is served, and the way to change it.
#[derive(Debug)]
pub(super) struct Publisher {
    world: World,
    round: usize,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
}

/// The server, ready to be polled.
pub(super) fn start(
    listener: TcpListener,
    gauge: &Arc<Gauge>,
    stop: &CancellationToken,
) -> anyhow::Result<(Publisher, impl Future<Output = Result<(), tonic::transport::Error>> + use<>)> {
    let world = World::new();
    let first = world.snapshot(&Snapshot::default())?;
    let (snapshots, receiver) = watch::channel(Some(first));
    let xds = XdsService::new(receiver, Default::default(), "bench", stop.clone());
    let serving = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(Gauged { service: xds.aggregated(), gauge: Arc::clone(gauge) })
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.clone().cancelled_owned(),
        );
    Ok((Publisher { world, round: 0, snapshots }, serving))
}

impl Publisher {
    fn next(&self) -> anyhow::Result<Arc<Snapshot>> {
        let last = self.snapshots.borrow().clone().unwrap_or_default();
        self.world.snapshot(&last)
    }
}

impl Subject for Publisher {
    type Prepared = Arc<Snapshot>;

    fn prepare(&mut self) -> anyhow::Result<Arc<Snapshot>> {
        self.world.change(self.round);
        self.round += 1;
        self.next()
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshots.send_replace(Some(snapshot));
    }

    fn republish(&mut self) -> anyhow::Result<()> {
        let again = self.next()?;
        self.snapshots.send_replace(Some(again));
        Ok(())
    }
}
