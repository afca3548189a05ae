//! The answer to "why is this container not routed?": the way of one workload from its labels to the Envoys that
//! acknowledged it, step by step, with the reason for which it stops and what to do. Pure.
//!
//! ```text
//! label -> network -> port -> health -> cluster -> version -> ACK, one of each Envoy
//! ```

mod step;

use serde::Serialize;
use xds_server::{ClientStream, Kind};

use crate::inventory::{Health, State, Workload, WorkloadId};
use crate::model::{Absence, EndpointState, Problem, Route, Service, Site, Standing, Topology, Trace};
use crate::overrides::Overrides;
use crate::progress::OfService;
use crate::publish::View;

pub use step::{Name, Outcome, Step};
use step::{is_stopped, ok, skip, stopped};

/// The way of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Its name.
    pub workload: String,
    /// Its identity.
    pub id: String,
    /// The service it belongs to, or would.
    pub service: String,
    /// All steps, in order; the last one once for each client that is served.
    pub steps: Vec<Step>,
}

impl Chain {
    /// Whether the workload takes requests by all who are served.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.steps.iter().all(|step| step.outcome == Outcome::Ok)
    }

    /// Whether the workload takes requests, by all that is known: where nobody is served there is nobody to acknowledge it.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        let is_passed = |step: &Step| match step.outcome {
            Outcome::Ok => true,
            Outcome::Skipped => step.name == Name::Ack,
            Outcome::Stopped => false,
        };
        self.steps.iter().all(is_passed) && self.steps.iter().any(|step| step.outcome == Outcome::Ok)
    }

    /// Where it stops first.
    #[must_use]
    pub fn stop(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.outcome == Outcome::Stopped)
    }
}

/// The way of `workload`, as far as `view`, what was decided by hand, and the clients know it.
///
/// Nothing where the view was made of other containers: a moment later there is one.
#[must_use]
pub fn of(
    workload: &Workload,
    view: &View,
    decisions: &Overrides,
    clients: &[ClientStream],
) -> Option<Chain> {
    let trace = view.model.trace(&workload.id)?;
    let topology = &view.model.topology;
    let service = topology.services.get(&trace.service).map(AsRef::as_ref);
    let about = About { workload, view, trace: &trace, service, decisions };
    let mut steps = vec![about.label()];
    // What labels do not ask for is not missing.
    if steps[0].outcome == Outcome::Ok || trace.standing == Standing::Asks {
        steps.extend([about.network(), about.port(), about.health()]);
    } else {
        let skipped = [Name::Network, Name::Port, Name::Health];
        steps.extend(skipped.map(|name| skip(name, "nothing asks for it")));
    }
    steps.push(about.cluster(&steps));
    steps.push(about.version(&steps));
    about.acks(&mut steps, clients);
    Some(Chain {
        workload: workload.name.clone(),
        id: workload.id.0.to_string(),
        service: trace.service.to_string(),
        steps,
    })
}

struct About<'a> {
    workload: &'a Workload,
    view: &'a View,
    trace: &'a Trace,
    service: Option<&'a Service>,
    decisions: &'a Overrides,
}

impl About<'_> {
    fn label(&self) -> Step {
        let (name, prefix) = (Name::Label, self.view.model.label_prefix());
        let routes = routes_to(&self.view.model.topology, self.trace);
        match self.trace.standing {
            Standing::Proxy => stopped(name, format!("it is Envoy itself ({prefix}.proxy)"), None),
            Standing::Silent => stopped(
                name,
                format!("it has no label {prefix}.host, so nothing is routed to it"),
                Some(format!("add the label {prefix}.host: NAME.localhost")),
            ),
            Standing::Hidden => stopped(
                name,
                format!("it is hidden by the label {prefix}.enable: \"false\""),
                Some("take that label away".to_owned()),
            ),
            Standing::Offered if routes.is_empty() && self.service.is_some() => {
                ok(name, format!("others may name it ({prefix}.enable), and no route leads to it"))
            }
            Standing::Offered | Standing::Asks => match (routes.as_slice(), self.mistake()) {
                ([], Some(problem)) => stopped(name, said(problem), Some(problem.fix.clone())),
                ([], None) => {
                    let reason = format!("no route leads to its service {}", self.trace.service);
                    stopped(name, reason, Some("the problems of the other containers may say why".to_owned()))
                }
                (routes, None) => ok(name, routes.join(", ")),
                (routes, Some(problem)) => Step {
                    fix: Some(problem.fix.clone()),
                    ..ok(name, format!("{}; but {}", routes.join(", "), said(problem)))
                },
            },
        }
    }

    /// What is wrong with its labels.
    fn mistake(&self) -> Option<&Problem> {
        let own = |problem: &&Problem| problem.id == self.workload.id;
        let addresses: Vec<&Problem> = [self.trace.place.as_ref().err(), self.trace.port.as_ref().err()]
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
            .collect();
        self.view.model.problems.iter().filter(own).find(|problem| !addresses.contains(problem))
    }

    /// Where a mistake in the label keeps an address from being chosen, that of before the mistake stands.
    fn broken(&self, key: &str, name: Name) -> Option<Step> {
        if !self.trace.broken.contains(&key) || self.trace.is_direct {
            return None;
        }
        let endpoint = self.service.and_then(|service| find(service, &self.workload.id));
        Some(match endpoint {
            Some(address) => ok(name, format!("as before the mistake in the label: {address}")),
            None => stopped(
                name,
                format!("the label {}.{key} has a mistake", self.view.model.label_prefix()),
                self.mistake().map(|problem| problem.fix.clone()),
            ),
        })
    }

    fn network(&self) -> Step {
        let name = Name::Network;
        if let Some(step) = self.broken("network", name) {
            return step;
        }
        match &self.trace.place {
            Err(problem) => stopped(name, said(problem), Some(problem.fix.clone())),
            Ok(None) if matches!(self.workload.state, State::Running | State::Paused) => stopped(
                name,
                "it runs without an address on a network of Envoy's",
                Some(format!(
                    "docker inspect --format '{{{{json .NetworkSettings.Networks}}}}' {} shows where it is",
                    self.workload.name
                )),
            ),
            Ok(None) => skip(name, "it has no address while it does not run"),
            Ok(Some((ip, None))) => ok(name, format!("at {ip}")),
            Ok(Some((ip, Some(network)))) => ok(name, format!("{network}, at {ip}")),
        }
    }

    fn port(&self) -> Step {
        let name = Name::Port;
        if let Some(step) = self.broken("port", name) {
            return step;
        }
        match &self.trace.port {
            Err(problem) => stopped(name, said(problem), Some(problem.fix.clone())),
            Ok(port) if self.trace.is_direct => ok(name, format!("{port}, as the services file says")),
            Ok(port) if self.trace.port_is_labelled => ok(name, format!("{port}, as the label says")),
            Ok(port) => ok(name, format!("{port}, the only one that it declares")),
        }
    }

    fn health(&self) -> Step {
        let (name, workload) = (Name::Health, self.workload);
        match self.trace.condition {
            Ok(EndpointState::Ready) => ok(
                name,
                match workload.health {
                    _ if self.trace.ignores_health => "it runs; its health check does not count",
                    Health::None => "it runs, and has no health check",
                    _ => "it runs and is healthy",
                },
            ),
            Ok(EndpointState::Draining) if self.decisions.drained.contains(&workload.id) => stopped(
                name,
                "it was taken out of rotation by hand",
                Some(format!("portolan undrain {}", workload.name)),
            ),
            Ok(EndpointState::Draining) => {
                stopped(name, "it was told to stop, and finishes what it has", None)
            }
            Err(absence) => stopped(name, format!("it {absence}"), fix_of(absence, workload)),
        }
    }

    fn cluster(&self, before: &[Step]) -> Step {
        let (name, cluster) = (Name::Cluster, &self.trace.service);
        let found = self.service.and_then(|service| Some((service, find(service, &self.workload.id)?)));
        match (found, is_stopped(before)) {
            // One that drains is told to Envoy as such; it is no stop more.
            (Some(_), true) | (None, true) => skip(name, "a step before it stops"),
            (None, false) => stopped(
                name,
                format!("it is no endpoint of {cluster}: another container has the same address"),
                Some("give each a port or an address of its own".to_owned()),
            ),
            (Some((service, address)), false) => match service.variants.get(&self.trace.version) {
                Some(share) if share.weight() == 0 => stopped(
                    name,
                    format!(
                        "its version {:?} of {cluster} has the weight 0, and so no requests",
                        self.trace.version
                    ),
                    Some(format!("portolan weight {cluster} {:?} 100, or the label", self.trace.version)),
                ),
                _ => ok(
                    name,
                    format!("{address} is one of {} endpoints of {cluster}", service.endpoints.len()),
                ),
            },
        }
    }

    fn version(&self, before: &[Step]) -> Step {
        let name = Name::Version;
        if is_stopped(before) {
            return skip(name, "a step before it stops");
        }
        match self.view.snapshot.get(Kind::Endpoint, &self.trace.service.0) {
            Some(resource) => ok(name, format!("its endpoints are served as version {}", resource.version())),
            None => stopped(name, "the snapshot that is served does not have it", None),
        }
    }

    fn acks(&self, steps: &mut Vec<Step>, clients: &[ClientStream]) {
        let name = Name::Ack;
        if is_stopped(steps) {
            return steps.push(skip(name, "a step before it stops"));
        }
        let asking = clients
            .iter()
            .filter_map(|client| OfService::of(client, &self.trace.service.0, &self.view.snapshot));
        let asking: Vec<Step> = asking.map(ack).collect();
        if asking.is_empty() {
            let fix = "see that Envoy runs and reaches the control plane: docker compose ps envoy, docker compose logs envoy";
            let reason = "no Envoy that asks for this service is connected";
            steps.push(stopped(name, reason, Some(fix.to_owned())));
        }
        steps.extend(asking);
    }
}

fn ack(client: OfService) -> Step {
    let who = if client.node.is_empty() { client.peer } else { client.node };
    let step = match (client.refusal, client.endpoints_acknowledged, client.routes_acknowledged) {
        (Some(refusal), ..) => stopped(
            Name::Ack,
            format!("{who} refused it: {refusal}"),
            Some(
                "change the label that it is about; what Envoy refuses is not sent again until it changes"
                    .to_owned(),
            ),
        ),
        (None, true, true) => ok(Name::Ack, format!("{who} has acknowledged it")),
        (None, endpoints, _) => {
            let what = if endpoints { "routes" } else { "endpoints" };
            stopped(Name::Ack, format!("{who} has not acknowledged the newest {what} yet"), None)
        }
    };
    Step { client: Some(who), ..step }
}

/// The routes that lead to its service, as `host path`, or as the connections that they take.
fn routes_to(topology: &Topology, trace: &Trace) -> Vec<String> {
    let routes = topology.routes_in_order().filter(|(_, route)| route.service == trace.service);
    let shown = |(site, route): (&Site, &Route)| match route.matches.is_connection {
        true => site.connections(),
        false => format!("{site}{}", route.matches),
    };
    routes.map(shown).collect()
}

fn find(service: &Service, id: &WorkloadId) -> Option<std::net::SocketAddr> {
    service.endpoints.iter().find(|endpoint| endpoint.id == *id).map(|endpoint| endpoint.address)
}

fn fix_of(absence: Absence, workload: &Workload) -> Option<String> {
    let name = &workload.name;
    Some(match absence {
        Absence::Created => format!("docker start {name}, or docker compose up -d"),
        Absence::Starting => format!("wait; docker logs {name} says how far it is"),
        Absence::Unhealthy => {
            format!("docker inspect --format '{{{{json .State.Health}}}}' {name} says what its check prints")
        }
        Absence::Paused => format!("docker unpause {name}"),
        Absence::Stopped if workload.state == State::Stopped => {
            format!("docker logs {name} says why it ended; docker compose up -d starts it")
        }
        Absence::Stopped | Absence::Unreachable => return None,
    })
}

/// A problem without the name of the container and without what to do, which stand elsewhere.
fn said(problem: &Problem) -> String {
    match (&problem.label, &problem.value) {
        (Some(label), Some(value)) => format!("{label}={value:?}: {}", problem.reason),
        (Some(label), None) => format!("{label}: {}", problem.reason),
        (None, _) => problem.reason.clone(),
    }
}

#[cfg(test)]
mod tests;
