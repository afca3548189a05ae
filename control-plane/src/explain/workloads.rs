//! Which containers a name means, and the way of each. Pure.

use serde::Serialize;
use xds_server::ClientStream;

use super::chain::{self, Chain, Step};
use crate::inventory::{Inventory, Workload};
use crate::naming::{self, NotFound};
use crate::overrides::Overrides;
use crate::publish::View;

/// A container with its way, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Way {
    /// Its name.
    name: String,
    id: String,
    project: Option<String>,
    /// The service it belongs to, or would.
    service: String,
    takes_requests: bool,
    chain: Vec<Step>,
}

impl Way {
    pub(crate) fn of((workload, chain): (&Workload, Chain)) -> Self {
        Self {
            name: workload.name.clone(),
            project: workload.project.clone(),
            takes_requests: chain.takes_requests(),
            id: chain.id,
            service: chain.service,
            chain: chain.steps,
        }
    }
}

/// What is known, of a control plane that runs or of one that ran.
pub(crate) struct Facts<'a> {
    /// The containers.
    pub(crate) inventory: &'a Inventory,
    /// What was decided by hand.
    pub(crate) decisions: &'a Overrides,
    /// What is made of them.
    pub(crate) view: &'a View,
}

impl<'a> Facts<'a> {
    /// The containers that `name` means, all where it is empty, by name, with their ways to `clients`.
    ///
    /// # Errors
    ///
    /// Nothing has that name, or several may be meant.
    pub(crate) fn ways(
        &self,
        name: &str,
        clients: &[ClientStream],
    ) -> Result<Vec<(&'a Workload, Chain)>, NotFound> {
        let mut meant = self.meant(name)?;
        meant.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let of = |workload: &'a Workload| {
            Some((workload, chain::of(workload, self.view, self.decisions, clients)?))
        };
        Ok(meant.into_iter().filter_map(of).collect())
    }

    fn meant(&self, name: &str) -> Result<Vec<&'a Workload>, NotFound> {
        let all = || self.inventory.workloads.values().map(AsRef::as_ref);
        if name.is_empty() {
            return Ok(all().collect());
        }
        // A name that is a service's whole name means that: `web` is not the beginning of `web-1` then.
        let service = naming::service(&self.view.model.topology, name);
        let workload = naming::workload(self.inventory, name);
        match (service, workload) {
            (_, Ok(workload)) if workload.name == name || *workload.id.0 == *name => Ok(vec![workload]),
            (Ok(service), _) => {
                let members = service.endpoints.iter().map(|endpoint| &endpoint.id);
                let members = members.chain(service.absent.iter().map(|absent| &absent.id));
                Ok(members.filter_map(|id| self.inventory.workloads.get(id)).map(AsRef::as_ref).collect())
            }
            (Err(_), Ok(workload)) => Ok(vec![workload]),
            (Err(error), Err(_)) if !error.is_nothing() => Err(error),
            (Err(_), Err(error)) => {
                // A service of Compose that nothing is routed to is one that is asked about.
                let members: Vec<&Workload> = all().filter(|workload| is_of(workload, name)).collect();
                if members.is_empty() || !error.is_nothing() { Err(error) } else { Ok(members) }
            }
        }
    }
}

/// Whether it is a container of that service of Compose: `web`, or `shop/web`.
fn is_of(workload: &Workload, name: &str) -> bool {
    let (project, service) = match name.split_once('/') {
        Some((project, service)) => (Some(project), service),
        None => (None, name),
    };
    workload.service.as_deref() == Some(service)
        && (project.is_none() || workload.project.as_deref() == project)
}
