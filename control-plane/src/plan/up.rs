//! What `docker compose up` would make of the containers that run.
//!
//! Compose makes a container anew where anything of its service changed. Of that labels, networks, ports and a health check are seen
//! here; the rest (image, environment, volumes) is not, and so the plan says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Running, Settings};
use crate::compose::dockerfile::Exposed;
use crate::compose::project::{Project, Service};
use crate::compose::workload;
use crate::inventory::{Health, Inventory, Placement, State, Workload, WorkloadId};
use crate::model::{self, label};

/// The port of a container of which it is not known.
const SOME_PORT: u16 = 80;

/// What would run.
pub(super) struct Up {
    pub(super) inventory: Inventory,
    /// Containers that are made, whose addresses nobody knows yet.
    pub(super) new: BTreeSet<WorkloadId>,
    pub(super) guesses: Vec<String>,
}

pub(super) fn up(
    running: &Running,
    project: &Project,
    settings: &Settings,
    ports: &dyn Fn(&Service) -> Exposed,
) -> Up {
    let active: BTreeMap<&str, &Service> =
        project.active(&settings.profiles).map(|service| (service.name.as_str(), service)).collect();
    let is_of_project = |it: &&Arc<Workload>| it.project.as_deref() == Some(&project.name);
    let mut builder = Builder {
        running,
        project,
        up: Up { inventory: Inventory::default(), new: BTreeSet::new(), guesses: Vec::new() },
        kept: false,
        latest: running.inventory.workloads.values().map(|it| it.created).max().unwrap_or_default(),
    };
    builder.up.inventory.weights.clone_from(&running.inventory.weights);
    let mut own: BTreeMap<&str, Vec<&Arc<Workload>>> = BTreeMap::new();
    let mut orphans = BTreeSet::new();
    for workload in running.inventory.workloads.values() {
        let service = workload.service.as_deref().filter(|_| is_of_project(&workload));
        match service {
            Some(service) if active.contains_key(service) => own.entry(service).or_default().push(workload),
            Some(service) if !project.services.contains_key(service) => {
                orphans.insert(service);
                if !settings.remove_orphans {
                    builder.keep(workload);
                }
            }
            _ => builder.keep(workload),
        }
    }
    for (name, service) in active {
        builder.service(service, own.remove(name).unwrap_or_default(), ports);
    }
    builder.join_networks();
    builder.told(&orphans, settings);
    builder.up
}

struct Builder<'a> {
    running: &'a Running,
    project: &'a Project,
    up: Up,
    /// Whether a container of these files is taken to stay.
    kept: bool,
    /// When the youngest container was created.
    latest: i64,
}

impl Builder<'_> {
    fn keep(&mut self, workload: &Arc<Workload>) {
        self.up.inventory.workloads.insert(workload.id.clone(), Arc::clone(workload));
    }

    /// The containers of one service: those that stay, and those that are made.
    fn service(
        &mut self,
        service: &Service,
        mut own: Vec<&Arc<Workload>>,
        ports: &dyn Fn(&Service) -> Exposed,
    ) {
        own.sort_by_key(|workload| workload.number);
        let replicas = usize::try_from(service.replicas).unwrap_or(usize::MAX);
        let mut numbers = BTreeSet::new();
        for workload in own.iter().take(replicas) {
            let number = workload.number.unwrap_or(1);
            numbers.insert(number);
            let is_up = !matches!(workload.state, State::Stopped | State::Created);
            if is_up && self.is_as_it_was(service, workload) {
                self.kept = true;
                self.keep(workload);
            } else {
                self.make(service, number, &own, ports);
            }
        }
        let free = (1..).filter(|number| !numbers.contains(number));
        let free: Vec<u32> = free.take(replicas - numbers.len().min(replicas)).collect();
        for number in free {
            self.make(service, number, &own, ports);
        }
    }

    fn make(
        &mut self,
        service: &Service,
        number: u32,
        own: &[&Arc<Workload>],
        ports: &dyn Fn(&Service) -> Exposed,
    ) {
        let mut exposed = ports(service);
        // Those of the image, as far as a container shows them; it may be another image.
        exposed.ports.extend(own.iter().flat_map(|workload| &workload.exposed_ports));
        let mut made = workload::of(service, self.project, number, exposed.ports, Some(self.address()));
        let model::Options { label_prefix, policies, .. } = &self.running.options;
        let (claims, _) = label::read(&made, label_prefix, policies);
        let is_exposed = !claims.hidden && (claims.offered || !claims.routes.is_empty());
        if made.exposed_ports.is_empty() && exposed.more {
            made.exposed_ports.insert(SOME_PORT);
            if claims.port.is_none() && is_exposed {
                let guess = format!(
                    "the port of {}/{}: nothing here says which one its image exposes; {SOME_PORT} stands for it",
                    self.project.name, service.name
                );
                if !self.up.guesses.contains(&guess) {
                    self.up.guesses.push(guess);
                }
            }
        }
        // It is younger than all that run, and than those made before it.
        made.created = self.latest + 1;
        self.up.new.insert(made.id.clone());
        self.up.inventory.workloads.insert(made.id.clone(), Arc::new(made));
    }

    /// One that stands for an address nobody knows yet; of a network that is none (RFC 1122, section 3.2.1.3).
    fn address(&self) -> IpAddr {
        let number = u32::try_from(self.up.new.len() + 1).unwrap_or(u32::MAX);
        IpAddr::V4(Ipv4Addr::from(number & 0x00ff_ffff))
    }

    /// Whether Compose leaves a container as it is, as far as that can be seen.
    fn is_as_it_was(&self, service: &Service, workload: &Workload) -> bool {
        let prefix = &self.running.options.label_prefix;
        let is_ours =
            |label: &str| label.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let wanted = service.labels.iter().filter(|(label, _)| is_ours(label));
        let wanted = wanted.map(|(label, value)| (label.as_str(), value.value()));
        let labels = workload.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        let is_checked = !service.has_check || workload.health != Health::None;
        wanted.eq(labels)
            && is_checked
            && service.ports.is_subset(&workload.exposed_ports)
            && self.is_placed_as_it_was(service, workload)
    }

    fn is_placed_as_it_was(&self, service: &Service, workload: &Workload) -> bool {
        match (service.network_mode.as_deref(), &workload.placement) {
            (None, Placement::Networks(on)) => {
                let on: BTreeSet<&str> = on.iter().map(|on| on.network.as_str()).collect();
                on == service.networks.iter().map(|network| network.name.as_str()).collect()
            }
            (Some("host"), Placement::Host) => true,
            (Some("none"), Placement::Networks(on)) => on.is_empty(),
            (Some(mode), Placement::SharedWith(owner)) => {
                let owner = self.running.inventory.workloads.get(owner);
                let service = owner.and_then(|owner| owner.service.as_deref());
                mode.starts_with("container:") || mode.strip_prefix("service:") == service
            }
            (Some(mode), Placement::Networks(on)) => on.iter().any(|on| on.network == mode),
            _ => false,
        }
    }

    /// Points those that share the network of a service at the container that the service has.
    fn join_networks(&mut self) {
        let all = &mut self.up.inventory.workloads;
        let owner = |of: &Workload| -> Option<WorkloadId> {
            let Placement::SharedWith(other) = &of.placement else { return None };
            let service = other.0.rsplit_once('-').map(|(service, _)| service)?;
            let mut owners = all.values().filter(|it| {
                it.project.as_deref() == Some(&self.project.name) && it.service.as_deref() == Some(service)
            });
            owners.next().map(|owner| owner.id.clone())
        };
        let joined: Vec<(WorkloadId, WorkloadId)> =
            self.up.new.iter().filter_map(|id| Some((id.clone(), owner(all.get(id)?)?))).collect();
        for (id, owner) in joined {
            if let Some(workload) = all.get_mut(&id) {
                Arc::make_mut(workload).placement = Placement::SharedWith(owner);
            }
        }
    }

    fn told(&mut self, orphans: &BTreeSet<&str>, settings: &Settings) {
        let guesses = &mut self.up.guesses;
        if !self.up.new.is_empty() {
            guesses.push(
                "the addresses of containers that are made: Docker gives them when they start".to_owned(),
            );
            guesses.push("that they become healthy: until then they take no requests".to_owned());
        }
        if self.kept {
            guesses.push(
                "that containers with the same labels, networks and ports stay: where the image, the environment or another setting \
                 changed, Compose makes them anew, at other addresses"
                    .to_owned(),
            );
        }
        if !orphans.is_empty() && !settings.remove_orphans {
            let names = orphans.iter().copied().collect::<Vec<_>>().join(", ");
            guesses.push(format!(
                "that what is not in these files stays, as without `up --remove-orphans`: {names}"
            ));
        }
        if self.running.stale {
            guesses
                .push("that the control plane is up to date: it has lost sight of the containers".to_owned());
        }
    }
}
