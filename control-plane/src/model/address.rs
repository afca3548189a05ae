//! Where a workload can be reached from Envoy: the network they share, and the port.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::inventory::{Attachment, Inventory, Placement, Workload};

use super::label::Claims;
use super::problem::Problem;

/// The networks Envoy is on, asked of its own container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    /// There is no Envoy among the workloads: it runs on the host, which is on every network.
    Everywhere,
    /// Envoy's containers are on these networks.
    Networks(BTreeSet<String>),
    /// Envoy shares the host's network namespace.
    Host,
}

impl Reach {
    pub(super) fn of<'a>(proxies: impl IntoIterator<Item = &'a Workload>) -> Self {
        let mut networks = BTreeSet::new();
        let mut found = false;
        for proxy in proxies {
            found = true;
            match &proxy.placement {
                Placement::Host => return Self::Host,
                Placement::Networks(attachments) => {
                    networks.extend(attachments.iter().map(|attachment| attachment.network.clone()));
                }
                Placement::SharedWith(_) | Placement::Direct(_) => {}
            }
        }
        if found { Self::Networks(networks) } else { Self::Everywhere }
    }

    fn shares(&self, network: &str) -> bool {
        match self {
            Self::Everywhere | Self::Host => true,
            Self::Networks(networks) => networks.contains(network),
        }
    }
}

/// The address of `workload`; `None` while it has none yet (created, starting, stopped).
pub(super) fn of(
    workload: &Workload,
    claims: &Claims,
    reach: &Reach,
    inventory: &Inventory,
) -> Result<Option<SocketAddr>, Problem> {
    if let Placement::Direct(address) = workload.placement {
        return Ok(Some(address));
    }
    let port = port(workload, claims)?;
    let ip = match &workload.placement {
        Placement::SharedWith(id) => match inventory.workloads.get(id) {
            Some(owner) => ip(owner, workload, claims, reach)?,
            None => None,
        },
        _ => ip(workload, workload, claims, reach)?,
    };
    Ok(ip.map(|ip| SocketAddr::new(ip, port)))
}

/// The label, else the single declared port.
fn port(workload: &Workload, claims: &Claims) -> Result<u16, Problem> {
    let mut exposed = workload.exposed_ports.iter();
    match (claims.port, exposed.next(), exposed.next()) {
        (Some(port), _, _) | (None, Some(&port), None) => Ok(port),
        (None, None, _) => Err(Problem::new(
            &workload.name,
            "nothing says on which port it listens: its image declares none",
            "add the label portolan.port, or EXPOSE the port in its Dockerfile",
        )),
        (None, Some(_), Some(_)) => {
            let all: Vec<String> = workload.exposed_ports.iter().map(u16::to_string).collect();
            Err(Problem::new(
                &workload.name,
                format!("it declares several ports: {}", all.join(", ")),
                "say which one with the label portolan.port",
            ))
        }
    }
}

/// The address of `owner`, whose network namespace `workload` lives in (mostly its own).
fn ip(
    owner: &Workload,
    workload: &Workload,
    claims: &Claims,
    reach: &Reach,
) -> Result<Option<IpAddr>, Problem> {
    match &owner.placement {
        Placement::Networks(attachments) => {
            let chosen = choose(attachments, owner, workload, claims, reach)?;
            Ok(chosen.and_then(|attachment| attachment.addresses.first().copied()))
        }
        Placement::Host if *reach == Reach::Host || *reach == Reach::Everywhere => {
            Ok(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
        }
        Placement::Host => Err(Problem::new(
            &workload.name,
            "it is in the host's network (network_mode: host), which Envoy's container does not share",
            "put it on a network that Envoy is on",
        )),
        Placement::Direct(address) => Ok(Some(address.ip())),
        Placement::SharedWith(_) => Err(Problem::new(
            &workload.name,
            format!("it shares the network of {}, which shares that of yet another container", owner.name),
            "name the container that owns the network",
        )),
    }
}

fn choose<'a>(
    attachments: &'a [Attachment],
    owner: &Workload,
    workload: &Workload,
    claims: &Claims,
    reach: &Reach,
) -> Result<Option<&'a Attachment>, Problem> {
    let list = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>().join(", ");
    if let Some(name) = &claims.network {
        // Compose knows a network by its short name, Docker by `project_name`.
        let full = owner.project.as_ref().map(|project| format!("{project}_{name}"));
        let named = attachments.iter().find(|on| on.network == *name || Some(&on.network) == full.as_ref());
        let problem = |reason: String, fix: String| {
            Problem::new(&workload.name, reason, fix).at("portolan.network", name)
        };
        return match named {
            Some(on) if reach.shares(&on.network) => Ok(Some(on)),
            Some(on) => Err(problem(
                format!("Envoy is not on the network {}", on.network),
                "put Envoy on it too, or name another one".to_owned(),
            )),
            None => Err(problem(
                "the container is not on that network".to_owned(),
                format!("it is on: {}", list(&mut attachments.iter().map(|on| &on.network))),
            )),
        };
    }
    let shared = attachments.iter().filter(|on| reach.shares(&on.network)).min_by_key(|on| &on.network);
    match (shared, reach) {
        (Some(on), _) => Ok(Some(on)),
        (None, Reach::Networks(networks)) if !attachments.is_empty() => Err(Problem::new(
            &workload.name,
            format!(
                "it shares no network with Envoy: it is on {}",
                list(&mut attachments.iter().map(|on| &on.network))
            ),
            format!("put it on one of Envoy's: {}", list(&mut networks.iter())),
        )),
        (None, _) => Ok(None),
    }
}
