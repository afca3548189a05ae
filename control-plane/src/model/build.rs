//! From an inventory to a topology: who asks for what, who gets it, and where it is.
//!
//! What comes out depends on the inventory, and on what stood before, alone. A previous model saves work and nothing else:
//! whatever is taken over from it was made of the same, which is looked at each time, so that nothing can get out of step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::inventory::{Inventory, Workload};

use super::Options;
use super::address::{Reach, Surroundings};
use super::endpoints;
use super::group::{Group, Member};
use super::mirrors::Mirrors;
use super::options::BackendOptions;
use super::problem::Problem;
use super::routes::{self, Contests};
use super::topology::{Hosts, Route, Service, ServiceName, Share, Site, Topology};

/// The cluster of Envoy's own admin pages (translate): no service may have its name.
pub const ADMIN_SERVICE: &str = "envoy-admin";

/// What an inventory adds up to.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Services and routes.
    pub topology: Topology,
    /// What keeps workloads from being routed as their labels say, in order.
    pub problems: Vec<Problem>,
    pub(super) made_of: Option<MadeOf>,
}

/// A topology of which nothing is known but how it looks.
impl From<Topology> for Model {
    fn from(topology: Topology) -> Self {
        Self { topology, problems: Vec::new(), made_of: None }
    }
}

impl Model {
    /// Whether a workload, whatever its state, is this version of that service.
    #[must_use]
    pub fn has_version(&self, service: &str, version: &str) -> bool {
        let group = self.made_of.as_ref().and_then(|of| of.groups.get(&ServiceName(service.into())));
        let mut members = group.into_iter().flat_map(|group| &group.members);
        members.any(|member| member.is_exposed() && member.variant() == version)
    }
}

/// What a model was made of, piece by piece.
#[derive(Debug, Clone)]
pub(super) struct MadeOf {
    pub(super) inventory: Arc<Inventory>,
    pub(super) options: Options,
    pub(super) reach: Reach,
    groups: BTreeMap<ServiceName, Arc<Group>>,
    /// Who is meant by the labels that name a service to get copies.
    mirrors: Arc<Mirrors>,
    /// Of the settling of the routes.
    contests: Arc<Contests>,
    /// Of the endpoints of each service.
    dead_ends: BTreeMap<ServiceName, Arc<Vec<Problem>>>,
}

/// What `inventory` adds up to, and what is wrong with it. The order of the workloads does not matter.
///
/// `previous` is what stood before: it says who held a route first, and what a route was before it had a mistake.
#[must_use]
pub fn build(inventory: &Arc<Inventory>, options: &Options, previous: Option<&Model>) -> Model {
    let nothing = Topology::default();
    let before = previous.map_or(&nothing, |previous| &previous.topology);
    let last = previous.and_then(|previous| previous.made_of.as_ref());
    let last = last.filter(|last| last.options == *options);

    let groups = groups(inventory, options, last);
    let proxies = groups.values().filter(|group| group.has_proxy).flat_map(|group| &group.members);
    let proxies = proxies.filter(|member| member.claims.proxy).map(|member| &*member.workload);
    let reach = Reach::of(proxies, inventory);
    let mirrors = Arc::new(Mirrors::of(&groups, options));
    let (hosts, contests) = routes(&groups, &mirrors, options, before, last);
    let around = Surroundings { inventory, reach: &reach, prefix: &options.label_prefix };
    let (services, dead_ends) = services(&groups, &hosts, &around, before, last);

    let all = groups.values().flat_map(|group| &group.problems);
    let all = all
        .chain(mirrors.problems())
        .chain(contests.values().flatten())
        .chain(dead_ends.values().flat_map(|problems| problems.iter()));
    let problems: BTreeSet<&Problem> = all.collect();
    let problems = problems.into_iter().cloned().collect();
    let made_of = MadeOf {
        inventory: Arc::clone(inventory),
        options: options.clone(),
        reach,
        groups,
        mirrors,
        contests,
        dead_ends,
    };
    let topology = Topology { services, hosts, policies: Arc::clone(&options.policies) };
    Model { topology, problems, made_of: Some(made_of) }
}

/// The workloads by service. A group that none of the changes is about is the last one's own.
fn groups(
    inventory: &Inventory,
    options: &Options,
    last: Option<&MadeOf>,
) -> BTreeMap<ServiceName, Arc<Group>> {
    let none = Inventory::default();
    let mut groups = last.map(|last| last.groups.clone()).unwrap_or_default();
    let mut touched: BTreeMap<ServiceName, Vec<Member>> = BTreeMap::new();
    let mut members = |service: &ServiceName| -> Vec<Member> {
        groups.remove(service).map(|group| group.members.clone()).unwrap_or_default()
    };
    for (old, new) in changes(last.map_or(&none, |last| &last.inventory), inventory) {
        if let Some(old) = old.map(|old| Member::read(old, options)).filter(Member::has_a_say) {
            let group = touched.entry(old.service.clone()).or_insert_with_key(&mut members);
            group.retain(|member| member.workload.id != old.workload.id);
        }
        if let Some(new) = new.map(|new| Member::read(new, options)).filter(Member::has_a_say) {
            touched.entry(new.service.clone()).or_insert_with_key(&mut members).push(new);
        }
    }
    for (service, members) in touched {
        if !members.is_empty() {
            let group = Group::of(&service, members, options);
            groups.insert(service, Arc::new(group));
        }
    }
    groups
}

type Change<'a> = (Option<&'a Arc<Workload>>, Option<&'a Arc<Workload>>);

/// Every workload that is not the same in both, as it was and as it is. One that is treated as the same decision wants it
/// has a new allocation each time, and is the same.
fn changes<'a>(old: &'a Inventory, new: &'a Inventory) -> Vec<Change<'a>> {
    let (mut old, mut new) = (old.workloads.values().peekable(), new.workloads.values().peekable());
    let mut changes = Vec::new();
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) || a == b => {
                old.next();
                new.next();
            }
            (Some(a), Some(b)) if a.id == b.id => changes.push((old.next(), new.next())),
            (Some(a), Some(b)) if a.id < b.id => changes.push((old.next(), None)),
            (Some(_), None) => changes.push((old.next(), None)),
            (_, Some(_)) => changes.push((None, new.next())),
        }
    }
}

/// The routes. A host of which every service asks what it asked last, and stands as it stood, has the routes it had.
fn routes(
    groups: &BTreeMap<ServiceName, Arc<Group>>,
    mirrors: &Arc<Mirrors>,
    options: &Options,
    before: &Topology,
    last: Option<&MadeOf>,
) -> (Arc<Hosts>, Arc<Contests>) {
    let last = last.filter(|last| last.mirrors == *mirrors);
    let touched = last.map(|last| touched_hosts(&last.groups, groups, before));
    if let (Some(last), Some(true)) = (last, touched.as_ref().map(BTreeSet::is_empty)) {
        return (Arc::clone(&before.hosts), Arc::clone(&last.contests));
    }
    let asking = bids(groups).map(|(service, group)| (service, &**group.0)).collect();
    let (settled, found) = routes::settle(&asking, mirrors, options, before, touched.as_ref());
    let (Some(last), Some(touched)) = (last, touched) else {
        let hosts = settled.into_iter().map(|(host, routes)| shared(host, routes, before)).collect();
        return (same_or(hosts, &before.hosts), Arc::new(found));
    };
    let mut hosts = Hosts::clone(&before.hosts);
    let mut contests = Contests::clone(&last.contests);
    for host in touched {
        hosts.remove(host);
        contests.remove(host);
    }
    hosts.extend(settled.into_iter().map(|(host, routes)| shared(host, routes, before)));
    contests.extend(found);
    (same_or(hosts, &before.hosts), Arc::new(contests))
}

/// The routes of a host; as they stood, where they are the same.
fn shared(host: Site, routes: Vec<Route>, before: &Topology) -> (Site, Arc<Vec<Route>>) {
    let same = before.hosts.get(&host).filter(|old| ***old == routes);
    let routes = same.cloned().unwrap_or_else(|| Arc::new(routes));
    (host, routes)
}

/// Most changes of who asks, such as the oldest replica's end, change nothing of what stands.
fn same_or(hosts: Hosts, before: &Arc<Hosts>) -> Arc<Hosts> {
    let same = hosts.len() == before.len()
        && hosts
            .iter()
            .zip(&**before)
            .all(|((host, routes), (old_host, old))| host == old_host && Arc::ptr_eq(routes, old));
    if same { Arc::clone(before) } else { Arc::new(hosts) }
}

/// The hosts of which a service asks, asked, or has something, that asks for other things now or stands otherwise.
fn touched_hosts<'a>(
    last: &'a BTreeMap<ServiceName, Arc<Group>>,
    groups: &'a BTreeMap<ServiceName, Arc<Group>>,
    before: &'a Topology,
) -> BTreeSet<&'a Site> {
    let differs = |service: &ServiceName, bid: &Bids<'_>, others: &BTreeMap<ServiceName, Arc<Group>>| {
        others.get(service).is_none_or(|other| Bids(other) != *bid)
    };
    let old = bids(last).filter(|(service, bid)| differs(service, bid, groups));
    let new = bids(groups).filter(|(service, bid)| differs(service, bid, last));
    let changed: Vec<(&ServiceName, Bids<'_>)> = old.chain(new).collect();
    if changed.is_empty() {
        return BTreeSet::new();
    }
    let claims = changed.iter().flat_map(|(_, bid)| &bid.0.bids).filter_map(|bid| bid.claim.as_ref());
    let asked = claims.flat_map(|claim| &claim.route.sites);
    let names: BTreeSet<&ServiceName> = changed.iter().map(|(service, _)| *service).collect();
    let had = before.routes_in_order().filter(|(_, route)| names.contains(&route.service));
    asked.chain(had.map(|(site, _)| site)).collect()
}

/// The groups that ask for a route.
fn bids(groups: &BTreeMap<ServiceName, Arc<Group>>) -> impl Iterator<Item = (&ServiceName, Bids<'_>)> {
    let groups = groups.iter().filter(|(_, group)| !group.bids.is_empty());
    groups.map(|(service, group)| (service, Bids(group)))
}

/// A group, of which only the bids matter, and whether somebody is there for them: it decides whether what the service
/// had before is kept.
struct Bids<'a>(&'a Arc<Group>);

impl PartialEq for Bids<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.0, other.0);
        Arc::ptr_eq(one, other) || (one.standing == other.standing && one.bids == other.bids)
    }
}

type Services = BTreeMap<ServiceName, Arc<Service>>;
type DeadEnds = BTreeMap<ServiceName, Arc<Vec<Problem>>>;

/// The services that a route leads to, with their endpoints; one without any endpoint is there all the same, so that
/// its routes answer 503 and not 404. And what keeps workloads from being endpoints.
fn services(
    groups: &BTreeMap<ServiceName, Arc<Group>>,
    hosts: &Hosts,
    around: &Surroundings<'_>,
    before: &Topology,
    last: Option<&MadeOf>,
) -> (Services, DeadEnds) {
    let routes = hosts.values().flat_map(|routes| routes.iter());
    let mirrors =
        routes.clone().filter_map(|route| route.options.mirror.as_ref().map(|mirror| &mirror.service));
    let routed: BTreeSet<&ServiceName> = routes.map(|route| &route.service).chain(mirrors).collect();
    let nobody = Arc::new(Group::default());
    let (mut services, mut dead_ends) = (Services::new(), DeadEnds::new());
    let unrouted = groups.keys().filter(|service| !routed.contains(service));
    for service in routed.iter().copied().chain(unrouted) {
        let group = groups.get(service).unwrap_or(&nobody);
        let is_routed = routed.contains(service);
        let same = last.filter(|last| {
            !group.is_entangled
                && last.reach == *around.reach
                && last.groups.get(service).is_some_and(|old| Arc::ptr_eq(old, group))
                && before.services.contains_key(service) == is_routed
                && last.inventory.weights.get(&*service.0) == around.inventory.weights.get(&*service.0)
        });
        if let Some(last) = same {
            services.extend(
                before.services.get_key_value(service).map(|(name, it)| (name.clone(), Arc::clone(it))),
            );
            dead_ends.extend(
                last.dead_ends.get_key_value(service).map(|(name, it)| (name.clone(), Arc::clone(it))),
            );
            continue;
        }
        let old = before.services.get(service);
        let (endpoints, absent, problems) = endpoints::of(group, is_routed, around, old);
        if is_routed {
            let made = Service {
                name: service.clone(),
                options: options(group, old),
                variants: variants(group, old, around.inventory.weights.get(&*service.0)),
                endpoints,
                absent,
            };
            let old = old.filter(|old| ***old == made);
            services.insert(service.clone(), old.cloned().unwrap_or_else(|| Arc::new(made)));
        }
        if !problems.is_empty() {
            dead_ends.insert(service.clone(), Arc::new(problems));
        }
    }
    (services, dead_ends)
}

/// How a service is asked; as it was, where nobody says so rightly.
fn options(group: &Group, before: Option<&Arc<Service>>) -> Arc<BackendOptions> {
    let before = || before.map(|before| Arc::clone(&before.options));
    group.backend.clone().or_else(before).unwrap_or_default()
}

/// The variants that its members name; with the shares that they had, where nobody says so rightly. What was decided by
/// hand wins over both.
fn variants(
    group: &Group,
    before: Option<&Arc<Service>>,
    by_hand: Option<&BTreeMap<String, u32>>,
) -> BTreeMap<String, Share> {
    let mut labels = group.variants.clone();
    for member in group.members.iter().filter(|member| member.is_exposed()) {
        if !labels.contains_key(member.variant()) {
            let was = before.and_then(|before| before.variants.get(member.variant()));
            labels.insert(member.variant().to_owned(), was.map_or(member.claims.weight, |share| share.label));
        }
    }
    let share = |(name, label): (String, u32)| {
        let by_hand = by_hand.and_then(|by_hand| by_hand.get(&name)).copied();
        (name, Share { label, by_hand })
    };
    labels.into_iter().map(share).collect()
}
