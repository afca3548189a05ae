//! gRPC without a proxy: Python's grpcio reads xDS itself (gRFC A27).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use envoy_types::pb::envoy::admin::v3::ClientResourceStatus;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::service::status::v3::ClientStatusResponse;
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use serde_json::{Value, json};
use stack::process::Process;
use stack::tools;
use stack::wait::until;
use xds_server::{Kind, Resource};

use super::LIMIT;
use super::resources::{World, ads, routes};
use super::server::ControlPlane;
use super::status;

/// The host part of `xds:///backend`, and the name of all that is behind it.
const BACKEND: &str = "backend";
/// The name under which the client is known.
const NODE: &str = "grpc-client";

/// Calls reach every endpoint, follow when one comes or goes, fail when the name is gone and succeed when it is back.
pub fn grpc_without_a_proxy_follows_every_change(folder: &Path) -> Result<()> {
    let servers = Script::start("servers", folder, None, &["serve", "alpha", "beta", "gamma"])?;
    let ports = until("the servers run", LIMIT, || servers.last("ports"))?;
    let port = |name: &str| ports[name].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);

    let mut plane = ControlPlane::start(&[NODE])?;
    let mut world = World::new(ads());
    world.clusters.insert(BACKEND, vec![port("alpha"), port("beta")]);
    let listener = Resource::from(&world.api_listener(BACKEND, BACKEND));
    world.extra = vec![listener.clone(), Resource::from(&routes(BACKEND, &[("*", BACKEND)].into()))];
    plane.publish(NODE, world.resources())?;
    let bootstrap = folder.join("grpc.json");
    fs::write(&bootstrap, bootstrap_of(plane.port()).to_string())?;
    let client = Script::start("client", folder, Some(&bootstrap), &["call", &format!("xds:///{BACKEND}")])?;

    client.served_by(&["alpha", "beta"])?;
    world.clusters.insert(BACKEND, vec![port("alpha"), port("beta"), port("gamma")]);
    plane.publish(NODE, world.resources())?;
    client.served_by(&["alpha", "beta", "gamma"])?;
    world.clusters.insert(BACKEND, vec![port("gamma")]);
    plane.publish(NODE, world.resources())?;
    client.served_by(&["gamma"])?;
    the_server_knows_what_the_client_has(&plane, &client, folder)?;

    // What it refuses it does without, and the rest goes on.
    let good = std::mem::replace(&mut world.extra, vec![listener.clone(), Resource::from(&bad_routes())]);
    world.clusters.insert(BACKEND, vec![port("alpha"), port("gamma")]);
    plane.publish(NODE, world.resources())?;
    status::refused(&plane, NODE, Kind::Route, BACKEND, "regex")?;
    client.served_by(&["alpha", "gamma"])?;
    world.extra = good;
    plane.publish(NODE, world.resources())?;
    status::acknowledged(&plane, NODE, None)?;

    // While the server is away it goes on with what it has, and then takes over what changed.
    plane.kill()?;
    client.goes_on()?;
    plane.restart()?;
    world.clusters.insert(BACKEND, vec![port("alpha"), port("beta")]);
    plane.publish(NODE, world.resources())?;
    client.served_by(&["alpha", "beta"])?;
    ensure!(client.failures()?.is_empty(), "no call has failed: {:?}", client.failures()?);

    let listed = std::mem::take(&mut world.extra);
    plane.publish(NODE, world.resources())?;
    until("calls fail once the name is gone", LIMIT, || {
        let window = client.last("failures")?;
        ensure!(window["UNAVAILABLE"].is_number(), "{window}");
        Ok(())
    })?;
    world.extra = listed;
    plane.publish(NODE, world.resources())?;
    client.served_by(&["alpha", "beta"])
}

/// Routes with an expression that is none.
fn bad_routes() -> RouteConfiguration {
    let mut routes = routes(BACKEND, &[("*", BACKEND)].into());
    let matched = &mut routes.virtual_hosts[0].routes[0].r#match;
    let expression = RegexMatcher { regex: "/(".to_owned(), ..Default::default() };
    matched.get_or_insert_default().path_specifier = Some(PathSpecifier::SafeRegex(expression));
    routes
}

/// The client's own account of what it has (gRFC A40), and the server's account of the client, as the client reads it.
fn the_server_knows_what_the_client_has(plane: &ControlPlane, client: &Script, folder: &Path) -> Result<()> {
    let method = "/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus";
    let address = format!("127.0.0.1:{}", plane.port());
    let mut asked = 0;
    until("both accounts are the same", LIMIT, || {
        asked += 1;
        let mut reader = Script::start(&format!("reader-{asked}"), folder, None, &["ask", &address, method])?;
        ensure!(reader.process.wait(LIMIT)?.success(), "{}", reader.process.log());
        let theirs = acknowledged(&client.last("config")?)?;
        let ours = acknowledged(&reader.last("answer")?)?;
        ensure!(theirs.len() == 4, "a listener, routes, a cluster, endpoints: {:?}", theirs.keys());
        ensure!(ours == theirs, "the server says {ours:?}, and the client {theirs:?}");
        Ok(())
    })
}

/// What is acknowledged in a `ClientStatusResponse`: type and name, and the resource.
fn acknowledged(response: &Value) -> Result<BTreeMap<(String, String), Option<Any>>> {
    let hex = response.as_str().unwrap_or_default().as_bytes();
    let bytes: Vec<u8> = hex
        .chunks(2)
        .map(|digits| Ok(u8::from_str_radix(std::str::from_utf8(digits)?, 16)?))
        .collect::<Result<_>>()?;
    let response = ClientStatusResponse::decode(bytes.as_slice())?;
    let resources = response.config.into_iter().flat_map(|client| client.generic_xds_configs);
    let acked = resources.filter(|resource| resource.client_status() == ClientResourceStatus::Acked);
    Ok(acked.map(|resource| ((resource.type_url, resource.name), resource.xds_config)).collect())
}

fn bootstrap_of(port: u16) -> Value {
    json!({
        "xds_servers": [{
            "server_uri": format!("127.0.0.1:{port}"),
            "channel_creds": [{ "type": "insecure" }],
            "server_features": ["xds_v3"],
        }],
        "node": { "id": NODE, "cluster": "tests" },
    })
}

/// client.py in one of its modes.
#[derive(Debug)]
struct Script {
    process: Process,
}

impl Script {
    fn start(name: &str, folder: &Path, bootstrap: Option<&PathBuf>, arguments: &[&str]) -> Result<Self> {
        let python = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("python3"))
            .find(|path| path.is_file())
            .context("there is no python3")?;
        let packages = tools::grpcio()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xds/client.py");
        let process = Process::start(name, folder, &python, |command| {
            command.arg(script).args(arguments).env("PYTHONPATH", packages);
            if let Some(bootstrap) = bootstrap {
                command.env("GRPC_XDS_BOOTSTRAP", bootstrap);
            }
        })?;
        Ok(Self { process })
    }

    /// What it has said of `key`, the oldest first.
    fn said(&self, key: &str) -> Vec<Value> {
        let log = self.process.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|mut line| line.get_mut(key).map(Value::take)).collect()
    }

    /// What it has said last of `key`.
    fn last(&self, key: &str) -> Result<Value> {
        self.said(key).pop().with_context(|| format!("it says nothing of {key}: {}", self.process.log()))
    }

    /// Waits until its last calls all reached these servers, each its share of them.
    fn served_by(&self, names: &[&str]) -> Result<()> {
        until(&format!("calls reach {names:?}"), LIMIT, || {
            let answers: BTreeMap<String, usize> = serde_json::from_value(self.last("answers")?)?;
            let failures = self.last("failures")?;
            ensure!(failures == json!({}), "calls fail: {failures}");
            let share = answers.values().sum::<usize>() / names.len();
            let fair = |name: &&str| answers.get(*name).is_some_and(|calls| calls.abs_diff(share) <= 1);
            ensure!(answers.len() == names.len() && names.iter().all(fair), "{answers:?}");
            Ok(())
        })
    }

    /// Waits until it has made some more calls.
    fn goes_on(&self) -> Result<()> {
        let before = self.said("answers").len();
        until("calls go on", LIMIT, || {
            ensure!(self.said("answers").len() > before + 2, "not so far");
            Ok(())
        })
    }

    /// Windows of calls in which not all were answered.
    fn failures(&self) -> Result<Vec<Value>> {
        Ok(self.said("failures").into_iter().filter(|failures| *failures != json!({})).collect())
    }
}
