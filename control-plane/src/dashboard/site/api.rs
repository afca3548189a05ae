//! The JSON under `/api/`: what the pages show, and what else the gRPC API can read.

use std::sync::Arc;

use serde_json::{Value, json};
use warp::http::StatusCode;
use warp::reply::Response;

use crate::admin;
use crate::admin::{container, pb, policies};
use crate::explain::Verdict;
use crate::explain::workloads::{self, Way};
use crate::inventory::Workload;
use crate::naming::{self, NotFound};
use crate::publish::View;
use crate::recording::Hide;

use super::super::picture::says;
use super::{Call, NO_VIEW, Seen, Site, json_of, retry};

/// What there is under `/api/`.
pub(super) const API: [&str; 11] = [
    "overview",
    "routes",
    "services",
    "problems",
    "clients",
    "timeline",
    "match",
    "workloads",
    "containers",
    "policies",
    "routed",
];

impl Site {
    pub(super) fn api(&self, what: &str, call: &Call) -> Response {
        if !API.contains(&what) {
            return refused(StatusCode::NOT_FOUND, "there is no such path", "see /api/openapi.yaml");
        }
        let view = self.sources.views.borrow().clone();
        let Some((view, seen)) = view.and_then(|view| Some((view, self.see(call)?))) else {
            let fix = "wait; the log of the control plane says what for";
            return retry(refused(StatusCode::SERVICE_UNAVAILABLE, NO_VIEW, fix));
        };
        let Seen { picture, verdict } = seen;
        let body = match what {
            "overview" => {
                let mut summary = json!(picture.summary);
                summary["label_prefix"] = json!(view.model.label_prefix());
                summary["dashboard_host"] = json!(self.host);
                summary
            }
            "routes" => json!({ "routes": picture.routes }),
            "services" => json!({ "services": picture.services }),
            "problems" => json!({ "problems": picture.problems }),
            "clients" => json!({ "clients": picture.clients }),
            "timeline" => json!({ "entries": self.entries(call) }),
            "workloads" => return self.workloads(&view, call),
            "containers" => self.containers(&view, call),
            "policies" => self.policies(&view),
            "routed" => {
                let Some(name) = call.parameter("service") else {
                    return refused(
                        StatusCode::BAD_REQUEST,
                        "there is no service to look for",
                        "/api/routed?service=shop/web",
                    );
                };
                let decisions = self.sources.decisions.borrow().clone();
                let found = naming::service(&view.model.topology, &name).and_then(|service| {
                    Ok((service, admin::status(&service.name.0, &view, &decisions, &self.sources.clients)?))
                });
                match found {
                    Ok((service, status)) => {
                        let shown = picture.services.iter().find(|shown| *shown.name == *service.name.0);
                        let clients: Vec<Value> = status.clients.iter().map(client).collect();
                        json!({ "service": shown, "clients": clients, "stale": picture.summary.stale })
                    }
                    Err(error) => return not_found(&error, "/api/services has all of them"),
                }
            }
            _ => match verdict {
                Some(Verdict { error: None, .. }) => json!(verdict),
                refusal => {
                    let error = refusal.and_then(|refused| refused.error);
                    let error = error.unwrap_or_else(|| "there is no URL to match".to_owned());
                    return refused(StatusCode::BAD_REQUEST, &error, "/api/match?url=shop.localhost/cart");
                }
            },
        };
        json_of(StatusCode::OK, &body)
    }

    /// The containers that are meant, each with its way.
    fn workloads(&self, view: &View, call: &Call) -> Response {
        let inventory = self.sources.inventories.borrow().clone().unwrap_or_default();
        let decisions = self.sources.decisions.borrow().clone();
        let facts = workloads::Facts { inventory: &inventory, decisions: &decisions, view };
        let name = call.parameter("name").unwrap_or_default();
        match facts.ways(&name, &self.sources.clients.list()) {
            Ok(ways) => {
                let ways = filtered(ways.into_iter().map(Way::of).map(|way| json!(way)), call);
                json_of(StatusCode::OK, &json!({ "workloads": ways }))
            }
            Err(error) => not_found(&error, "/api/workloads has all of them"),
        }
    }

    /// The containers as they are, with the labels that are read, and no secret in them.
    fn containers(&self, view: &View, call: &Call) -> Value {
        let prefix = view.model.label_prefix();
        let hide = self.hide.get_or_init(|| Hide::new(prefix));
        let inventory = view.model.made_of().map(|(inventory, _)| Arc::clone(inventory)).unwrap_or_default();
        let told =
            |workload: &Workload| container_of(&container::to_message(&hide.workload(workload), prefix));
        let all = inventory.workloads.values().map(|workload| told(workload));
        json!({ "containers": filtered(all, call) })
    }

    fn policies(&self, view: &View) -> Value {
        let hide = self.hide.get_or_init(|| Hide::new(view.model.label_prefix()));
        policies_of(&policies::to_message(&view.model.topology.policies, hide))
    }
}

fn refused(status: StatusCode, error: &str, fix: &str) -> Response {
    json_of(status, &json!({ "error": error, "fix": fix }))
}

fn not_found(error: &NotFound, fix: &str) -> Response {
    let status = if error.is_nothing() { StatusCode::NOT_FOUND } else { StatusCode::CONFLICT };
    refused(status, &error.to_string(), fix)
}

/// What has the filter's text in one of its words.
fn filtered(all: impl Iterator<Item = Value>, call: &Call) -> Vec<Value> {
    let text = call.parameter("q").map(|text| text.trim().to_lowercase());
    all.filter(|row| text.as_ref().is_none_or(|text| says(row, text))).collect()
}

/// Null for what is empty in a message.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn client(client: &pb::ServiceClient) -> Value {
    json!({
        "node": client.node,
        "peer": client.peer,
        "endpoints_acknowledged": client.endpoints_acknowledged,
        "routes_acknowledged": client.routes_acknowledged,
        "refusal": some(&client.refusal),
    })
}

fn container_of(told: &pb::Container) -> Value {
    use pb::container::{Health, State};
    let networks = told.networks.iter().map(|on| json!({ "network": on.network, "addresses": on.addresses }));
    json!({
        "id": told.id,
        "name": told.name,
        "project": some(&told.project),
        "service": some(&told.service),
        "number": Some(told.number).filter(|number| *number > 0),
        "labels": told.labels,
        "networks": networks.collect::<Vec<_>>(),
        "host_network": told.host_network,
        "shares_network_of": some(&told.shares_network_of),
        "direct_address": some(&told.direct_address),
        "exposed_ports": told.exposed_ports,
        "state": match told.state() {
            State::Created => "created",
            State::Running | State::Unspecified => "running",
            State::Stopping => "stopping",
            State::Paused => "paused",
            State::Stopped => "stopped",
        },
        "health": match told.health() {
            Health::Unspecified => "none",
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        },
        "created": crate::moment::since_epoch(told.created).map(crate::moment::time),
    })
}

fn policies_of(told: &pb::GetPoliciesResponse) -> Value {
    use pb::auth::Kind;
    use pb::entry_point::Carries;
    use pb::get_policies_response::AccessLog;
    let entry = |entry: &pb::EntryPoint| {
        json!({
            "name": entry.name,
            "listen": some(&entry.listen),
            "published": Some(entry.published).filter(|port| *port > 0),
            "redirect": some(&entry.redirect),
            "certificates": entry.certificates,
            "carries": match entry.carries() {
                Carries::Http | Carries::Unspecified => "http",
                Carries::Tcp => "tcp",
                Carries::TlsUnread => "tls_unread",
            },
        })
    };
    let auth = |auth: &pb::Auth| {
        let kind = match auth.kind() {
            Kind::Basic | Kind::Unspecified => "basic",
            Kind::Forward => "forward",
            Kind::Jwt => "jwt",
        };
        json!({ "name": auth.name, "kind": kind, "ready": auth.ready })
    };
    let certificate = |it: &pb::Certificate| json!({ "name": it.name, "served": it.served });
    let project = |project: &pb::Project| json!({ "name": project.name, "hosts": project.hosts });
    let ports = |of: &pb::ProjectPorts| json!({ "name": of.name, "entry_points": of.entry_points });
    let access_log = match told.access_log() {
        AccessLog::Json | AccessLog::Unspecified => "json",
        AccessLog::Text => "text",
        AccessLog::Off => "off",
    };
    // Named one by one, so that what is added to the message cannot be forgotten here.
    let pb::GetPoliciesResponse {
        given,
        entry_points,
        certificates,
        auth: ways,
        defaults,
        projects,
        project_ports,
        access_log: _,
        buffer_bytes,
    } = told;
    json!({
        "given": given,
        "entry_points": entry_points.iter().map(entry).collect::<Vec<_>>(),
        "certificates": certificates.iter().map(certificate).collect::<Vec<_>>(),
        "auth": ways.iter().map(auth).collect::<Vec<_>>(),
        "defaults": defaults,
        "projects": projects.iter().map(project).collect::<Vec<_>>(),
        "project_ports": project_ports.iter().map(ports).collect::<Vec<_>>(),
        "access_log": access_log,
        "buffer_bytes": buffer_bytes,
    })
}
