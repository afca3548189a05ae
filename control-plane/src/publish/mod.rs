//! From facts to what is served: inventory, topology, messages, snapshot. Glue, and the memory of the last good state.

mod served;

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use xds_server::Snapshot;

use crate::compat::live::Live;
use crate::inventory::Inventory;
use crate::model::{self, Kept, Model, Problem};
use crate::overrides::{Overrides, OverridesSender};
use crate::policies::{self, PoliciesReceiver};
use crate::provider::InventoryReceiver;
use crate::recording::{self, Recorder};
use crate::timing::Timing;
use crate::translate::EdgeOptions;

use served::VirtualHosts;

/// What the control plane makes of the containers at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// Services and routes, and what keeps containers from being routed as their labels say.
    pub model: Model,
    /// What is served.
    pub snapshot: Arc<Snapshot>,
    hosts: VirtualHosts,
}

#[cfg(test)]
impl View {
    /// One to look at, that no other follows.
    pub(crate) fn of(model: Model, snapshot: Snapshot) -> Self {
        Self { model, snapshot: Arc::new(snapshot), hosts: VirtualHosts::default() }
    }
}

/// The newest view, or `None` before the first.
pub type ViewReceiver = watch::Receiver<Option<Arc<View>>>;

/// Turns each inventory into the next view.
#[derive(Debug)]
pub struct Publisher {
    model: model::Options,
    edge: EdgeOptions,
    policies: Option<PoliciesReceiver>,
    /// What those said last, and what is wrong with the file.
    said: policies::State,
    /// Reads labels of another proxy, if asked to.
    compat: Option<Live>,
    /// What of those labels could not be carried over.
    untranslated: Vec<Problem>,
    /// What an earlier run kept, for the first view.
    kept: Vec<Kept>,
    recorder: Recorder,
}

impl Publisher {
    /// A publisher with these settings.
    #[must_use]
    pub fn new(model: model::Options, edge: EdgeOptions) -> Self {
        Self {
            model,
            edge,
            policies: None,
            said: policies::State::default(),
            compat: None,
            untranslated: Vec::new(),
            kept: Vec::new(),
            recorder: Recorder::default(),
        }
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

    /// The same, whose first view keeps what an earlier run has kept.
    #[must_use]
    pub fn keeping(mut self, kept: &[Kept]) -> Self {
        self.keep(kept);
        self
    }

    /// The first view keeps that.
    pub(crate) fn keep(&mut self, kept: &[Kept]) {
        self.kept = kept.to_vec();
    }

    /// The same, by other policies or none, from now on.
    pub(crate) fn follow(&mut self, policies: Option<PoliciesReceiver>) {
        if policies.is_none() {
            (self.model.policies, self.said) = Default::default();
        }
        self.policies = policies;
    }

    /// The same, with what it makes views of in a recording.
    #[must_use]
    pub fn recorded(mut self, recorder: Recorder) -> Self {
        self.recorder = recorder;
        self
    }

    /// What it makes views by, for a recording.
    #[must_use]
    pub fn settings(&self) -> recording::Settings {
        recording::Settings::of(&self.model, &self.edge, self.compat.is_some())
    }

    /// Takes up the newest policies.
    fn take_up_policies(&mut self) {
        if let Some(receiver) = &mut self.policies {
            self.said = receiver.borrow_and_update().clone();
            self.model.policies = Arc::clone(&self.said.policies);
        }
    }

    /// What other proxies' labels say, in ours.
    fn translated(&mut self, inventory: Arc<Inventory>) -> Arc<Inventory> {
        let Some(compat) = &mut self.compat else { return inventory };
        let (translated, problems) = compat.translate(&inventory);
        self.untranslated = problems;
        translated
    }

    /// The one view of these facts as they are to be treated, for whoever asks when no control plane runs.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub fn once(mut self, facts: Arc<Inventory>, decisions: &Overrides) -> anyhow::Result<View> {
        self.take_up_policies();
        let inventory = decisions.apply(&self.translated(facts));
        self.view(&inventory, None, None)
    }

    /// The view of these facts as they are to be treated, which follows `previous`, one of this publisher's own.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub(crate) fn take(
        &mut self,
        facts: &Arc<Inventory>,
        decisions: &Overrides,
        previous: Option<&View>,
    ) -> anyhow::Result<View> {
        self.take_up_policies();
        let inventory = self.translated(decisions.apply(facts));
        self.view(&inventory, None, previous)
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
        let recalled = previous.is_none().then(|| model::recall(&self.kept, &self.model));
        let before = previous.map(|view| &view.model).or(recalled.as_ref());
        let mut model = model::build(inventory, &self.model, before);
        let others = || self.said.problems.iter().chain(&self.untranslated);
        if others().next().is_some() {
            model.problems.extend(others().cloned());
            model.problems.sort();
        }
        let last = previous.map(|view| served::Last {
            topology: &view.model.topology,
            snapshot: &view.snapshot,
            hosts: &view.hosts,
        });
        let next = served::next(&model.topology, &self.edge, last.as_ref());
        let (snapshot, hosts) = next.context("the containers lead to an inconsistent configuration")?;
        Ok(View { model, snapshot: Arc::new(snapshot.since(event)), hosts })
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
        self.recorder.kept(&self.kept);
        loop {
            self.take_up_policies();
            let (inventory, event) = timing.events.take_up(&mut inventories);
            if let Some(facts) = inventory {
                overrides.send_if_modified(|overrides| overrides.forget(&facts));
                let overrides = decisions.borrow_and_update().clone();
                let inventory = self.translated(overrides.apply(&facts));
                let view = self.publish(&inventory, event, &views, &snapshots);
                let policies = self.policies.as_ref().map(|_| &self.said);
                self.recorder.published(&facts, &overrides, policies, view.as_ref().map(|(view, _)| &**view));
                if view.is_some_and(|(_, is_new)| is_new) {
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

    /// The view, and whether its snapshot is a new one; nothing where none can be made.
    fn publish(
        &self,
        inventory: &Arc<Inventory>,
        event: Option<Instant>,
        views: &watch::Sender<Option<Arc<View>>>,
        snapshots: &watch::Sender<Option<Arc<Snapshot>>>,
    ) -> Option<(Arc<View>, bool)> {
        let previous = views.borrow().clone();
        let view = match self.view(inventory, event, previous.as_deref()) {
            Ok(view) => view,
            Err(error) => {
                error!("nothing published, the last configuration stands: {error:#}");
                return None;
            }
        };
        log_problems(&view, previous.as_deref());
        let changed = previous.as_ref().is_none_or(|old| old.snapshot.version() != view.snapshot.version());
        if changed {
            log_change(&view);
            snapshots.send_replace(Some(Arc::clone(&view.snapshot)));
        }
        let view = Arc::new(view);
        views.send_replace(Some(Arc::clone(&view)));
        Some((view, changed))
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
