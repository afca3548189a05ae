//! What only the whole can tell: the model, over the containers that the services become.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{
    CONFLICT, Finding, LABEL, Level, NETWORK, PORT, REPLICAS, Rule, Settings, UNKNOWN_SERVICE, UNUSED, dollar,
};
use crate::compose::dockerfile::Exposed;
use crate::compose::project::{Project, Service};
use crate::compose::workload;
use crate::inventory::{Attachment, Health, Inventory, Placement, State, Workload, WorkloadId};
use crate::model::label::{self, Claims, KEYS};
use crate::model::{self, Problem, ProblemKind};

/// The port of a container of which it is not known: that it has one is as much as can be assumed.
const SOME_PORT: u16 = 80;

/// A container of one service, with what its labels ask for.
struct Candidate<'a> {
    service: &'a Service,
    workload: Workload,
    claims: Claims,
    problems: Vec<Problem>,
}

pub(super) fn of(
    project: &Project,
    settings: &Settings,
    ports: &dyn Fn(&Service) -> Exposed,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for service in project.services.values() {
        let workload = workload::of(service, project, 1, BTreeSet::new(), None);
        let (claims, problems) =
            label::read(&workload, &settings.model.label_prefix, &settings.model.policies);
        let mut candidate = Candidate { service, workload, claims, problems };
        if candidate.is_exposed() && candidate.claims.port.is_none() {
            let exposed = ports(service);
            if exposed.ports.is_empty() && exposed.more && !candidate.claims.broken.contains("port") {
                findings.push(candidate.port_is_unknown(&settings.model.label_prefix));
            }
            candidate.workload.exposed_ports = exposed.ports;
            if exposed.more && candidate.workload.exposed_ports.is_empty() {
                candidate.workload.exposed_ports.insert(SOME_PORT);
            }
        }
        findings.extend(candidate.unused(&settings.model.label_prefix));
        candidates.push(candidate);
    }
    let of_labels: BTreeSet<Problem> = candidates.iter().flat_map(|it| it.problems.iter().cloned()).collect();
    let active = candidates.iter().filter(|it| it.service.is_active(&settings.profiles));
    let inventory: Inventory = active.map(|it| it.workload.clone()).chain(settings.proxy()).collect();
    let model = model::build(&Arc::new(inventory), &settings.model, None);
    let by_id: BTreeMap<&WorkloadId, &Candidate<'_>> =
        candidates.iter().map(|it| (&it.workload.id, it)).collect();
    for problem in
        of_labels.iter().chain(model.problems.iter().filter(|problem| !of_labels.contains(problem)))
    {
        let is_of_labels = of_labels.contains(problem);
        findings.extend(by_id.get(&problem.id).and_then(|it| it.finding(problem, is_of_labels, settings)));
    }
    findings
}

impl Settings {
    /// A stand-in for Envoy, where it is said over which networks it reaches containers and where not in these files.
    fn proxy(&self) -> Option<Workload> {
        let on = |network: &String| Attachment { network: network.clone(), addresses: Vec::<IpAddr>::new() };
        let labels = [(format!("{}.proxy", self.model.label_prefix), "true".to_owned())];
        (!self.proxy_networks.is_empty()).then(|| Workload {
            id: WorkloadId("(Envoy)".into()),
            name: "Envoy".to_owned(),
            project: None,
            service: None,
            number: None,
            labels: labels.into_iter().collect(),
            placement: Placement::Networks(self.proxy_networks.iter().map(on).collect()),
            exposed_ports: BTreeSet::new(),
            state: State::Running,
            health: Health::None,
            created: 0,
        })
    }
}

impl Candidate<'_> {
    fn is_exposed(&self) -> bool {
        !self.claims.hidden && (self.claims.offered || !self.claims.routes.is_empty())
    }

    fn told(&self, rule: &'static Rule, level: Level, reason: String, fix: String) -> Finding {
        let (service, place) = (Some(self.service.name.clone()), self.service.place.clone());
        Finding { rule, level, place, service, label: None, reason, fix }
    }

    fn port_is_unknown(&self, prefix: &str) -> Finding {
        let reason = "nothing here says on which port it listens; it works if its image exposes exactly one";
        let fix = format!("to be sure, add the label {prefix}.port");
        self.told(&PORT, Level::Note, reason.to_owned(), fix)
    }

    /// Labels of the vocabulary, of which none exposes the container.
    fn unused(&self, prefix: &str) -> Option<Finding> {
        let Claims { proxy, hidden, offered, routes, asks, .. } = &self.claims;
        let is_said =
            *proxy || *hidden || *offered || *asks || !routes.is_empty() || !self.problems.is_empty();
        let mut ours = self.service.labels.iter().filter(|(key, _)| super::labels::is_ours(key, prefix));
        let (key, label) = ours.next().filter(|_| !is_said)?;
        let reason = format!("the container has labels, and none that exposes it: only {prefix}.host does");
        let fix = format!("add {prefix}.host, or {prefix}.enable: \"true\" to offer it to mirrors");
        let mut finding = self.told(&UNUSED, Level::Warning, reason, fix);
        (finding.place, finding.label) = (label.key.clone(), Some(key.clone()));
        Some(finding)
    }

    /// The problem as a finding, unless its reason is one that has been told: a dollar.
    fn finding(&self, problem: &Problem, is_of_labels: bool, settings: &Settings) -> Option<Finding> {
        let prefix = &settings.model.label_prefix;
        let label = problem.label.as_ref().and_then(|key| Some((key, self.service.labels.get(key)?)));
        if label.is_some_and(|(_, label)| dollar::is_lost(label)) {
            return None;
        }
        let (reason, fix) = (problem.reason.clone(), problem.fix.clone());
        let mut finding = self.told(rule(problem), Level::Error, reason, fix);
        finding.label = problem.label.clone();
        if let Some((key, label)) = label {
            finding.place = match problem.place {
                Some(at) => label.from(at).unwrap_or_else(|| label.place.clone()),
                None if is_of_labels && !is_known(key, prefix) => label.key.clone(),
                None => label.place.clone(),
            };
        } else if finding.rule == &REPLICAS
            && let Some(label) = self.service.labels.get(&format!("{prefix}.service"))
        {
            finding.place = label.place.clone();
        } else if is_of_labels
            && let Some((_, label)) =
                self.service.labels.iter().find(|(key, _)| self.is_of_no_host(key, prefix))
        {
            finding.place = label.key.clone();
        }
        Some(finding)
    }

    /// Whether a label is of a route that has no host.
    fn is_of_no_host(&self, label: &str, prefix: &str) -> bool {
        let Some(key) = label.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        let route = key.strip_prefix("routes.").and_then(|rest| rest.split_once('.'));
        let host = match route {
            Some((route, _)) => format!("{prefix}.routes.{route}.host"),
            None if KEYS.iter().any(|row| row.name == key && row.is_of_service()) => return false,
            None => format!("{prefix}.host"),
        };
        !self.service.labels.contains_key(&host)
    }
}

const fn rule(problem: &Problem) -> &'static Rule {
    match problem.kind {
        ProblemKind::Said => &LABEL,
        ProblemKind::Conflict(_) => &CONFLICT,
        ProblemKind::UnknownService => &UNKNOWN_SERVICE,
        ProblemKind::Network => &NETWORK,
        ProblemKind::Port => &PORT,
        ProblemKind::Replicas => &REPLICAS,
    }
}

/// Whether the vocabulary has the key of a label, whatever its value is.
fn is_known(label: &str, prefix: &str) -> bool {
    let key = label.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')).unwrap_or(label);
    let of_route = key.strip_prefix("routes.").and_then(|rest| rest.split_once('.')).map(|(_, key)| key);
    let key = of_route.unwrap_or(key);
    KEYS.iter().any(|row| match row.name.strip_suffix('*') {
        Some(family) => key.strip_prefix(family).is_some_and(|name| !name.is_empty()),
        None => row.name == key,
    })
}
