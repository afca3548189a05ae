//! What the workloads of one service say: labels read, replicas compared. It depends on these workloads alone, so it
//! holds for as long as they do.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::inventory::{Health, Placement, State, Workload, WorkloadId};

use super::Options;
use super::build::ADMIN_SERVICE;
use super::label::{self, Claims, HealthRule, RouteClaim};
use super::problem::Problem;
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
        let (mut claims, mut problems) = label::read(workload, &options.label_prefix);
        let name = service_name(workload, &claims);
        if !claims.routes.is_empty() && (name == ADMIN_SERVICE || !label::is_service_name(&name)) {
            claims.routes.clear();
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

    /// Whether it asks for anything at all, rightly or wrongly.
    pub(super) fn has_a_say(&self) -> bool {
        self.claims.proxy || !self.claims.routes.is_empty() || !self.problems.is_empty()
    }

    pub(super) fn is_exposed(&self) -> bool {
        !self.claims.hidden && !self.claims.routes.is_empty()
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
    /// The label that names the hosts, and its value.
    pub(super) label: (String, String),
}

/// All workloads of one service that have a say.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// In order of seniority.
    pub(super) members: Vec<Member>,
    /// What they agree on, by the names of the routes.
    pub(super) bids: Vec<Bid>,
    /// The best among the members that ask for a route, if any does: whether somebody is there for whom it speaks.
    pub(super) standing: Option<Standing>,
    /// What is wrong with their labels, and between them.
    pub(super) problems: Vec<Problem>,
    pub(super) has_proxy: bool,
    /// Whether any of its exposed members is entangled with something outside of the group.
    pub(super) is_entangled: bool,
}

impl Group {
    pub(super) fn of(service: &ServiceName, mut members: Vec<Member>, options: &Options) -> Self {
        members.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
        let mut problems: Vec<Problem> =
            members.iter().flat_map(|member| member.problems.iter().cloned()).collect();
        let bids = voices(&members)
            .into_iter()
            .map(|(name, voices)| Bid {
                name: name.to_owned(),
                claim: agree(service, name, &voices, &mut problems)
                    .map(|(member, claim)| claimed(member, name, claim, options)),
            })
            .collect();
        let exposed = members.iter().filter(|member| member.is_exposed());
        let standing = exposed.map(Member::standing).min();
        let has_proxy = members.iter().any(|member| member.claims.proxy);
        let is_entangled = members.iter().any(|member| member.is_exposed() && member.is_entangled());
        Self { members, bids, standing, problems, has_proxy, is_entangled }
    }
}

/// What one member says about one route of its service; no claim where it has a mistake.
type Voice<'a> = (&'a Member, Option<&'a RouteClaim>);

fn voices(members: &[Member]) -> BTreeMap<&str, Vec<Voice<'_>>> {
    let mut voices: BTreeMap<&str, Vec<Voice<'_>>> = BTreeMap::new();
    for member in members.iter().filter(|member| member.is_exposed()) {
        for (name, claim) in &member.claims.routes {
            let claim = claim.as_ref().filter(|_| member.claims.broken.is_empty());
            voices.entry(name).or_default().push((member, claim));
        }
    }
    voices
}

/// The claim that has no mistake and stands best: that of a replica which takes requests, of several the most senior's.
/// The others are told where they differ, but for those that are on their way out.
fn agree<'a>(
    service: &ServiceName,
    name: &str,
    voices: &[Voice<'a>],
    problems: &mut Vec<Problem>,
) -> Option<(&'a Member, &'a RouteClaim)> {
    let claims = || voices.iter().filter_map(|(member, claim)| claim.map(|claim| (*member, claim)));
    let (_, claim) = claims().min_by_key(|(member, _)| member.standing())?;
    // Of those that say the same the most senior speaks, ready or not: how old a claim is must not depend on health.
    let (first, claim) = claims().find(|(_, same)| *same == claim)?;
    let leaves = |member: &Member| matches!(member.standing(), Standing::Draining | Standing::Away);
    for (other, _) in claims().filter(|(other, differs)| *differs != claim && !leaves(other)) {
        problems.push(Problem::new(
            &other.workload,
            format!(
                "its route {name} is not that of {}, and both belong to the service {service}",
                first.workload.name
            ),
            format!("that one stands; give both the same labels, or recreate {}", first.workload.name),
        ));
    }
    Some((first, claim))
}

fn claimed(member: &Member, name: &str, claim: &RouteClaim, options: &Options) -> Claimed {
    let label = label::label_of(&options.label_prefix, name, "host");
    let value = member.workload.labels.get(&label).cloned().unwrap_or_default();
    Claimed {
        route: claim.clone(),
        since: member.workload.created,
        away: member.is_away(),
        by: (member.workload.id.clone(), member.workload.name.clone()),
        label: (label, value),
    }
}
