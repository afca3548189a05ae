//! Everything the dashboard shows, at one moment: the one source of its pages and of its JSON. Pure.
//!
//! ```text
//! View, Inventory, Overrides, ClientStream, traffic --> Picture --> pages (handlebars), /api/ (serde)
//! ```

mod services;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;
use xds_server::ClientStream;

use crate::inventory::Inventory;
use crate::model::{Host, Problem, Site};
use crate::moment::{since_epoch, time};
use crate::overrides::Overrides;
use crate::policies::WEB;
use crate::progress::Client;
use crate::publish::View;

use super::traffic::Traffic;
pub(crate) use services::{Member, Service};

/// What a picture is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) view: &'a View,
    pub(crate) inventory: &'a Inventory,
    pub(crate) decisions: &'a Overrides,
    pub(crate) clients: &'a [ClientStream],
    pub(crate) traffic: &'a Traffic,
    /// What each stream took for what it acknowledged last.
    pub(crate) lags: &'a BTreeMap<u64, Duration>,
    /// Since the source of the containers confirmed the view.
    pub(crate) age: Option<Duration>,
    pub(crate) stale: bool,
    pub(crate) now: SystemTime,
}

/// Everything there is to see.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Picture {
    pub(super) summary: Summary,
    pub(crate) routes: Vec<Route>,
    pub(crate) services: Vec<Service>,
    pub(crate) problems: Vec<Trouble>,
    pub(crate) clients: Vec<Client>,
}

/// The whole in a few numbers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// Version of what is served.
    pub(crate) version: String,
    /// Since the source of the containers confirmed the view; nothing where no source has, since the start.
    pub(crate) age_seconds: Option<f64>,
    pub(crate) stale: bool,
    pub(crate) hosts: usize,
    pub(crate) routes: usize,
    pub(crate) services: usize,
    pub(crate) services_down: usize,
    pub(crate) endpoints: usize,
    pub(crate) endpoints_ready: usize,
    pub(crate) problems: usize,
    pub(crate) clients: usize,
    pub(crate) clients_current: usize,
    /// Resources that a client refused and that still stand.
    pub(crate) refused: usize,
    /// Why there are no request rates; nothing where there are.
    pub(crate) traffic_missing: Option<String>,
}

/// A route, in the order in which it is matched.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Route {
    pub(crate) host: String,
    /// Where clients come in for it; nothing for `web`.
    pub(crate) entry_point: Option<String>,
    /// As in the label: `/api`, `=/x`, `~re`.
    pub(crate) path: String,
    /// What else a request must have: `methods GET and header x-a=b`.
    pub(crate) conditions: Option<String>,
    pub(crate) name: String,
    pub(crate) priority: i32,
    pub(crate) service: String,
    /// That of its service: `ready`, `partly` or `down`; `answers` where Envoy answers itself.
    pub(crate) state: &'static str,
    pub(crate) endpoints_ready: usize,
    /// The path that a person can open: of an exact host, and where it is no pattern.
    pub(crate) open: Option<String>,
    /// When the oldest container that claims it was created.
    pub(crate) since: Option<String>,
}

/// What keeps a container from being routed as its labels say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Trouble {
    pub(crate) container: String,
    pub(crate) id: String,
    pub(crate) label: Option<String>,
    pub(crate) value: Option<String>,
    /// Where in the value the mistake begins, in characters from 1.
    pub(crate) character: Option<usize>,
    pub(crate) reason: String,
    pub(crate) fix: String,
}

impl Picture {
    /// What `facts` look like.
    pub(crate) fn of(facts: &Facts<'_>) -> Self {
        let services = services::of(facts);
        let routes = routes(facts, &services);
        let problems: Vec<Trouble> = facts.view.model.problems.iter().map(Trouble::of).collect();
        let clients: Vec<Client> =
            facts.clients.iter().map(|client| Client::of(client, &facts.view.snapshot, facts.lags)).collect();
        let members = || services.iter().flat_map(|service| &service.endpoints);
        let summary = Summary {
            version: facts.view.snapshot.version().to_string(),
            age_seconds: facts.age.map(|age| age.as_secs_f64()),
            stale: facts.stale,
            hosts: facts.view.model.topology.hosts.len(),
            routes: routes.len(),
            services: services.len(),
            services_down: services.iter().filter(|service| service.state == "down").count(),
            endpoints: members().count(),
            endpoints_ready: members().filter(|member| member.state == "ready").count(),
            problems: problems.len(),
            clients: clients.len(),
            clients_current: clients.iter().filter(|client| client.state == "current").count(),
            refused: clients.iter().map(|client| client.refused.len()).sum(),
            traffic_missing: facts.traffic.missing(),
        };
        Self { summary, routes, services, problems, clients }
    }

    /// What of it has `text` in one of its words, whatever the case. A service brings its routes, and a route its service.
    pub(crate) fn filter(&mut self, text: &str) {
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            return;
        }
        let fitting = |rows: &[Service]| -> Vec<String> {
            rows.iter().filter(|row| says(row, &text)).map(|row| row.name.clone()).collect()
        };
        let services = fitting(&self.services);
        self.routes.retain(|route| services.contains(&route.service) || says(route, &text));
        let routed: Vec<&String> = self.routes.iter().map(|route| &route.service).collect();
        self.services.retain(|service| services.contains(&service.name) || routed.contains(&&service.name));
        self.problems.retain(|problem| says(problem, &text));
        self.clients.retain(|client| says(client, &text));
    }
}

/// Whether one of the words of `row` has `text` in it, which is in lower case.
pub(crate) fn says(row: &impl Serialize, text: &str) -> bool {
    fn any(value: &Value, text: &str) -> bool {
        match value {
            Value::String(word) => word.to_lowercase().contains(text),
            Value::Array(values) => values.iter().any(|value| any(value, text)),
            Value::Object(values) => values.values().any(|value| any(value, text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    serde_json::to_value(row).is_ok_and(|value| any(&value, text))
}

fn routes(facts: &Facts<'_>, services: &[Service]) -> Vec<Route> {
    let services: BTreeMap<&str, &Service> =
        services.iter().map(|service| (service.name.as_str(), service)).collect();
    let of = |(site, route): (&Site, &crate::model::Route)| {
        let entry_point = (&*site.entry != WEB).then(|| site.entry.to_string());
        let service = services.get(&*route.service.0);
        // Of TCP there is no path, and nothing else to be asked.
        let path = match route.matches.is_connection {
            true => route.matches.to_string(),
            false => route.matches.path.to_string(),
        };
        let conditions = route.matches.to_string();
        let conditions = conditions.strip_prefix(&path).and_then(|rest| rest.strip_prefix(" with "));
        let plain = path.strip_prefix('=').unwrap_or(&path).to_owned();
        let open = match &site.host {
            Host::Exact(_) if plain.starts_with('/') && entry_point.is_none() => Some(plain),
            Host::Exact(_) | Host::Suffix(_) | Host::Any => None,
        };
        Route {
            host: site.host.to_string(),
            entry_point,
            conditions: conditions.map(str::to_owned),
            path,
            name: route.name.clone(),
            priority: route.priority,
            service: route.service.to_string(),
            state: match route.options.answer {
                Some(_) => "answers",
                None => service.map_or("down", |service| service.state),
            },
            endpoints_ready: service.map_or(0, |service| service.endpoints_ready),
            open,
            since: since_epoch(route.since).map(time),
        }
    };
    facts.view.model.topology.routes_in_order().map(of).collect()
}

impl Trouble {
    fn of(problem: &Problem) -> Self {
        let before = problem.place.zip(problem.value.as_ref()).and_then(|(place, value)| value.get(..place));
        Self {
            container: problem.workload.clone(),
            id: problem.id.0.to_string(),
            label: problem.label.clone(),
            value: problem.value.clone(),
            character: before.map(|before| before.chars().count() + 1),
            reason: problem.reason.clone(),
            fix: problem.fix.clone(),
        }
    }
}
