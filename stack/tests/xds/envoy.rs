//! A real Envoy: how it is told to get its configuration, and what it says about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use envoy_types::pb::envoy::config::core::v3::api_config_source::ApiType;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::core::v3::{ApiConfigSource, ApiVersion, ConfigSource, GrpcService};
use serde_json::{Value, json};
use stack::process::Process;
use stack::tools;
use stack::wait::until;
use xds_server::session::Protocol;

use super::{LIMIT, resources};

/// The cluster that leads to the server under test.
const CONTROL_PLANE: &str = "control-plane";

/// How a client gets its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    pub protocol: Protocol,
    pub streams: Streams,
}

/// Over which streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// One for all types (ADS).
    Aggregated,
    /// One, or several, for each type: CDS, EDS, LDS, RDS, SDS.
    ForEachType,
}

impl Mode {
    pub const fn new(protocol: Protocol, streams: Streams) -> Self {
        Self { protocol, streams }
    }

    /// What a resource says about where to get what it refers to.
    pub fn source(self) -> ConfigSource {
        if self.streams == Streams::Aggregated {
            return resources::ads();
        }
        let grpc = GrpcService {
            target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                cluster_name: CONTROL_PLANE.to_owned(),
                ..Default::default()
            })),
            ..Default::default()
        };
        let api_type = match self.protocol {
            Protocol::Delta => ApiType::DeltaGrpc,
            Protocol::StateOfTheWorld => ApiType::Grpc,
        };
        resources::source(ConfigSourceSpecifier::ApiConfigSource(ApiConfigSource {
            api_type: api_type as i32,
            transport_api_version: ApiVersion::V3 as i32,
            grpc_services: vec![grpc],
            set_node_on_first_message_only: true,
            ..Default::default()
        }))
    }

    fn bootstrap(self, node: &str, server: u16) -> Value {
        let api = json!({
            "api_type": match self.protocol {
                Protocol::Delta => "DELTA_GRPC",
                Protocol::StateOfTheWorld => "GRPC",
            },
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{ "envoy_grpc": { "cluster_name": CONTROL_PLANE } }],
        });
        let (ads, source) = match self.streams {
            Streams::Aggregated => (Some(api), json!({ "ads": {}, "resource_api_version": "V3" })),
            Streams::ForEachType => (None, json!({ "api_config_source": api, "resource_api_version": "V3" })),
        };
        let mut dynamic = json!({ "cds_config": source, "lds_config": source });
        if let Some(ads) = ads {
            dynamic["ads_config"] = ads;
        }
        json!({
            "node": { "id": node, "cluster": "tests" },
            "admin": { "address": address(0) },
            "dynamic_resources": dynamic,
            "static_resources": { "clusters": [{
                "name": CONTROL_PLANE,
                "connect_timeout": "1s",
                "load_assignment": {
                    "cluster_name": CONTROL_PLANE,
                    "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(server) } }] }],
                },
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": { "http2_protocol_options": {} },
                    },
                },
            }] },
        })
    }
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

/// A running Envoy. It ends when this is dropped.
#[derive(Debug)]
pub struct Envoy {
    pub process: Process,
    /// Where it writes the address that it has chosen for its admin pages.
    admin: PathBuf,
    client: reqwest::blocking::Client,
}

impl Envoy {
    /// Starts one that asks the server on port `server`, and does not wait for what it will say.
    ///
    /// On a thread that lives as long as Envoy shall: see [`Process::start`].
    pub fn start(node: &str, mode: Mode, server: u16, folder: &Path) -> Result<Self> {
        let config = folder.join(format!("{node}.json"));
        let admin = folder.join(format!("{node}.admin"));
        fs::write(&config, mode.bootstrap(node, server).to_string())?;
        let process = Process::start(node, folder, &tools::ENVOY.find()?, |command| {
            command.arg("-c").arg(&config).arg("--admin-address-path").arg(&admin);
            command.args(["--log-level", "warning", "--concurrency", "1", "--disable-hot-restart"]);
            // What is drained is soon gone: a connection that should have been kept as well.
            command.args(["--drain-strategy", "immediate", "--drain-time-s", "1"]);
        })?;
        let client = reqwest::blocking::Client::builder().no_proxy().timeout(LIMIT).build()?;
        Ok(Self { process, admin, client })
    }

    fn get(&self, path: &str) -> Result<reqwest::blocking::Response> {
        let address = fs::read_to_string(&self.admin)?;
        let url = format!("http://{}/{path}", address.trim());
        Ok(self.client.get(url).send()?)
    }

    /// Waits until it serves: it has heard of all listeners and clusters.
    pub fn ready(&mut self) -> Result<()> {
        let limit = LIMIT + Duration::from_secs(15);
        until("Envoy is ready", limit, || {
            if let Err(ended) = self.process.check() {
                return Ok(Err(ended));
            }
            let answer = self.get("ready")?.text()?;
            ensure!(answer.trim() == "LIVE", "it says {}", answer.trim());
            Ok(Ok(()))
        })?
    }

    /// All counters and gauges.
    pub fn stats(&self) -> Result<Stats> {
        let text = self.get("stats")?.text()?;
        let values = text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Stats(values.collect()))
    }

    /// What it holds, as in its own dump of its configuration.
    pub fn holds(&self) -> Result<Holds> {
        let dump: Value = self.get("config_dump?include_eds")?.json()?;
        let all = |section: &str, key: &str| -> Vec<Value> {
            let ends = |config: &&Value| {
                config["@type"].as_str().is_some_and(|name| name.ends_with(&format!(".v3.{section}")))
            };
            let section = dump["configs"].as_array().into_iter().flatten().find(ends);
            section.and_then(|section| section[key].as_array()).cloned().unwrap_or_default()
        };
        let mut holds = Holds::default();
        for cluster in all("ClustersConfigDump", "dynamic_active_clusters") {
            let cluster = &cluster["cluster"];
            holds.clusters.insert(text(&cluster["name"]), text(&cluster["connect_timeout"]));
        }
        for cluster in all("ClustersConfigDump", "dynamic_warming_clusters") {
            holds.unfinished.insert(format!("cluster {} warms", text(&cluster["cluster"]["name"])));
        }
        for assignment in all("EndpointsConfigDump", "dynamic_endpoint_configs") {
            let assignment = &assignment["endpoint_config"];
            let localities = assignment["endpoints"].as_array().into_iter().flatten();
            let endpoints =
                localities.flat_map(|locality| locality["lb_endpoints"].as_array().into_iter().flatten());
            let port =
                |endpoint: &Value| endpoint["endpoint"]["address"]["socket_address"]["port_value"].as_u64();
            let ports = endpoints.filter_map(port).collect();
            holds.endpoints.insert(text(&assignment["cluster_name"]), ports);
        }
        for listener in all("ListenersConfigDump", "dynamic_listeners") {
            let name = text(&listener["name"]);
            for state in ["warming_state", "draining_state", "error_state"] {
                if !listener[state].is_null() {
                    holds.unfinished.insert(format!("listener {name}: {state}"));
                }
            }
            if !listener["active_state"].is_null() {
                holds.listeners.insert(name);
            }
        }
        for routes in all("RoutesConfigDump", "dynamic_route_configs") {
            for host in routes["route_config"]["virtual_hosts"].as_array().into_iter().flatten() {
                let cluster = text(&host["routes"][0]["route"]["cluster"]);
                holds.hosts.insert(text(&host["domains"][0]), cluster);
            }
        }
        Ok(holds)
    }
}

/// Statistics at one moment.
#[derive(Debug, Clone)]
pub struct Stats(BTreeMap<String, u64>);

impl Stats {
    /// One of them, 0 where it is not there.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// How much more a counter says than it did in `earlier`.
    pub fn since(&self, earlier: &Self, name: &str) -> u64 {
        self.get(name).saturating_sub(earlier.get(name))
    }

    /// Those whose names end so, and are not 0.
    pub fn ending(&self, end: &str) -> BTreeMap<&str, u64> {
        let found = self.0.iter().filter(|(name, value)| name.ends_with(end) && **value != 0);
        found.map(|(name, value)| (name.as_str(), *value)).collect()
    }
}

/// What an Envoy holds, or shall hold.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Holds {
    /// Clusters in use, with their connection time-out.
    pub clusters: BTreeMap<String, String>,
    /// The ports of their endpoints.
    pub endpoints: BTreeMap<String, BTreeSet<u64>>,
    /// Listeners in use.
    pub listeners: BTreeSet<String>,
    /// Host to cluster, over all route configurations.
    pub hosts: BTreeMap<String, String>,
    /// What is neither in use nor gone: it warms, drains, or was refused.
    pub unfinished: BTreeSet<String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
