//! What a person decided beside the facts: containers that are drained by hand. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::inventory::{Inventory, State, Workload, WorkloadId};

/// The decisions in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Workloads that take no new requests, whatever their state and health.
    pub drained: BTreeSet<WorkloadId>,
}

/// The newest decisions, for those who change them; all clones are the same.
pub type OverridesSender = watch::Sender<Overrides>;

impl Overrides {
    /// The facts as they are to be treated: a drained workload is one that was told to stop and finishes what it has.
    #[must_use]
    pub fn apply(&self, inventory: &Arc<Inventory>) -> Arc<Inventory> {
        let mut inventory = Arc::clone(inventory);
        if !self.drained.is_empty() {
            let facts = Arc::make_mut(&mut inventory);
            for id in &self.drained {
                if let Some(workload) = facts.workloads.get_mut(id)
                    && workload.state == State::Running
                {
                    // A copy, always: the facts themselves are shared, and stay as they are.
                    Arc::make_mut(workload).state = State::Stopping;
                }
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
}

/// Why no single workload is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// Nothing has that name.
    #[error("no container has the name or id {0:?}, or one that begins so")]
    Nothing(String),
    /// It could be several.
    #[error("{0:?} is the beginning of several: {names}; write more of it", names = .1.join(", "))]
    Several(String, Vec<String>),
}

/// The workload that a person means: by name, by id, or by the beginning of either if no other shares it.
///
/// # Errors
///
/// It is none, or could be several.
pub fn find<'a>(inventory: &'a Inventory, text: &str) -> Result<&'a Workload, NotFound> {
    let all = || inventory.workloads.values().map(AsRef::as_ref);
    if let Some(exact) = all().find(|workload| workload.name == text || *workload.id.0 == *text) {
        return Ok(exact);
    }
    let begins = |workload: &&Workload| workload.name.starts_with(text) || workload.id.0.starts_with(text);
    let found: Vec<&Workload> = all().filter(|_| !text.is_empty()).filter(begins).collect();
    match found.as_slice() {
        [] => Err(NotFound::Nothing(text.to_owned())),
        [one] => Ok(one),
        several => {
            let names = several.iter().map(|workload| workload.name.clone()).collect();
            Err(NotFound::Several(text.to_owned(), names))
        }
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

    #[test]
    fn a_container_is_found_by_name_id_or_the_beginning_of_one() {
        let inventory = inventory();
        for (text, expected) in [
            ("web-1", "web/web-1"),
            ("web/web-2", "web/web-2"),
            ("web/web-", "several"),
            ("ap", "api/web"),
            // The whole name of one is meant, though others begin with it.
            ("web", "api/web"),
            ("we", "several"),
            ("db", "nothing"),
            ("", "nothing"),
        ] {
            let found = match find(&inventory, text) {
                Ok(workload) => workload.id.0.to_string(),
                Err(NotFound::Nothing(_)) => "nothing".to_owned(),
                Err(NotFound::Several(..)) => "several".to_owned(),
            };
            assert_eq!(found, expected, "{text:?}");
        }
        let told = find(&inventory, "we").unwrap_err().to_string();
        assert!(told.contains("web-1, web-2"), "{told}");
    }

    #[test]
    fn a_drained_workload_is_treated_as_one_that_stops_and_only_that() {
        let facts = Arc::new(inventory());
        let overrides = Overrides { drained: [id("web/web-1"), id("gone")].into() };
        let treated = overrides.apply(&facts);
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
        let mut overrides = Overrides { drained: [id("web/web-1"), id("gone")].into() };
        assert!(overrides.forget(&inventory()));
        assert_eq!(overrides.drained, [id("web/web-1")].into());
        assert!(!overrides.forget(&inventory()));
    }
}
