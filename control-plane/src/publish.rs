//! From facts to what is served: inventory, topology, messages, snapshot. Glue, and the memory of the last good state.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use xds_server::{Resource, Snapshot};

use crate::inventory::Inventory;
use crate::model::{self, Problem, Topology};
use crate::overrides::OverridesSender;
use crate::provider::InventoryReceiver;
use crate::translate::{self, EdgeOptions};

/// What the control plane makes of the containers at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// Services and routes.
    pub topology: Topology,
    /// What keeps containers from being routed as their labels say.
    pub problems: Vec<Problem>,
    /// What is served.
    pub snapshot: Arc<Snapshot>,
}

/// The newest view, or `None` before the first.
pub type ViewReceiver = watch::Receiver<Option<Arc<View>>>;

/// Turns each inventory into the next view.
#[derive(Debug)]
pub struct Publisher {
    model: model::Options,
    edge: EdgeOptions,
}

impl Publisher {
    /// A publisher with these settings.
    #[must_use]
    pub const fn new(model: model::Options, edge: EdgeOptions) -> Self {
        Self { model, edge }
    }

    /// The view that follows `previous`.
    ///
    /// # Errors
    ///
    /// What the model made of the inventory is not consistent; the previous view must stand.
    pub fn next(&self, inventory: &Inventory, previous: Option<&View>) -> anyhow::Result<View> {
        let (topology, problems) = model::build(inventory, &self.model, previous.map(|view| &view.topology));
        let resources = translate::translate(&topology, &self.edge);
        let all = resources.clusters.iter().map(Resource::from);
        let all = all.chain(resources.endpoints.iter().map(Resource::from));
        let all = all.chain(resources.listeners.iter().map(Resource::from));
        let all = all.chain(resources.routes.iter().map(Resource::from));
        let first = Snapshot::default();
        let last = previous.map_or(&first, |view| &view.snapshot);
        let snapshot = last.next(all).context("the containers lead to an inconsistent configuration")?;
        Ok(View { topology, problems, snapshot: Arc::new(snapshot) })
    }

    /// Publishes a view for each inventory that comes in and for each decision, until `stop` is cancelled or the
    /// provider ends. Decisions about workloads that are gone are dropped.
    ///
    /// # Errors
    ///
    /// None so far; the type is that of every part the runtime watches over.
    pub async fn run(
        self,
        mut inventories: InventoryReceiver,
        overrides: OverridesSender,
        views: watch::Sender<Option<Arc<View>>>,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut decisions = overrides.subscribe();
        loop {
            let inventory = inventories.borrow_and_update().clone();
            if let Some(inventory) = inventory {
                overrides.send_if_modified(|overrides| overrides.forget(&inventory));
                let inventory = decisions.borrow_and_update().apply(&inventory);
                self.publish(&inventory, &views, &snapshots);
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                // It cannot fail: this is a sender too.
                _ = decisions.changed() => {}
                changed = inventories.changed() => if changed.is_err() {
                    // The provider has ended; what it said last stands until the control plane stops.
                    stop.cancelled().await;
                    return Ok(());
                }
            }
        }
    }

    fn publish(
        &self,
        inventory: &Inventory,
        views: &watch::Sender<Option<Arc<View>>>,
        snapshots: &watch::Sender<Option<Arc<Snapshot>>>,
    ) {
        let previous = views.borrow().clone();
        let view = match self.next(inventory, previous.as_deref()) {
            Ok(view) => view,
            Err(error) => return error!("nothing published, the last configuration stands: {error:#}"),
        };
        log_problems(&view, previous.as_deref());
        let changed = previous.as_ref().is_none_or(|old| old.snapshot.version() != view.snapshot.version());
        if changed {
            log_change(&view);
            snapshots.send_replace(Some(Arc::clone(&view.snapshot)));
        }
        views.send_replace(Some(Arc::new(view)));
    }
}

fn log_change(view: &View) {
    let endpoints: usize = view.topology.services.values().map(|service| service.endpoints.len()).sum();
    info!(
        version = %view.snapshot.version(),
        services = view.topology.services.len(),
        endpoints,
        problems = view.problems.len(),
        "published"
    );
}

/// Each problem once when it appears, and once when it is gone.
fn log_problems(view: &View, previous: Option<&View>) {
    let old = previous.map_or(&[][..], |view| &view.problems);
    for problem in view.problems.iter().filter(|problem| !old.contains(problem)) {
        warn!("{problem}");
    }
    for problem in old.iter().filter(|problem| !view.problems.contains(problem)) {
        info!("solved: {problem}");
    }
}
