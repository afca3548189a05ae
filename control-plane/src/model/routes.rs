//! Who gets the routes: what the replicas of a service agree on, and who stands where two services want the same.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Options;
use super::build::{Member, Standing};
use super::label::{DEFAULT_ROUTE, RouteClaim, label_of};
use super::problem::Problem;
use super::topology::{Host, Match, Route, ServiceName, Topology};

/// The routes by host, in the order in which they are matched. `members` come in order of seniority.
///
/// A service that was edited keeps the routes it had until a container with the new ones is ready: while none is, what
/// it had stands beside what it asks for.
pub(super) fn settle(
    members: &[&Member<'_>],
    options: &Options,
    previous: &Topology,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Host, Vec<Route>> {
    let mut contest = Contest { options, candidates: BTreeMap::new(), holders: holders(previous) };
    let mut kept: BTreeMap<String, Vec<(&Host, &Route)>> = BTreeMap::new();
    for (host, route) in previous.routes_in_order() {
        kept.entry(route.name.clone()).or_default().push((host, route));
    }
    for ((service, name), voices) in voices(members) {
        let route = route_name(service, name);
        match agree(service, name, &voices, problems) {
            Some((member, claim)) => contest.enter(member, name, &route, claim, problems),
            None => kept
                .remove(&route)
                .unwrap_or_default()
                .into_iter()
                .for_each(|(host, old)| contest.keep(host, old, false)),
        }
    }
    let standings = standings(members);
    for (host, old) in previous.routes_in_order() {
        match standings.get(&old.service) {
            Some(Standing::Waiting) => contest.keep(host, old, false),
            Some(Standing::Away) => contest.keep(host, old, true),
            // Somebody is there for whom the service speaks, or nobody is left of it.
            Some(Standing::Ready | Standing::Draining) | None => {}
        }
    }
    contest.decide(problems)
}

/// The best standing among the members of each service.
fn standings<'a>(members: &[&'a Member<'a>]) -> BTreeMap<&'a ServiceName, Standing> {
    let mut standings = BTreeMap::new();
    for member in members {
        let best = standings.entry(&member.service).or_insert(Standing::Away);
        *best = member.standing().min(*best);
    }
    standings
}

/// What one member says about one route of its service; no claim where it has a mistake.
type Voice<'a> = (&'a Member<'a>, Option<&'a RouteClaim>);

fn voices<'a>(members: &[&'a Member<'a>]) -> BTreeMap<(&'a ServiceName, &'a str), Vec<Voice<'a>>> {
    let mut voices: BTreeMap<_, Vec<Voice<'a>>> = BTreeMap::new();
    for member in members {
        for (name, claim) in &member.claims.routes {
            let claim = claim.as_ref().filter(|_| member.claims.broken.is_empty());
            voices.entry((&member.service, name.as_str())).or_default().push((*member, claim));
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
) -> Option<(&'a Member<'a>, &'a RouteClaim)> {
    let claims = || voices.iter().filter_map(|(member, claim)| claim.map(|claim| (*member, claim)));
    let (_, claim) = claims().min_by_key(|(member, _)| member.standing())?;
    // Of those that say the same the most senior speaks, ready or not: how old a claim is must not depend on health.
    let (first, claim) = claims().find(|(_, same)| *same == claim)?;
    let leaves = |member: &Member<'_>| matches!(member.standing(), Standing::Draining | Standing::Away);
    for (other, _) in claims().filter(|(other, differs)| *differs != claim && !leaves(other)) {
        problems.push(Problem::new(
            other.workload,
            format!(
                "its route {name} is not that of {}, and both belong to the service {service}",
                first.workload.name
            ),
            format!("that one stands; give both the same labels, or recreate {}", first.workload.name),
        ));
    }
    Some((first, claim))
}

/// A route that wants a place.
struct Candidate<'a> {
    route: Route,
    /// Who asks for it, and as what; nobody where a route is kept from before.
    claim: Option<(&'a Member<'a>, &'a str)>,
    held: bool,
    away: bool,
}

struct Contest<'a> {
    options: &'a Options,
    candidates: BTreeMap<(Host, Match), Vec<Candidate<'a>>>,
    holders: BTreeMap<(&'a Host, &'a Match), &'a ServiceName>,
}

fn holders(previous: &Topology) -> BTreeMap<(&Host, &Match), &ServiceName> {
    previous.routes_in_order().map(|(host, route)| ((host, &route.matches), &route.service)).collect()
}

impl<'a> Contest<'a> {
    fn enter(
        &mut self,
        member: &'a Member<'a>,
        name: &'a str,
        route: &str,
        claim: &RouteClaim,
        problems: &mut Vec<Problem>,
    ) {
        for host in &claim.hosts {
            if *host == self.options.dashboard() {
                problems.push(self.problem(
                    member,
                    name,
                    format!("{host} is the host of the dashboard, and no container may stand in for it"),
                    "choose another host, or move the dashboard with PORTOLAN_DASHBOARD_HOST",
                ));
                continue;
            }
            let key = (host.clone(), claim.matches.clone());
            let held =
                self.holders.get(&(host, &claim.matches)).is_some_and(|holder| **holder == member.service);
            let route = Route {
                name: route.to_owned(),
                matches: claim.matches.clone(),
                priority: claim.priority,
                service: member.service.clone(),
                since: member.workload.created,
            };
            let candidate = Candidate { route, claim: Some((member, name)), held, away: member.is_away() };
            self.candidates.entry(key).or_default().push(candidate);
        }
    }

    /// Lets a route stand as it was, unless its service asks for that place itself.
    fn keep(&mut self, host: &Host, route: &Route, away: bool) {
        let place = self.candidates.entry((host.clone(), route.matches.clone())).or_default();
        if place.iter().all(|other| other.route.service != route.service) {
            place.push(Candidate { route: route.clone(), claim: None, held: true, away });
        }
    }

    /// One candidate for each place, in the order in which they are matched.
    fn decide(mut self, problems: &mut Vec<Problem>) -> BTreeMap<Host, Vec<Route>> {
        let mut hosts: BTreeMap<Host, Vec<Candidate<'a>>> = BTreeMap::new();
        for ((host, matches), mut candidates) in std::mem::take(&mut self.candidates) {
            candidates.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
            let mut candidates = candidates.into_iter();
            let Some(winner) = candidates.next() else { continue };
            // A stopped container that makes room for one that runs is no mistake.
            for loser in candidates.filter(|loser| !loser.away || winner.away) {
                let Some((member, name)) = loser.claim else { continue };
                let reason = format!(
                    "{host} with path {} belongs to {} already, {}",
                    matches.path,
                    winner.route.name,
                    winner.advantage(&loser)
                );
                problems.push(self.problem(member, name, reason, "give one of the two another host or path"));
            }
            hosts.entry(host).or_default().push(winner);
        }
        hosts.into_iter().map(|(host, candidates)| (host, self.sorted(candidates, problems))).collect()
    }

    fn sorted(&self, mut candidates: Vec<Candidate<'a>>, problems: &mut Vec<Problem>) -> Vec<Route> {
        candidates.sort_by(|a, b| a.route.sort_key().cmp(&b.route.sort_key()));
        let mut all = candidates.iter().skip_while(|candidate| !candidate.route.matches.is_everything());
        if let Some(takes_all) = all.next() {
            for (candidate, (member, name)) in all.filter_map(|candidate| Some((candidate, candidate.claim?)))
            {
                let reason = format!(
                    "no request reaches its path {}, because {} takes every path before it",
                    candidate.route.matches.path, takes_all.route.name
                );
                let priority = label_of(&self.options.label_prefix, name, "priority");
                let fix = format!("give it a higher {priority} than {}", takes_all.route.priority);
                problems.push(self.problem(member, name, reason, &fix));
            }
        }
        candidates.into_iter().map(|candidate| candidate.route).collect()
    }

    fn problem(&self, member: &Member<'_>, route: &str, reason: String, fix: &str) -> Problem {
        let label = label_of(&self.options.label_prefix, route, "host");
        let value = member.workload.labels.get(&label).map_or("", String::as_str);
        Problem::new(member.workload, reason, fix).at(&label, value)
    }
}

impl Candidate<'_> {
    /// Sorts the one that gets a place first: one that is there before one that is away, then by priority, the holder
    /// before a newcomer, the older before the younger.
    fn seniority(&self) -> (bool, Reverse<i32>, bool, i64, &ServiceName, &str) {
        let Route { priority, since, service, name, .. } = &self.route;
        (self.away, Reverse(*priority), !self.held, *since, service, name)
    }

    /// Why this one got the place and not `other`.
    fn advantage(&self, other: &Self) -> &'static str {
        if self.route.priority > other.route.priority {
            "whose priority is higher"
        } else if self.held && !other.held {
            "which had it first"
        } else if self.route.since < other.route.since {
            "whose claim is older"
        } else {
            "which is as old, and before it in the alphabet"
        }
    }
}

fn route_name(service: &ServiceName, route: &str) -> String {
    if route == DEFAULT_ROUTE { service.to_string() } else { format!("{service}#{route}") }
}
