//! What a person decided beside the facts: containers that are drained by hand, and shares of requests. Pure but for
//! [`keep`], which ends decisions whose time is over.

mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::inventory::{Inventory, State, WorkloadId};
use crate::model::Model;

pub use keep::keep;

/// A label's largest share, and so that of a decision.
pub const MAX_WEIGHT: u32 = 10_000;
/// The longest time for which a share can be decided; what shall last longer is said by a label.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

/// The decisions in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Workloads that take no new requests, whatever their state and health.
    pub drained: BTreeSet<WorkloadId>,
    /// Shares of requests, by the names of services and their versions. A service that stands here has at least one.
    weights: BTreeMap<String, BTreeMap<String, Weight>>,
}

/// The newest decisions, for those who change them; all clones are the same.
pub type OverridesSender = watch::Sender<Overrides>;

/// A share of requests that was decided by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// In relation to the shares of the other versions.
    pub share: u32,
    /// When the label counts again; nothing where it lasts until somebody says so.
    pub end: Option<End>,
}

/// A point in time: by the clock that waits, and by the one on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When to wake.
    pub at: Instant,
    /// The same for people, and for the next run.
    pub wall: SystemTime,
}

impl End {
    /// In `time` from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        let time = time.min(LONGEST);
        Self { at: Instant::now() + time, wall: SystemTime::now() + time }
    }
}

impl Overrides {
    /// The facts as they are to be treated: a drained workload is one that was told to stop and finishes what it has, and
    /// a share that was decided stands beside what the labels say.
    #[must_use]
    pub fn apply(&self, inventory: &Arc<Inventory>) -> Arc<Inventory> {
        let mut inventory = Arc::clone(inventory);
        if !self.drained.is_empty() || !self.weights.is_empty() {
            let facts = Arc::make_mut(&mut inventory);
            for id in &self.drained {
                if let Some(workload) = facts.workloads.get_mut(id)
                    && workload.state == State::Running
                {
                    // A copy, always: the facts themselves are shared, and stay as they are.
                    Arc::make_mut(workload).state = State::Stopping;
                }
            }
            for (service, version, weight) in self.weights() {
                facts.weights.entry(service.to_owned()).or_default().insert(version.to_owned(), weight.share);
            }
        }
        inventory
    }

    /// Drops what is about workloads that are gone, and says whether anything was.
    pub fn forget(&mut self, inventory: &Inventory) -> bool {
        let before = self.drained.len();
        self.drained.retain(|id| inventory.workloads.contains_key(id));
        self.drained.len() < before
    }

    /// Every share that was decided: service, version, and what.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &str, Weight)> {
        self.weights.iter().flat_map(|(service, versions)| {
            versions.iter().map(|(version, weight)| (service.as_str(), version.as_str(), *weight))
        })
    }

    /// What was decided for a version.
    #[must_use]
    pub fn weight(&self, service: &str, version: &str) -> Option<Weight> {
        self.weights.get(service)?.get(version).copied()
    }

    /// Decides the share of a version, and says whether that is another one than before, or for another time.
    pub fn set_weight(&mut self, service: &str, version: &str, weight: Weight) -> bool {
        let versions = self.weights.entry(service.to_owned()).or_default();
        versions.insert(version.to_owned(), weight) != Some(weight)
    }

    /// Lets the label of a version count again, or those of all versions, and says whether anything else was decided.
    pub fn reset_weights(&mut self, service: &str, version: Option<&str>) -> bool {
        self.retain_weights(|its, name, _| its != service || version.is_some_and(|version| version != name))
    }

    /// Drops shares of versions of which there is no workload any more, and says whether any was.
    fn forget_versions(&mut self, model: &Model) -> bool {
        self.retain_weights(|service, version, _| model.has_version(service, version))
    }

    /// Drops what was decided for a time that is over, and says whether anything was.
    fn end(&mut self, now: Instant) -> bool {
        self.retain_weights(|_, _, weight| weight.end.is_none_or(|end| end.at > now))
    }

    /// When the next decision ends.
    fn next_end(&self) -> Option<Instant> {
        self.weights().filter_map(|(_, _, weight)| weight.end).map(|end| end.at).min()
    }

    fn retain_weights(&mut self, keep: impl Fn(&str, &str, &Weight) -> bool) -> bool {
        let before = self.weights().count();
        for (service, versions) in &mut self.weights {
            versions.retain(|version, weight| keep(service, version, weight));
        }
        self.weights.retain(|_, versions| !versions.is_empty());
        self.weights().count() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

    fn inventory() -> Inventory {
        file::parse("services: {web: {endpoints: [\"127.0.0.1:1\", \"127.0.0.1:2\"]}, api: {endpoints: [{address: \"127.0.0.1:3\", name: web}]}}").unwrap()
    }

    fn id(text: &str) -> WorkloadId {
        WorkloadId(text.into())
    }

    fn drained(ids: &[&str]) -> Overrides {
        Overrides { drained: ids.iter().map(|text| id(text)).collect(), ..Overrides::default() }
    }

    const fn for_ever(share: u32) -> Weight {
        Weight { share, end: None }
    }

    #[test]
    fn a_drained_workload_is_treated_as_one_that_stops_and_only_that() {
        let facts = Arc::new(inventory());
        let treated = drained(&["web/web-1", "gone"]).apply(&facts);
        let states: Vec<_> =
            treated.workloads.iter().map(|(id, workload)| (&*id.0, workload.state)).collect();
        assert_eq!(
            states,
            [("api/web", State::Running), ("web/web-1", State::Stopping), ("web/web-2", State::Running)]
        );
        assert!(Arc::ptr_eq(&facts, &Overrides::default().apply(&facts)), "no decision, no copy");
    }

    #[test]
    fn a_decision_is_gone_when_its_container_is() {
        let mut overrides = drained(&["web/web-1", "gone"]);
        assert!(overrides.forget(&inventory()));
        assert_eq!(overrides, drained(&["web/web-1"]));
        assert!(!overrides.forget(&inventory()));
    }

    #[test]
    fn a_share_stands_beside_the_facts_until_it_is_reset() {
        let facts = Arc::new(inventory());
        let mut overrides = Overrides::default();
        assert!(overrides.set_weight("web", "v2", for_ever(10)));
        assert!(!overrides.set_weight("web", "v2", for_ever(10)), "the same again");
        assert!(overrides.set_weight("web", "v1", for_ever(5)));
        assert!(overrides.set_weight("api", "v2", for_ever(0)));
        let treated = overrides.apply(&facts);
        assert_eq!(treated.weights["web"], [("v1".to_owned(), 5), ("v2".to_owned(), 10)].into());
        assert_eq!(treated.workloads, facts.workloads);
        assert!(overrides.reset_weights("web", Some("v1")));
        assert_eq!(
            (overrides.weight("web", "v1"), overrides.weight("web", "v2")),
            (None, Some(for_ever(10)))
        );
        assert!(overrides.reset_weights("web", None));
        assert!(!overrides.reset_weights("web", None), "nothing left");
        assert_eq!(overrides.weights().count(), 1, "another service's stands");
        assert!(overrides.reset_weights("api", None));
        assert!(Arc::ptr_eq(&facts, &overrides.apply(&facts)), "no decision, no copy");
    }

    #[tokio::test(start_paused = true)]
    async fn the_decision_that_ends_first_is_waited_for() {
        let mut overrides = Overrides::default();
        let for_a_time = |seconds| Weight { share: 1, end: Some(End::after(Duration::from_secs(seconds))) };
        overrides.set_weight("web", "v1", for_ever(1));
        assert_eq!(overrides.next_end(), None);
        overrides.set_weight("web", "v2", for_a_time(60));
        overrides.set_weight("api", "v2", for_a_time(30));
        let first = Instant::now() + Duration::from_secs(30);
        assert_eq!(overrides.next_end(), Some(first));
        assert!(!overrides.end(first - Duration::from_millis(1)));
        assert!(overrides.end(first));
        assert_eq!(overrides.weight("api", "v2"), None);
        assert_eq!(overrides.weights().count(), 2);
    }
}
