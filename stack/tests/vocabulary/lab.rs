//! One control plane that follows a services file, one Envoy, and the services of all cases.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
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
/// A host whose answer says how far Envoy is with the services file.
const REVISION: &str = "revision.test";

/// The parts. They end when this is dropped.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    edge: u16,
    admin: u16,
    pub grpc: u16,
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
}

impl Lab {
    /// On a thread that lives as long as the lab shall: see [`Process::start`].
    pub fn start(folder: &Path) -> Result<Self> {
        let binaries = Binaries::build()?;
        let (edge, admin, grpc, http) = (ports::free()?, ports::free()?, ports::free()?, ports::free()?);
        let file = folder.join("services.yaml");
        fs::write(&file, "services: {}\n")?;
        let control_plane = Process::start("control-plane", folder, &binaries.portolan, |command| {
            command.arg("serve").arg("--file").arg(&file);
            command.arg("--listen").arg(format!("127.0.0.1:{grpc}"));
            command.arg("--http-listen").arg(format!("127.0.0.1:{http}"));
            // Every address of this machine: the tests come from several.
            command.arg("--edge-listen").arg(format!("0.0.0.0:{edge}"));
            command.arg("--envoy-admin").arg(format!("127.0.0.1:{admin}"));
        })?;
        let config = folder.join("envoy.yaml");
        fs::write(&config, envoy::bootstrap(grpc, admin)?)?;
        let envoy = Process::start("envoy", folder, &tools::ENVOY.find()?, |command| {
            // One worker: what takes turns does so exactly.
            command.arg("-c").arg(&config).args(envoy::OPTIONS).args(["--concurrency", "1"]);
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            edge,
            admin,
            grpc,
            client: client(None)?,
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
            services: Mutex::default(),
            control_plane,
            envoy,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub const fn edge(&self) -> u16 {
        self.edge
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
    pub fn serve_all(&self, services: &[(&str, &[(&str, &str)], &[String])]) -> Result<()> {
        let revision = {
            let mut all = self.services.blocking_lock();
            for (name, labels, endpoints) in services {
                let labels: BTreeMap<String, &str> =
                    labels.iter().map(|(key, value)| (format!("portolan.{key}"), *value)).collect();
                all.all.insert((*name).to_owned(), json!({ "labels": labels, "endpoints": endpoints }));
            }
            all.revision += 1;
            let labels = json!({
                "portolan.host": REVISION,
                "portolan.respond": format!("200:{}", all.revision),
            });
            all.all.insert("revision".to_owned(), json!({ "labels": labels, "endpoints": [] }));
            // JSON is YAML; beside and renamed, so that no half of it is read.
            let beside = self.folder.join("services.new");
            fs::write(&beside, json!({ "services": all.all }).to_string())?;
            fs::rename(beside, self.folder.join("services.yaml"))?;
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

    /// What the web server that was asked says of the request.
    pub fn asked(&self, host: &str, path: &str) -> Result<Value> {
        said(self.get(host, path)?)
    }

    /// One of Envoy's counters.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let url = format!("http://127.0.0.1:{}/stats?filter=^{name}$", self.admin);
        let text = self.client.get(url).send()?.text()?;
        text.trim()
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .parse()
            .with_context(|| format!("{name}: {text:?}"))
    }

    /// Envoy's dump of its configuration.
    pub fn dump(&self) -> Result<String> {
        Ok(self.client.get(format!("http://127.0.0.1:{}/config_dump", self.admin)).send()?.text()?)
    }
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
