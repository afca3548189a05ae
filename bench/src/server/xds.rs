//! The xDS server, as the control plane runs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use xds_server::{Kind, Name, Resource, ServeError, ServeOptions, Snapshot, XdsService};

use crate::gauge::{Gauge, Gauged};
use crate::world::World;

use super::Subject;

/// How long a stop may take; the measured process is ended otherwise.
const DEADLINE: Duration = Duration::from_secs(1);

/// What is served, and the way to change it.
#[derive(Debug)]
pub(super) struct Publisher {
    world: World,
    /// Everything there is, encoded; of a change only what it changes is encoded again, as in the control plane.
    resources: BTreeMap<(Kind, Name), Arc<Resource>>,
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
    let resources: BTreeMap<_, _> = world.resources().map(keyed).collect();
    let first = Arc::new(Snapshot::default().next(resources.values().cloned())?);
    let (snapshots, receiver) = watch::channel(Some(first));
    let xds = XdsService::new(receiver, Default::default(), "bench", stop.clone());
    let routes = Routes::new(Gauged { service: xds.routes().prepare(), gauge: Arc::clone(gauge) });
    let options = ServeOptions { stop_deadline: DEADLINE, ..ServeOptions::default() };
    let serving = xds_server::serve(listener, routes, options, stop.clone());
    Ok((Publisher { world, resources, round: 0, snapshots }, serving))
}

fn keyed(resource: Resource) -> ((Kind, Name), Arc<Resource>) {
    ((resource.kind(), Arc::clone(resource.name())), Arc::new(resource))
}

impl Publisher {
    fn last(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone().unwrap_or_default()
    }
}

impl Subject for Publisher {
    type Prepared = Arc<Snapshot>;

    fn prepare(&mut self) -> anyhow::Result<Arc<Snapshot>> {
        self.resources.extend(self.world.change(self.round).map(keyed));
        self.round += 1;
        Ok(Arc::new(self.last().next(self.resources.values().cloned())?))
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshots.send_replace(Some(snapshot));
    }

    fn republish(&mut self) -> anyhow::Result<()> {
        let again = self.world.snapshot(&self.last())?;
        self.snapshots.send_replace(Some(again));
        Ok(())
    }
}
