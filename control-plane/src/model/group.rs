//! What the workloads of one service say: labels read, replicas compared. It depends on these workloads alone, so it
//! holds for as long as they do.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::inventory::{Health, Placement, State, Workload, WorkloadId};

use super::Options;
use super::build::ADMIN_SERVICE;
use super::label::{self, Claims, HealthRule, RouteClaim};
use super::options::BackendOptions;
use super::problem::{Kind, Problem};
use super::topology::{Absence, EndpointState, ServiceName};

/// A workload with what its labels ask for.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) workload: Arc<Workload>,
    pub(super) claims: Arc<Claims>,
    pub(super) service: ServiceName,
    /// What is wrong with its labels.
    problems: Vec<Problem>,
}

impl Member {
    pub(super) fn read(workload: &Arc<Workload>, options: &Options) -> Self {
        let (mut claims, mut problems) = label::read(workload, &options.label_prefix, &options.policies);
        let name = service_name(workload, &claims);
        let asks = !claims.routes.is_empty() || claims.offered;
        if asks && (name == ADMIN_SERVICE || !label::is_service_name(&name)) {
            claims.routes.clear();
            claims.offered = false;
            let label = label::label_of(&options.label_prefix, label::DEFAULT_ROUTE, "service");
            problems.push(Problem::new(
                workload,
                format!("{name:?} cannot be the name of a service: it is taken, or has other than letters, digits, '-', '_', '.' and '/'"),
                format!("name it with the label {label}"),
            ));
        }
        let service = ServiceName(name.into());
        Self { workload: Arc::clone(workload), claims: Arc::new(claims), service, problems }
    }

    /// The same, with what it has in common with `other` kept once: replicas have the same labels, and what is read of
    /// them is many times as long as they are.
    pub(super) fn sharing_with(mut self, other: &Self) -> Self {
        if self.claims == other.claims {
            self.claims = Arc::clone(&other.claims);
        }
        if self.service == other.service {
            self.service = other.service.clone();
        }
        self
    }

    /// Whether it asks for anything at all, rightly or wrongly.
    pub(super) fn has_a_say(&self) -> bool {
        let Claims { proxy, offered, routes, .. } = &*self.claims;
        *proxy || *offered || !routes.is_empty() || !self.problems.is_empty()
    }

    pub(super) fn is_exposed(&self) -> bool {
        !self.claims.hidden && (self.claims.offered || !self.claims.routes.is_empty())
    }

    /// Whether it counts for less where two disagree: a stopped container does not outvote one that is there.
    fn is_away(&self) -> bool {
        self.workload.state == State::Stopped
    }

    /// Whether it takes requests, as far as it is up to itself.
    pub(super) fn condition(&self) -> Result<EndpointState, Absence> {
        let state = match self.workload.state {
            State::Running => EndpointState::Ready,
            State::Stopping => EndpointState::Draining,
            State::Created => return Err(Absence::Created),
            State::Paused => return Err(Absence::Paused),
            State::Stopped => return Err(Absence::Stopped),
        };
        match self.workload.health {
            _ if self.claims.health == HealthRule::Ignore => Ok(state),
            Health::None | Health::Healthy => Ok(state),
            Health::Starting => Err(Absence::Starting),
            // One that is stopping may fail its check on purpose, and must finish what it has.
            Health::Unhealthy if state == EndpointState::Draining => Ok(state),
            Health::Unhealthy => Err(Absence::Unhealthy),
        }
    }

    /// Whether it takes requests, or is about to end, or neither: what its word counts where replicas disagree.
    fn standing(&self) -> Standing {
        match (self.condition(), self.is_away()) {
            (Ok(EndpointState::Ready), _) => Standing::Ready,
            (Ok(EndpointState::Draining), _) => Standing::Draining,
            (Err(_), false) => Standing::Waiting,
            (Err(_), true) => Standing::Away,
        }
    }

    /// The name of the variant it belongs to; empty where no label says.
    pub(super) fn variant(&self) -> &str {
        self.claims.version.as_deref().unwrap_or_default()
    }

    /// Those that are there before those that are away, the older before the younger.
    fn seniority(&self) -> (bool, i64, &WorkloadId) {
        (self.is_away(), self.workload.created, &self.workload.id)
    }

    /// Whether its address depends on more than itself and on where Envoy is: on another workload, or on what it was.
    fn is_entangled(&self) -> bool {
        matches!(self.workload.placement, Placement::SharedWith(_)) || !self.claims.broken.is_empty()
    }
}

/// How much a member's word counts, the one that counts most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It takes requests.
    Ready,
    /// It finishes those it has.
    Draining,
    /// It is there, and not ready yet or no longer.
    Waiting,
    /// It is stopped.
    Away,
}

fn service_name(workload: &Workload, claims: &Claims) -> String {
    match (&claims.service, &workload.project, &workload.service) {
        (Some(name), _, _) | (None, None, Some(name)) => name.clone(),
        (None, Some(project), Some(service)) => format!("{project}/{service}"),
        (None, _, None) => workload.name.clone(),
    }
}

/// What a service asks for under one name of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bid {
    /// The route's own name within its service.
    pub(super) name: String,
    /// Nothing where all who name the route have a mistake in it: then it stays as it was.
    pub(super) claim: Option<Claimed>,
}

/// The claim that stands for all replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) route: RouteClaim,
    /// When the workload that says so was created.
    pub(super) since: i64,
    /// Whether it is away.
    pub(super) away: bool,
    /// Its id and name, for who is to be told.
    pub(super) by: (WorkloadId, String),
    /// The label that names the hosts, or the entry points where none does, and its value.
    pub(super) label: (String, String),
    /// The Compose project it belongs to, in which services are known by their short names.
    pub(super) project: Option<String>,
}

/// All workloads of one service that have a say.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In order of seniority.
    pub(super) members: Vec<Member>,
    /// What they agree on, by the names of the routes.
    pub(super) bids: Vec<Bid>,
    /// How they want to be asked; nothing where all of them have a mistake in it: then it stays as it was.
    pub(super) backend: Option<Arc<BackendOptions>>,
    /// The share of requests of each variant, by its name.
    pub(super) variants: BTreeMap<String, u32>,
    /// The best among the members that ask for a route, if any does: whether somebody is there for whom it speaks.
    pub(super) standing: Option<Standing>,
    /// What is wrong with their labels, and between them.
    pub(super) problems: Vec<Problem>,
    pub(super) has_proxy: bool,
    /// Whether any of its exposed members is entangled with something outside of the group.
    pub(super) is_entangled: bool,
}

impl Group {
    /// Whether it wants copies of requests sent to another service.
    pub(super) fn has_mirror(&self) -> bool {
        let mut claims = self.bids.iter().filter_map(|bid| bid.claim.as_ref());
        claims.any(|claim| claim.route.options.mirror.is_some())
    }

    /// The Compose project it belongs to, if to one.
    pub(super) fn project(&self) -> Option<&str> {
        self.members.first()?.workload.project.as_deref()
    }

    pub(super) fn of(service: &ServiceName, mut members: Vec<Member>, options: &Options) -> Self {
        members.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
        let mut problems: Vec<Problem> =
            members.iter().flat_map(|member| member.problems.iter().cloned()).collect();
        let bids = voices(&members)
            .into_iter()
            .map(|(name, voices)| Bid {
                name: name.to_owned(),
                claim: agree(service, &format!("its route {name} is"), &voices, &mut problems)
                    .map(|(member, claim)| claimed(member, name, claim, options)),
            })
            .collect();
        let backend = backend(service, &members, &mut problems);
        let variants = variants(service, &members, &mut problems);
        let exposed = members.iter().filter(|member| member.is_exposed());
        let standing = exposed.map(Member::standing).min();
        let has_proxy = members.iter().any(|member| member.claims.proxy);
        let is_entangled = members.iter().any(|member| member.is_exposed() && member.is_entangled());
        Self { members, bids, backend, variants, standing, problems, has_proxy, is_entangled }
    }
}

/// What one member says, such as about one route of its service; nothing where it has a mistake.
type Voice<'a, T> = (&'a Member, Option<&'a T>);

fn voices(members: &[Member]) -> BTreeMap<&str, Vec<Voice<'_, RouteClaim>>> {
    let mut voices: BTreeMap<&str, Vec<Voice<'_, RouteClaim>>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.is_exposed()) {
        for (name, claim) in &member.claims.routes {
            let claim = claim.as_ref().filter(|_| member.claims.broken.is_empty());
            voices.entry(name).or_default().push((member, claim));
        }
    }
    voices
}

/// How the containers are to be asked, as those say that have no mistake in it.
fn backend(
    service: &ServiceName,
    members: &[Member],
    problems: &mut Vec<Problem>,
) -> Option<Arc<BackendOptions>> {
    let voices: Vec<Voice<'_, BackendOptions>> =
        unbroken(members).map(|it| (it, Some(&it.claims.backend))).collect();
    let what = "the way to ask it (protocol, lb, outlier, health.path, max-...) is";
    agree(service, what, &voices, problems).map(|(_, backend)| Arc::new(backend.clone()))
}

/// The share of each variant, as its own members say.
fn variants(service: &ServiceName, members: &[Member], problems: &mut Vec<Problem>) -> BTreeMap<String, u32> {
    let mut voices: BTreeMap<&str, Vec<Voice<'_, u32>>> = BTreeMap::new();
    for member in unbroken(members) {
        voices.entry(member.variant()).or_default().push((member, Some(&member.claims.weight)));
    }
    let agreed = voices.into_iter().filter_map(|(name, voices)| {
        let what = format!("the weight of its version {name:?} is");
        agree(service, &what, &voices, problems).map(|(_, weight)| (name.to_owned(), *weight))
    });
    agreed.collect()
}

/// Those that are routed and whose words about themselves can be trusted.
fn unbroken(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|member| member.is_exposed() && member.claims.broken.is_empty())
}

/// The claim that has no mistake and stands best: that of a replica which takes requests, of several the most senior's.
/// The others are told where they differ, but for those that are on their way out.
fn agree<'a, T: PartialEq>(
    service: &ServiceName,
    what: &str,
    voices: &[Voice<'a, T>],
    problems: &mut Vec<Problem>,
) -> Option<(&'a Member, &'a T)> {
    let claims = || voices.iter().filter_map(|(member, claim)| claim.map(|claim| (*member, claim)));
    let (_, claim) = claims().min_by_key(|(member, _)| member.standing())?;
    // Of those that say the same the most senior speaks, ready or not: how old a claim is must not depend on health.
    let (first, claim) = claims().find(|(_, same)| *same == claim)?;
    let leaves = |member: &Member| matches!(member.standing(), Standing::Draining | Standing::Away);
    for (other, _) in claims().filter(|(other, differs)| *differs != claim && !leaves(other)) {
        let problem = Problem::new(
            &other.workload,
            format!("{what} not that of {}, and both belong to the service {service}", first.workload.name),
            format!("that one stands; give both the same labels, or recreate {}", first.workload.name),
        );
        problems.push(problem.about(Kind::Replicas));
    }
    Some((first, claim))
}

fn claimed(member: &Member, name: &str, claim: &RouteClaim, options: &Options) -> Claimed {
    // What of TCP names no host is known by its entry point.
    let labels = ["host", "listen"].map(|key| label::label_of(&options.label_prefix, name, key));
    let mut said = labels.iter().filter_map(|label| Some((label, member.workload.labels.get(label)?)));
    let (label, value) =
        said.next().map_or_else(Default::default, |(label, value)| (label.clone(), value.clone()));
    Claimed {
        route: claim.clone(),
        since: member.workload.created,
        away: member.is_away(),
        by: (member.workload.id.clone(), member.workload.name.clone()),
        label: (label, value),
        project: member.workload.project.clone(),
    }
}
