//! `/metrics`: what Prometheus reads, in its own text format or as OpenMetrics. docs/metrics.md has a table of all.
//!
//! What happens is counted where it happens (`timing`, `xds_server`); what stands is looked at when it is asked for, so
//! that nothing has to be kept in step.

mod process;

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tracing::error;
use warp::http::{HeaderValue, Response, StatusCode, header};
use xds_server::XdsService;

use crate::explain;
use crate::inventory::{Health, State, Workload};
use crate::model::{EndpointState, Topology};
use crate::progress;
use crate::sources::Sources;
use crate::timing::Timing;

use process::Process;

/// Every state a container may be in, as `portolan_workloads` names it: each is there, with 0 where there is none.
const WORKLOAD_STATES: [&str; 8] =
    ["created", "running", "starting", "healthy", "unhealthy", "stopping", "paused", "stopped"];
/// As on the dashboard: see [`explain::state_of`].
const SERVICE_STATES: [&str; 3] = ["ready", "partly", "down"];
const ENDPOINT_STATES: [&str; 2] = ["ready", "draining"];
/// As on the dashboard: see `progress::Client`.
const CLIENT_STATES: [&str; 4] = ["current", "behind", "refused", "connecting"];

/// All metrics of the control plane.
#[must_use]
pub fn registry(xds: &XdsService, timing: &Timing, sources: Sources) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    let own = registry.sub_registry_with_prefix("portolan");
    own.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    timing.register(own);
    xds.metrics().register(own);
    own.register_collector(Box::new(Standing(sources)));
    registry
}

/// What stands when it is asked.
#[derive(Debug)]
struct Standing(Sources);

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.age(&mut encoder)?;
        if let Some(inventory) = self.0.inventories.borrow().clone() {
            let states = count(&WORKLOAD_STATES, inventory.workloads.values().map(|it| state_of(it)));
            by_state(&mut encoder, "workloads", "Containers, or endpoints of the services file", &states)?;
        }
        if let Some(view) = self.0.views.borrow().clone() {
            topology(&mut encoder, &view.model.topology)?;
            let problems = "What keeps containers from being routed as their labels say";
            gauge(&mut encoder, "problems", problems, view.model.problems.len())?;
            let clients = self.0.clients.progress();
            let states = clients.iter().map(|client| progress::at_a_glance(client, &view.snapshot));
            let states = count(&CLIENT_STATES, states);
            by_state(&mut encoder, "xds_clients", "Those who are served, by how far they are", &states)?;
        }
        Ok(())
    }
}

impl Standing {
    fn age(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stale = "Whether nothing has confirmed the view for too long, or at all since the start";
        gauge(encoder, "view_stale", stale, usize::from(self.0.freshness.is_stale()))?;
        // Before the first confirmation there is no age, and none is invented.
        let Some(age) = self.0.freshness.age() else { return Ok(()) };
        let (help, unit) =
            ("Time since the source of the containers last confirmed the view", Some(&Unit::Seconds));
        let encoder = encoder.encode_descriptor("view_age", help, unit, MetricType::Gauge)?;
        ConstGauge::new(age.as_secs_f64()).encode(encoder)
    }
}

fn topology(encoder: &mut DescriptorEncoder<'_>, topology: &Topology) -> fmt::Result {
    let services = || topology.services.values();
    let states = count(&SERVICE_STATES, services().map(|service| explain::state_of(service)));
    by_state(encoder, "services", "Services, by how much of them takes requests", &states)?;
    let endpoints = services().flat_map(|service| &service.endpoints);
    let endpoints = endpoints.map(|endpoint| match endpoint.state {
        EndpointState::Ready => "ready",
        EndpointState::Draining => "draining",
    });
    let states = count(&ENDPOINT_STATES, endpoints);
    by_state(encoder, "endpoints", "Endpoints that Envoy is told of", &states)?;
    gauge(encoder, "hosts", "Hosts that a route answers for", topology.hosts.len())?;
    gauge(encoder, "routes", "Routes", topology.hosts.values().map(|routes| routes.len()).sum())
}

fn state_of(workload: &Workload) -> &'static str {
    match (workload.state, workload.health) {
        (State::Created, _) => "created",
        (State::Running, Health::None) => "running",
        (State::Running, Health::Starting) => "starting",
        (State::Running, Health::Healthy) => "healthy",
        (State::Running, Health::Unhealthy) => "unhealthy",
        (State::Stopping, _) => "stopping",
        (State::Paused, _) => "paused",
        (State::Stopped, _) => "stopped",
    }
}

/// How often each of `all` is among `found`.
fn count(all: &[&'static str], found: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<_, _> = all.iter().map(|state| (*state, 0)).collect();
    found.for_each(|state| *counts.entry(state).or_default() += 1);
    counts
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: usize) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(whole(value)).encode(encoder)
}

fn by_state(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    states: &BTreeMap<&'static str, usize>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (state, count) in states {
        ConstGauge::new(whole(*count)).encode(family.encode_family(&[("state", *state)])?)?;
    }
    Ok(())
}

/// A way to write metrics down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Prometheus text, version 0.0.4: what everything reads, and a browser shows.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The one that `accept` would rather have (RFC 9110, 12.5.1). OpenMetrics has to be named: who takes everything takes the
    /// older one.
    fn of(accept: &str) -> Self {
        let mut best = (0.0, Self::Prometheus);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => Self::OpenMetrics,
                "text/plain" | "text/*" | "*/*" => Self::Prometheus,
                _ => continue,
            };
            let parameters: BTreeMap<String, &str> = parts
                .filter_map(|part| part.split_once('='))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches('"')))
                .collect();
            let version = parameters.get("version").copied();
            if format == Self::OpenMetrics && version.is_some_and(|version| version != "1.0.0") {
                continue;
            }
            let quality = parameters.get("q").map_or(Some(1.0), |q| q.parse::<f32>().ok());
            let quality = quality.unwrap_or(0.0);
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            // OpenMetrics 1.0, "Overall Structure".
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    fn write(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        match self {
            Self::Prometheus => prometheus_text::encode(&mut text, registry)?,
            Self::OpenMetrics => text::encode(&mut text, registry)?,
        }
        Ok(text)
    }
}

/// The answer to who asks with this `Accept`.
pub(super) fn answer(registry: &Registry, accept: &str) -> Response<String> {
    let format = Format::of(accept);
    let mut response = match format.write(registry) {
        Ok(text) => Response::new(text),
        Err(error) => {
            error!(%error, "the metrics cannot be written");
            let mut response = Response::new("the metrics cannot be written; the log says why\n".to_owned());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

#[cfg(test)]
mod tests;
