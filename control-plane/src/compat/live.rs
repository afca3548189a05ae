//! Containers with Traefik's labels as if they had ours, while all runs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::note::{Kind, Note};
use super::{Source, Translated, is_route, traefik};
use crate::inventory::{Inventory, State, Workload, WorkloadId};
use crate::model::{Problem, ProblemKind};

/// What a container says that its translation depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    compose: Option<(String, String)>,
    labels: BTreeMap<String, String>,
    ports: BTreeSet<u16>,
}

/// A container, what it says, and what became of it.
#[derive(Debug)]
struct Seen {
    before: Arc<Workload>,
    said: Arc<Said>,
    after: Arc<Workload>,
}

/// Translates inventories one after the other. What it remembers of the last one saves work, and nothing else.
#[derive(Debug)]
pub struct Live {
    prefix: String,
    /// What was said last time, and what became of it.
    said: BTreeMap<Arc<Said>, Translated>,
    seen: BTreeMap<WorkloadId, Seen>,
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
        let all = inventory.workloads.iter();
        let said: Vec<(&WorkloadId, &Arc<Workload>, Arc<Said>)> =
            all.filter_map(|(id, workload)| Some((id, workload, self.said_of(id, workload)?))).collect();
        let is_news = self.is_news(said.iter().map(|(.., said)| said));
        if is_news {
            self.said = translated(said.iter().map(|(.., said)| Arc::clone(said)).collect());
        }
        if said.is_empty() {
            self.seen.clear();
            return (Arc::clone(inventory), Vec::new());
        }
        let mut seen = BTreeMap::new();
        let mut problems = Vec::new();
        let mut translated = Inventory::clone(inventory);
        for (id, before, said) in said {
            // The one value for all that say the same, from now on.
            let Some((said, ours)) = self.said.get_key_value(&said) else { continue };
            let known = self.seen.get(id).filter(|seen| !is_news && Arc::ptr_eq(&seen.before, before));
            let after = match known {
                Some(seen) => Arc::clone(&seen.after),
                None => Arc::new(self.with_ours(before, ours)),
            };
            if before.state != State::Stopped {
                let undone = ours.notes.iter().filter(|note| note.kind != Kind::Differs);
                problems.extend(undone.map(|note| problem(before, note)));
            }
            translated.workloads.insert(id.clone(), Arc::clone(&after));
            let (before, said) = (Arc::clone(before), Arc::clone(said));
            seen.insert(id.clone(), Seen { before, said, after });
        }
        self.seen = seen;
        (Arc::new(translated), problems)
    }

    /// What a container says, if it says anything to Traefik; one value for all that say the same.
    fn said_of(&self, id: &WorkloadId, workload: &Arc<Workload>) -> Option<Arc<Said>> {
        if let Some(seen) = self.seen.get(id).filter(|seen| Arc::ptr_eq(&seen.before, workload)) {
            return Some(Arc::clone(&seen.said));
        }
        traefik::concerns(&workload.labels).then(|| {
            let said = self.said_by(workload);
            self.said.get_key_value(&said).map_or_else(|| Arc::new(said), |(known, _)| Arc::clone(known))
        })
    }

    /// Whether something else is said than last time, by whomever.
    fn is_news<'a>(&self, said: impl Iterator<Item = &'a Arc<Said>>) -> bool {
        let now: BTreeSet<*const Said> = said.map(Arc::as_ptr).collect();
        let before = self.said.keys().map(Arc::as_ptr);
        now != before.collect()
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

fn translated(all: BTreeSet<Arc<Said>>) -> BTreeMap<Arc<Said>, Translated> {
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
    drop(sources);
    all.into_iter().zip(translated).collect()
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
        kind: ProblemKind::default(),
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
    fn what_is_said_anew_is_translated_anew_and_what_was_said_before_is_forgotten() {
        let mut live = Live::new("portolan");
        let host = |inventory: &Arc<Inventory>, live: &mut Live| {
            let (translated, _) = live.translate(inventory);
            let all = translated.workloads.values().map(|it| it.labels.get("portolan.host").cloned());
            all.collect::<Vec<_>>()
        };
        let of = |rule: &str| {
            inventory(&format!(
                "services: {{web: {{labels: {{traefik.http.routers.web.rule: \"{rule}\"}}, endpoints: [\"127.0.0.1:1\"]}}}}"
            ))
        };
        let (a, b) = (of("Host(`a`)"), of("Host(`b`)"));
        for (facts, wanted) in [(&a, "a"), (&b, "b"), (&a, "a"), (&a, "a")] {
            assert_eq!(host(facts, &mut live), [Some(wanted.to_owned())]);
            assert_eq!(live.said.len(), 1);
        }
        let nothing = inventory("services: {}");
        assert_eq!((host(&nothing, &mut live), live.said.len()), (Vec::new(), 0));
    }

    #[test]
    fn without_any_such_label_nothing_is_copied() {
        let facts = inventory(r#"services: {a: {labels: {portolan.host: a}, endpoints: ["127.0.0.1:1"]}}"#);
        let (translated, problems) = Live::new("portolan").translate(&facts);
        assert!(Arc::ptr_eq(&facts, &translated) && problems.is_empty());
    }
}
