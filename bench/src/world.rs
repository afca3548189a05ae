//! What is served in the measurements: the product's own messages for many services, of which one endpoint changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use envoy_types::pb::envoy::config::core::v3::HealthStatus;
use portolan::inventory::{Attachment, Health, Inventory, Placement, State, Workload, WorkloadId};
use portolan::model;
use portolan::publish::Publisher;
use portolan::translate::{self, EdgeOptions, HostPort, Resources};
use xds_server::{Resource, Snapshot};

/// Services, each one cluster, one assignment and one host.
pub(crate) const SERVICES: usize = 1_000;
/// Endpoints of all services together.
pub(crate) const ENDPOINTS: usize = 10_000;

/// The network that Envoy shares with every workload.
const NETWORK: &str = "bench_front";

/// The messages of all services at one moment.
#[derive(Debug)]
pub(crate) struct World(Resources);

impl World {
    /// The world of [`inventory`].
    pub(crate) fn new() -> Self {
        let model = model::build(&inventory(), &model_options(), None);
        Self(translate::translate(&model.topology, &edge()))
    }

    /// The names of all assignments.
    pub(crate) fn assignments(&self) -> Vec<String> {
        self.0.endpoints.iter().map(|assignment| assignment.cluster_name.clone()).collect()
    }

    /// The names of all route configurations.
    pub(crate) fn routes(&self) -> Vec<String> {
        self.0.routes.iter().map(|routes| routes.name.clone()).collect()
    }

    /// Changes the health of one endpoint, another one each time, and returns the message it is in.
    pub(crate) fn change(&mut self, round: usize) -> Option<Resource> {
        let count = self.0.endpoints.len();
        let assignment = self.0.endpoints.get_mut(round % count.max(1))?;
        let endpoint = assignment.endpoints.first_mut()?.lb_endpoints.first_mut()?;
        let (healthy, draining) = (HealthStatus::Healthy as i32, HealthStatus::Draining as i32);
        endpoint.health_status = if endpoint.health_status == healthy { draining } else { healthy };
        Some(Resource::from(&*assignment))
    }

    /// Every message, encoded.
    pub(crate) fn resources(&self) -> impl Iterator<Item = Resource> {
        let Resources { clusters, endpoints, listeners, extensions, routes, .. } = &self.0;
        let both = clusters.iter().map(Resource::from).chain(endpoints.iter().map(Resource::from));
        let both = both.chain(extensions.iter().map(Resource::from));
        both.chain(listeners.iter().map(Resource::from)).chain(routes.iter().map(Resource::from))
    }

    /// The snapshot that follows `previous`, every message encoded anew, as the control plane makes it.
    pub(crate) fn snapshot(&self, previous: &Snapshot) -> anyhow::Result<Arc<Snapshot>> {
        let next =
            previous.next(self.resources()).context("the services of the benchmark are not consistent")?;
        Ok(Arc::new(next))
    }
}

/// The workloads: [`SERVICES`] of the same size, and the proxy.
pub(crate) fn inventory() -> Arc<Inventory> {
    let proxy = workload("envoy-1", "envoy", 1, 1, [("portolan.proxy".to_owned(), "true".to_owned())].into());
    let replicas = (0..ENDPOINTS).map(|index| {
        let (service, number) = (index % SERVICES, index / SERVICES + 1);
        let service = format!("service-{service:04}");
        let labels = [("portolan.host".to_owned(), format!("{service}.localhost"))].into();
        let name = format!("bench-{service}-{number}");
        workload(&name, &service, number, index + 2, labels)
    });
    Arc::new(replicas.chain([proxy]).collect())
}

/// Tells one workload to stop, or one that was told to go on: another one each time.
pub(crate) fn toggle(inventory: &mut Arc<Inventory>, round: usize) {
    let inventory = Arc::make_mut(inventory);
    let count = inventory.workloads.len();
    // The proxy has no endpoint; it is the last by name.
    let id = inventory.workloads.keys().nth(round % count.saturating_sub(1).max(1)).cloned();
    if let Some(workload) = id.and_then(|id| inventory.workloads.get_mut(&id)).map(Arc::make_mut) {
        workload.state = if workload.state == State::Running { State::Stopping } else { State::Running };
    }
}

fn workload(
    name: &str,
    service: &str,
    number: usize,
    host: usize,
    labels: BTreeMap<String, String>,
) -> Workload {
    // 10.0.0.0/8 has room for more hosts than there are endpoints.
    let address = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(host).unwrap_or(0));
    Workload {
        id: WorkloadId(name.into()),
        name: name.to_owned(),
        project: Some("bench".to_owned()),
        service: Some(service.to_owned()),
        number: u32::try_from(number).ok(),
        labels: labels.into(),
        placement: Placement::Networks(vec![Attachment {
            network: NETWORK.to_owned(),
            addresses: vec![IpAddr::V4(address)],
        }]),
        exposed_ports: BTreeSet::from([8080]),
        state: State::Running,
        health: Health::Healthy,
        created: 0,
    }
}

/// The whole pipeline of the control plane, with its settings as by default.
pub(crate) fn publisher() -> Publisher {
    Publisher::new(model_options(), edge())
}

/// The settings of the model, as by default.
pub(crate) fn model_options() -> model::Options {
    model::Options {
        label_prefix: "portolan".to_owned(),
        reserved_host: "dashboard.localhost".to_owned(),
        policies: Default::default(),
    }
}

/// The settings of the edge, as by default.
pub(crate) fn edge() -> EdgeOptions {
    EdgeOptions {
        listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
        dashboard_host: "dashboard.localhost".to_owned(),
        dashboard_at: HostPort { host: "control-plane".to_owned(), port: 18_001 },
        envoy_admin: SocketAddr::from(([127, 0, 0, 1], 9901)),
        traces: None,
    }
}

#[cfg(test)]
mod tests {
    use xds_server::Kind;

    use super::*;

    #[test]
    fn the_world_has_the_size_it_is_named_by() {
        let world = World::new();
        let endpoints = world.0.endpoints.iter().flat_map(|assignment| &assignment.endpoints);
        assert_eq!(endpoints.map(|locality| locality.lb_endpoints.len()).sum::<usize>(), ENDPOINTS);
        assert_eq!(world.assignments().len(), SERVICES);
        // Two more clusters: the dashboard, and the proxy's own admin pages.
        assert_eq!(world.0.clusters.len(), SERVICES + 2);
    }

    #[test]
    fn a_change_changes_one_resource_and_no_other_allocation() {
        let mut world = World::new();
        let before = world.snapshot(&Snapshot::default()).unwrap();
        let changed = world.change(17).unwrap();
        let after = world.snapshot(&before).unwrap();
        for kind in Kind::ALL {
            for (name, resource) in after.section(kind) {
                let same = Arc::ptr_eq(resource, before.get(kind, name).unwrap());
                assert_eq!(same, (kind, name) != (Kind::Endpoint, changed.name()), "{kind} {name}");
            }
        }
    }
}
