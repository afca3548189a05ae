//! What holds for any containers and any labels.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use portolan::inventory::{Attachment, Health, Inventory, Placement, State, Workload, WorkloadId};
use portolan::model::{self, Topology};
use portolan::translate::{self, Resources};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;

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
    ])
    .prop_map(|(key, value)| (key, value.to_owned()));
    let route = prop::sample::select(vec!["", "", "routes.b.", "routes.c."]);
    (route, prop_oneof![4 => host, 2 => path, 2 => other])
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
        1 => (0..12u8).prop_map(|id| Placement::SharedWith(WorkloadId(format!("id-{id}")))),
        1 => any::<u16>().prop_map(|port| Placement::Direct(SocketAddr::from(([127, 0, 0, 1], port)))),
    ];
    (
        btree_map("[a-c]", label(), 0..5).prop_map(|labels| labels.into_values().collect::<BTreeMap<_, _>>()),
        prop::option::of(prop::sample::select(vec!["web", "api", "b d", "envoy-admin"])),
        prop::bool::ANY,
        placement,
        prop::collection::btree_set(prop::sample::select(vec![80u16, 443]), 0..3),
        (prop::sample::select(states), prop::sample::select(healths), 0..4i64),
    )
        .prop_map(|(labels, service, in_project, placement, exposed_ports, (state, health, created))| {
            Workload {
                id: WorkloadId(String::new()),
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

fn inventory() -> impl Strategy<Value = Inventory> {
    vec(workload(), 0..12).prop_map(|workloads| numbered(workloads, 0))
}

/// Workload `n` has the id and name `n + first`.
fn numbered(workloads: Vec<Workload>, first: usize) -> Inventory {
    let named = workloads.into_iter().enumerate().map(|(n, workload)| {
        let (id, name) = (WorkloadId(format!("id-{}", n + first)), format!("name-{}", n + first));
        Workload { id, name, ..workload }
    });
    named.collect()
}

fn build(inventory: &Inventory, previous: Option<&Topology>) -> (Topology, Resources) {
    let (topology, _) = model::build(inventory, &support::options(), previous);
    let resources = translate::translate(&topology, &support::edge());
    (topology, resources)
}

fn bytes(resources: &Resources) -> Vec<Vec<u8>> {
    let clusters = resources.clusters.iter().map(Message::encode_to_vec);
    let endpoints = resources.endpoints.iter().map(Message::encode_to_vec);
    let listeners = resources.listeners.iter().map(Message::encode_to_vec);
    clusters
        .chain(endpoints)
        .chain(listeners)
        .chain(resources.routes.iter().map(Message::encode_to_vec))
        .collect()
}

/// Everything Envoy or an xDS client would refuse, or wait for in vain.
fn check(resources: &Resources) {
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
    let (mut domains, mut names) = (BTreeSet::new(), BTreeSet::new());
    for host in resources.routes.iter().flat_map(|routes| &routes.virtual_hosts) {
        assert!(names.insert(&host.name), "two virtual hosts are named {}", host.name);
        for domain in &host.domains {
            assert!(domains.insert(domain), "the domain {domain} stands in two virtual hosts");
        }
        for route in &host.routes {
            assert!(!route.name.is_empty(), "a route has no name for the access log");
            if let Some(Action::Route(action)) = &route.action {
                let Some(ClusterSpecifier::Cluster(cluster)) = &action.cluster_specifier else { continue };
                assert!(clusters.contains(cluster.as_str()), "the route {} leads to no cluster", route.name);
            }
        }
    }
    assert!(domains.iter().any(|domain| *domain == "*"), "a host that nobody claims has no answer");
}

proptest! {
    #[test]
    fn no_label_makes_the_model_panic(labels in btree_map("portolan\\.(routes\\.)?(\\PC{0,12}|host|path|port|network|service|health|enable|priority)", "\\PC{0,40}", 0..6)) {
        let workload = Workload { labels, ..blank() };
        build(&numbered(vec![workload], 0), None);
    }

    #[test]
    fn no_path_or_host_makes_the_model_panic(host in "[a-z*.:/,é -]{0,20}", path in "[=~]?[/a-z0-9()\\[\\]{}*+?|^$.,%#é\\\\-]{0,30}") {
        let labels = [("portolan.host".to_owned(), host), ("portolan.path".to_owned(), path)].into();
        let workload = Workload { labels, ..blank() };
        check(&build(&numbered(vec![workload], 0), None).1);
    }

    #[test]
    fn what_comes_out_is_whole_whatever_the_containers(first in inventory(), second in inventory()) {
        let (topology, resources) = build(&first, None);
        check(&resources);
        check(&build(&second, Some(&topology)).1);
    }

    #[test]
    fn equal_containers_give_equal_bytes(inventory in inventory()) {
        let first = build(&inventory, None).1;
        let again = build(&inventory, None).1;
        prop_assert_eq!(bytes(&first), bytes(&again));
    }

    #[test]
    fn nothing_changes_when_nothing_changed(inventory in inventory()) {
        let (topology, _) = build(&inventory, None);
        let (again, _) = build(&inventory, Some(&topology));
        prop_assert_eq!(topology, again);
    }

    #[test]
    fn the_order_of_workloads_does_not_matter(workloads in vec(workload(), 0..8), by in 0..8usize) {
        // Ids decide the order in which workloads are seen: other ids for the same ones, and other times of creation.
        let aged: Vec<Workload> = workloads.into_iter().zip(0i64..).map(|(workload, n)| Workload { created: n, placement: unshared(workload.placement), ..workload }).collect();
        let one = numbered(aged, 0);
        let mut named: Vec<Workload> = one.workloads.values().map(|each| Workload::clone(each)).collect();
        let by = by.min(named.len());
        named.rotate_left(by);
        let renamed = named.into_iter().enumerate().map(|(n, each)| Workload { id: WorkloadId(format!("other-{n}")), ..each });
        let other: Inventory = renamed.collect();
        prop_assert_eq!(bytes(&build(&one, None).1), bytes(&build(&other, None).1));
    }
}

#[test]
fn the_listener_has_the_same_bytes_whatever_runs() {
    let listener = |resources: &Resources| resources.listeners[0].encode_to_vec();
    let none = listener(&build(&Inventory::default(), None).1);
    let labels = BTreeMap::from([("portolan.host".to_owned(), "a.localhost".to_owned())]);
    let one = numbered(vec![Workload { labels, ..blank() }], 0);
    for _ in 0..100 {
        assert_eq!(listener(&build(&one, None).1), none);
    }
}

fn blank() -> Workload {
    Workload {
        id: WorkloadId(String::new()),
        name: String::new(),
        project: None,
        service: None,
        number: None,
        labels: BTreeMap::new(),
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
