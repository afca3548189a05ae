//! What a services file may say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;

use crate::inventory::{Health, Inventory, Placement, State, Workload, WorkloadId};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServicesFile {
    #[serde(default)]
    services: BTreeMap<String, ServiceEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceEntry {
    #[serde(default)]
    labels: BTreeMap<String, LabelValue>,
    #[serde(default)]
    endpoints: Vec<EndpointEntry>,
}

/// A label's value: YAML reads `8080` and `true` as something else than text, and Compose takes them all the same.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum LabelValue {
    Bool(bool),
    Int(i64),
    Text(String),
}

impl fmt::Display for LabelValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum EndpointEntry {
    Address(SocketAddr),
    Detailed(DetailedEndpoint),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DetailedEndpoint {
    address: SocketAddr,
    name: Option<String>,
    #[serde(default)]
    health: HealthEntry,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum HealthEntry {
    #[default]
    Healthy,
    Unhealthy,
}

/// Reads a services file.
///
/// # Errors
///
/// `line:column: what is wrong`, ready to follow the file's name and a colon.
pub fn parse(text: &str) -> Result<Inventory, String> {
    // Whoever writes a file in place empties it first: to read that as a world without services would take all away for a moment,
    // and for good where the rest has a mistake.
    if text.trim().is_empty() {
        return Err("1:1: the file is empty; for no services at all write `services: {}`".to_owned());
    }
    let file: ServicesFile = serde_saphyr::from_str(text).map_err(|error| {
        let (place, message) = place(&error);
        let (line, column) = place.unwrap_or((1, 1));
        format!("{line}:{column}: {message}")
    })?;
    let mut inventory = Inventory::default();
    for (service, entry) in file.services {
        let labels: BTreeMap<String, String> =
            entry.labels.iter().map(|(key, value)| (key.clone(), value.to_string())).collect();
        if entry.endpoints.is_empty() {
            let nobody = nobody(&service, labels.clone());
            inventory.workloads.insert(nobody.id.clone(), Arc::new(nobody));
        }
        for (index, endpoint) in entry.endpoints.into_iter().enumerate() {
            let workload = workload(&service, index, endpoint, labels.clone());
            if let Some(twin) = inventory.workloads.insert(workload.id.clone(), Arc::new(workload)) {
                return Err(format!("1:1: two endpoints of service {service} are named {}", twin.name));
            }
        }
    }
    Ok(inventory)
}

/// A service without endpoints is one whose containers are all stopped: its routes stand, and answer 503.
fn nobody(service: &str, labels: BTreeMap<String, String>) -> Workload {
    Workload {
        id: WorkloadId(format!("{service}/").into()),
        name: service.to_owned(),
        project: None,
        service: Some(service.to_owned()),
        number: None,
        labels: labels.into(),
        placement: Placement::Networks(Vec::new()),
        exposed_ports: BTreeSet::new(),
        state: State::Stopped,
        health: Health::None,
        created: 0,
    }
}

fn workload(
    service: &str,
    index: usize,
    endpoint: EndpointEntry,
    labels: BTreeMap<String, String>,
) -> Workload {
    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let (address, name, health) = match endpoint {
        EndpointEntry::Address(address) => (address, None, HealthEntry::Healthy),
        EndpointEntry::Detailed(entry) => (entry.address, entry.name, entry.health),
    };
    let name = name.unwrap_or_else(|| format!("{service}-{number}"));
    Workload {
        id: WorkloadId(format!("{service}/{name}").into()),
        name,
        project: None,
        service: Some(service.to_owned()),
        number: Some(number),
        labels: labels.into(),
        placement: Placement::Direct(address),
        exposed_ports: BTreeSet::new(),
        state: State::Running,
        health: match health {
            HealthEntry::Healthy => Health::Healthy,
            HealthEntry::Unhealthy => Health::Unhealthy,
        },
        created: 0,
    }
}

/// Line and column, from 1, and what is wrong there.
pub(crate) fn place(error: &serde_saphyr::Error) -> (Option<(u64, u64)>, String) {
    let message = error.to_string();
    // The first line is the message; it begins with the place, which is said once already.
    let message = message.lines().next().unwrap_or_default();
    let message = message
        .split_once(": ")
        .map_or(message, |(place, rest)| if place == "error" { rest } else { message });
    let message = match message.split_once(": ") {
        Some((place, rest)) if place.starts_with("line ") => rest,
        _ => message,
    };
    (error.location().map(|at| (at.line(), at.column())), message.to_owned())
}
