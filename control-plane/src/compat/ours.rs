//! Our own labels, as a translation makes them.

use std::collections::{BTreeMap, BTreeSet};

use super::note::Refusal;
use crate::inventory::{Health, Placement, State, Workload, WorkloadId};
use crate::model::label;
use crate::policies::Policies;

/// What they begin with while they are looked at.
const PREFIX: &str = "portolan";

/// In the order of the reference.
pub(super) fn in_order(keys: BTreeMap<String, String>) -> Vec<(String, String)> {
    let place = |key: &str| {
        let is = |name: &str| name.strip_suffix('*').map_or(name == key, |family| key.starts_with(family));
        label::KEYS.iter().position(|row| is(row.name))
    };
    let mut keys: Vec<(String, String)> = keys.into_iter().collect();
    keys.sort_by_key(|(key, _)| place(key));
    keys
}

/// What is wrong with our labels for one route, as whoever will read them says.
pub(super) fn check(keys: &BTreeMap<String, String>) -> Result<(), Refusal> {
    // Whether there is such a policy or entry point nobody knows here, but what a name is.
    for (key, value) in keys.iter().filter(|(key, _)| matches!(key.as_str(), "auth" | "listen")) {
        let wrong = |reason| {
            Refusal::new(format!("it would be {key}: {value:?}, and {reason}"), "choose another name")
        };
        label::canonical(key, value).map_err(wrong)?;
    }
    let known = keys.iter().filter(|(key, _)| !matches!(key.as_str(), "auth" | "listen"));
    let labels = known.map(|(key, value)| (format!("{PREFIX}.{key}"), value.clone())).collect();
    let workload = Workload {
        id: WorkloadId("".into()),
        name: String::new(),
        project: None,
        service: None,
        number: None,
        labels,
        placement: Placement::Host,
        exposed_ports: BTreeSet::new(),
        state: State::Created,
        health: Health::None,
        created: 0,
    };
    let (_, problems) = label::read(&workload, PREFIX, &Policies::default());
    problems.into_iter().next().map_or(Ok(()), |problem| {
        let label = problem.label.unwrap_or_default();
        let value = problem.value.unwrap_or_default();
        Err(Refusal::new(format!("it would be {label}={value:?}, and {}", problem.reason), problem.fix))
    })
}
