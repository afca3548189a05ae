//! Who gets the routes, where two services want the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Options;
use super::group::{Claimed, Group, Standing};
use super::label::{DEFAULT_ROUTE, label_of};
use super::matching::Match;
use super::mirrors::Mirrors;
use super::options::RouteOptions;
use super::problem::{Kind, Lost, Problem};
use super::topology::{Host, Route, ServiceName, Site, Topology};

/// What is wrong with what services ask for, by the host they ask it of.
pub(super) type Contests = BTreeMap<Site, Vec<Problem>>;

/// The routes of some hosts, or of all where `only` names none: each in the order in which they are matched, and what is wrong
/// with what the services ask for there. What becomes of one host depends on nothing that is asked of another.
///
/// A service that was edited keeps the routes it had until a container with the new ones is ready: while none is, what
/// it had stands beside what it asks for.
///
/// To settle the same bids of the same standing again, with what came of them as `previous`, changes nothing.
pub(super) fn settle<'a>(
    groups: &BTreeMap<&'a ServiceName, &'a Group>,
    mirrors: &'a Mirrors,
    options: &'a Options,
    previous: &'a Topology,
    only: Option<&BTreeSet<&Site>>,
) -> (BTreeMap<Site, Vec<Route>>, Contests) {
    let is_asked = |host: &Site| only.is_none_or(|only| only.contains(host));
    // What the policies file has given to another project since, or made a port for something else, is not kept either.
    let may = |site: &Site, route: &Route| {
        let policies = &options.policies;
        let project = groups.get(&route.service).and_then(|group| group.project());
        let fits = policies.is_tcp(&site.entry) == route.matches.is_connection;
        fits && (policies.knows_hosts(&site.entry) || site.host == Host::Any)
            && policies.refusal_at(project, site).is_none()
    };
    let stood: Vec<(&Site, &Route)> = match only {
        None => previous.routes_in_order().collect(),
        Some(only) => only.iter().flat_map(|site| previous.routes_at(site)).collect(),
    };
    let stood = || stood.iter().copied().filter(|(host, route)| may(host, route));
    let mut contests = Contests::new();
    let holders = stood().map(|(host, route)| ((host, &route.matches), &route.service)).collect();
    let mut contest = Contest { options, mirrors, candidates: BTreeMap::new(), holders };
    let mut kept: BTreeMap<&str, Vec<(&Site, &Route)>> = BTreeMap::new();
    for (host, route) in stood() {
        kept.entry(&route.name).or_default().push((host, route));
    }
    for (service, bid) in
        groups.iter().flat_map(|(service, group)| group.bids.iter().map(move |bid| (*service, bid)))
    {
        match &bid.claim {
            Some(claim) => {
                for host in claim.route.sites.iter().filter(|host| is_asked(host)) {
                    contest.enter(service, &bid.name, host, claim, &mut contests);
                }
            }
            None => kept
                .remove(&*route_name(service, &bid.name))
                .unwrap_or_default()
                .into_iter()
                .for_each(|(host, old)| contest.keep(host, old, false)),
        }
    }
    for (host, old) in stood() {
        match groups.get(&old.service).and_then(|group| group.standing) {
            Some(Standing::Waiting) => contest.keep(host, old, false),
            Some(Standing::Away) => contest.keep(host, old, true),
            // Somebody is there for whom the service speaks, or nobody is left of it.
            Some(Standing::Ready | Standing::Draining) | None => {}
        }
    }
    let hosts = contest.decide(&mut contests);
    (hosts, contests)
}

/// A route that wants a place.
struct Candidate<'a> {
    route: Route,
    /// Who asks for it, and as what; nobody where a route is kept from before.
    claim: Option<(&'a Claimed, &'a str)>,
    held: bool,
    away: bool,
}

struct Contest<'a> {
    options: &'a Options,
    mirrors: &'a Mirrors,
    candidates: BTreeMap<(Site, Match), Vec<Candidate<'a>>>,
    holders: BTreeMap<(&'a Site, &'a Match), &'a ServiceName>,
}

impl<'a> Contest<'a> {
    /// Enters what `service` asks of `host` under the name `name` of a route.
    fn enter(
        &mut self,
        service: &ServiceName,
        name: &'a str,
        host: &Site,
        claim: &'a Claimed,
        contests: &mut Contests,
    ) {
        let lost = || Lost { site: host.clone(), route: route_name(service, name) };
        if host.host == self.options.dashboard() {
            let reason =
                format!("{} is the host of the dashboard, and no container may stand in for it", host.host);
            let fix = "choose another host, or move the dashboard with PORTOLAN_DASHBOARD_HOST";
            contests.entry(host.clone()).or_default().push(problem(claim, lost(), reason, fix));
            return;
        }
        if let Some((reason, fix)) = self.options.policies.refusal_at(claim.project.as_deref(), host) {
            contests.entry(host.clone()).or_default().push(problem(claim, lost(), reason, &fix));
            return;
        }
        let matches = &claim.route.matches;
        let held = self.holders.get(&(host, matches)).is_some_and(|holder| *holder == service);
        let route = Route {
            name: route_name(service, name),
            matches: matches.clone(),
            priority: claim.route.priority,
            service: service.clone(),
            options: match claim.route.upgrades.get(&host.entry) {
                Some(port) => Arc::new(RouteOptions::secured(*port)),
                None => self.mirrors.resolved(claim),
            },
            since: claim.since,
        };
        let candidate = Candidate { route, claim: Some((claim, name)), held, away: claim.away };
        self.candidates.entry((host.clone(), matches.clone())).or_default().push(candidate);
    }

    /// Lets a route stand as it was, unless its service asks for that place itself.
    fn keep(&mut self, host: &Site, route: &Route, away: bool) {
        let place = self.candidates.entry((host.clone(), route.matches.clone())).or_default();
        if place.iter().all(|other| other.route.service != route.service) {
            place.push(Candidate { route: route.clone(), claim: None, held: true, away });
        }
    }

    /// One candidate for each place, in the order in which they are matched.
    fn decide(mut self, contests: &mut Contests) -> BTreeMap<Site, Vec<Route>> {
        let mut hosts: BTreeMap<Site, Vec<Candidate<'a>>> = BTreeMap::new();
        for ((host, matches), mut candidates) in std::mem::take(&mut self.candidates) {
            candidates.sort_by(|a, b| a.seniority().cmp(&b.seniority()));
            let mut candidates = candidates.into_iter();
            let Some(winner) = candidates.next() else { continue };
            // A stopped container that makes room for one that runs is no mistake.
            for loser in candidates.filter(|loser| !loser.away || winner.away) {
                let Some((claim, _)) = loser.claim else { continue };
                let reason = format!(
                    "{} belongs to {} already, {}",
                    place(&host, &matches),
                    winner.route.name,
                    winner.advantage(&loser)
                );
                let fix = match (matches.is_connection, self.options.policies.knows_hosts(&host.entry)) {
                    (false, _) => "give one of the two another host or path",
                    (true, true) => "give one of the two another host or entry point",
                    (true, false) => "give one of the two another entry point",
                };
                let lost = Lost { site: host.clone(), route: loser.route.name };
                contests.entry(host.clone()).or_default().push(problem(claim, lost, reason, fix));
            }
            hosts.entry(host).or_default().push(winner);
        }
        let sorted = |(host, candidates): (Site, Vec<Candidate<'a>>)| {
            let (routes, problems) = self.sorted(&host, candidates);
            if !problems.is_empty() {
                contests.entry(host.clone()).or_default().extend(problems);
            }
            (host, routes)
        };
        hosts.into_iter().map(sorted).collect()
    }

    fn sorted(&self, host: &Site, mut candidates: Vec<Candidate<'a>>) -> (Vec<Route>, Vec<Problem>) {
        let mut problems = Vec::new();
        candidates.sort_by(|a, b| a.route.sort_key().cmp(&b.route.sort_key()));
        let mut all = candidates.iter().skip_while(|candidate| !candidate.route.matches.is_everything());
        if let Some(takes_all) = all.next() {
            for (candidate, (claim, name)) in all.filter_map(|candidate| Some((candidate, candidate.claim?)))
            {
                let reason = format!(
                    "no request reaches its path {}, because {} takes every path before it",
                    candidate.route.matches.path, takes_all.route.name
                );
                let priority = label_of(&self.options.label_prefix, name, "priority");
                let fix = format!("give it a higher {priority} than {}", takes_all.route.priority);
                let lost = Lost { site: host.clone(), route: candidate.route.name.clone() };
                problems.push(problem(claim, lost, reason, &fix));
            }
        }
        (candidates.into_iter().map(|candidate| candidate.route).collect(), problems)
    }
}

impl Candidate<'_> {
    /// Sorts the one that gets a place first: one that is there before one that is away, then by priority, the holder
    /// before a newcomer, the older before the younger.
    fn seniority(&self) -> (bool, Reverse<i32>, bool, i64, &ServiceName, &str) {
        let Route { priority, since, service, name, .. } = &self.route;
        (self.away, Reverse(*priority), !self.held, *since, service, name)
    }

    /// Why this one got the place and not `other`: for the same reason each time it is asked.
    fn advantage(&self, other: &Self) -> &'static str {
        let (ours, theirs) = (&self.route, &other.route);
        if ours.priority > theirs.priority {
            "whose priority is higher"
        } else if ours.since < theirs.since {
            "whose claim is older"
        } else if ours.since == theirs.since && (&ours.service, &ours.name) < (&theirs.service, &theirs.name)
        {
            "which is as old, and before it in the alphabet"
        } else {
            "which had it first"
        }
    }
}

/// What a route asks for, in words.
fn place(site: &Site, matches: &Match) -> String {
    if matches.is_connection { site.connections() } else { format!("{site} with path {matches}") }
}

fn problem(claim: &Claimed, lost: Lost, reason: String, fix: &str) -> Problem {
    let (id, workload) = claim.by.clone();
    let (label, value) = &claim.label;
    Problem::of(workload, id, reason, fix).at(label, value).about(Kind::Conflict(Box::new(lost)))
}

fn route_name(service: &ServiceName, route: &str) -> String {
    if route == DEFAULT_ROUTE { service.to_string() } else { format!("{service}#{route}") }
}
