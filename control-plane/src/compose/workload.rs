//! The containers that a project's services become, as the model takes them: what is known before they are there. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::project::{Project, Service};
use crate::inventory::{Attachment, Health, Placement, State, Workload, WorkloadId};

/// The id of the container `number` of a service: it has none yet.
#[must_use]
pub fn id(service: &str, number: u32) -> WorkloadId {
    WorkloadId(format!("{service}-{number}").into())
}

/// The container `number` of `service`, up and well, with `ports` and with one address on each of its networks; with none it is
/// judged as one that has no address yet.
#[must_use]
pub fn of(
    service: &Service,
    project: &Project,
    number: u32,
    ports: BTreeSet<u16>,
    address: Option<IpAddr>,
) -> Workload {
    let labels = service.labels.iter().map(|(key, label)| (key.clone(), label.value().to_owned()));
    let name = || format!("{}-{}-{number}", project.name, service.name);
    Workload {
        id: id(&service.name, number),
        name: service.container_name.clone().unwrap_or_else(name),
        project: Some(project.name.clone()),
        service: Some(service.name.clone()),
        number: Some(number),
        labels: labels.collect(),
        placement: placement(service, address),
        exposed_ports: ports,
        state: State::Running,
        health: if service.has_check { Health::Healthy } else { Health::None },
        created: 0,
    }
}

/// Compose file reference, "network_mode".
fn placement(service: &Service, address: Option<IpAddr>) -> Placement {
    let addresses: Vec<IpAddr> = address.into_iter().collect();
    let on = |network: &str| Attachment { network: network.to_owned(), addresses: addresses.clone() };
    match service.network_mode.as_deref() {
        None => {
            let mut networks: Vec<Attachment> =
                service.networks.iter().map(|network| on(&network.name)).collect();
            networks.sort();
            Placement::Networks(networks)
        }
        Some("host") => Placement::Host,
        Some("none") => Placement::Networks(Vec::new()),
        Some(mode) => match mode.split_once(':') {
            Some(("service", other)) => Placement::SharedWith(id(other, 1)),
            // Whoever that is, it is no matter of these files.
            Some(_) => Placement::Direct(([0, 0, 0, 0], 0).into()),
            None => Placement::Networks(vec![on(mode)]),
        },
    }
}
