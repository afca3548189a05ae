use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use envoy_types::pb::envoy::config::core::v3::Node;
use xds_server::session::{HeldVersion, Protocol, Refusal, ResourceStatus, Scope, Sync, TypeStatus};

use super::*;
use crate::inventory::{Attachment, Inventory, Placement};
use crate::model;
use crate::publish::Publisher;
use crate::translate::EdgeOptions;

fn container(name: &str, labels: &[(&str, &str)], network: &str, address: &str) -> Workload {
    Workload {
        id: name.to_owned().into(),
        name: name.to_owned(),
        project: Some("shop".to_owned()),
        service: Some("web".to_owned()),
        number: None,
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        placement: Placement::Networks(vec![Attachment {
            network: network.to_owned(),
            addresses: address.parse().into_iter().collect(),
        }]),
        exposed_ports: [80].into(),
        state: State::Running,
        health: Health::Healthy,
        created: 1,
    }
}

fn web() -> Workload {
    container("web-1", &[("portolan.host", "shop.localhost")], "front", "10.0.0.2")
}

fn view(workloads: &[Workload], decisions: &Overrides) -> View {
    let mut proxy = container("envoy-1", &[("portolan.proxy", "true")], "front", "10.0.0.9");
    proxy.service = Some("envoy".to_owned());
    let inventory: Inventory = workloads.iter().cloned().chain([proxy]).collect();
    let edge = EdgeOptions {
        listen: "127.0.0.1:1".parse().unwrap(),
        dashboard_host: "dashboard.localhost".to_owned(),
        dashboard_at: "control-plane:18001".parse().unwrap(),
        envoy_admin: "127.0.0.1:2".parse().unwrap(),
        traces: None,
    };
    let options = model::Options {
        label_prefix: "portolan".to_owned(),
        reserved_host: edge.dashboard_host.clone(),
        policies: Default::default(),
    };
    Publisher::new(options, edge).next(&decisions.apply(&Arc::new(inventory)), None).unwrap()
}

/// An Envoy that has all of `view`, but for what `sync` makes of its endpoints.
fn envoy(view: &View, sync: Option<&Sync>) -> ClientStream {
    let of_kind = |kind: Kind| {
        let resources = view.snapshot.section(kind).values().map(|resource| {
            let has = sync.is_none() || kind != Kind::Endpoint;
            ResourceStatus {
                name: Arc::clone(resource.name()),
                newest: Some(Arc::clone(resource)),
                acknowledged: has.then(|| HeldVersion::Acknowledged(resource.version())),
                sync: sync.filter(|_| !has).cloned().unwrap_or(Sync::Acknowledged),
            }
        });
        TypeStatus { kind, resources: resources.collect() }
    };
    ClientStream {
        id: 1,
        peer: "10.0.0.9:1".to_owned(),
        protocol: Protocol::Delta,
        scope: Scope::Aggregated,
        opened: SystemTime::UNIX_EPOCH,
        node: Some(Node { id: "edge".to_owned(), ..Node::default() }),
        types: [Kind::Cluster, Kind::Endpoint, Kind::Route].map(of_kind).into(),
    }
}

/// The chain of the first of `workloads`.
fn chain_of(workloads: &[Workload], decisions: &Overrides, sync: Option<&Sync>) -> Chain {
    let view = view(workloads, decisions);
    let clients = [envoy(&view, sync)];
    of(&workloads[0], &view, decisions, &clients).unwrap()
}

fn outcomes(chain: &Chain) -> Vec<Outcome> {
    chain.steps.iter().map(|step| step.outcome).collect()
}

#[test]
fn the_whole_way_is_told_from_the_label_to_the_envoy_that_acknowledged_it() {
    let chain = chain_of(&[web()], &Overrides::default(), None);
    assert!(chain.is_whole() && chain.stop().is_none(), "{chain:#?}");
    assert_eq!((chain.workload.as_str(), chain.service.as_str()), ("web-1", "shop/web"));
    let said: BTreeMap<&str, &str> =
        chain.steps.iter().map(|step| (step.name.word(), step.reason.as_str())).collect();
    assert_eq!(said["label"], "shop.localhost/");
    assert_eq!(said["network"], "front, at 10.0.0.2");
    assert_eq!(said["port"], "80, the only one that it declares");
    assert_eq!(said["health"], "it runs and is healthy");
    assert_eq!(said["cluster"], "10.0.0.2:80 is one of 1 endpoints of shop/web");
    assert!(said["version"].starts_with("its endpoints are served as version "), "{said:?}");
    assert_eq!(said["ack"], "edge has acknowledged it");
    assert_eq!(chain.steps[6].client.as_deref(), Some("edge"));
}

#[test]
fn where_the_way_stops_the_reason_is_told_and_what_to_do() {
    let with = |change: &dyn Fn(&mut Workload)| {
        let mut web = web();
        change(&mut web);
        web
    };
    let label = |key: &str, value: &str| {
        let (key, value) = (key.to_owned(), value.to_owned());
        move |web: &mut Workload| {
            web.labels.insert(key.clone(), value.clone());
        }
    };
    let dark = |web: &mut Workload| {
        label("portolan.version", "v2")(web);
        label("portolan.weight", "0")(web);
    };
    let elsewhere = |web: &mut Workload| {
        web.placement = Placement::Networks(vec![Attachment {
            network: "back".to_owned(),
            addresses: vec!["10.1.0.2".parse().unwrap()],
        }]);
    };
    let nowhere = |web: &mut Workload| {
        let Placement::Networks(on) = &mut web.placement else { panic!("{web:?}") };
        on[0].addresses.clear();
    };
    for (workload, step, reason, fix) in [
        (
            with(&|web| web.labels.clear()),
            Name::Label,
            "no label portolan.host",
            "add the label portolan.host",
        ),
        (
            with(&label("portolan.enable", "false")),
            Name::Label,
            "hidden by the label",
            "take that label away",
        ),
        (with(&label("portolan.path", "x")), Name::Label, "portolan.path=\"x\"", "write /api for a prefix"),
        (with(&label("portolan.host", "dashboard.localhost")), Name::Label, "dashboard", "host"),
        (with(&elsewhere), Name::Network, "shares no network with Envoy: it is on back", "front"),
        (
            with(&nowhere),
            Name::Network,
            "it runs without an address",
            "{{json .NetworkSettings.Networks}}' web-1",
        ),
        (with(&|web| web.exposed_ports.clear()), Name::Port, "nothing says on which port", "portolan.port"),
        (
            with(&|web| _ = web.exposed_ports.insert(81)),
            Name::Port,
            "several ports: 80, 81",
            "portolan.port: \"80\"",
        ),
        (with(&|web| web.health = Health::Starting), Name::Health, "it is starting", "docker logs web-1"),
        (
            with(&|web| web.health = Health::Unhealthy),
            Name::Health,
            "it is unhealthy",
            "{{json .State.Health}}' web-1",
        ),
        (with(&|web| web.state = State::Paused), Name::Health, "it is paused", "docker unpause web-1"),
        (with(&|web| web.state = State::Created), Name::Health, "it is created", "docker start web-1"),
        (with(&|web| web.state = State::Stopped), Name::Health, "it is stopped", "docker compose up -d"),
        (with(&dark), Name::Cluster, "has the weight 0", "portolan weight shop/web"),
    ] {
        let chain = chain_of(std::slice::from_ref(&workload), &Overrides::default(), None);
        let stop = chain.stop().unwrap_or_else(|| panic!("{reason}: {chain:#?}"));
        assert!(stop.name == step && stop.reason.contains(reason), "{reason}: {chain:#?}");
        assert!(stop.fix.as_ref().is_some_and(|said| said.contains(fix)), "{fix}: {chain:#?}");
        let last = outcomes(&chain).last().copied();
        assert_eq!(last, Some(Outcome::Skipped), "nothing is acknowledged: {chain:#?}");
    }
}

#[test]
fn a_drained_container_is_told_how_to_come_back_and_one_that_stops_is_not() {
    let mut decisions = Overrides::default();
    decisions.drained.insert(web().id);
    let chain = chain_of(&[web()], &decisions, None);
    let stop = chain.stop().unwrap();
    assert_eq!((stop.name, stop.fix.as_deref()), (Name::Health, Some("portolan undrain web-1")));
    let stopping = Workload { state: State::Stopping, ..web() };
    let chain = chain_of(&[stopping], &Overrides::default(), None);
    let stop = chain.stop().unwrap();
    assert!(stop.reason.contains("told to stop") && stop.fix.is_none(), "{stop:?}");
}

#[test]
fn each_envoy_is_told_with_how_far_it_is() {
    let refusal = Refusal {
        name: "shop/web".into(),
        version: None,
        reason: "no such thing".into(),
        at: SystemTime::UNIX_EPOCH,
    };
    for (sync, words) in [
        (Sync::Sent, "edge has not acknowledged the newest endpoints yet"),
        (Sync::Refused(refusal), "edge refused it: shop/web: no such thing"),
    ] {
        let chain = chain_of(&[web()], &Overrides::default(), Some(&sync));
        let stop = chain.stop().unwrap();
        assert!(stop.name == Name::Ack && stop.reason == words, "{chain:#?}");
        assert_eq!(outcomes(&chain)[..6], [Outcome::Ok; 6]);
    }
    let (view, nobody) = (view(&[web()], &Overrides::default()), Overrides::default());
    let chain = of(&web(), &view, &nobody, &[]).unwrap();
    let stop = chain.stop().unwrap();
    assert!(stop.name == Name::Ack && stop.reason.contains("no Envoy that asks"), "{stop:?}");
}

#[test]
fn what_is_not_to_be_routed_is_told_as_such() {
    let view = view(&[web()], &Overrides::default());
    let proxy = Workload { id: "envoy-1".to_owned().into(), ..web() };
    let chain = of(&proxy, &view, &Overrides::default(), &[]).unwrap();
    assert!(chain.stop().unwrap().reason.contains("it is Envoy itself"), "{chain:#?}");
    assert_eq!(outcomes(&chain)[1..], [Outcome::Skipped; 6]);
    let unknown = Workload { id: "other".to_owned().into(), ..web() };
    assert_eq!(of(&unknown, &view, &Overrides::default(), &[]), None);
}
