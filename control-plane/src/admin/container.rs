//! Containers as messages of `portolan.v1`, and back.

use std::net::{IpAddr, SocketAddr};

use super::pb;
use crate::inventory::{Attachment, Health, Placement, State, Workload, WorkloadId};

/// A workload as it is told, with the labels that begin with `prefix` alone: others are nobody's business here.
#[must_use]
pub fn to_message(workload: &Workload, prefix: &str) -> pb::Container {
    use pb::container::{Health as H, State as S};
    let is_ours = |label: &str| label.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
    let labels = workload.labels.iter().filter(|(label, _)| is_ours(label));
    let mut message = pb::Container {
        id: workload.id.clone().into(),
        name: workload.name.clone(),
        project: workload.project.clone().unwrap_or_default(),
        service: workload.service.clone().unwrap_or_default(),
        number: workload.number.unwrap_or_default(),
        labels: labels.map(|(label, value)| (label.clone(), value.clone())).collect(),
        exposed_ports: workload.exposed_ports.iter().copied().map(u32::from).collect(),
        state: match workload.state {
            State::Created => S::Created,
            State::Running => S::Running,
            State::Stopping => S::Stopping,
            State::Paused => S::Paused,
            State::Stopped => S::Stopped,
        }
        .into(),
        health: match workload.health {
            Health::None => H::Unspecified,
            Health::Starting => H::Starting,
            Health::Healthy => H::Healthy,
            Health::Unhealthy => H::Unhealthy,
        }
        .into(),
        created: workload.created,
        ..pb::Container::default()
    };
    match &workload.placement {
        Placement::Networks(attachments) => {
            let network = |on: &Attachment| pb::Attachment {
                network: on.network.clone(),
                addresses: on.addresses.iter().map(IpAddr::to_string).collect(),
            };
            message.networks = attachments.iter().map(network).collect();
        }
        Placement::Host => message.host_network = true,
        Placement::SharedWith(other) => message.shares_network_of = other.clone().into(),
        Placement::Direct(address) => message.direct_address = address.to_string(),
    }
    message
}

/// The workload that was told so. What this version does not know is as it is where nothing is said.
#[must_use]
pub fn from_message(message: pb::Container) -> Workload {
    use pb::container::{Health as H, State as S};
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (state, health) = (message.state(), message.health());
    let network = |on: &pb::Attachment| Attachment {
        network: on.network.clone(),
        addresses: on.addresses.iter().filter_map(|address| address.parse().ok()).collect(),
    };
    let placement = match message.direct_address.parse::<SocketAddr>() {
        Ok(address) => Placement::Direct(address),
        Err(_) if message.host_network => Placement::Host,
        Err(_) => match said(&message.shares_network_of) {
            Some(other) => Placement::SharedWith(WorkloadId(other.into())),
            None => Placement::Networks(message.networks.iter().map(network).collect()),
        },
    };
    Workload {
        project: said(&message.project),
        service: said(&message.service),
        number: Some(message.number).filter(|number| *number > 0),
        labels: message.labels.into_iter().collect(),
        placement,
        exposed_ports: message.exposed_ports.into_iter().filter_map(|port| port.try_into().ok()).collect(),
        state: match state {
            S::Created => State::Created,
            S::Stopping => State::Stopping,
            S::Paused => State::Paused,
            S::Stopped => State::Stopped,
            S::Running | S::Unspecified => State::Running,
        },
        health: match health {
            H::Unspecified => Health::None,
            H::Starting => Health::Starting,
            H::Healthy => Health::Healthy,
            H::Unhealthy => Health::Unhealthy,
        },
        created: message.created,
        id: WorkloadId(message.id.into()),
        name: message.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_told_in_full_but_for_labels_of_others() {
        let mut workload = Workload {
            id: WorkloadId("a".into()),
            name: "shop-web-1".to_owned(),
            project: Some("shop".to_owned()),
            service: Some("web".to_owned()),
            number: Some(1),
            labels: [("portolan.host".to_owned(), "a".to_owned())].into_iter().collect(),
            placement: Placement::Host,
            exposed_ports: [80, 65535].into_iter().collect(),
            state: State::Paused,
            health: Health::Unhealthy,
            created: -1,
        };
        let on = Attachment { network: "n".to_owned(), addresses: vec!["::1".parse().unwrap()] };
        for placement in [
            Placement::Host,
            Placement::SharedWith(WorkloadId("b".into())),
            Placement::Direct("127.0.0.1:1".parse().unwrap()),
            Placement::Networks(vec![on]),
            Placement::Networks(Vec::new()),
        ] {
            workload.placement = placement;
            assert_eq!(from_message(to_message(&workload, "portolan")), workload);
        }
        workload.labels.insert("portolano.host".to_owned(), "b".to_owned());
        workload.labels.insert("other".to_owned(), "secret".to_owned());
        assert_eq!(to_message(&workload, "portolan").labels.len(), 1);
    }
}
