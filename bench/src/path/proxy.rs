//! The proxies: which there are, where their programs are, and how each is started on one core.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use stack::process::Process;
use stack::{envoy, tools};

use super::bed::{TASKSET, on_core, until_answered, until_listening};
use super::config::Places;
use crate::engine::{Container, ENGINE_29, Engine};
use crate::plane::{self, Plane};
use crate::usage::{Usage, threads_cpu};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Envoy as `portolan serve` configures it.
    Portolan,
    /// Envoy with a file of the same features.
    Envoy,
    /// Envoy with the shortest file.
    BareEnvoy,
    Traefik,
    Caddy,
    Nginx,
    Haproxy,
}

/// One that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contestant {
    pub(super) kind: Kind,
    pub(super) logs: bool,
}

impl Contestant {
    /// In the order of the table; the second is what all are compared with.
    pub(super) const ALL: [Self; 11] = [
        Self { kind: Kind::Portolan, logs: true },
        Self { kind: Kind::Envoy, logs: true },
        Self { kind: Kind::BareEnvoy, logs: false },
        Self { kind: Kind::Traefik, logs: true },
        Self { kind: Kind::Traefik, logs: false },
        Self { kind: Kind::Caddy, logs: true },
        Self { kind: Kind::Caddy, logs: false },
        Self { kind: Kind::Nginx, logs: true },
        Self { kind: Kind::Nginx, logs: false },
        Self { kind: Kind::Haproxy, logs: true },
        Self { kind: Kind::Haproxy, logs: false },
    ];

    pub(super) fn name(self) -> String {
        let log = if self.logs { "" } else { ", no log" };
        match self.kind {
            Kind::Portolan => "Envoy by Portolan".to_owned(),
            Kind::Envoy => "Envoy, static, the same features".to_owned(),
            Kind::BareEnvoy => "Envoy, static, bare, no log".to_owned(),
            Kind::Traefik => format!("Traefik{log}"),
            Kind::Caddy => format!("Caddy{log}"),
            Kind::Nginx => format!("nginx{log}"),
            Kind::Haproxy => format!("HAProxy{log}"),
        }
    }
}

impl Kind {
    /// Whether it is Envoy, by whomever it is configured.
    pub(super) const fn is_envoy(self) -> bool {
        matches!(self, Self::Portolan | Self::Envoy | Self::BareEnvoy)
    }

    /// Where its program is.
    ///
    /// # Errors
    ///
    /// It is nowhere; the error says how to get it.
    pub(super) fn program(self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Portolan | Self::Envoy | Self::BareEnvoy => tools::ENVOY.find(),
            Self::Traefik => tools::TRAEFIK.find(),
            Self::Caddy => installed("caddy", "caddy"),
            Self::Nginx => installed("nginx", "nginx-light"),
            Self::Haproxy => installed("haproxy", "haproxy"),
        }
    }

    /// Its version, as its program says it.
    pub(super) fn version(self) -> anyhow::Result<String> {
        let program = self.program()?;
        let argument = match self {
            Self::Portolan | Self::Envoy | Self::BareEnvoy => "--version",
            Self::Traefik | Self::Caddy => "version",
            Self::Nginx | Self::Haproxy => "-v",
        };
        let output = Command::new(&program).arg(argument).output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        version(&said).with_context(|| format!("{} does not say its version: {said}", program.display()))
    }
}

/// Debian has these where a user's PATH does not lead.
fn installed(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name}: not found; apt-get install {package}"))
}

/// The first word that is numbers with dots between them.
fn version(said: &str) -> Option<String> {
    let words = said.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let mut versions = words.map(|word| word.trim_matches('.')).filter(|word| {
        word.split('.').count() >= 3 && word.split('.').all(|number| !number.is_empty() && number.len() < 5)
    });
    versions.next().map(str::to_owned)
}

/// Where and how proxies run.
#[derive(Debug)]
pub(super) struct Seat {
    /// Their core.
    pub(super) core: usize,
    /// The program that runs them, with its words, where it is not the machine itself.
    pub(super) under: Vec<String>,
    /// The longest that one takes to start.
    pub(super) patience: Duration,
}

/// A proxy that runs. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    process: Process,
    log: PathBuf,
    /// What configures it: it is to stay for as long as the proxy does.
    _plane: Option<(Plane, Engine)>,
}

impl Proxy {
    /// Starts it on its `seat`, with `portolan` for what is configured by it, and waits until it answers.
    pub(super) async fn start(
        Contestant { kind, logs }: Contestant,
        places: &Places,
        seat: &Seat,
        portolan: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let program = kind.program()?;
        let mut plane = None;
        let started_with = match kind {
            Kind::Portolan => {
                let (control, engine) = control_plane(places, portolan).await?;
                let bootstrap = envoy::bootstrap(control.port()?, places.admin)?;
                plane = Some((control, engine));
                envoy_with(&places.write("envoy.yaml", &bootstrap, logs)?)
            }
            Kind::Envoy => {
                envoy_with(&places.write("envoy.yaml", include_str!("configs/envoy.yaml"), logs)?)
            }
            Kind::BareEnvoy => {
                envoy_with(&places.write("envoy.yaml", include_str!("configs/envoy-bare.yaml"), logs)?)
            }
            Kind::Traefik => {
                places.write("traefik-routes.yaml", include_str!("configs/traefik-routes.yaml"), logs)?;
                let config = places.write("traefik.yaml", include_str!("configs/traefik.yaml"), logs)?;
                vec![format!("--configFile={}", config.display())]
            }
            Kind::Caddy => {
                let config = places.write("Caddyfile", include_str!("configs/Caddyfile"), logs)?;
                words(&["run", "--adapter", "caddyfile", "--config"], &config)
            }
            Kind::Nginx => {
                let config = places.write("nginx.conf", include_str!("configs/nginx.conf"), logs)?;
                words(&["-e", "stderr", "-c"], &config)
            }
            Kind::Haproxy => {
                let config = places.write("haproxy.cfg", include_str!("configs/haproxy.cfg"), logs)?;
                words(&["-db", "-f"], &config)
            }
        };
        let process = launch(&program, places, seat, &started_with)?;
        let proxy = Self { address: places.address(), process, log: log_of(places), _plane: plane };
        proxy.answering(seat.patience).await
    }

    /// Envoy, with its configuration as `config` names it.
    pub(super) async fn envoy(config: Vec<String>, places: &Places, seat: &Seat) -> anyhow::Result<Self> {
        let words = envoy_words().into_iter().chain(config).collect::<Vec<_>>();
        let process = launch(&tools::ENVOY.find()?, places, seat, &words)?;
        let proxy = Self { address: places.address(), process, log: log_of(places), _plane: None };
        proxy.answering(seat.patience).await
    }

    async fn answering(mut self, patience: Duration) -> anyhow::Result<Self> {
        until_listening(self.address, &mut self.process, patience).await?;
        until_answered(self.address, patience).await?;
        Ok(self)
    }

    /// The id of its process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn usage(&mut self) -> anyhow::Result<Usage> {
        self.process.check()?;
        Usage::of(self.process.id())
    }

    /// CPU time of its threads, for differences.
    pub(super) fn cpu(&mut self) -> anyhow::Result<Duration> {
        self.process.check()?;
        threads_cpu(self.process.id())
    }

    /// Empties its log, so that nobody has to write all of it to a disk.
    pub(super) fn forget_log(&self) -> anyhow::Result<()> {
        let log = File::options().write(true).open(&self.log).context("no log")?;
        Ok(log.set_len(0)?)
    }
}

/// Starts `program` on its `seat`, its output in a file that others append to and this empties.
fn launch(program: &Path, places: &Places, seat: &Seat, words: &[String]) -> anyhow::Result<Process> {
    Process::start(NAME, &places.folder, Path::new(TASKSET), |command| {
        command.args(on_core(seat.core)).args(&seat.under).arg(program).args(words);
        // Caddy keeps things in the home of whoever starts it.
        command.env("HOME", &places.folder);
    })
}

/// The name of every proxy's log.
const NAME: &str = "proxy";

fn log_of(places: &Places) -> PathBuf {
    places.folder.join(format!("{NAME}.log"))
}

fn words(words: &[&str], config: &Path) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).chain([config.display().to_string()]).collect()
}

/// What every Envoy here is told on the command line.
fn envoy_words() -> Vec<String> {
    ["--concurrency", "1"].into_iter().chain(envoy::OPTIONS).map(str::to_owned).collect()
}

fn envoy_with(config: &Path) -> Vec<String> {
    envoy_words().into_iter().chain(words(&["-c"], config)).collect()
}

/// Portolan on a simulated engine with the two containers of the app.
async fn control_plane(places: &Places, portolan: Option<&Path>) -> anyhow::Result<(Plane, Engine)> {
    let mut containers = vec![Container::new(0, "shop", "envoy", 1).label("portolan.proxy", "true")];
    for (number, endpoint) in (1_u32..).zip(places.app) {
        let SocketAddr::V4(endpoint) = endpoint else { bail!("{endpoint} is not IPv4") };
        let container = Container::new(number, "shop", "app", usize::try_from(number)?);
        let container = container.at(*endpoint.ip(), endpoint.port()).unchecked();
        containers.push(container.label("portolan.host", super::HOST));
    }
    let engine = Engine::listen(&places.folder.join("docker.sock"), ENGINE_29, containers)?;
    let options =
        [format!("--edge-listen={}", places.address()), format!("--envoy-admin=127.0.0.1:{}", places.admin)];
    let mut plane = Plane::start(plane::binary(portolan)?, &places.folder, &options)?;
    plane.until_ready().await?;
    Ok((plane, engine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_say() {
        for (said, found) in [
            ("envoy  version: 9e5580933739775e/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
            ("Version:      3.7.15\nCodename:     langres\nGo version:   go1.25.1", "3.7.15"),
            ("2.6.2", "2.6.2"),
            ("v2.6.2 h1:abc=", "2.6.2"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("HAProxy version 2.6.12-1+deb12u4 2026/01/01 - https://haproxy.org/", "2.6.12"),
        ] {
            assert_eq!(version(said).as_deref(), Some(found), "{said}");
        }
        assert_eq!(version("no version"), None);
    }

    #[test]
    fn what_all_are_compared_with_has_the_same_features_as_ours() {
        assert_eq!(Contestant::ALL[1].kind, Kind::Envoy);
        assert!(Contestant::ALL[..2].iter().all(|contestant| contestant.logs));
    }
}
