//! From facts to what is served: inventory, topology, messages, snapshot. Glue, and the memory of the last good state.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use xds_server::{Kind, Resource, Snapshot};

use crate::compat::live::Live;
use crate::inventory::Inventory;
use crate::model::{self, Model, Problem};
use crate::overrides::OverridesSender;
use crate::policies::{self, PoliciesReceiver};
use crate::provider::InventoryReceiver;
use crate::timing::Timing;
use crate::translate::{self, EdgeOptions};

/// What the control plane makes of the containers at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// Services and routes, and what keeps containers from being routed as their labels say.
    pub model: Model,
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
    policies: Option<PoliciesReceiver>,
    /// What is wrong with the policies file.
    problems: Arc<Vec<Problem>>,
    /// Reads labels of another proxy, if asked to.
    compat: Option<Live>,
    /// What of those labels could not be carried over.
    untranslated: Vec<Problem>,
}

impl Publisher {
    /// A publisher with these settings.
    #[must_use]
    pub fn new(model: model::Options, edge: EdgeOptions) -> Self {
        Self { model, edge, policies: None, problems: Arc::default(), compat: None, untranslated: Vec::new() }
    }

    /// The same, reading Traefik's labels as well as ours.
    #[must_use]
    pub fn reading_traefik(mut self) -> Self {
        self.compat = Some(Live::new(&self.model.label_prefix));
        self
    }

    /// The same, by the policies that come from there.
    #[must_use]
    pub fn following(mut self, policies: PoliciesReceiver) -> Self {
        self.policies = Some(policies);
        self
    }

    /// Takes up the newest policies.
    fn take_up_policies(&mut self) {
        if let Some(receiver) = &mut self.policies {
            let policies::State { policies, problems } = receiver.borrow_and_update().clone();
            (self.model.policies, self.problems) = (policies, problems);
        }
    }

    /// What other proxies' labels say, in ours.
    fn translated(&mut self, inventory: Arc<Inventory>) -> Arc<Inventory> {
        let Some(compat) = &mut self.compat else { return inventory };
        let (translated, problems) = compat.translate(&inventory);
        self.untranslated = problems;
        translated
    }

    /// The view that follows `previous`, one of this publisher's own.
    ///
    /// # Errors
    ///
    /// What the model made of the inventory is not consistent; the previous view must stand.
    pub fn next(&self, inventory: &Arc<Inventory>, previous: Option<&View>) -> anyhow::Result<View> {
        self.view(inventory, None, previous)
    }

    /// The same, of what came of an event at `event`.
    fn view(
        &self,
        inventory: &Arc<Inventory>,
        event: Option<Instant>,
        previous: Option<&View>,
    ) -> anyhow::Result<View> {
        let mut model = model::build(inventory, &self.model, previous.map(|view| &view.model));
        let others = || self.problems.iter().chain(&self.untranslated);
        if others().next().is_some() {
            model.problems.extend(others().cloned());
            model.problems.sort();
        }
        let first = Snapshot::default();
        let last = previous.map_or(&first, |view| &view.snapshot);
        let snapshot = last.next(self.resources(&model, previous));
        let snapshot = snapshot.context("the containers lead to an inconsistent configuration")?;
        Ok(View { model, snapshot: Arc::new(snapshot.since(event)) })
    }

    /// Everything that is served. What is made of the same as last time is last time's.
    fn resources(&self, model: &Model, previous: Option<&View>) -> Vec<Arc<Resource>> {
        let (now, before) = (&model.topology, previous.map(|view| &view.model.topology));
        let kept = |kind, name: &str| previous.and_then(|view| view.snapshot.get(kind, name)).cloned();
        let mut all = Vec::with_capacity(2 * now.services.len() + 3);
        for (name, service) in &now.services {
            let same = before.and_then(|before| before.services.get(name));
            let same = same.filter(|same| Arc::ptr_eq(same, service));
            let kept = |kind| same.and_then(|_| kept(kind, &name.0));
            all.push(kept(Kind::Cluster).unwrap_or_else(|| resource(&translate::cluster(service))));
            all.push(kept(Kind::Endpoint).unwrap_or_else(|| resource(&translate::assignment(service))));
        }
        let same_policies = before.filter(|before| before.policies == now.policies);
        let same_hosts = same_policies.filter(|before| Arc::ptr_eq(&before.hosts, &now.hosts));
        for entry in now.policies.entry_points.keys() {
            let routes = same_hosts.and_then(|_| kept(Kind::Route, &translate::listener_name(entry)));
            all.push(routes.unwrap_or_else(|| resource(&translate::routes(now, &self.edge, entry))));
        }
        match previous.filter(|_| same_policies.is_some()) {
            Some(previous) => {
                let clusters = [model::ADMIN_SERVICE, translate::DASHBOARD];
                all.extend(clusters.into_iter().filter_map(|name| kept(Kind::Cluster, name)));
                all.extend(previous.snapshot.section(Kind::Listener).values().cloned());
            }
            None => {
                let settled = translate::settled(&self.edge, &now.policies);
                all.extend(settled.clusters.iter().map(resource));
                all.extend(settled.listeners.iter().map(resource));
            }
        }
        all
    }

    /// Publishes a view for each inventory that comes in, for each decision, and when the policies change, until `stop` is cancelled or the
    /// provider ends. Decisions about workloads that are gone are dropped.
    ///
    /// # Errors
    ///
    /// None so far; the type is that of every part the runtime watches over.
    pub async fn run(
        mut self,
        mut inventories: InventoryReceiver,
        timing: Timing,
        overrides: OverridesSender,
        views: watch::Sender<Option<Arc<View>>>,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut decisions = overrides.subscribe();
        loop {
            self.take_up_policies();
            let (inventory, event) = timing.events.take_up(&mut inventories);
            if let Some(inventory) = inventory {
                overrides.send_if_modified(|overrides| overrides.forget(&inventory));
                let inventory = decisions.borrow_and_update().apply(&inventory);
                let inventory = self.translated(inventory);
                if self.publish(&inventory, event, &views, &snapshots) {
                    timing.published(event);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                // It cannot fail: this is a sender too.
                _ = decisions.changed() => {}
                () = newer(&mut self.policies) => {}
                changed = inventories.changed() => if changed.is_err() {
                    // The provider has ended; what it said last stands until the control plane stops.
                    stop.cancelled().await;
                    return Ok(());
                }
            }
        }
    }

    /// Whether there is a new snapshot.
    fn publish(
        &self,
        inventory: &Arc<Inventory>,
        event: Option<Instant>,
        views: &watch::Sender<Option<Arc<View>>>,
        snapshots: &watch::Sender<Option<Arc<Snapshot>>>,
    ) -> bool {
        let previous = views.borrow().clone();
        let view = match self.view(inventory, event, previous.as_deref()) {
            Ok(view) => view,
            Err(error) => {
                error!("nothing published, the last configuration stands: {error:#}");
                return false;
            }
        };
        log_problems(&view, previous.as_deref());
        let changed = previous.as_ref().is_none_or(|old| old.snapshot.version() != view.snapshot.version());
        if changed {
            log_change(&view);
            snapshots.send_replace(Some(Arc::clone(&view.snapshot)));
        }
        views.send_replace(Some(Arc::new(view)));
        changed
    }
}

/// Waits for newer policies; for ever where there is nobody to bring any.
async fn newer(policies: &mut Option<PoliciesReceiver>) {
    if let Some(policies) = policies
        && policies.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn log_change(view: &View) {
    let topology = &view.model.topology;
    let endpoints: usize = topology.services.values().map(|service| service.endpoints.len()).sum();
    info!(
        version = %view.snapshot.version(),
        services = topology.services.len(),
        endpoints,
        problems = view.model.problems.len(),
        "published"
    );
}

/// Each problem once when it appears, and once when it is gone.
fn log_problems(view: &View, previous: Option<&View>) {
    let (now, before) = (&view.model.problems, previous.map_or(&[][..], |view| &view.model.problems));
    // Both are in order.
    let news = |problems: &[Problem], problem: &Problem| problems.binary_search(problem).is_err();
    for problem in now.iter().filter(|problem| news(before, problem)) {
        warn!("{problem}");
    }
    for problem in before.iter().filter(|problem| news(now, problem)) {
        info!("solved: {problem}");
    }
}

fn resource<M>(message: &M) -> Arc<Resource>
where
    for<'m> Resource: From<&'m M>,
{
    Arc::new(Resource::from(message))
}
