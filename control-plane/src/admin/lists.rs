//! `InspectService.ListWorkloads` and `ListClients`: containers with their way, and those who are served.

use xds_server::ClientStream;

use super::pb;
use crate::explain::chain::{Chain, Name, Outcome, Step};
use crate::explain::workloads::Facts;
use crate::inventory::Workload;
use crate::naming::NotFound;
use crate::progress::{Client, OfType, Refused};
use crate::publish::View;
use crate::sources::Sources;

/// The containers that `name` means, all where it is empty, with their ways to `clients`.
///
/// # Errors
///
/// Nothing has that name, or several may be meant.
pub(crate) fn workloads(
    facts: &Facts<'_>,
    name: &str,
    clients: &[ClientStream],
) -> Result<Vec<pb::Workload>, NotFound> {
    let ways = facts.ways(name, clients)?;
    Ok(ways.into_iter().map(|(workload, chain)| to_workload(workload, chain)).collect())
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
