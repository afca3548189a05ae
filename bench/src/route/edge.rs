//! The proxies that are measured: Portolan with its Envoy, and Traefik.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use stack::process::Process;
use stack::{envoy, ports, tools};

use crate::engine::Container;
use crate::plane::{self, Plane};
use crate::usage::Usage;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Portolan,
    /// With its `providersThrottleDuration`.
    Traefik {
        throttle: Duration,
    },
}

impl System {
    pub(super) fn name(self) -> String {
        match self {
            Self::Portolan => "Portolan and Envoy".to_owned(),
            Self::Traefik { throttle } => format!("Traefik, {}", humantime::format_duration(throttle)),
        }
    }

    /// The longest it may collect changes before it takes them up.
    pub(super) const fn delay(self) -> Duration {
        match self {
            Self::Portolan => Duration::ZERO,
            Self::Traefik { throttle } => throttle,
        }
    }

    /// The labels with which `container` is routed at `host`; the port is given to Traefik because it looks for one that is
    /// bound, not for one that is exposed.
    pub(super) fn labelled(self, container: Container, host: &str, port: u16) -> Container {
        match self {
            Self::Portolan => container.label("portolan.host", host),
            Self::Traefik { .. } => {
                let name = host.trim_end_matches(".localhost");
                container
                    .label(&format!("traefik.http.routers.{name}.rule"), &format!("Host(`{host}`)"))
                    .label(
                        &format!("traefik.http.services.{name}.loadbalancer.server.port"),
                        &port.to_string(),
                    )
            }
        }
    }
}

/// The running processes of one of them. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) address: SocketAddr,
    plane: Option<Plane>,
    proxy: Process,
}

impl Edge {
    /// Starts `system` on the engine whose socket is in `folder`. It is not ready yet.
    pub(super) async fn start(
        system: System,
        folder: &Path,
        portolan: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        let (plane, proxy) = match system {
            System::Portolan => {
                let admin = ports::free()?;
                let options =
                    [format!("--edge-listen={address}"), format!("--envoy-admin=127.0.0.1:{admin}")];
                let mut plane = Plane::start(plane::binary(portolan)?, folder, &options)?;
                plane.until_ready().await?;
                let program = tools::ENVOY.find()?;
                let proxy = envoy::start(&program, folder, folder, plane.port()?, admin)?;
                (Some(plane), proxy)
            }
            System::Traefik { throttle } => (None, traefik(address, throttle, folder)?),
        };
        Ok(Self { address, plane, proxy })
    }

    /// What watches Docker: Portolan, or Traefik with its proxy in it.
    pub(super) fn watcher(&mut self) -> anyhow::Result<Usage> {
        match &mut self.plane {
            Some(plane) => plane.usage(),
            None => self.proxy(),
        }
    }

    /// What answers the requests: Envoy, or Traefik with all there is to it.
    pub(super) fn proxy(&self) -> anyhow::Result<Usage> {
        Usage::of(self.proxy.id())
    }

    /// An error if the proxy has ended, with the end of its log.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.proxy.check()
    }
}

fn traefik(address: SocketAddr, throttle: Duration, folder: &Path) -> anyhow::Result<Process> {
    let program = tools::TRAEFIK.find()?;
    Process::start("traefik", folder, &program, |command| {
        command.arg(format!("--entrypoints.web.address={address}"));
        command.arg(format!("--providers.docker.endpoint=unix://{}", folder.join("docker.sock").display()));
        command.arg(format!("--providers.providersThrottleDuration={}us", throttle.as_micros()));
        // As Envoy writes one too, and not at once either.
        command.args(["--accesslog=true", "--accesslog.bufferingsize=1000", "--log.level=ERROR"]);
        command.args(["--global.checknewversion=false", "--global.sendanonymoususage=false"]);
    })
}
