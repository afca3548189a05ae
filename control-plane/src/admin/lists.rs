//! `InspectService.ListWorkloads` and `ListClients`: containers with their way, and those who are served.

use xds_server::ClientStream;

use super::pb;
use crate::explain::chain::{self, Chain, Name, Outcome, Step};
use crate::inventory::{Inventory, Workload};
use crate::naming::{self, NotFound};
use crate::overrides::Overrides;
use crate::progress::{Client, OfType, Refused};
use crate::publish::View;
use crate::sources::Sources;

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
    pub(crate) fn workloads(
        &self,
        name: &str,
        clients: &[ClientStream],
    ) -> Result<Vec<pb::Workload>, NotFound> {
        let mut meant = self.meant(name)?;
        meant.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let of = |workload: &Workload| {
            let chain = chain::of(workload, self.view, self.decisions, clients)?;
            Some(to_workload(workload, chain))
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

fn to_workload(workload: &Workload, chain: Chain) -> pb::Workload {
    pb::Workload {
        name: workload.name.clone(),
        id: chain.id,
        project: workload.project.clone().unwrap_or_default(),
        service: chain.service,
        chain: chain.steps.into_iter().map(to_step).collect(),
    }
}

fn to_step(step: Step) -> pb::Step {
    use pb::step::{Name as PbName, Outcome as PbOutcome};
    pb::Step {
        name: match step.name {
            Name::Label => PbName::Label,
            Name::Network => PbName::Network,
            Name::Port => PbName::Port,
            Name::Health => PbName::Health,
            Name::Cluster => PbName::Cluster,
            Name::Version => PbName::Version,
            Name::Ack => PbName::Ack,
        }
        .into(),
        outcome: match step.outcome {
            Outcome::Ok => PbOutcome::Ok,
            Outcome::Stopped => PbOutcome::Stopped,
            Outcome::Skipped => PbOutcome::Skipped,
        }
        .into(),
        reason: step.reason,
        fix: step.fix.unwrap_or_default(),
        client: step.client.unwrap_or_default(),
    }
}

/// Those who are served, the oldest stream first.
pub(super) fn clients(view: &View, sources: &Sources) -> Vec<pb::Client> {
    let lags = sources.timeline.lags();
    let clients = sources.clients.list();
    clients.iter().map(|client| to_client(Client::of(client, &view.snapshot, &lags))).collect()
}

fn to_client(client: Client) -> pb::Client {
    let lag = client.lag_ms.map(std::time::Duration::from_millis);
    pb::Client {
        node: client.node,
        agent: client.agent,
        peer: client.peer,
        protocol: client.protocol,
        connected: Some(client.connected.into()),
        state: to_state(client.state).into(),
        lag: lag.and_then(|lag| lag.try_into().ok()),
        types: client.types.into_iter().map(to_type).collect(),
        refusals: client.refused.into_iter().map(to_refusal).collect(),
    }
}

fn to_state(state: &str) -> pb::client::State {
    use pb::client::State;
    match state {
        "current" => State::Current,
        "behind" => State::Behind,
        "refused" => State::Refused,
        "connecting" => State::Connecting,
        _ => State::Unspecified,
    }
}

fn to_type(of_type: OfType) -> pb::ClientType {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    pb::ClientType {
        state: to_state(of_type.state).into(),
        r#type: of_type.kind,
        newest: of_type.newest,
        acknowledged: of_type.acknowledged,
        resources: number(of_type.resources),
        resources_acknowledged: number(of_type.resources_acknowledged),
        resources_refused: number(of_type.resources_refused),
    }
}

fn to_refusal(refused: Refused) -> pb::Refusal {
    pb::Refusal { r#type: refused.kind, name: refused.name, reason: refused.reason }
}
