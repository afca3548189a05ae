//! Whatever a client sends and whatever makes snapshots: no panic, no growth without bounds, and a clear word at the end.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::AggregatedConfigSource;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::google::protobuf::Any;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::{
    Stream, after, cluster, endpoints, extension, filtered_listener, listener, names_request, routes,
    snapshot, update_request,
};
use tokio::time::Instant;
use xds_server::session::{Protocol, Request, Response, Scope, Session, Settings, Violation, Wants};
use xds_server::{Kind, Name, Resource, Snapshot, SnapshotError};

fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), ..config },
    }
}

const LIMITS: Settings =
    Settings { order_timeout: Duration::from_secs(5), max_names: 40, max_name_bytes: 20 };

/// Bytes it takes to print all that a session keeps, the snapshot included: a measure of its size that needs no
/// knowledge of what is inside.
fn size(session: &Session) -> usize {
    format!("{session:?}").len()
}

/// As much as a session may take with a snapshot of so many resources: each name, of each type, in every list there is.
fn bound(snapshot: &Snapshot) -> usize {
    let names = LIMITS.max_names + snapshot.len();
    let a_line = LIMITS.max_name_bytes + 200;
    10_000 + Kind::ALL.len() * 8 * names * a_line
}

#[derive(Debug, Clone)]
enum Op {
    Request(Request),
    /// Answers what was sent last of a type, whatever else it says.
    Answer(Request),
    Snapshot(BTreeSet<u8>, i64),
    Wait(u16),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..6_u8).prop_map(|n| format!("n{n}")),
        1 => Just("*".to_owned()),
        1 => Just(String::new()),
        1 => any::<String>(),
        1 => (15..25_usize).prop_map(|bytes| "x".repeat(bytes)),
    ]
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        9 => vec(name(), 0..5),
        1 => (0..60_u16, any::<u8>()).prop_map(|(count, from)| {
            (0..count).map(|n| format!("m{}", n + u16::from(from))).collect()
        }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let nonce = prop_oneof![Just(String::new()), (0..9_u8).prop_map(|n| n.to_string()), any::<String>()];
    let refused = prop::option::weighted(0.3, prop_oneof![name(), any::<String>()]);
    let versions = btree_map(name(), any::<String>(), 0..4);
    let update = (names(), names(), versions).prop_map(|(subscribe, unsubscribe, initial_versions)| {
        Wants::Update { subscribe, unsubscribe, initial_versions }
    });
    let wants = prop_oneof![names().prop_map(Wants::Names), update];
    (kind(), nonce, refused, wants).prop_map(|(kind, nonce, refused, wants)| Request {
        node: None,
        kind,
        nonce,
        refused,
        wants,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => request().prop_map(Op::Request),
        4 => request().prop_map(Op::Answer),
        2 => (prop::collection::btree_set(0..6_u8, 0..6), 0..3_i64).prop_map(|(names, rev)| Op::Snapshot(names, rev)),
        1 => (0..6_000_u16).prop_map(Op::Wait),
    ]
}

/// Over the stream it came on.
const fn ads() -> ConfigSourceSpecifier {
    ConfigSourceSpecifier::Ads(AggregatedConfigSource {})
}

/// A world of every type under a few names.
fn world(numbers: &BTreeSet<u8>, revision: i64) -> Vec<Resource> {
    let names = numbers.iter().map(|n| format!("n{n}"));
    names
        .flat_map(|n| {
            let routes = routes(&n, &[&n]);
            [
                cluster(&n, revision),
                endpoints(&n, usize::try_from(revision).unwrap()),
                filtered_listener(&n, &n, &n, ads()),
                extension(&n, &n, &revision.to_string()),
                routes,
            ]
        })
        .collect()
}

/// A stream that checks what comes out of it.
struct Checked {
    stream: Stream,
    newest: Arc<Snapshot>,
    nonces: BTreeSet<String>,
    unanswered: BTreeMap<usize, String>,
    asked: BTreeSet<usize>,
}

impl Checked {
    fn new(protocol: Protocol, scope: Scope, newest: Arc<Snapshot>) -> Self {
        let mut stream = Stream::with(protocol, scope, LIMITS);
        stream.publish(&newest);
        let (nonces, unanswered, asked) = Default::default();
        Self { stream, newest, nonces, unanswered, asked }
    }

    fn check(&mut self, responses: &[Response]) -> Result<(), TestCaseError> {
        for response in responses {
            prop_assert!(self.nonces.insert(response.nonce.clone()), "a nonce came twice: {response:?}");
            let before = self.unanswered.insert(response.kind as usize, response.nonce.clone());
            prop_assert!(before.is_none(), "two responses are unanswered: {response:?}");
            let names = response.resources.iter().map(|r| r.name()).chain(&response.removed);
            let distinct: BTreeSet<&Name> = names.clone().collect();
            prop_assert_eq!(distinct.len(), names.count(), "a name comes twice: {:?}", response);
        }
        Ok(())
    }

    /// A session has grown as large as it will.
    fn end(&self) -> Result<(), TestCaseError> {
        let (size, bound) = (size(&self.stream.session), bound(&self.newest));
        prop_assert!(size <= bound, "{size} bytes are more than {bound}: {:?}", self.stream.session);
        Ok(())
    }

    /// Returns whether the stream goes on.
    fn step(&mut self, op: Op) -> Result<bool, TestCaseError> {
        let responses = match op {
            Op::Snapshot(names, revision) => {
                self.newest = after(&self.newest, world(&names, revision));
                self.stream.publish(&Arc::clone(&self.newest))
            }
            Op::Wait(ms) => {
                self.stream.now += Duration::from_millis(ms.into());
                self.stream.session.flush(self.stream.now)
            }
            Op::Request(request) => return self.request(request),
            Op::Answer(request) => {
                let nonce = self.unanswered.get(&(request.kind as usize)).cloned().unwrap_or_default();
                return self.request(Request { nonce, ..request });
            }
        };
        self.check(&responses)?;
        Ok(true)
    }

    fn request(&mut self, request: Request) -> Result<bool, TestCaseError> {
        let (kind, nonce) = (request.kind as usize, request.nonce.clone());
        match self.stream.session.on_request(request) {
            Err(violation) => {
                let words = violation.to_string();
                prop_assert!(words.len() > 20 && words.len() < 200, "not a clear word: {words:?}");
                Ok(false)
            }
            Ok(_) => {
                let first = self.asked.insert(kind);
                if !first && self.unanswered.get(&kind) == Some(&nonce) {
                    self.unanswered.remove(&kind);
                }
                let responses = self.stream.session.flush(self.stream.now);
                self.check(&responses)?;
                Ok(true)
            }
        }
    }
}

/// A resource of which nothing can be relied upon.
fn resource() -> impl Strategy<Value = Resource> {
    let name = || prop::sample::select(vec!["", "a", "b", "c", "*"]);
    let eds = (name(), any::<bool>(), name()).prop_map(|(name, is_eds, service)| {
        let kind = if is_eds { DiscoveryType::Eds } else { DiscoveryType::Static };
        Resource::from(&Cluster {
            name: name.into(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind as i32)),
            eds_cluster_config: Some(EdsClusterConfig { service_name: service.into(), ..Default::default() }),
            ..Default::default()
        })
    });
    let tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    let url = prop::sample::select(vec!["", "/", "no type at all", tcp]);
    let garbage = (name(), url, vec(any::<u8>(), 0..8)).prop_map(|(name, type_url, value)| {
        let config = Some(ConfigType::TypedConfig(Any { type_url: type_url.into(), value }));
        let filters = vec![Filter { name: "garbage".into(), config_type: config }];
        let filter_chains = vec![FilterChain { filters, ..Default::default() }];
        Resource::from(&Listener { name: name.into(), filter_chains, ..Default::default() })
    });
    prop_oneof![
        2 => eds,
        2 => garbage,
        2 => (name(), 0..2_i64).prop_map(|(name, revision)| cluster(name, revision)),
        2 => (name(), 0..3_usize).prop_map(|(name, count)| endpoints(name, count)),
        2 => (name(), name()).prop_map(|(name, route)| listener(name, route)),
        1 => (name(), name()).prop_map(|(name, by)| filtered_listener(name, "", by, ads())),
        1 => (name(), name()).prop_map(|(name, cluster)| extension(name, cluster, "")),
        2 => (name(), vec(name(), 0..3)).prop_map(|(name, clusters)| routes(name, &clusters)),
    ]
}

/// What is wrong with a set of resources: names that stand for two things, and what is referred to and not there.
fn faults(resources: &[Resource]) -> bool {
    let twice = |one: &Resource| {
        let is_other =
            |other: &&Resource| other.kind() == one.kind() && other.name() == one.name() && *other != one;
        resources.iter().any(|other| is_other(&other))
    };
    let exists = |kind: Kind, name: &Name| resources.iter().any(|r| r.kind() == kind && r.name() == name);
    let dangles = |one: &Resource| {
        let to = one.references();
        to.clusters.iter().any(|name| !exists(Kind::Cluster, name))
            || to.extensions.iter().any(|name| !exists(Kind::Extension, name))
    };
    resources.iter().any(|one| twice(one) || dangles(one))
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn a_session_survives_any_requests(
        protocol in prop::sample::select(vec![Protocol::Delta, Protocol::StateOfTheWorld]),
        scope in prop_oneof![3 => Just(Scope::Aggregated), 1 => kind().prop_map(Scope::Only)],
        ops in vec(op(), 0..40),
    ) {
        let mut checked = Checked::new(protocol, scope, snapshot(world(&BTreeSet::from([0, 1]), 1)));
        for op in ops {
            if !checked.step(op)? {
                checked.end()?;
                checked = Checked::new(protocol, scope, Arc::clone(&checked.newest));
            }
        }
        checked.end()?;
    }

    #[test]
    fn any_resources_are_a_snapshot_or_an_error(first in vec(resource(), 0..6), second in vec(resource(), 0..6)) {
        let empty = Snapshot::default();
        let one = empty.next(first.clone());
        prop_assert_eq!(one.is_err(), faults(&first), "{:?}", one);
        let one = Arc::new(one.unwrap_or_default());
        match one.next(second.clone()) {
            Err(error) => {
                prop_assert!(faults(&second), "{error}");
                let (SnapshotError::Duplicate { name, .. }
                | SnapshotError::DanglingCluster { name, .. }
                | SnapshotError::DanglingExtension { name, .. }) = &error;
                prop_assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
            }
            Ok(two) => {
                prop_assert!(!faults(&second));
                for resource in &second {
                    prop_assert_eq!(two.get(resource.kind(), resource.name()).map(|r| &**r), Some(resource));
                }
                for cluster in two.section(Kind::Cluster).values() {
                    let assignment = cluster.references().assignment.as_ref();
                    prop_assert!(assignment.is_none_or(|name| two.get(Kind::Endpoint, name).is_some()));
                }
                let apart = Snapshot::default().next(second).unwrap();
                prop_assert_eq!(two.version(), apart.version(), "equal content, equal version");
            }
        }
    }

    #[test]
    fn what_changes_leads_to_the_same_snapshot_as_all_there_is(
        first in vec(resource(), 0..6),
        put in vec(resource(), 0..4),
        removed in vec((kind(), name()), 0..4),
    ) {
        let one = Snapshot::default().next(first.clone());
        prop_assume!(one.is_ok());
        let one = one.unwrap();
        let mut all: BTreeMap<(Kind, Name), Resource> = BTreeMap::new();
        let key = |resource: &Resource| (resource.kind(), Arc::clone(resource.name()));
        all.extend(first.iter().map(|resource| (key(resource), resource.clone())));
        for (kind, name) in &removed {
            all.remove(&(*kind, Name::from(name.as_str())));
        }
        all.extend(put.iter().map(|resource| (key(resource), resource.clone())));
        let whole: Vec<Resource> = all.into_values().collect();
        let twice = put.iter().any(|one| put.iter().any(|other| key(one) == key(other) && one != other));
        match one.with(put, removed.iter().map(|(kind, name)| (*kind, Name::from(name.as_str())))) {
            Err(_) => prop_assert!(twice || faults(&whole)),
            Ok(two) => {
                prop_assert!(!twice && !faults(&whole));
                let apart = one.next(whole).unwrap();
                prop_assert_eq!(two.version(), apart.version());
                for kind in Kind::ALL {
                    prop_assert_eq!(two.section(kind), apart.section(kind));
                    for (name, resource) in two.section(kind) {
                        let same = one.get(kind, name).is_none_or(|old| old != resource || Arc::ptr_eq(old, resource));
                        prop_assert!(same, "what did not change is the predecessor's own: {resource:?}");
                    }
                }
            }
        }
    }
}

/// Says `hostile(n)` for `n` from 0 and never answers, until the session has had enough or has not grown for long.
fn flood(protocol: Protocol, hostile: impl Fn(usize) -> Request) -> Result<(), Violation> {
    let mut session = Session::new(protocol, Scope::Aggregated, LIMITS);
    session.on_snapshot(snapshot(world(&BTreeSet::from([0, 1]), 1)));
    let mut early = 0;
    for round in 0..=500 {
        session.on_request(hostile(round))?;
        session.flush(Instant::now());
        if round == 100 {
            early = size(&session);
        }
    }
    let late = size(&session);
    assert!(late < early + 200, "{early} bytes after 100 requests, {late} after 500");
    Ok(())
}

fn wants(kind: Kind, subscribe: &[&str], unsubscribe: &[&str]) -> Request {
    update_request(kind, subscribe, unsubscribe)
}

#[test]
fn names_that_are_asked_for_and_dropped_under_the_wildcard_do_not_pile_up() {
    let ended = flood(Protocol::Delta, |n| match n {
        0 => wants(Kind::Cluster, &[], &[]),
        n => wants(Kind::Cluster, &[&format!("n{n}")], &[&format!("n{n}")]),
    });
    assert_eq!(ended.unwrap_err(), Violation::TooManyNames { kind: Kind::Cluster, limit: 40 });
    let ended =
        flood(Protocol::StateOfTheWorld, |n| names_request(Kind::Cluster, &["*", &format!("n{n}")], ""));
    assert_eq!(ended.unwrap_err(), Violation::TooManyNames { kind: Kind::Cluster, limit: 40 });
}

#[test]
fn unknown_names_that_are_dropped_under_the_wildcard_do_not_pile_up() {
    let ended = flood(Protocol::Delta, |n| wants(Kind::Cluster, &[], &[&format!("n{n}")]));
    assert_eq!(ended.unwrap_err(), Violation::TooManyNames { kind: Kind::Cluster, limit: 40 });
}

#[test]
fn names_that_come_and_go_may_do_so_for_ever() {
    flood(Protocol::Delta, |n| wants(Kind::Endpoint, &[&format!("n{n}")], &[&format!("n{n}")])).unwrap();
    flood(Protocol::StateOfTheWorld, |n| names_request(Kind::Endpoint, &[&format!("n{n}")], "")).unwrap();
}

#[test]
fn no_name_is_too_long_wherever_it_stands() {
    let long = "x".repeat(21);
    let kept = |name: &str, version: &str| BTreeMap::from([(name.to_owned(), version.to_owned())]);
    for wants in [
        Wants::Names(vec![long.clone()]),
        update_request(Kind::Cluster, &[&long], &[]).wants,
        update_request(Kind::Cluster, &[], &[&long]).wants,
        Wants::Update { subscribe: vec![], unsubscribe: vec![], initial_versions: kept(&long, "1") },
    ] {
        let request = Request { wants, ..update_request(Kind::Cluster, &[], &[]) };
        let mut session = Session::new(Protocol::Delta, Scope::Aggregated, LIMITS);
        let violation = session.on_request(request).unwrap_err();
        assert_eq!(violation, Violation::NameTooLong { kind: Kind::Cluster, bytes: 21, limit: 20 });
    }
}

#[test]
fn words_and_versions_of_any_length_are_kept_short() {
    let mut stream = Stream::with(Protocol::Delta, Scope::Aggregated, LIMITS);
    stream.publish(&snapshot([cluster("n0", 1)]));
    let versions = BTreeMap::from([("n0".to_owned(), "ü".repeat(500_000))]);
    let wants = Wants::Update { subscribe: vec![], unsubscribe: vec![], initial_versions: versions };
    let response = stream.send(Request { wants, ..update_request(Kind::Cluster, &[], &[]) });
    stream.nack(&response[0], &"ü".repeat(500_000));
    assert!(size(&stream.session) < 20_000, "{} bytes", size(&stream.session));
}

#[test]
fn too_many_names_at_once_are_too_many_wherever_they_stand() {
    let many: Vec<String> = (0..41).map(|n| format!("n{n}")).collect();
    let versions = many.iter().map(|name| (name.clone(), String::new())).collect();
    for wants in [
        Wants::Names(many.clone()),
        Wants::Update { subscribe: many.clone(), unsubscribe: vec![], initial_versions: BTreeMap::new() },
        Wants::Update { subscribe: vec![], unsubscribe: vec![], initial_versions: versions },
    ] {
        let mut session = Session::new(Protocol::Delta, Scope::Aggregated, LIMITS);
        let violation = session.on_request(Request { wants, ..update_request(Kind::Cluster, &[], &[]) });
        assert_eq!(violation.unwrap_err(), Violation::TooManyNames { kind: Kind::Cluster, limit: 40 });
    }
}

/// New names come and go with each snapshot; `answer` says what the client makes of each response.
fn churn(protocol: Protocol, answer: impl Fn(&Response) -> Option<Request>) {
    let mut stream = Stream::with(protocol, Scope::Aggregated, LIMITS);
    let names = |protocol| match protocol {
        Protocol::Delta => update_request(Kind::Cluster, &[], &[]),
        Protocol::StateOfTheWorld => names_request(Kind::Cluster, &[], ""),
    };
    let mut newest = Arc::new(Snapshot::default());
    let mut responses = stream.send(names(protocol));
    let mut early = 0;
    for round in 100..600 {
        newest = after(&newest, [cluster(&format!("a{round}"), 1), cluster(&format!("b{round}"), 1)]);
        responses.extend(stream.publish(&newest));
        // One answer a round at most: the next snapshot is there before the client has got anywhere.
        if !responses.is_empty()
            && let Some(request) = answer(&responses.remove(0))
        {
            let wants = names(protocol).wants;
            responses.extend(stream.send(Request { wants, ..request }));
        }
        if round == 199 {
            early = size(&stream.session);
        }
    }
    let late = size(&stream.session);
    assert!(late < early + 200, "{early} bytes after 100 snapshots, {late} after 500");
}

#[test]
fn names_of_the_past_are_not_kept_for_a_client_that_never_answers() {
    churn(Protocol::Delta, |_| None);
    churn(Protocol::StateOfTheWorld, |_| None);
}

#[test]
fn names_of_the_past_are_not_kept_for_a_client_that_refuses_everything() {
    churn(Protocol::Delta, |response| Some(support::nack_request(response, "no")));
    churn(Protocol::StateOfTheWorld, |response| Some(support::nack_request(response, "no")));
}

#[test]
fn names_of_the_past_are_not_kept_for_a_client_that_refuses_to_let_go() {
    let refuses = |response: &Response| {
        let accepts = response.removed.is_empty();
        let request = support::nack_request(response, "no");
        Some(if accepts { Request { refused: None, ..request } } else { request })
    };
    churn(Protocol::Delta, refuses);
}
