//! `portolan status`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::connection::ControlPlane;
use super::terminal::{BAD, BOLD, DIM, GOOD, WAIT, length, print, shown};
use super::watch::Format;
use crate::admin::pb;
use pb::client::State;
use pb::endpoint::State as EndpointState;

/// Show on one screen how everything is: the control plane, the Envoys, the services, and what is wrong.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where the control plane sees the containers, 1 where it does not any more, or cannot be asked; 2 where \
                  the command is wrong. A service without a ready container and a problem of a label are shown, and are no failure.\n\n    \
                  portolan status\n    portolan status --format json | jq '.services[] | select(.ready < .total)'"
)]
pub(super) struct Status {
    /// How it is shown: for people, or as one JSON object.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    #[command(flatten)]
    control_plane: ControlPlane,
}

impl Status {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let told = |status: tonic::Status| self.control_plane.told(&status);
        let mut inspect = self.control_plane.inspect()?;
        let view = inspect.get_view(pb::GetViewRequest::default()).await.map_err(told)?.into_inner();
        let clients = inspect.list_clients(pb::ListClientsRequest {}).await.map_err(told)?.into_inner();
        let text = match self.format {
            Format::Text => screen(&self.control_plane.address, &view, &clients.clients),
            Format::Json => format!("{:#}\n", as_json(&view, &clients.clients)),
        };
        print(anstream::stdout(), text.as_bytes())?;
        if view.stale {
            bail!(
                "the control plane has lost sight of the containers (is the Docker Engine away?): what it knows may be out of date"
            );
        }
        Ok(())
    }
}

fn screen(address: &str, view: &pb::GetViewResponse, clients: &[pb::Client]) -> String {
    let mut text = String::new();
    let health = if view.stale { format!("{BAD}not ready{BAD:#}") } else { format!("{GOOD}ready{GOOD:#}") };
    let seen = match age(view) {
        Some(age) => format!("the view was confirmed {} ago", length(age)),
        None => "the view is one of an earlier run".to_owned(),
    };
    let version = short(&view.snapshot_version);
    let _ = writeln!(text, "{BOLD}Control plane{BOLD:#}  {address} is {health}: {seen}, version {version}");
    let _ = writeln!(text, "\n{BOLD}Envoys{BOLD:#}");
    if clients.is_empty() {
        let _ = writeln!(text, "  {BAD}none is connected{BAD:#}");
    }
    clients.iter().for_each(|client| text += &of_client(client));
    let _ = writeln!(text, "\n{BOLD}Services{BOLD:#}");
    if view.services.is_empty() {
        let _ = writeln!(text, "  none: no container asks for a route");
    }
    let width = view.services.iter().map(|service| service.name.len()).max().unwrap_or(0);
    view.services.iter().for_each(|service| text += &of_service(service, width));
    let _ = writeln!(text, "\n{BOLD}Problems{BOLD:#}");
    if view.problems.is_empty() {
        let _ = writeln!(text, "  none");
    }
    for problem in &view.problems {
        let _ = writeln!(text, "  {BAD}✗{BAD:#} {}", shown(&problem.message));
    }
    text
}

fn of_client(client: &pb::Client) -> String {
    let name = if client.node.is_empty() { &client.peer } else { &client.node };
    let lag = lag(client).map(|lag| format!(", {}", length(lag))).unwrap_or_default();
    let mut text = format!(
        "  {} {} {}{lag}  {DIM}{} from {}{DIM:#}\n",
        mark(client.state()),
        shown(name),
        words(client.state()),
        shown(&client.agent),
        client.peer
    );
    for of_type in &client.types {
        let pb::ClientType { r#type, resources, resources_acknowledged, .. } = of_type;
        let _ = write!(text, "      {type:<9} {resources_acknowledged} of {resources}");
        if of_type.newest != of_type.acknowledged {
            let _ = write!(
                text,
                "  {WAIT}has {}, the newest is {}{WAIT:#}",
                short(&of_type.acknowledged),
                short(&of_type.newest)
            );
        }
        text.push('\n');
    }
    for refusal in &client.refusals {
        let _ = writeln!(
            text,
            "      {BAD}refuses {} {}: {}{BAD:#}",
            refusal.r#type,
            shown(&refusal.name),
            shown(&refusal.reason)
        );
    }
    text
}

fn of_service(service: &pb::Service, width: usize) -> String {
    let (ready, total) = counts(service);
    let state = match ready {
        0 => format!("{BAD}✗{BAD:#}"),
        _ if ready < total => format!("{WAIT}!{WAIT:#}"),
        _ => format!("{GOOD}✓{GOOD:#}"),
    };
    let drained = service.endpoints.iter().filter(|endpoint| endpoint.state() != EndpointState::Ready);
    let drained = drained.map(|endpoint| format!("{} is draining", endpoint.workload));
    let absent = service.absent.iter().map(|absent| format!("{} {}", absent.workload, absent.message));
    let missing: Vec<String> = drained.chain(absent).collect();
    let name = shown(&service.name);
    let line = format!("  {state} {name:<width$}  {ready} of {total} ready  {}", shown(&missing.join("; ")));
    format!("{}\n", line.trim_end())
}

const fn words(state: State) -> &'static str {
    match state {
        State::Current => "has everything",
        State::Behind => "is behind",
        State::Refused => "refuses something",
        State::Connecting => "is connecting",
        State::Unspecified => "is in a state that this command does not know",
    }
}

fn mark(state: State) -> String {
    match state {
        State::Current => format!("{GOOD}✓{GOOD:#}"),
        State::Refused => format!("{BAD}✗{BAD:#}"),
        _ => format!("{WAIT}!{WAIT:#}"),
    }
}

/// Its containers that take new requests, and all.
fn counts(service: &pb::Service) -> (usize, usize) {
    let ready = service.endpoints.iter().filter(|endpoint| endpoint.state() == EndpointState::Ready).count();
    (ready, service.endpoints.len() + service.absent.len())
}

fn age(view: &pb::GetViewResponse) -> Option<Duration> {
    view.age.and_then(|age| age.try_into().ok())
}

fn lag(client: &pb::Client) -> Option<Duration> {
    client.lag.and_then(|lag| lag.try_into().ok())
}

/// Enough of a version to tell two apart.
fn short(version: &str) -> &str {
    version.get(..8).unwrap_or(version)
}

fn as_json(view: &pb::GetViewResponse, clients: &[pb::Client]) -> Value {
    let state = |state: State| match state {
        State::Current => "current",
        State::Behind => "behind",
        State::Refused => "refused",
        State::Connecting => "connecting",
        State::Unspecified => "unknown",
    };
    let of_type = |of_type: &pb::ClientType| {
        json!({
            "type": of_type.r#type, "state": state(of_type.state()),
            "newest": of_type.newest, "acknowledged": of_type.acknowledged,
            "resources": of_type.resources, "resources_acknowledged": of_type.resources_acknowledged,
            "resources_refused": of_type.resources_refused,
        })
    };
    let refusal = |refusal: &pb::Refusal| json!({ "type": refusal.r#type, "name": refusal.name, "reason": refusal.reason });
    let client = |client: &pb::Client| {
        json!({
            "node": client.node, "agent": client.agent, "peer": client.peer, "state": state(client.state()),
            "lag_ms": lag(client).map(|lag| lag.as_millis()),
            "types": client.types.iter().map(of_type).collect::<Vec<_>>(),
            "refused": client.refusals.iter().map(refusal).collect::<Vec<_>>(),
        })
    };
    let service = |service: &pb::Service| {
        let (ready, total) = counts(service);
        json!({ "name": service.name, "ready": ready, "total": total })
    };
    let problem = |problem: &pb::Problem| json!({ "container": problem.workload, "label": problem.label, "message": problem.message });
    json!({
        "ready": !view.stale,
        "version": view.snapshot_version,
        "age_seconds": age(view).map(|age| age.as_secs_f64()),
        "clients": clients.iter().map(client).collect::<Vec<_>>(),
        "services": view.services.iter().map(service).collect::<Vec<_>>(),
        "problems": view.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
