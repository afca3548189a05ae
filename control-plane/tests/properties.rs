//! What holds for any containers and any labels.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use portolan::inventory::{Attachment, Health, Inventory, Labels, Placement, State, Workload, WorkloadId};
use portolan::model::{self, Model, Options, Topology};
use portolan::overrides::Overrides;
use portolan::publish::Publisher;
use portolan::translate::{self, Resources};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;
use xds_server::{Kind, Resource, Snapshot};

/// Values that mean something, so that routes come about and meet each other.
const HOSTS: [&str; 8] = [
    "a.localhost",
    "b.localhost",
    "a.localhost,*.localhost",
    "*",
    "*.b.localhost",
    "x.b.localhost",
    "dashboard.localhost",
    "-",
];
const PATHS: [&str; 7] = ["/", "/api", "/api/", "=/api", "~/api/.*", "api", "/api/v1"];

fn label() -> impl Strategy<Value = (String, String)> {
    let host = prop::sample::select(&HOSTS[..]).prop_map(|value| ("host", value.to_owned()));
    let path = prop::sample::select(&PATHS[..]).prop_map(|value| ("path", value.to_owned()));
    let other = prop::sample::select(vec![
        ("port", "80"),
        ("port", "x"),
        ("network", "a"),
        ("network", "zz"),
        ("service", "one"),
        ("service", "two"),
        ("health", "ignore"),
        ("health", "?"),
        ("enable", "false"),
        ("proxy", "true"),
        ("priority", "7"),
        ("weight", "1"),
        ("hots", "x"),
        ("protocol", "tcp"),
        ("listen", "db"),
        ("listen", "names"),
        ("listen", "db, names, web"),
    ])
    .prop_map(|(key, value)| (key, value.to_owned()));
    let more =
        prop::sample::select(support::values::values()).prop_map(|(key, value)| (key, value.to_owned()));
    let route = prop::sample::select(vec!["", "", "routes.b.", "routes.c."]);
    (route, prop_oneof![4 => host, 2 => path, 2 => other, 3 => more])
        .prop_map(|(route, (key, value))| (format!("portolan.{route}{key}"), value))
}

fn workload() -> impl Strategy<Value = Workload> {
    let states =
        vec![State::Running, State::Running, State::Stopping, State::Paused, State::Created, State::Stopped];
    let healths = vec![Health::None, Health::Healthy, Health::Starting, Health::Unhealthy];
    let attachment = (prop::sample::select(vec!["shop_a", "b", "c"]), prop::option::of(any::<u32>()))
        .prop_map(|(network, address)| Attachment {
            network: network.to_owned(),
            addresses: address.map(|bits| IpAddr::V4(Ipv4Addr::from(bits))).into_iter().collect(),
        });
    let placement = prop_oneof![
        4 => vec(attachment, 0..3).prop_map(Placement::Networks),
        1 => Just(Placement::Host),
        1 => (0..12u8).prop_map(|id| Placement::SharedWith(WorkloadId(format!("id-{id}").into()))),
        1 => any::<u16>().prop_map(|port| Placement::Direct(SocketAddr::from(([127, 0, 0, 1], port)))),
    ];
    (
        vec(label(), 0..8).prop_map(|labels| labels.into_iter().collect::<Labels>()),
        prop::option::of(prop::sample::select(vec!["web", "api", "b d", "envoy-admin"])),
        prop::bool::ANY,
        placement,
        prop::collection::btree_set(prop::sample::select(vec![80u16, 443]), 0..3),
        (prop::sample::select(states), prop::sample::select(healths), 0..4i64),
    )
        .prop_map(|(labels, service, in_project, placement, exposed_ports, (state, health, created))| {
            Workload {
                id: WorkloadId("".into()),
                name: String::new(),
                project: in_project.then(|| "shop".to_owned()),
                service: service.map(str::to_owned),
                number: None,
                labels,
                placement,
                exposed_ports,
                state,
                health,
                created,
            }
        })
}

fn inventory() -> impl Strategy<Value = Arc<Inventory>> {
    vec(workload(), 0..12).prop_map(|workloads| numbered(workloads, 0))
}

/// Workload `n` has the id and name `n + first`.
fn numbered(workloads: Vec<Workload>, first: usize) -> Arc<Inventory> {
    let named = workloads.into_iter().enumerate().map(|(n, workload)| {
        let (id, name) = (WorkloadId(format!("id-{}", n + first).into()), format!("name-{}", n + first));
        Workload { id, name, ..workload }
    });
    Arc::new(named.collect())
}

/// Entry points of every kind.
const POLICIES: &str = "entry-points:
  in: { listen: \"0.0.0.0:9000\" }
  db: { listen: \"0.0.0.0:5432\", protocol: tcp }
  names: { listen: \"0.0.0.0:9443\", protocol: tcp, tls: passthrough }
projects: { shop: { hosts: [b.localhost, \"*.b.localhost\", a.localhost] } }
";

fn options() -> Options {
    let policies = Arc::new(portolan::policies::parse(POLICIES).unwrap());
    Options { policies, ..support::options() }
}

/// What is there without containers.
fn nothing() -> Topology {
    Topology { policies: options().policies, ..Topology::default() }
}

fn build(inventory: &Arc<Inventory>, previous: Option<&Model>) -> (Model, Resources) {
    let model = model::build(inventory, &options(), previous);
    let resources = translate::translate(&model.topology, &support::edge());
    (model, resources)
}

/// A model that does not know what it was made of, so that nothing can be taken over from it.
fn forgetful(model: &Model) -> Model {
    Model::from(model.topology.clone())
}

/// What happens to one of the workloads.
#[derive(Debug, Clone)]
enum Event {
    /// Another one in its place, or none.
    Becomes(Option<Workload>),
    /// It is the same, and in another state.
    Turns(State, Health),
    /// It is drained by hand, or put back.
    Drained(bool),
}

/// What happens to the workloads, one after the other.
fn history() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let event = prop_oneof![
        2 => prop::option::weighted(0.8, workload()).prop_map(Event::Becomes),
        2 => workload().prop_map(|workload| Event::Turns(workload.state, workload.health)),
        1 => prop::bool::ANY.prop_map(Event::Drained),
    ];
    vec((0..12usize, event), 1..30)
}

/// What is the case after an event, and what was decided.
fn after(inventory: &Arc<Inventory>, overrides: &mut Overrides, n: usize, event: Event) -> Arc<Inventory> {
    let id = WorkloadId(format!("id-{n}").into());
    let next = match event {
        Event::Becomes(to) => changed(inventory, n, to),
        Event::Turns(state, health) => match inventory.workloads.get(&id) {
            Some(it) => changed(inventory, n, Some(Workload { state, health, ..Workload::clone(it) })),
            None => Arc::clone(inventory),
        },
        Event::Drained(drained) => {
            if drained {
                overrides.drained.insert(id)
            } else {
                overrides.drained.remove(&id)
            };
            Arc::clone(inventory)
        }
    };
    overrides.forget(&next);
    next
}

/// One workload changes, and the others are the same allocations.
fn changed(inventory: &Inventory, n: usize, to: Option<Workload>) -> Arc<Inventory> {
    let id = WorkloadId(format!("id-{n}").into());
    let mut next = inventory.clone();
    match to {
        Some(workload) => {
            let workload = Workload { id: id.clone(), name: format!("name-{n}"), ..workload };
            next.workloads.insert(id, Arc::new(workload));
        }
        None => drop(next.workloads.remove(&id)),
    }
    Arc::new(next)
}

/// Everything as it is sent.
fn bytes(resources: &Resources) -> Vec<Vec<u8>> {
    let snapshot = served(resources);
    let of_kind = |kind| snapshot.section(kind).values().map(|resource| resource.body().to_vec());
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

/// All of it, made of nothing that was there before.
fn served(resources: &Resources) -> Snapshot {
    let Resources { clusters, endpoints, listeners, extensions, routes, secrets } = resources;
    let all = clusters.iter().map(Resource::from).chain(endpoints.iter().map(Resource::from));
    let all = all.chain(listeners.iter().map(Resource::from)).chain(routes.iter().map(Resource::from));
    let all = all.chain(secrets.iter().map(Resource::from)).chain(extensions.iter().map(Resource::from));
    Snapshot::default().next(all).unwrap()
}

/// Everything Envoy or an xDS client would refuse, or wait for in vain.
fn check(resources: &Resources) {
    let nothing = translate::translate(&nothing(), &support::edge());
    let of_http = |resources: &Resources| -> Vec<Listener> {
        resources.listeners.iter().filter(|each| !each.name.starts_with("tcp:")).cloned().collect()
    };
    assert_eq!(of_http(resources), of_http(&nothing), "those of HTTP are the same whatever runs");
    assert_eq!(resources.listeners.len(), nothing.listeners.len(), "no port is closed");
    let clusters: BTreeSet<&str> = resources.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(clusters.len(), resources.clusters.len(), "a cluster's name stands twice");
    let eds = |kind: &Option<ClusterDiscoveryType>| matches!(kind, Some(ClusterDiscoveryType::Type(kind)) if *kind == DiscoveryType::Eds as i32);
    let wanted: BTreeSet<&str> = resources
        .clusters
        .iter()
        .filter(|cluster| eds(&cluster.cluster_discovery_type))
        .map(|cluster| cluster.name.as_str())
        .collect();
    let assigned: BTreeSet<&str> =
        resources.endpoints.iter().map(|each| each.cluster_name.as_str()).collect();
    assert_eq!(wanted, assigned, "each EDS cluster has an assignment, and no other has");
    let tcp = resources.listeners.iter().filter(|each| each.name.starts_with("tcp:"));
    for listener in tcp {
        let chains = &listener.filter_chains;
        let matches: BTreeSet<Vec<u8>> = chains
            .iter()
            .map(|chain| chain.filter_chain_match.clone().unwrap_or_default().encode_to_vec())
            .collect();
        assert_eq!(matches.len(), chains.len(), "two chains match the same: {listener:?}");
        assert!(!chains.is_empty(), "Envoy would make the listener anew");
    }
    resources.routes.iter().for_each(|routes| check_routes(routes, &clusters));
}

fn check_routes(routes: &RouteConfiguration, clusters: &BTreeSet<&str>) {
    let (mut domains, mut names) = (BTreeSet::new(), BTreeSet::new());
    for host in &routes.virtual_hosts {
        assert!(names.insert(&host.name), "two virtual hosts are named {}", host.name);
        for domain in &host.domains {
            assert!(domains.insert(domain), "the domain {domain} stands in two virtual hosts");
        }
        for route in &host.routes {
            assert!(!route.name.is_empty(), "a route has no name for the access log");
            if let Some(Action::Route(action)) = &route.action {
                let Some(ClusterSpecifier::Cluster(cluster)) = &action.cluster_specifier else { continue };
                let mirrors = action.request_mirror_policies.iter().map(|mirror| &mirror.cluster);
                for cluster in mirrors.chain([cluster]) {
                    assert!(clusters.contains(cluster.as_str()), "{} leads to no cluster", route.name);
                }
            }
        }
    }
    assert!(domains.iter().any(|domain| *domain == "*"), "a host that nobody claims has no answer");
}

proptest! {
    #[test]
    fn no_label_makes_the_model_panic(labels in btree_map("portolan\\.(routes\\.)?(\\PC{0,12}|[a-z.-]{1,12}|host|path|methods|header\\.\\PC{1,5}|lb|cors|limit|mirror|retries)", "\\PC{0,40}", 0..6)) {
        let workload = Workload { labels: labels.into(), ..blank() };
        build(&numbered(vec![workload], 0), None);
    }

    #[test]
    fn no_path_or_host_makes_the_model_panic(host in "[a-z*.:/,é -]{0,20}", path in "[=~]?[/a-z0-9()\\[\\]{}*+?|^$.,%#é\\\\-]{0,30}") {
        let labels =
            [("portolan.host".to_owned(), host), ("portolan.path".to_owned(), path)].into_iter().collect();
        let workload = Workload { labels, ..blank() };
        check(&build(&numbered(vec![workload], 0), None).1);
    }

    #[test]
    fn what_comes_out_is_whole_whatever_the_containers(first in inventory(), second in inventory()) {
        let (model, resources) = build(&first, None);
        check(&resources);
        check(&build(&second, Some(&model)).1);
    }

    #[test]
    fn equal_containers_give_equal_bytes(inventory in inventory()) {
        let first = build(&inventory, None).1;
        let again = build(&inventory, None).1;
        prop_assert_eq!(bytes(&first), bytes(&again));
    }

    #[test]
    fn nothing_changes_when_nothing_changed(first in inventory(), second in inventory()) {
        let (first, _) = build(&first, None);
        let (model, _) = build(&second, Some(&first));
        let (again, _) = build(&second, Some(&forgetful(&model)));
        prop_assert_eq!(&model.topology, &again.topology);
        prop_assert_eq!(&model.problems, &again.problems);
    }

    #[test]
    fn what_is_taken_over_is_what_would_be_made_anew(first in inventory(), history in history()) {
        let publisher = Publisher::new(options(), support::edge());
        let (mut inventory, mut overrides) = (first, Overrides::default());
        let mut last = publisher.next(&inventory, None).unwrap();
        for (n, event) in history {
            inventory = after(&inventory, &mut overrides, n, event);
            let treated = overrides.apply(&inventory);
            let next = publisher.next(&treated, Some(&last)).unwrap();
            let (anew, resources) = build(&treated, Some(&forgetful(&last.model)));
            prop_assert_eq!(&next.model.topology, &anew.topology);
            prop_assert_eq!(&next.model.problems, &anew.problems);
            prop_assert_eq!(next.snapshot.version(), served(&resources).version());
            last = next;
        }
    }

    #[test]
    fn the_order_of_workloads_does_not_matter(workloads in vec(workload(), 0..8), by in 0..8usize) {
        // Ids decide the order in which workloads are seen: other ids for the same ones, and other times of creation.
        let aged: Vec<Workload> = workloads.into_iter().zip(0i64..).map(|(workload, n)| Workload { created: n, placement: unshared(workload.placement), ..workload }).collect();
        let one = numbered(aged, 0);
        let mut named: Vec<Workload> = one.workloads.values().map(|each| Workload::clone(each)).collect();
        let by = by.min(named.len());
        named.rotate_left(by);
        let renamed = named.into_iter().enumerate().map(|(n, each)| Workload { id: WorkloadId(format!("other-{n}").into()), ..each });
        let other = Arc::new(renamed.collect::<Inventory>());
        prop_assert_eq!(bytes(&build(&one, None).1), bytes(&build(&other, None).1));
    }
}

#[test]
fn the_listener_has_the_same_bytes_whatever_runs() {
    let listener = |resources: &Resources| resources.listeners[0].encode_to_vec();
    let none = listener(&build(&Arc::default(), None).1);
    let labels = [("portolan.host".to_owned(), "a.localhost".to_owned())].into_iter().collect();
    let one = numbered(vec![Workload { labels, ..blank() }], 0);
    for _ in 0..100 {
        assert_eq!(listener(&build(&one, None).1), none);
    }
}

#[test]
fn one_change_makes_one_service_anew_and_shares_the_rest() {
    let web = |n: usize, health| {
        let name = format!("web-{n}");
        let labels = [("portolan.host".to_owned(), format!("{name}.localhost"))].into_iter().collect();
        Workload { labels, health, service: Some(name), ..blank() }
    };
    let first = numbered((0..12).map(|n| web(n, Health::Healthy)).collect(), 0);
    let publisher = Publisher::new(options(), support::edge());
    let before = publisher.next(&first, None).unwrap();
    let after = publisher.next(&changed(&first, 7, Some(web(7, Health::Unhealthy))), Some(&before)).unwrap();
    let anew: Vec<&str> = before
        .model
        .topology
        .services
        .iter()
        .filter_map(|(name, service)| {
            (!Arc::ptr_eq(service, &after.model.topology.services[name])).then_some(&*name.0)
        })
        .collect();
    assert_eq!(anew, ["web-7"]);
    assert!(before.model.topology.hosts.ptr_eq(&after.model.topology.hosts));
    for kind in Kind::ALL {
        for (name, resource) in before.snapshot.section(kind) {
            let same = Arc::ptr_eq(resource, after.snapshot.get(kind, name).unwrap());
            assert_eq!(same, (kind, &**name) != (Kind::Endpoint, "web-7"), "{kind} {name}");
        }
    }
}

/// A container of the service `web`.
fn web(host: &str, health: Health, created: i64) -> Workload {
    let labels = [("portolan.host".to_owned(), host.to_owned())].into_iter().collect();
    let placement = Placement::Direct(SocketAddr::from(([127, 0, 0, 1], u16::try_from(created).unwrap())));
    Workload { labels, health, created, placement, service: Some("web".to_owned()), ..blank() }
}

fn hosts(model: &Model) -> Vec<String> {
    model.topology.hosts.keys().map(ToString::to_string).collect()
}

#[test]
fn a_kept_route_goes_when_the_new_container_is_ready_though_nobody_asks_for_anything_else() {
    let old = numbered(vec![web("old.localhost", Health::Healthy, 1)], 0);
    let (before, _) = build(&old, None);
    let edited = |health| numbered(vec![web("new.localhost", health, 2)], 1);
    let (waits, _) = build(&edited(Health::Starting), Some(&before));
    assert_eq!(hosts(&waits), ["new.localhost", "old.localhost"]);
    let (still, _) = build(&edited(Health::Unhealthy), Some(&waits));
    assert!(still.topology.hosts.ptr_eq(&waits.topology.hosts));
    let (ready, _) = build(&edited(Health::Healthy), Some(&still));
    assert_eq!(hosts(&ready), ["new.localhost"]);
}

#[test]
fn to_drain_the_old_one_of_two_by_hand_lets_the_new_one_speak_and_undrain_takes_it_back() {
    let both = vec![web("old.localhost", Health::Healthy, 1), web("new.localhost", Health::Healthy, 2)];
    let both = numbered(both, 0);
    let (before, _) = build(&both, None);
    assert_eq!((hosts(&before), before.problems.len()), (vec!["old.localhost".to_owned()], 1));
    let mut overrides = Overrides::default();
    overrides.drained.insert(WorkloadId("id-0".into()));
    let (drained, _) = build(&overrides.apply(&both), Some(&before));
    assert_eq!((hosts(&drained), drained.problems.len()), (vec!["new.localhost".to_owned()], 0));
    let (back, _) = build(&both, Some(&drained));
    assert_eq!((hosts(&back), back.problems.len()), (vec!["old.localhost".to_owned()], 1));
}

fn blank() -> Workload {
    Workload {
        id: WorkloadId("".into()),
        name: String::new(),
        project: None,
        service: None,
        number: None,
        labels: Labels::default(),
        placement: Placement::Direct(SocketAddr::from(([127, 0, 0, 1], 80))),
        exposed_ports: BTreeSet::new(),
        state: State::Running,
        health: Health::None,
        created: 0,
    }
}

/// The ids that a shared namespace refers to are others after a renumbering.
fn unshared(placement: Placement) -> Placement {
    match placement {
        Placement::SharedWith(_) => Placement::Host,
        other => other,
    }
}
