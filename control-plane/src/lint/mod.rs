//! What is wrong with Compose files, before they are brought up. Pure; what is to be read is asked of the caller.
//!
//! ```text
//! project --> workloads --> model (as the control plane) --> problems --+--> findings, each where it stands in the files
//!         +--> what only the files show: dollars, secrets, misplaced ---+
//! ```
//!
//! A mistake in a label is the same [`Problem`](crate::model::Problem) that a running control plane would tell.

mod dollar;
mod labels;
pub mod report;
pub(crate) mod secret;
mod whole;

use std::collections::BTreeSet;
use std::path::Path;

use crate::compose::dockerfile::{self, Exposed};
use crate::compose::load::{Loaded, Read};
use crate::compose::project::{Project, Service};
use crate::compose::tree::Place;
use crate::model;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It will not work as it is written.
    Error,
    /// It works, and is not what should be.
    Warning,
    /// It may work; the files do not show whether it does. It does not count as a finding.
    Note,
}

/// One kind of finding.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What it is about, in a sentence.
    pub about: &'static str,
}

/// Every kind of finding.
pub const RULES: [&Rule; 13] = [
    &LABEL,
    &CONFLICT,
    &UNKNOWN_SERVICE,
    &NETWORK,
    &PORT,
    &REPLICAS,
    &SECRET,
    &DOLLAR,
    &VARIABLE,
    &NUMBER,
    &MISPLACED,
    &PREFIX,
    &UNUSED,
];

macro_rules! rules {
    ($($name:ident $id:literal $about:literal;)+) => {
        $(pub(crate) static $name: Rule = Rule { id: $id, about: $about };)+
    };
}

rules! {
    LABEL "label" "A label that is not in the vocabulary, or whose value is not one of it.";
    CONFLICT "conflict" "A route that another service has, or that no request reaches.";
    UNKNOWN_SERVICE "unknown-service" "A label that names a service that is not there.";
    NETWORK "network" "A container that Envoy does not reach.";
    PORT "port" "A container of which nothing, or too much, says on which port it listens.";
    REPLICAS "replicas" "Containers of one service that say different things.";
    SECRET "secret" "A secret in a label, where everyone who sees the container reads it.";
    DOLLAR "dollar" "A dollar that Compose takes for a variable.";
    VARIABLE "variable" "A variable that must be set and is not.";
    NUMBER "number" "A value that YAML reads as a number or a date, and that comes out otherwise.";
    MISPLACED "misplaced" "A label where containers do not get it.";
    PREFIX "prefix" "A label whose first word is almost that of the vocabulary.";
    UNUSED "unused" "A container with labels of which none exposes it.";
}

/// One finding: where, what and why, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub rule: &'static Rule,
    /// How bad it is.
    pub level: Level,
    /// Where it stands.
    pub place: Place,
    /// The service it is about, if it is about one.
    pub service: Option<String>,
    /// The label it is about, if it is about one.
    pub label: Option<String>,
    /// What is wrong, and why.
    pub reason: String,
    /// What to do about it.
    pub fix: String,
}

/// What the files do not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As the control plane has them.
    pub model: model::Options,
    /// The profiles that are active.
    pub profiles: Vec<String>,
    /// Networks that Envoy is on, where its container is not in these files.
    pub proxy_networks: BTreeSet<String>,
}

/// What is wrong with a project, in the order in which it stands in the files.
#[must_use]
pub fn check(project: &Project, loaded: &Loaded, settings: &Settings, read: &Read<'_>) -> Vec<Finding> {
    let prefix = settings.model.label_prefix.as_str();
    let mut findings = dollar::anywhere(loaded);
    for service in project.services.values() {
        findings.extend(labels::of(service, prefix));
        findings.extend(dollar::of(service, prefix));
        findings.extend(secret::of(service, prefix));
    }
    let ports = |service: &Service| exposed(service, loaded, read);
    findings.extend(whole::of(project, settings, &ports));
    let at = |finding: &Finding| {
        let Place { source, span } = &finding.place;
        (source.path.clone(), span.start, finding.level, finding.rule.id)
    };
    findings.sort_by_cached_key(|finding| (at(finding), finding.reason.clone()));
    // A file that is extended says the same for each service that extends it.
    findings.dedup_by(|a, b| at(a) == at(b) && a.reason == b.reason);
    findings
}

/// What the service's containers expose, with its image's ports where it is built here.
#[must_use]
pub fn exposed(service: &Service, loaded: &Loaded, read: &Read<'_>) -> Exposed {
    let build = service.build.as_ref().and_then(|build| {
        let target = build.target.as_deref();
        if let Some(inline) = &build.inline {
            return dockerfile::exposed(inline, target);
        }
        let context = loaded.directory.join(&build.context);
        let path = context.join(build.dockerfile.as_deref().unwrap_or(Path::new("Dockerfile")));
        dockerfile::exposed(&read(&path).ok()?, target)
    });
    let mut exposed = build.unwrap_or(Exposed { ports: BTreeSet::new(), more: true });
    exposed.ports.extend(&service.ports);
    exposed
}
