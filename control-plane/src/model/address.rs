//! Where a workload can be reached from Envoy: the network they share, and the port (docs/labels.md, "The address").

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::inventory::{Attachment, Inventory, Placement, State, Workload};

use super::label::{Claims, DEFAULT_ROUTE, label_of};
use super::problem::{Kind, Problem};

/// Docker's name for no network at all (`network_mode: none`).
const NO_NETWORK: &str = "none";
/// How many containers may share one network namespace in a chain. Docker allows one; a loop must end all the same.
const LONGEST_CHAIN: usize = 8;

/// The places from which Envoy reaches containers, asked of its own containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach {
    /// One entry for each Envoy. Without any it runs on the host, which is on every network.
    proxies: Vec<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In the host's network namespace.
    Host,
    /// On these networks.
    Networks(BTreeSet<String>),
}

impl Reach {
    pub(super) fn of<'a>(proxies: impl Iterator<Item = &'a Workload>, inventory: &Inventory) -> Self {
        let (mut alive, mut stopped) = (Vec::new(), Vec::new());
        for proxy in proxies {
            let list = if proxy.state == State::Stopped { &mut stopped } else { &mut alive };
            list.push(match owner(proxy, inventory).map(|owner| &owner.placement) {
                Some(Placement::Networks(on)) => {
                    Place::Networks(on.iter().map(|on| on.network.clone()).collect())
                }
                Some(Placement::Host | Placement::Direct(_) | Placement::SharedWith(_)) | None => Place::Host,
            });
        }
        // While Envoy restarts it still belongs on the networks it was on.
        Self { proxies: if alive.is_empty() { stopped } else { alive } }
    }

    /// How many Envoys reach `network`.
    fn count(&self, network: &str) -> usize {
        let reaches = |place: &&Place| match place {
            Place::Host => true,
            Place::Networks(networks) => networks.contains(network),
        };
        self.proxies.iter().filter(reaches).count()
    }

    fn shares(&self, network: &str) -> bool {
        self.proxies.is_empty() || self.count(network) > 0
    }

    fn is_on_host(&self) -> bool {
        self.proxies.is_empty() || self.proxies.contains(&Place::Host)
    }

    /// What to do about a workload that none of them reaches.
    fn invitation(&self) -> String {
        if self.is_on_host() {
            return "put it on any network: Envoy runs on the host, and reaches them all".to_owned();
        }
        let networks = self.networks();
        if networks.is_empty() {
            return "put it and Envoy on a network together: Envoy is on none".to_owned();
        }
        format!("put it on one of Envoy's: {}", list(networks))
    }

    fn networks(&self) -> BTreeSet<&str> {
        let networks = self.proxies.iter().filter_map(|place| match place {
            Place::Networks(networks) => Some(networks),
            Place::Host => None,
        });
        networks.flatten().map(String::as_str).filter(|network| *network != NO_NETWORK).collect()
    }
}

/// Everything that decides on an address, besides the workload.
pub(super) struct Surroundings<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) reach: &'a Reach,
    pub(super) prefix: &'a str,
}

/// Where a workload is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At {
    pub(super) address: SocketAddr,
    /// The network it is reached over, if it is one of Docker's.
    pub(super) network: Option<String>,
}

/// Where `workload` is reached; `None` while it has no address yet.
pub(super) fn of(
    workload: &Workload,
    claims: &Claims,
    around: &Surroundings<'_>,
) -> Result<Option<At>, Box<Problem>> {
    if let Placement::Direct(address) = workload.placement {
        return Ok(Some(At { address, network: None }));
    }
    let port = port(workload, claims, around)?;
    let place = place(workload, claims, around)?;
    Ok(place.map(|(ip, network)| At { address: SocketAddr::new(ip, port), network }))
}

/// The IP address of `workload`, and the network it is reached over; `None` while it has none yet.
pub(super) fn place(
    workload: &Workload,
    claims: &Claims,
    around: &Surroundings<'_>,
) -> Result<Option<(IpAddr, Option<String>)>, Box<Problem>> {
    let Some(owner) = owner(workload, around.inventory) else {
        return Err(refused(
            Kind::Network,
            workload,
            "it shares the network of a container that is not there any more",
            "recreate it, so that it joins the network of the one that is",
        ));
    };
    if owner.id != workload.id && matches!(owner.state, State::Created | State::Stopped) {
        return Err(refused(
            Kind::Network,
            workload,
            format!("it shares the network of {}, which does not run", owner.name),
            format!("start {}, and then this one again: its network went with it", owner.name),
        ));
    }
    Ok(match &owner.placement {
        Placement::Networks(attachments) => network(attachments, owner, workload, claims, around)?
            .and_then(|on| Some((*on.addresses.first()?, Some(on.network.clone())))),
        Placement::Host if around.reach.is_on_host() => Some((IpAddr::V4(Ipv4Addr::LOCALHOST), None)),
        Placement::Host => {
            return Err(refused(
                Kind::Network,
                workload,
                "it is in the host's network (network_mode: host), which Envoy's container does not share",
                around.reach.invitation(),
            ));
        }
        Placement::Direct(address) => Some((address.ip(), None)),
        Placement::SharedWith(_) => None,
    })
}

/// Every address a workload has on any network: what was its address once must be among them to be so still.
pub(super) fn all<'a>(workload: &'a Workload, inventory: &'a Inventory) -> impl Iterator<Item = IpAddr> + 'a {
    let placement = owner(workload, inventory).map(|owner| &owner.placement);
    let (attachments, direct) = match placement {
        Some(Placement::Networks(attachments)) => (attachments.as_slice(), None),
        Some(Placement::Host) => (&[][..], Some(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        Some(Placement::Direct(address)) => (&[][..], Some(address.ip())),
        Some(Placement::SharedWith(_)) | None => (&[][..], None),
    };
    attachments.iter().flat_map(|on| on.addresses.iter().copied()).chain(direct)
}

/// The workload whose network namespace `workload` is in: mostly its own.
fn owner<'a>(workload: &'a Workload, inventory: &'a Inventory) -> Option<&'a Workload> {
    let mut owner = workload;
    for _ in 0..LONGEST_CHAIN {
        match &owner.placement {
            Placement::SharedWith(id) => owner = inventory.workloads.get(id)?,
            _ => return Some(owner),
        }
    }
    None
}

/// The label, else the single declared port.
pub(super) fn port(
    workload: &Workload,
    claims: &Claims,
    around: &Surroundings<'_>,
) -> Result<u16, Box<Problem>> {
    let label = label_of(around.prefix, DEFAULT_ROUTE, "port");
    let mut exposed = workload.exposed_ports.iter();
    match (claims.port, exposed.next(), exposed.next()) {
        (Some(port), _, _) | (None, Some(&port), None) => Ok(port),
        (None, None, _) => Err(refused(
            Kind::Port,
            workload,
            "nothing says on which port it listens: its image declares none",
            format!("add the label {label}, or EXPOSE the port in its Dockerfile"),
        )),
        (None, Some(first), Some(_)) => Err(refused(
            Kind::Port,
            workload,
            format!("it declares several ports: {}", list(&workload.exposed_ports)),
            format!("say which one, such as {label}: \"{first}\""),
        )),
    }
}

/// The network on which Envoy reaches `owner`, in whose network namespace `workload` is.
fn network<'a>(
    attachments: &'a [Attachment],
    owner: &Workload,
    workload: &Workload,
    claims: &Claims,
    around: &Surroundings<'_>,
) -> Result<Option<&'a Attachment>, Box<Problem>> {
    let reach = around.reach;
    if let Some(name) = &claims.network {
        return named(attachments, name, owner, workload, around).map(Some);
    }
    // The one that most Envoys are on; of several the first by name, so that the choice never moves.
    let shared = attachments.iter().filter(|on| on.network != NO_NETWORK && reach.shares(&on.network));
    let best =
        shared.min_by_key(|on| (on.addresses.is_empty(), Reverse(reach.count(&on.network)), &on.network));
    if best.is_some() {
        return Ok(best);
    }
    let on: Vec<&str> =
        attachments.iter().map(|on| on.network.as_str()).filter(|on| *on != NO_NETWORK).collect();
    let reason = match on.as_slice() {
        [] => "it is on no network".to_owned(),
        on => format!("it shares no network with Envoy: it is on {}", list(on)),
    };
    Err(refused(Kind::Network, workload, reason, reach.invitation()))
}

/// The network that a label names, in full or as Compose knows it (`frontends` for `shop_frontends`).
fn named<'a>(
    attachments: &'a [Attachment],
    name: &str,
    owner: &Workload,
    workload: &Workload,
    around: &Surroundings<'_>,
) -> Result<&'a Attachment, Box<Problem>> {
    let full = owner.project.as_ref().map(|project| format!("{project}_{name}"));
    let found = attachments.iter().find(|on| on.network == *name);
    let found = found.or_else(|| attachments.iter().find(|on| Some(&on.network) == full.as_ref()));
    let label = label_of(around.prefix, DEFAULT_ROUTE, "network");
    let (reason, fix) = match found {
        Some(on) if around.reach.shares(&on.network) => return Ok(on),
        Some(on) => (
            format!("Envoy is not on the network {}", on.network),
            match around.reach.networks() {
                networks if networks.is_empty() => "put Envoy on it: it is on no network".to_owned(),
                networks => format!("put Envoy on it too, or name one it is on: {}", list(networks)),
            },
        ),
        None => (
            "the container is not on that network".to_owned(),
            format!("name one it is on: {}", list(attachments.iter().map(|on| &on.network))),
        ),
    };
    Err(Box::new(Problem::new(workload, reason, fix).at(&label, name).about(Kind::Network)))
}

fn refused(
    kind: Kind,
    workload: &Workload,
    reason: impl Into<String>,
    fix: impl Into<String>,
) -> Box<Problem> {
    Box::new(Problem::new(workload, reason, fix).about(kind))
}

fn list<T: ToString + Ord>(items: impl IntoIterator<Item = T>) -> String {
    joined(items.into_iter().collect::<BTreeSet<T>>())
}

fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
