//! What the tests of the model share: containers written as YAML, and messages printed as YAML.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod engine;
pub(crate) mod living;
pub(crate) mod server;
pub(crate) mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use portolan::inventory::{Attachment, Health, Inventory, Placement, State, Workload, WorkloadId};
use portolan::model::Options;
use portolan::recording;
use portolan::translate::EdgeOptions;
use prost::{Message, Name};
use serde::Deserialize;
use serde_json::Value;

/// The containers of one case, and those that were there before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What the case shows.
    pub(crate) shows: String,
    /// Whether clusters, endpoints and policies are written out.
    #[serde(default)]
    pub(crate) in_detail: bool,
    /// What was there before, if that matters.
    #[serde(default)]
    pub(crate) before: Option<BTreeMap<String, Container>>,
    /// What the policies file says, if there is one.
    #[serde(default)]
    pub(crate) policies: Option<String>,
    /// What is there, by name. A name `shop-web-1` belongs to replica 1 of the service `web` of the project `shop`,
    /// any other to no project.
    pub(crate) containers: BTreeMap<String, Container>,
}

/// One container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Container {
    labels: BTreeMap<String, String>,
    /// Network and address, or several of them; no address yet where it is `~`.
    networks: BTreeMap<String, Option<Addresses>>,
    host_network: bool,
    shares: Option<String>,
    direct: Option<SocketAddr>,
    ports: BTreeSet<u16>,
    state: Option<StateWord>,
    health: Option<HealthWord>,
    created: i64,
    /// The container's id, where it is another one than before.
    id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Addresses {
    One(IpAddr),
    Several(Vec<IpAddr>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateWord {
    Created,
    Running,
    Stopping,
    Paused,
    Stopped,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HealthWord {
    Starting,
    Healthy,
    Unhealthy,
}

/// The inventory of some containers.
pub(crate) fn inventory(containers: &BTreeMap<String, Container>) -> Inventory {
    containers.iter().map(|(name, container)| workload(name, container)).collect()
}

fn workload(name: &str, container: &Container) -> Workload {
    let parts: Vec<&str> = name.split('-').collect();
    let (project, service, number) = match parts.as_slice() {
        [project, service, number] if number.parse::<u32>().is_ok() => {
            (Some((*project).to_owned()), Some((*service).to_owned()), number.parse().ok())
        }
        _ => (None, None, None),
    };
    let placement = match container {
        Container { direct: Some(address), .. } => Placement::Direct(*address),
        Container { shares: Some(other), .. } => Placement::SharedWith(WorkloadId(other.clone().into())),
        Container { host_network: true, .. } => Placement::Host,
        Container { networks, .. } => Placement::Networks(
            networks
                .iter()
                .map(|(network, address)| Attachment {
                    network: network.clone(),
                    addresses: match address {
                        None => Vec::new(),
                        Some(Addresses::One(address)) => vec![*address],
                        Some(Addresses::Several(addresses)) => addresses.clone(),
                    },
                })
                .collect(),
        ),
    };
    Workload {
        id: WorkloadId(container.id.clone().unwrap_or_else(|| name.to_owned()).into()),
        name: name.to_owned(),
        project,
        service,
        number,
        labels: container.labels.clone().into(),
        placement,
        exposed_ports: container.ports.clone(),
        state: match container.state {
            Some(StateWord::Created) => State::Created,
            Some(StateWord::Running) | None => State::Running,
            Some(StateWord::Stopping) => State::Stopping,
            Some(StateWord::Paused) => State::Paused,
            Some(StateWord::Stopped) => State::Stopped,
        },
        health: match container.health {
            None => Health::None,
            Some(HealthWord::Starting) => Health::Starting,
            Some(HealthWord::Healthy) => Health::Healthy,
            Some(HealthWord::Unhealthy) => Health::Unhealthy,
        },
        created: container.created,
    }
}

/// A container `web` with these labels, which declares port 80 and runs on the host.
pub(crate) fn labelled(labels: BTreeMap<String, String>) -> Workload {
    Workload {
        id: WorkloadId("id".into()),
        name: "web".to_owned(),
        project: None,
        service: None,
        number: None,
        labels: labels.into(),
        placement: Placement::Host,
        exposed_ports: [80].into(),
        state: State::Running,
        health: Health::None,
        created: 0,
    }
}

/// The model's settings, as by default.
pub(crate) fn options() -> Options {
    Options {
        label_prefix: "portolan".to_owned(),
        reserved_host: "dashboard.localhost".to_owned(),
        policies: Default::default(),
    }
}

/// The edge's settings, as by default.
pub(crate) fn edge() -> EdgeOptions {
    EdgeOptions {
        listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
        dashboard_host: "dashboard.localhost".to_owned(),
        dashboard_at: "control-plane:18001".parse().unwrap(),
        envoy_admin: SocketAddr::from(([127, 0, 0, 1], 9901)),
        traces: None,
    }
}

/// Prints messages as `portolan replay` does.
pub(crate) struct Printer(recording::Printer);

impl Printer {
    pub(crate) fn new() -> Self {
        Self(recording::Printer::new().unwrap())
    }

    pub(crate) fn value<M: Message + Name>(&self, message: &M) -> Value {
        self.0.value(message).unwrap()
    }
}
