//! The label vocabulary: one workload's labels in, typed claims out.
//!
//! The vocabulary is closed. Each key is a row of the table in `key`, with a parser of its own for its value; what
//! is not a row is a problem that names the nearest right spelling. A mistake takes out the route it is about; one in
//! a label about the whole workload takes out all its routes.

mod host;
mod key;
mod path;
mod regex;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::Workload;

use super::problem::Problem;
use super::topology::{Host, Match, PathMatch};
use key::Read;

/// The name of the route that the short form (`portolan.host`) is about.
pub(super) const DEFAULT_ROUTE: &str = "default";

/// What the labels of one workload ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// It is Envoy: the networks it is on are those on which everything else can be reached.
    pub proxy: bool,
    /// It is hidden (`enable: "false"`).
    pub hidden: bool,
    /// The container port.
    pub port: Option<u16>,
    /// The network on which it is reached.
    pub network: Option<String>,
    /// The name of its service.
    pub service: Option<String>,
    /// What its health check decides.
    pub health: HealthRule,
    /// Its routes by name; the short form is `default`. `None` stands for one that has a mistake in it.
    pub routes: BTreeMap<String, Option<RouteClaim>>,
    /// The keys about the whole workload that have a mistake: while there is one, none of its routes can be trusted.
    pub broken: BTreeSet<&'static str>,
    /// Whether it names a host at all, rightly or wrongly: that, and nothing else, exposes a workload.
    pub asks: bool,
}

/// What the health check of a workload decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HealthRule {
    /// It must be healthy, or have no check.
    #[default]
    Require,
    /// Nothing.
    Ignore,
}

/// One route, as its labels say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteClaim {
    /// The hosts it answers for, each once.
    pub hosts: Vec<Host>,
    /// What a request must have besides.
    pub matches: Match,
    /// Asked before all routes of a lower one.
    pub priority: i32,
}

/// A route while its labels are read.
#[derive(Debug, Default)]
struct Draft {
    hosts: Option<Vec<Host>>,
    path: Option<PathMatch>,
    priority: i32,
    broken: bool,
}

/// A value that does not parse: where, why, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    place: Option<usize>,
    reason: String,
    fix: String,
}

impl Mistake {
    fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { place: None, reason: reason.into(), fix: fix.into() }
    }

    /// The same, with the byte of the value at which it begins.
    fn at(mut self, place: usize) -> Self {
        self.place = Some(place);
        self
    }

    /// The same, where the value that was parsed begins at byte `offset` of the label's.
    fn shifted(mut self, offset: usize) -> Self {
        self.place = Some(self.place.unwrap_or(0) + offset);
        self
    }
}

/// The full name of the label `key` of the route `route`.
pub(super) fn label_of(prefix: &str, route: &str, key: &str) -> String {
    if route == DEFAULT_ROUTE { format!("{prefix}.{key}") } else { format!("{prefix}.routes.{route}.{key}") }
}

/// Reads the labels of `workload` that begin with `prefix` and a dot.
#[must_use]
pub fn read(workload: &Workload, prefix: &str) -> (Claims, Vec<Problem>) {
    let mut reader =
        Reader { workload, prefix, claims: Claims::default(), drafts: BTreeMap::new(), problems: Vec::new() };
    for (label, value) in &workload.labels {
        let Some(key) = label.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else { continue };
        if let Err(mistake) = reader.label(key, value) {
            let mut problem = Problem::new(workload, mistake.reason, mistake.fix).at(label, value);
            problem.place = mistake.place;
            reader.problems.push(problem);
        }
    }
    reader.finish()
}

struct Reader<'a> {
    workload: &'a Workload,
    prefix: &'a str,
    claims: Claims,
    drafts: BTreeMap<String, Draft>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn label(&mut self, key: &str, value: &str) -> Result<(), Mistake> {
        match key.strip_prefix("routes.") {
            None => self.short(key, value),
            Some(rest) => match rest.split_once('.') {
                Some((route, key)) if is_route_name(route) => self.named(route, key, value),
                _ => Err(Mistake::new(
                    "a label of a named route is routes.<name>.<key>, and the name has letters, digits, - and _ only",
                    format!("write for example {}", label_of(self.prefix, "api", "path")),
                )),
            },
        }
    }

    /// The short form: about the whole workload, or about the route `default`.
    fn short(&mut self, key: &str, value: &str) -> Result<(), Mistake> {
        match key::find(key).map(|row| (row.name, &row.read)) {
            Some((name, Read::Service(parse))) => {
                let parsed = parse(&mut self.claims, value);
                if parsed.is_err() {
                    self.claims.broken.insert(name);
                }
                parsed
            }
            Some((name, Read::PlannedService)) => {
                self.claims.broken.insert(name);
                Err(key::planned(key))
            }
            Some((_, Read::Route(_) | Read::PlannedRoute)) | None => self.named(DEFAULT_ROUTE, key, value),
        }
    }

    fn named(&mut self, route: &str, key: &str, value: &str) -> Result<(), Mistake> {
        self.claims.asks |= key == "host";
        let draft = self.drafts.entry(route.to_owned()).or_default();
        let parsed = match key::find(key).map(|row| &row.read) {
            Some(Read::Route(parse)) => parse(draft, value),
            Some(Read::PlannedRoute) => Err(key::planned(key)),
            Some(Read::Service(_) | Read::PlannedService) => Err(Mistake::new(
                format!("{key} is about the whole container, not about one route"),
                format!("write {}.{key}", self.prefix),
            )),
            None => Err(key::unknown(key, self.prefix, route)),
        };
        draft.broken |= parsed.is_err();
        parsed
    }

    fn finish(mut self) -> (Claims, Vec<Problem>) {
        for (name, draft) in std::mem::take(&mut self.drafts) {
            let claim = match draft {
                Draft { broken: true, .. } => None,
                Draft { hosts: Some(hosts), path, priority, .. } => {
                    Some(RouteClaim { hosts, matches: Match { path: path.unwrap_or_default() }, priority })
                }
                Draft { hosts: None, .. } => {
                    let reason = format!("the route {name} has no host, so no request can reach it");
                    let fix = format!("add the label {}", label_of(self.prefix, &name, "host"));
                    self.problems.push(Problem::new(self.workload, reason, fix));
                    None
                }
            };
            self.claims.routes.insert(name, claim);
        }
        (self.claims, self.problems)
    }
}

/// Whether `name`, which no label chose, can be the name of a service.
pub(super) fn is_service_name(name: &str) -> bool {
    value::is_name(name)
}

fn is_route_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}
