//! The label vocabulary: one workload's labels in, typed claims out.
//!
//! The vocabulary is closed. Each key is a row of the table in `key`, with a parser of its own for its value; what
//! is not a row is a problem that names the nearest right spelling. A mistake takes out the route it is about; one in
//! a label about the whole workload takes out all its routes.

mod access;
mod answer;
mod draft;
mod effort;
mod header;
mod host;
mod key;
mod matcher;
mod path;
mod policy;
mod regex;
mod tcp;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::inventory::Workload;
use crate::policies::{EntryName, Policies};

use super::matching::Match;
use super::options::{BackendOptions, Protocol, RouteOptions, Sticky};
use super::problem::Problem;
use super::topology::{Host, Site};
use draft::{CheckDraft, Draft, Given};
use key::Read;
pub use key::{KEYS, Key};

/// The name of the route that the short form (`portolan.host`) is about.
pub(super) const DEFAULT_ROUTE: &str = "default";

/// The share of requests of a variant, where no label says.
const WEIGHT: u32 = 100;

/// What the labels of one workload ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// It is Envoy: the networks it is on are those on which everything else can be reached.
    pub proxy: bool,
    /// It is hidden (`enable: "false"`).
    pub hidden: bool,
    /// It is there for others to name, though it may have no route of its own (`enable: "true"`).
    pub offered: bool,
    /// The container port.
    pub port: Option<u16>,
    /// The network on which it is reached.
    pub network: Option<String>,
    /// The name of its service.
    pub service: Option<String>,
    /// What its health check decides.
    pub health: HealthRule,
    /// How it is asked.
    pub backend: BackendOptions,
    /// The cookie that keeps a client on one container.
    pub sticky: Option<Sticky>,
    /// Which variant of the service it is.
    pub version: Option<String>,
    /// The share of requests of that variant.
    pub weight: u32,
    check: CheckDraft,
    /// Its routes by name; the short form is `default`. `None` stands for one that has a mistake in it.
    pub routes: BTreeMap<String, Option<RouteClaim>>,
    /// The keys about the whole workload that have a mistake: while there is one, none of its routes can be trusted.
    pub broken: BTreeSet<&'static str>,
    /// Whether it names a host at all, or speaks TCP, rightly or wrongly: that, and nothing else, exposes a workload.
    pub asks: bool,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            proxy: false,
            hidden: false,
            offered: false,
            port: None,
            network: None,
            service: None,
            health: HealthRule::default(),
            backend: BackendOptions::default(),
            sticky: None,
            version: None,
            weight: WEIGHT,
            check: CheckDraft::default(),
            routes: BTreeMap::new(),
            broken: BTreeSet::new(),
            asks: false,
        }
    }
}

impl Claims {
    /// Whether it speaks TCP, so that connections are routed to it and not requests.
    fn is_tcp(&self) -> bool {
        self.backend.protocol == Protocol::Tcp
    }
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
    /// Where it answers: its hosts at its entry points, each once.
    pub sites: Vec<Site>,
    /// The entry points at which it only sends the client to the same over TLS, and the port to be named then.
    pub upgrades: BTreeMap<EntryName, Option<u16>>,
    /// What a request must have besides.
    pub matches: Match,
    /// Asked before all routes of a lower one.
    pub priority: i32,
    /// What is done with the request.
    pub options: Arc<RouteOptions>,
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

    /// The same of the whole value, or of a key.
    fn whole(mut self) -> Self {
        self.place = None;
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

/// Reads the labels of `workload` that begin with `prefix` and a dot. What they name is looked up in `policies`, which also
/// say what holds where no label does.
#[must_use]
pub fn read(workload: &Workload, prefix: &str, policies: &Policies) -> (Claims, Vec<Problem>) {
    let mut reader = Reader {
        workload,
        prefix,
        policies,
        claims: Claims::default(),
        given: Given::default(),
        drafts: BTreeMap::new(),
        problems: Vec::new(),
    };
    for (label, value) in &workload.labels {
        let Some(key) = label.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else { continue };
        if let Err(mistake) = reader.label(key, label, value) {
            reader.told(label, value, mistake);
        }
    }
    reader.finish()
}

/// The value of a label as this version writes it: it reads as the same.
///
/// # Errors
///
/// There is no such key, or the value is not one of it: why.
pub fn canonical(key: &str, value: &str) -> Result<String, String> {
    let row = key::find(key).map(|(row, _)| row).ok_or_else(|| format!("there is no key {key:?}"))?;
    row.print(value).map_err(|mistake| mistake.reason)
}

/// A host as the label `host` has it.
///
/// # Errors
///
/// Why it is none, and what to write instead.
pub(crate) fn parse_host(text: &str) -> Result<Host, (String, String)> {
    <Host as value::Value>::parse(text).map_err(|mistake| (mistake.reason, mistake.fix))
}

/// A size in bytes, as `max-body` has it.
///
/// # Errors
///
/// What is wrong with it, and what to write.
pub(crate) fn parse_size(text: &str) -> Result<u64, (String, String)> {
    <access::Size as value::Value>::parse(text)
        .map(|size| size.0)
        .map_err(|mistake| (mistake.reason, mistake.fix))
}

/// Whether a label can name something of that name.
pub(crate) fn is_policy_name(name: &str) -> bool {
    policy::named(name, "it").is_ok()
}

/// Whether `key` may hold for all that do not say otherwise, and `value` is one of it.
///
/// # Errors
///
/// Why not, and what to write instead.
pub(crate) fn check_default(key: &str, value: &str, policies: &Policies) -> Result<(), (String, String)> {
    let told = |mistake: Mistake| (mistake.reason, mistake.fix);
    let Some((row, member)) = key::find(key) else {
        return Err(told(key::unknown(key, "defaults", DEFAULT_ROUTE)));
    };
    if !row.can_be_default() {
        let reason = format!("{} is for a container to say, and for no other", row.name);
        return Err((reason, format!("write one of {}", key::defaults().collect::<Vec<_>>().join(", "))));
    }
    match &row.read {
        Read::Service(reads) => reads.read(&mut Claims::default(), member, value).map_err(told),
        Read::Route(reads) => {
            let mut draft = Draft::default();
            reads.read(&mut draft, member, value).map_err(told)?;
            draft
                .policies
                .unknown(policies)
                .into_iter()
                .next()
                .map_or(Ok(()), |(_, mistake)| Err(told(mistake)))
        }
    }
}

struct Reader<'a> {
    workload: &'a Workload,
    prefix: &'a str,
    policies: &'a Policies,
    claims: Claims,
    /// Labels about the whole workload.
    given: Given,
    drafts: BTreeMap<String, Draft>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn told(&mut self, label: &str, value: &str, mistake: Mistake) {
        let mut problem = Problem::new(self.workload, mistake.reason, mistake.fix).at(label, value);
        problem.place = mistake.place;
        self.problems.push(problem);
    }

    fn label(&mut self, key: &str, label: &str, value: &str) -> Result<(), Mistake> {
        match key.strip_prefix("routes.") {
            None => self.short(key, label, value),
            Some(rest) => match rest.split_once('.') {
                Some((route, key)) if is_route_name(route) => self.named(route, key, label, value),
                _ => Err(Mistake::new(
                    "a label of a named route is routes.<name>.<key>, and the name has letters, digits, - and _ only",
                    format!("write for example {}", label_of(self.prefix, "api", "path")),
                )),
            },
        }
    }

    /// The short form: about the whole workload, or about the route `default`.
    fn short(&mut self, key: &str, label: &str, value: &str) -> Result<(), Mistake> {
        let found = key::find(key).map(|(row, member)| (row, &row.read, member));
        let Some((row, Read::Service(reads), member)) = found else {
            return self.named(DEFAULT_ROUTE, key, label, value);
        };
        let read = reads.read(&mut self.claims, member, value);
        self.given.add(row.name, label, value);
        if read.is_err() {
            self.claims.broken.insert(row.name);
        }
        read
    }

    fn named(&mut self, route: &str, key: &str, label: &str, value: &str) -> Result<(), Mistake> {
        self.claims.asks |= key == "host";
        let draft = self.drafts.entry(route.to_owned()).or_default();
        draft.said.insert(key.to_ascii_lowercase());
        let read = match key::find(key).map(|(row, member)| (row.name, &row.read, member)) {
            Some((name, Read::Route(reads), member)) => {
                draft.given.add(name, label, value);
                reads.read(draft, member, value)
            }
            Some(_) => Err(Mistake::new(
                format!("{key} is about the whole container, not about one route"),
                format!("write {}.{key}", self.prefix),
            )),
            None => Err(key::unknown(key, self.prefix, route)),
        };
        draft.broken |= read.is_err();
        read
    }

    /// What holds where no label says.
    fn add_defaults(&mut self) {
        // Each was checked where it is said.
        for (key, value) in &self.policies.defaults {
            let Some((row, member)) = key::find(key) else { continue };
            match &row.read {
                Read::Service(reads) if !self.given.has(row.name) => {
                    let _ = reads.read(&mut self.claims, member, value);
                }
                Read::Service(_) => {}
                Read::Route(_) if self.claims.is_tcp() && !tcp::has_default(row.name) => {}
                Read::Route(reads) => {
                    let silent = self
                        .drafts
                        .values_mut()
                        .filter(|draft| !draft.said.contains(&key.to_ascii_lowercase()));
                    silent.for_each(|draft| drop(reads.read(draft, member, value)));
                }
            }
        }
    }

    fn finish(mut self) -> (Claims, Vec<Problem>) {
        self.add_defaults();
        self.claims.backend.check = std::mem::take(&mut self.claims.check).finish();
        self.whole_workload();
        for (name, mut draft) in std::mem::take(&mut self.drafts) {
            for (key, mistake) in draft.contradictions(&self.claims, self.policies) {
                if let Some((label, value)) = draft.given.get(key).cloned() {
                    draft.broken = true;
                    self.told(&label, &value, mistake);
                }
            }
            let (broken, hostless) = (draft.broken, draft.hosts.is_none() && !self.claims.is_tcp());
            let claim = draft.finish(&self.claims, self.policies).filter(|_| !broken);
            if hostless && !broken {
                let reason = format!("the route {name} has no host, so no request can reach it");
                let fix = format!("add the label {}", label_of(self.prefix, &name, "host"));
                self.problems.push(Problem::new(self.workload, reason, fix));
            }
            self.claims.routes.insert(name, claim);
        }
        (self.claims, self.problems)
    }

    /// What does not go together in the labels about the whole workload.
    fn whole_workload(&mut self) {
        let mut mistakes: Vec<(&'static str, Mistake)> = self.given.lonely(self.policies).collect();
        if self.claims.is_tcp() {
            self.claims.asks = true;
            mistakes.extend(tcp::whole_workload(&self.claims, &self.given, &self.drafts, self.policies));
        }
        for (key, mistake) in mistakes {
            if let Some((label, value)) = self.given.get(key).cloned() {
                self.claims.broken.insert(key);
                self.told(&label, &value, mistake);
            }
        }
    }
}

/// Whether `name`, which no label chose, can be the name of a service.
pub(super) fn is_service_name(name: &str) -> bool {
    value::is_name(name)
}

fn is_route_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}
