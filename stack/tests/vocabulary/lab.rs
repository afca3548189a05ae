//! One control plane that follows a services file, one Envoy, and the services of all cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portolan::model::label::{KEYS, Key};
use reqwest::Method;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::HOST;
use serde_json::{Value, json};
use stack::binaries::Binaries;
use stack::process::Process;
use stack::wait::until;
use stack::{envoy, ports, tools};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

use super::upstream::Upstream;

/// Generous: only a hang takes longer.
pub const LIMIT: Duration = Duration::from_secs(30);
const SERVICES: &str = "services.yaml";
const POLICIES: &str = "portolan.yaml";
/// A host whose answer says how far Envoy is with the services file.
const REVISION: &str = "revision.test";

/// A service's name, its labels without their prefix, and its endpoints.
pub type Service<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [String]);

/// The parts. They end when this is dropped.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    portolan: PathBuf,
    edge: u16,
    admin: u16,
    pub grpc: u16,
    http: u16,
    client: Client,
    pub runtime: Runtime,
    services: Mutex<Services>,
    pub control_plane: Process,
    pub envoy: Process,
}

#[derive(Debug, Default)]
struct Services {
    revision: usize,
    all: BTreeMap<String, Value>,
    /// Every label that was ever said, without its prefix.
    keys: BTreeSet<String>,
}

impl Lab {
    /// With a policies file, if it says one. On a thread that lives as long as the lab shall: see [`Process::start`].
    pub fn start_with(folder: &Path, policies: Option<&Value>) -> Result<Self> {
        Self::start_as(folder, policies, &[])
    }

    /// The same, and Envoy with these options besides.
    pub fn start_as(folder: &Path, policies: Option<&Value>, options: &[&str]) -> Result<Self> {
        let binaries = Binaries::build()?;
        let (edge, admin, grpc, http) = (ports::free()?, ports::free()?, ports::free()?, ports::free()?);
        fs::write(folder.join(SERVICES), "services: {}\n")?;
        policies.map(|policies| fs::write(folder.join(POLICIES), policies.to_string())).transpose()?;
        let ports = Ports { edge, admin, grpc, http };
        let control_plane = control_plane(folder, &binaries.portolan, &ports, policies.is_some())?;
        let config = folder.join("envoy.yaml");
        fs::write(&config, envoy::bootstrap(grpc, admin)?)?;
        let envoy = Process::start("envoy", folder, &tools::ENVOY.find()?, |command| {
            // One worker: what takes turns does so exactly.
            command.arg("-c").arg(&config).args(envoy::OPTIONS).args(["--concurrency", "1"]).args(options);
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            portolan: binaries.portolan,
            edge,
            admin,
            grpc,
            http,
            client: client(None)?,
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
            services: Mutex::default(),
            control_plane,
            envoy,
        })
    }

    /// The same control plane anew, now with a policies file that says this.
    pub fn restart_with(&mut self, policies: &Value) -> Result<()> {
        self.control_plane.stop()?;
        self.write_policies(&policies.to_string())?;
        let Self { edge, admin, grpc, http, .. } = *self;
        self.control_plane =
            control_plane(&self.folder, &self.portolan, &Ports { edge, admin, grpc, http }, true)?;
        Ok(())
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub const fn edge(&self) -> u16 {
        self.edge
    }

    /// Takes all services away. The next ones that are served are the only ones.
    pub fn forget(&self) {
        self.services.blocking_lock().all.clear();
    }

    /// Writes the policies file anew.
    pub fn write_policies(&self, text: &str) -> Result<()> {
        let beside = self.folder.join("portolan.new");
        fs::write(&beside, text)?;
        Ok(fs::rename(beside, self.folder.join(POLICIES))?)
    }

    /// The problems, as the dashboard's JSON has them.
    pub fn problems(&self) -> Result<Value> {
        Ok(self.client.get(format!("http://127.0.0.1:{}/api/problems", self.http)).send()?.json()?)
    }

    /// A page of the control plane.
    pub fn page(&self, path: &str) -> Result<String> {
        Ok(self.client.get(format!("http://127.0.0.1:{}{path}", self.http)).send()?.text()?)
    }

    /// What a method of the control plane answers.
    pub fn call(&self, method: &str) -> Result<String> {
        let mut command = Command::new(tools::GRPCURL.find()?);
        let address = format!("127.0.0.1:{}", self.grpc);
        let output = command.args(["-plaintext", "-max-time", "20", &address, method]).output()?;
        ensure!(output.status.success(), "{method}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The command `portolan`.
    pub fn program(&self) -> &Path {
        &self.portolan
    }

    /// A page of Envoy's own.
    pub fn admin(&self, path: &str) -> Result<String> {
        Ok(self.client.get(format!("http://127.0.0.1:{}{path}", self.admin)).send()?.text()?)
    }

    /// What a command of `portolan` prints that talks to the control plane; an error where it fails.
    pub fn portolan(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.portolan);
        let output =
            command.args(arguments).args(["--address", &format!("127.0.0.1:{}", self.grpc)]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        Ok(text)
    }

    /// A new server of TCP that says its name and echoes.
    pub fn echo(&self, name: &str) -> Result<Upstream> {
        Upstream::start_echo(self.runtime.handle(), name)
    }

    /// A new web server.
    pub fn upstream(&self, name: &str) -> Result<Upstream> {
        Upstream::start(self.runtime.handle(), name)
    }

    /// A service of these labels (without their prefix) and endpoints, of which all belong to one version.
    pub fn serve(&self, name: &str, labels: &[(&str, &str)], endpoints: &[String]) -> Result<()> {
        self.serve_all(&[(name, labels, endpoints)])
    }

    /// Several services at once. Returns when Envoy has them.
    pub fn serve_all(&self, services: &[Service<'_>]) -> Result<()> {
        let revision = {
            let mut all = self.services.blocking_lock();
            for (name, labels, endpoints) in services {
                let labels: BTreeMap<String, &str> =
                    labels.iter().map(|(key, value)| (format!("portolan.{key}"), *value)).collect();
                all.keys.extend(labels.keys().map(|label| label.trim_start_matches("portolan.").to_owned()));
                all.all.insert((*name).to_owned(), json!({ "labels": labels, "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>() }));
            }
            all.revision += 1;
            let labels = json!({
                "portolan.host": REVISION,
                // Before whatever a case claims for every host.
                "portolan.priority": i32::MAX.to_string(),
                // Whatever the policies file says of others.
                "portolan.listen": "web",
                "portolan.tls": "off",
                "portolan.auth": "off",
                "portolan.respond": format!("200:{}", all.revision),
            });
            all.all.insert("revision".to_owned(), json!({ "labels": labels, "endpoints": [] }));
            // JSON is YAML; beside and renamed, so that no half of it is read.
            let beside = self.folder.join("services.new");
            fs::write(&beside, json!({ "services": all.all }).to_string())?;
            fs::rename(beside, self.folder.join(SERVICES))?;
            all.revision
        };
        until("Envoy has the services", LIMIT, || {
            let there: usize = self.get(REVISION, "/")?.text()?.parse().context("no revision yet")?;
            ensure!(there >= revision, "it is at revision {there} of {revision}");
            Ok(())
        })
    }

    pub fn request(&self, method: Method, host: &str, path: &str) -> RequestBuilder {
        self.request_by(&self.client, method, host, path)
    }

    /// A request by a client of its own.
    pub fn request_by(&self, client: &Client, method: Method, host: &str, path: &str) -> RequestBuilder {
        client.request(method, format!("http://127.0.0.1:{}{path}", self.edge)).header(HOST, host)
    }

    pub fn get(&self, host: &str, path: &str) -> Result<Response> {
        self.request(Method::GET, host, path).send().with_context(|| format!("GET {host}{path}"))
    }

    /// The same at another port than the edge's own.
    pub fn get_at(&self, port: u16, host: &str, path: &str) -> Result<Response> {
        let request = self.client.get(format!("http://127.0.0.1:{port}{path}")).header(HOST, host);
        request.send().with_context(|| format!("GET {host}{path} at port {port}"))
    }

    /// What the web server that was asked says of the request.
    pub fn asked(&self, host: &str, path: &str) -> Result<Value> {
        said(self.get(host, path)?)
    }

    /// One of Envoy's counters, or the sum of those whose names the expression matches.
    pub fn counter(&self, pattern: &str) -> Result<u64> {
        let url = format!("http://127.0.0.1:{}/stats?filter=^{pattern}$", self.admin);
        let text = self.client.get(url).send()?.text()?;
        let values = text.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(values.sum())
    }

    /// How many listeners Envoy made anew or took away, and how many it changed in place, which it counts as both. It has refused nothing.
    pub fn touched(&self) -> Result<(u64, u64)> {
        is(self.counter(".*update_rejected")?, 0, "refused by Envoy")?;
        // One answer: an update between two would be counted in one of them.
        let stats =
            self.admin("/stats?filter=^listener_manager.listener_(modified|removed|in_place_updated)$")?;
        let of = |name: &str| -> Result<u64> {
            let found = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            Ok(found.with_context(|| format!("no {name} in {stats}"))?.parse()?)
        };
        let in_place = of("listener_manager.listener_in_place_updated")?;
        let all = of("listener_manager.listener_modified")? + of("listener_manager.listener_removed")?;
        Ok((all - in_place, in_place))
    }

    /// Envoy has refused nothing, and no listener was touched.
    pub fn is_spotless(&self) -> Result<()> {
        is(self.counter(".*update_rejected")?, 0, "refused by Envoy")?;
        for what in
            ["listener_modified", "listener_in_place_updated", "listener_removed", "total_listeners_draining"]
        {
            is(self.counter(&format!("listener_manager.{what}"))?, 0, what)?;
        }
        is(self.counter("listener_manager.listener_added")?, 1, "listeners")
    }

    /// The keys of the vocabulary that no service has said, but for those about Docker's networks, of which a services
    /// file has none (the test `docker` shows them).
    pub fn unused(&self) -> Vec<&'static str> {
        let services = self.services.blocking_lock();
        let is_used = |key: &&Key| services.keys.iter().any(|label| is_of(label, key.name));
        let elsewhere = ["proxy", "port", "network"];
        KEYS.iter()
            .filter(|key| !elsewhere.contains(&key.name) && !is_used(key))
            .map(|key| key.name)
            .collect()
    }
}

/// Where a control plane and its Envoy listen.
struct Ports {
    edge: u16,
    admin: u16,
    grpc: u16,
    http: u16,
}

fn control_plane(folder: &Path, program: &Path, ports: &Ports, with_policies: bool) -> Result<Process> {
    let Ports { edge, admin, grpc, http } = ports;
    Process::start("control-plane", folder, program, |command| {
        command.arg("serve").arg("--file").arg(folder.join(SERVICES));
        if with_policies {
            command.arg("--policies").arg(folder.join(POLICIES));
        }
        command.arg("--listen").arg(format!("127.0.0.1:{grpc}"));
        command.arg("--http-listen").arg(format!("127.0.0.1:{http}"));
        command.arg("--dashboard-at").arg(format!("127.0.0.1:{http}"));
        // Every address of this machine: the tests come from several.
        command.arg("--edge-listen").arg(format!("0.0.0.0:{edge}"));
        command.arg("--envoy-admin").arg(format!("127.0.0.1:{admin}"));
    })
}

/// An endpoint of the services file: its address, and `unhealthy` after it where it shall be so.
fn endpoint(text: &String) -> Value {
    match text.split_once(' ') {
        Some((address, health)) => json!({ "address": address, "health": health }),
        None => json!(text),
    }
}

/// Whether a label without its prefix is one of the key `name`.
fn is_of(label: &str, name: &str) -> bool {
    let key =
        label.strip_prefix("routes.").and_then(|rest| rest.split_once('.')).map_or(label, |(_, key)| key);
    name.strip_suffix('*').map_or(key == name, |family| key.starts_with(family))
}

/// A client that follows no redirect, and comes from `from` if it says.
pub fn client(from: Option<std::net::IpAddr>) -> Result<Client> {
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(LIMIT).no_proxy();
    Ok(builder.local_address(from).build()?)
}

/// What a web server says of the request that it answered.
pub fn said(response: Response) -> Result<Value> {
    let status = response.status();
    let text = response.text()?;
    ensure!(status == 200, "status {status}: {text}");
    serde_json::from_str(&text).with_context(|| text)
}

pub fn status(response: &Response) -> u16 {
    response.status().as_u16()
}

pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An error that names what was found, unless it is what was wanted.
pub fn is<T: PartialEq + std::fmt::Debug>(found: T, wanted: T, what: &str) -> Result<()> {
    ensure!(found == wanted, "{what}: {found:?}, and not {wanted:?}");
    Ok(())
}
