//! Docker Compose, as a person would use it, on a project of the tests' own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use stack::binaries::Binaries;
use stack::site::Site;
use stack::wait::until;

/// What Compose puts before the names of all it makes.
pub(crate) const PROJECT: &str = "portolan-e2e";
/// Longer than a health check that fails three times takes.
const HEALTH: Duration = Duration::from_secs(90);

/// Whether there is a Docker Engine with Compose v2.
pub(crate) fn engine() -> Result<()> {
    docker(&["info", "--format", "{{.ServerVersion}}"]).context("no Docker Engine answers")?;
    let version = docker(&["compose", "version", "--short"]).context("no Compose plugin")?;
    let v2 =
        version.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(v2.is_some_and(|major| major >= 2), "Compose {version}");
    Ok(())
}

/// Runs docker, and returns what it printed.
pub(crate) fn docker(arguments: &[&str]) -> Result<String> {
    run(Command::new("docker").args(arguments))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().context("cannot run docker")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{command:?} failed: {text}{errors}");
    }
    Ok(text)
}

/// Waits until the engine says that a container is `healthy` or `unhealthy`.
pub(crate) fn becomes(health: &str, id: &str) -> Result<()> {
    until(&format!("{id} is {health}"), HEALTH, || {
        let found = docker(&["inspect", "-f", "{{.State.Health.Status}}", id])?;
        ensure!(found.trim() == health, "{}", found.trim());
        Ok(())
    })
}

/// The system under test.
#[derive(Debug)]
pub(crate) struct Compose {
    edge_port: u16,
    pub(crate) admin_port: u16,
    events: OnceLock<tempfile::NamedTempFile>,
}

fn port(variable: &str, default: u16) -> u16 {
    std::env::var(variable).ok().and_then(|port| port.parse().ok()).unwrap_or(default)
}

impl Compose {
    pub(crate) fn new() -> Self {
        Self {
            edge_port: port("EDGE_PORT", 80),
            admin_port: port("ADMIN_PORT", 18_000),
            events: OnceLock::new(),
        }
    }

    /// Builds and starts everything from nothing, as the README says.
    pub(crate) fn start(&self) -> Result<()> {
        let _ = self.run(&["down", "--volumes", "--remove-orphans"]);
        for port in [self.edge_port, self.admin_port] {
            stack::ports::claim(port, "the Docker tests")?;
        }
        self.run(&["build"])?;
        let file = tempfile::NamedTempFile::new()?;
        let mut events = follow_events(file.reopen()?)?;
        let started = self.run(&["up", "-d", "--wait"]);
        let _ = events.kill();
        let _ = events.wait();
        let _ = self.events.set(file);
        started.map(drop)
    }

    /// `docker compose ARGUMENTS`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("docker");
        command.current_dir(stack::workspace()).args([
            "compose",
            "--ansi",
            "never",
            "--progress",
            "quiet",
            "-p",
            PROJECT,
        ]);
        run(command.args(arguments))
    }

    /// `portolan ARGUMENTS` for a command that works on the project.
    pub(crate) fn portolan(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(Binaries::build()?.portolan);
        command.current_dir(stack::workspace()).args(arguments).args(["-p", PROJECT]);
        command.args(["--address", &format!("127.0.0.1:{}", self.admin_port)]);
        run(command.args(["--edge", &format!("http://127.0.0.1:{}", self.edge_port)]))
    }

    /// The log of a service, without what Compose adds to it.
    pub(crate) fn log(&self, service: &str) -> Result<String> {
        // Compose 2.26 clears the terminal's line before each of the log's, even where there is no terminal.
        Ok(self.run(&["logs", "--no-log-prefix", service])?.replace("\u{1b}[2K", ""))
    }

    pub(crate) fn site(&self) -> Result<Site> {
        Site::new(self.edge_port)
    }

    /// What `docker inspect` says of all containers.
    pub(crate) fn containers(&self) -> Result<Vec<Value>> {
        let ids = self.run(&["ps", "--all", "--quiet"])?;
        let mut arguments = vec!["inspect"];
        arguments.extend(ids.lines());
        Ok(serde_json::from_str(&docker(&arguments)?)?)
    }

    /// What `docker inspect` says of a service's first container.
    pub(crate) fn container(&self, service: &str) -> Result<Value> {
        let of_service =
            |container: &Value| container["Config"]["Labels"]["com.docker.compose.service"] == service;
        let found = self.containers()?.into_iter().find(of_service);
        found.with_context(|| format!("no container of {service}"))
    }

    /// The id of a container of a service, the first one of several.
    pub(crate) fn id(&self, service: &str) -> Result<String> {
        let id = self.container(service)?["Id"].as_str().map(str::to_owned);
        id.with_context(|| format!("the container of {service} has no id"))
    }

    /// Everything by name that must not change when other containers do: id, start, restarts.
    pub(crate) fn lives(&self) -> Result<BTreeMap<String, String>> {
        let lives = self.containers()?.into_iter().map(|container| {
            let life = format!(
                "{} {} {}",
                container["Id"], container["State"]["StartedAt"], container["RestartCount"]
            );
            (container["Name"].as_str().unwrap_or_default().to_owned(), life)
        });
        Ok(lives.collect())
    }

    /// The Compose file, as Compose resolves it.
    pub(crate) fn config(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["config", "--format", "json"])?)?)
    }

    /// What happened during the first start, in order: `redis start`, `redis health_status: healthy`, ...
    pub(crate) fn start_events(&self) -> Result<Vec<String>> {
        let mut text = String::new();
        self.events.get().context("nothing was started")?.reopen()?.read_to_string(&mut text)?;
        let read = |line: &str| -> Result<String> {
            let event: Value = serde_json::from_str(line)?;
            let service =
                event["Actor"]["Attributes"]["com.docker.compose.service"].as_str().unwrap_or_default();
            Ok(format!("{service} {}", event["Action"].as_str().unwrap_or_default()))
        };
        text.lines().map(read).collect()
    }

    /// What may explain a failure.
    pub(crate) fn dump(&self) {
        for arguments in [&["ps", "--all"][..], &["logs", "--tail", "15"]] {
            eprintln!("---- docker compose {arguments:?}\n{}", self.run(arguments).unwrap_or_default());
        }
    }

    /// Removes everything, what was stored included.
    pub(crate) fn remove(&self) {
        if let Err(error) = self.run(&["down", "--volumes", "--remove-orphans"]) {
            eprintln!("the system could not be removed: {error:#}");
        }
    }
}

fn follow_events(output: File) -> Result<Child> {
    let label = format!("label=com.docker.compose.project={PROJECT}");
    // From now on, however late it is connected.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
    let mut command = Command::new("docker");
    command.args(["events", "--since", &now, "--format", "{{json .}}"]);
    command.args(["--filter", "type=container", "--filter", &label]);
    command.args(["--filter", "event=start", "--filter", "event=health_status"]);
    command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .context("cannot follow the events")
}
