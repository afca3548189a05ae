//! Provider-neutral facts about what runs: the border between the providers and the rest.
//!
//! Nothing here interprets a label or chooses an address; that is the model's work. A provider fills these types
//! with what it knows and leaves the rest at its default.

mod labels;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

pub use labels::Labels;

/// Everything one provider, or all of them together, know at one moment.
///
/// Two inventories that compare equal lead to the same configuration, so a provider publishes only when its
/// inventory differs from the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The workloads by id, so that the order in which a provider learns of them never matters. Each is shared with the
    /// inventories before and after it in which it is the same, and so are the parts of the map in which nothing differs.
    pub workloads: OrdMap<WorkloadId, Arc<Workload>>,
    /// Shares of requests that were decided by hand, by the names of services and their versions. No provider knows of
    /// any: [`Overrides::apply`](crate::overrides::Overrides::apply) lays them over what it says.
    pub weights: BTreeMap<String, BTreeMap<String, u32>>,
}

impl FromIterator<Workload> for Inventory {
    fn from_iter<T: IntoIterator<Item = Workload>>(workloads: T) -> Self {
        let by_id = |workload: Workload| (workload.id.clone(), Arc::new(workload));
        Self { workloads: workloads.into_iter().map(by_id).collect(), weights: BTreeMap::new() }
    }
}

/// What identifies a workload for its whole life: a container's full id, or the file provider's own key. Shared, because every
/// inventory has all of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct WorkloadId(pub Arc<str>);

impl From<String> for WorkloadId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl From<WorkloadId> for String {
    fn from(id: WorkloadId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// One container, or one endpoint of the services file.
///
/// Its shape, and that of what it is made of, is part of the file in which views are saved: see `state/file.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its identity.
    pub id: WorkloadId,
    /// The name a person knows it by, without Docker's leading slash: `shop-frontend-2`.
    pub name: String,
    /// Compose project (`com.docker.compose.project`).
    pub project: Option<String>,
    /// Compose service (`com.docker.compose.service`), or the service's name in the services file.
    pub service: Option<String>,
    /// Number of the replica within its service, from 1 (`com.docker.compose.container-number`).
    pub number: Option<u32>,
    /// All labels, as written.
    pub labels: Labels,
    /// How it can be reached.
    pub placement: Placement,
    /// TCP ports the image or the container declares (`Config.ExposedPorts`).
    pub exposed_ports: BTreeSet<u16>,
    /// Where it is in its life.
    pub state: State,
    /// What its health check says.
    pub health: Health,
    /// When it was created, in seconds since the Unix epoch: of two claims on one route the older one stands.
    pub created: i64,
}

/// How a workload can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// On container networks; which of them Envoy shares is for the model to find out.
    Networks(Vec<Attachment>),
    /// In the network namespace of the host (`network_mode: host`).
    Host,
    /// In the network namespace of another container (`network_mode: service:x`).
    SharedWith(WorkloadId),
    /// At an address that is given as it stands (services file).
    Direct(SocketAddr),
}

/// One network a container is attached to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// Full name of the network, as Docker knows it: `shop_frontends`.
    pub network: String,
    /// Its addresses there, IPv4 before IPv6. Empty while a container is created, starting or stopped.
    pub addresses: Vec<IpAddr>,
}

/// Where a workload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// Created, not started.
    Created,
    /// Running (or restarting and up).
    Running,
    /// Running, told to stop: requests in flight finish, new ones go elsewhere.
    Stopping,
    /// Paused (`docker pause`).
    Paused,
    /// Exited, dead or being removed.
    Stopped,
}

/// What a workload's health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Health {
    /// It has no health check.
    None,
    /// The check has not succeeded yet and its start period is not over.
    Starting,
    /// The last check succeeded.
    Healthy,
    /// The check failed as often as its `retries` say.
    Unhealthy,
}
