//! Containers with Traefik's labels as if they had ours, while all runs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::note::{Kind, Note};
use super::{Source, Translated, is_route, traefik};
use crate::inventory::{Inventory, State, Workload, WorkloadId};
use crate::model::Problem;

/// What a container says that its translation depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    compose: Option<(String, String)>,
    labels: BTreeMap<String, String>,
    ports: BTreeSet<u16>,
}

/// Translates inventories one after the other. What it remembers of the last one saves work, and nothing else.
#[derive(Debug)]
pub struct Live {
    prefix: String,
    /// What was said last time, and what became of it.
    said: BTreeMap<Said, Translated>,
    /// Containers, and what became of them.
    seen: BTreeMap<WorkloadId, (Arc<Workload>, Arc<Workload>)>,
}

impl Live {
    /// One whose labels of ours begin with `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), said: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// The same containers with our labels beside Traefik's, and what could not be carried over. One that has a route of ours
    /// already is left as it is.
    pub fn translate(&mut self, inventory: &Arc<Inventory>) -> (Arc<Inventory>, Vec<Problem>) {
        let said: Vec<(&WorkloadId, &Arc<Workload>, Said)> = inventory
            .workloads
            .iter()
            .filter(|(_, workload)| traefik::concerns(&workload.labels))
            .map(|(id, workload)| (id, workload, self.said_by(workload)))
            .collect();
        let all: BTreeSet<&Said> = said.iter().map(|(.., said)| said).collect();
        let is_news = !all.iter().copied().eq(self.said.keys());
        if is_news {
            self.said = translated(&all);
        }
        if said.is_empty() {
            self.seen.clear();
            return (Arc::clone(inventory), Vec::new());
        }
        let mut seen = BTreeMap::new();
        let mut problems = Vec::new();
        let mut translated = Inventory::clone(inventory);
        for (id, workload, said) in &said {
            let Some(ours) = self.said.get(said) else { continue };
            let known = self.seen.get(*id).filter(|(before, _)| !is_news && Arc::ptr_eq(before, workload));
            let with_ours = known.map(|(_, after)| Arc::clone(after));
            let with_ours = with_ours.unwrap_or_else(|| Arc::new(self.with_ours(workload, ours)));
            if workload.state != State::Stopped {
                let undone = ours.notes.iter().filter(|note| note.kind != Kind::Differs);
                problems.extend(undone.map(|note| problem(workload, note)));
            }
            translated.workloads.insert((*id).clone(), Arc::clone(&with_ours));
            seen.insert((*id).clone(), (Arc::clone(workload), with_ours));
        }
        self.seen = seen;
        (Arc::new(translated), problems)
    }

    fn said_by(&self, workload: &Workload) -> Said {
        // Of one with a route of ours only what others may use is read.
        let is_ours = workload.labels.keys().any(|label| is_route(label, &self.prefix));
        let counts = |label: &str| match is_ours {
            true => traefik::is_of_middleware(label),
            false => traefik::is_traefiks(label),
        };
        let labels = workload.labels.iter().filter(|(label, _)| counts(label));
        Said {
            compose: workload.project.clone().zip(workload.service.clone()),
            labels: labels.map(|(label, value)| (label.clone(), value.clone())).collect(),
            ports: workload.exposed_ports.clone(),
        }
    }

    fn with_ours(&self, workload: &Workload, ours: &Translated) -> Workload {
        let mut workload = workload.clone();
        for (key, value) in &ours.labels {
            workload.labels.entry(format!("{}.{key}", self.prefix)).or_insert_with(|| value.clone());
        }
        workload
    }
}

fn translated(all: &BTreeSet<&Said>) -> BTreeMap<Said, Translated> {
    let sources: Vec<Source<'_>> = all
        .iter()
        .map(|said| Source {
            name: "",
            compose: said.compose.as_ref().map(|(project, service)| (project.as_str(), service.as_str())),
            labels: &said.labels,
            ports: &said.ports,
        })
        .collect();
    let translated = traefik::translate(&sources);
    all.iter().map(|said| (*said).clone()).zip(translated).collect()
}

fn problem(workload: &Workload, note: &Note) -> Problem {
    let Note { kind, label, value, place, reason, fix } = note.clone();
    let fix = if fix.is_empty() { Cow::from("see docs/from-traefik.md") } else { fix.into() };
    Problem {
        workload: workload.name.clone(),
        id: workload.id.clone(),
        label: Some(label),
        value: Some(value),
        place,
        reason: format!("{kind}: {reason}"),
        fix: fix.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

    fn inventory(services: &str) -> Arc<Inventory> {
        Arc::new(file::parse(services).unwrap())
    }

    const WEB: &str = r#"services:
        web: {labels: {traefik.http.routers.web.rule: "Host(`a.localhost`)"}, endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}
        own: {labels: {portolan.host: own.localhost, traefik.http.routers.own.rule: "Host(`b.localhost`)"}, endpoints: ["127.0.0.1:3"]}
        odd: {labels: {traefik.http.routers.odd.rule: "ClientIP(`10.0.0.1`)"}, endpoints: ["127.0.0.1:4"]}
        not: {labels: {com.example.a: b}, endpoints: ["127.0.0.1:5"]}"#;

    #[test]
    fn containers_get_our_labels_beside_those_they_have_and_their_own_stand() {
        let (translated, problems) = Live::new("portolan").translate(&inventory(WEB));
        let host_of = |service: &str| {
            let all = translated.workloads.values().filter(|it| it.service.as_deref() == Some(service));
            all.map(|it| it.labels.get("portolan.host").cloned()).collect::<Vec<_>>()
        };
        assert_eq!(host_of("web"), vec![Some("a.localhost".to_owned()); 2]);
        assert_eq!(host_of("own"), [Some("own.localhost".to_owned())]);
        assert_eq!((host_of("odd"), host_of("not")), (vec![None], vec![None]));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("traefik.http.routers.odd.rule") && told[0].contains("not carried over"),
            "{told:?}"
        );
    }

    #[test]
    fn what_did_not_change_is_the_same_value() {
        let mut live = Live::new("portolan");
        let first = inventory(WEB);
        let (before, _) = live.translate(&first);
        let mut second = Inventory::clone(&first);
        let id = first.workloads.keys().next_back().unwrap().clone();
        Arc::make_mut(second.workloads.get_mut(&id).unwrap()).state = State::Stopping;
        let (after, _) = live.translate(&Arc::new(second));
        let is_same = |id: &WorkloadId| Arc::ptr_eq(&before.workloads[id], &after.workloads[id]);
        let changed: Vec<&WorkloadId> = first.workloads.keys().filter(|id| !is_same(id)).collect();
        assert_eq!(changed, [&id]);
    }

    #[test]
    fn without_any_such_label_nothing_is_copied() {
        let facts = inventory(r#"services: {a: {labels: {portolan.host: a}, endpoints: ["127.0.0.1:1"]}}"#);
        let (translated, problems) = Live::new("portolan").translate(&facts);
        assert!(Arc::ptr_eq(&facts, &translated) && problems.is_empty());
    }
}
