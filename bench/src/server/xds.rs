//! The xDS server, as the control plane runs it.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use xds_server::{ServeError, ServeOptions, Snapshot, XdsService};

use crate::gauge::{Gauge, Gauged};
use crate::world::World;

use super::Subject;

/// How long a stop may take; the measured process is ended otherwise.
const DEADLINE: Duration = Duration::from_secs(1);

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
) -> anyhow::Result<(Publisher, impl Future<Output = Result<(), ServeError>> + use<>)> {
    let world = World::new();
    let first = world.snapshot(&Snapshot::default())?;
    let (snapshots, receiver) = watch::channel(Some(first));
    let xds = XdsService::new(receiver, Default::default(), "bench", stop.clone());
    let routes = Routes::new(Gauged { service: xds.routes().prepare(), gauge: Arc::clone(gauge) });
    let options = ServeOptions { stop_deadline: DEADLINE, ..ServeOptions::default() };
    let serving = xds_server::serve(listener, routes, options, stop.clone());
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
