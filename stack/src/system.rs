//! The running system: what is started, in which order, and how it stops.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::binaries::Binaries;
use crate::process::Process;
use crate::site::Site;
use crate::wait::until;
use crate::{envoy, ports, tools};

/// How long the system may take from its start to its first answer.
const READY: Duration = Duration::from_secs(60);

/// What to run, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Envoy's port.
    pub edge_port: u16,
    /// The control plane's port.
    pub grpc_port: u16,
    /// How many frontends.
    pub frontends: usize,
    /// The folder for data, logs and configuration.
    pub folder: PathBuf,
    /// Where traces go (OTLP over gRPC), if anywhere.
    pub otlp_endpoint: Option<String>,
}

impl Options {
    /// The environment that says where traces go.
    fn otlp(&self) -> Option<(&'static str, String)> {
        self.otlp_endpoint.clone().map(|endpoint| ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint))
    }
}

/// All processes. Dropping it kills them.
#[derive(Debug)]
pub struct System {
    options: Options,
    binaries: Binaries,
    envoy: PathBuf,
    redis: PathBuf,
    admin_port: u16,
    http_port: u16,
    redis_port: u16,
    backend_port: u16,
    frontend_ports: Vec<u16>,
    /// In the order of their start.
    processes: Vec<Process>,
}

impl System {
    /// Starts everything and waits until it answers.
    ///
    /// Call it from a thread that lives as long as the system: see [`Process::start`].
    ///
    /// # Errors
    ///
    /// A port is taken, a program cannot be had, or one of them ended.
    pub fn start(options: Options, binaries: Binaries) -> anyhow::Result<Self> {
        ports::claim(options.edge_port, "Envoy")?;
        ports::claim(options.grpc_port, "the control plane")?;
        let frontend_ports = (0..options.frontends).map(|_| ports::free()).collect::<anyhow::Result<_>>()?;
        let mut system = Self {
            binaries,
            envoy: tools::ENVOY.find()?,
            redis: tools::REDIS.find()?,
            admin_port: ports::free()?,
            http_port: ports::free()?,
            redis_port: ports::free()?,
            backend_port: ports::free()?,
            frontend_ports,
            processes: Vec::new(),
            options,
        };
        fs::create_dir_all(system.logs())?;
        for log in fs::read_dir(system.logs())? {
            fs::remove_file(log?.path())?;
        }
        system.write_services()?;
        system.start_redis()?;
        system.start_backend()?;
        for index in 0..system.frontend_ports.len() {
            system.start_frontend(index)?;
        }
        system.start_control_plane()?;
        system.start_envoy()?;
        system.wait_until_ready()?;
        Ok(system)
    }

    fn logs(&self) -> PathBuf {
        self.options.folder.join("logs")
    }

    /// The services file, which the control plane watches.
    #[must_use]
    pub fn services_file(&self) -> PathBuf {
        self.options.folder.join("services.yaml")
    }

    /// What the services file says: the same labels as compose.yml.
    #[must_use]
    pub fn services(&self, frontends: usize) -> String {
        let mut text = String::from(
            "services:\n  frontend:\n    labels: { portolan.host: frontend.localhost }\n    endpoints:\n",
        );
        for port in self.frontend_ports.iter().take(frontends) {
            let _ = writeln!(text, "      - 127.0.0.1:{port}");
        }
        let _ = write!(
            text,
            "  backend:\n    labels: {{ portolan.host: backend.localhost }}\n    endpoints: [\"127.0.0.1:{}\"]\n",
            self.backend_port
        );
        text
    }

    fn write_services(&self) -> anyhow::Result<()> {
        Ok(fs::write(self.services_file(), self.services(self.frontend_ports.len()))?)
    }

    fn add(&mut self, process: Process) {
        self.processes.push(process);
    }

    /// Starts Redis on its data.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_redis(&mut self) -> anyhow::Result<()> {
        let data = self.options.folder.join("redis");
        fs::create_dir_all(&data)?;
        let port = self.redis_port.to_string();
        let redis = Process::start("redis", &self.logs(), &self.redis, |command| {
            command.args(["--bind", "127.0.0.1", "--port", &port, "--save", ""]);
            command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(&data);
        })?;
        self.add(redis);
        Ok(())
    }

    /// Starts the backend.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_backend(&mut self) -> anyhow::Result<()> {
        let otlp = self.options.otlp();
        let (port, redis) = (self.backend_port, self.redis_port);
        let backend = Process::start("backend", &self.logs(), &self.binaries.backend, |command| {
            command.env("LISTEN", format!("127.0.0.1:{port}")).env("REPLICA", "backend-1");
            command.env("REDIS_URL", format!("redis://127.0.0.1:{redis}"));
            command.envs(otlp);
        })?;
        self.add(backend);
        Ok(())
    }

    fn start_frontend(&mut self, index: usize) -> anyhow::Result<()> {
        let otlp = self.options.otlp();
        let (port, backend) = (self.frontend_ports[index], self.backend_port);
        let name = format!("frontend-{}", index + 1);
        let frontend = Process::start(&name, &self.logs(), &self.binaries.frontend, |command| {
            command.env("LISTEN", format!("127.0.0.1:{port}")).env("REPLICA", &name);
            command.env("BACKEND_URL", format!("http://127.0.0.1:{backend}"));
            command.envs(otlp);
        })?;
        self.add(frontend);
        Ok(())
    }

    /// Starts the control plane.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_control_plane(&mut self) -> anyhow::Result<()> {
        let otlp = self.options.otlp();
        let (edge, grpc, admin) = (self.options.edge_port, self.options.grpc_port, self.admin_port);
        let http = self.http_port;
        let file = self.services_file();
        let state = self.options.folder.join("view");
        let control_plane =
            Process::start("control-plane", &self.logs(), &self.binaries.portolan, |command| {
                command.arg("serve").arg("--file").arg(file);
                command.arg("--listen").arg(format!("127.0.0.1:{grpc}"));
                command.arg("--http-listen").arg(format!("127.0.0.1:{http}"));
                command.arg("--edge-listen").arg(format!("127.0.0.1:{edge}"));
                command.arg("--dashboard-at").arg(format!("127.0.0.1:{http}"));
                command.arg("--envoy-admin").arg(format!("127.0.0.1:{admin}"));
                command.arg("--state-file").arg(state);
                command.envs(otlp);
            })?;
        self.add(control_plane);
        Ok(())
    }

    fn start_envoy(&mut self) -> anyhow::Result<()> {
        let (grpc, admin) = (self.options.grpc_port, self.admin_port);
        let envoy = envoy::start(&self.envoy, &self.options.folder, &self.logs(), grpc, admin)?;
        self.add(envoy);
        Ok(())
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let site = self.site()?;
        until("the system answers", READY, || {
            if let Err(ended) = self.check() {
                return Ok(Err(ended));
            }
            for (host, path) in [("frontend.localhost", "/"), ("backend.localhost", "/messages")] {
                let status = site.get(host, path)?.status();
                ensure!(status.is_success(), "{host}{path} answers {status}");
            }
            Ok(Ok(()))
        })?
    }

    /// The edge, for a client.
    ///
    /// # Errors
    ///
    /// No HTTP client can be made.
    pub fn site(&self) -> anyhow::Result<Site> {
        Site::new(self.options.edge_port)
    }

    /// What it was started with.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Envoy's own admin port.
    #[must_use]
    pub const fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// The control plane's own HTTP port.
    #[must_use]
    pub const fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The folder with the logs, data and configuration.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.options.folder
    }

    /// A running process by its name; the newest one of that name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn process(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        let found = self.processes.iter_mut().rev().find(|process| process.name() == name);
        found.with_context(|| format!("no process is named {name}"))
    }

    /// Takes a process out, to end it on purpose.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub fn take(&mut self, name: &str) -> anyhow::Result<Process> {
        let at = self.processes.iter().position(|process| process.name() == name);
        Ok(self.processes.remove(at.with_context(|| format!("no process is named {name}"))?))
    }

    /// The process ids of all.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::id).collect()
    }

    /// An error if one has ended that should run.
    ///
    /// # Errors
    ///
    /// The name of the process, and the end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// Stops everything, the last one started first.
    pub fn stop(mut self) {
        while let Some(mut process) = self.processes.pop() {
            let _ = process.stop();
        }
    }
}
