//! `portolan serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::access::AdminAccess;
use super::settings::{DASHBOARD_AT, EDGE_LISTEN, ENVOY_ADMIN, Settings};
use crate::dashboard;
use crate::recording::Target;
use crate::runtime::{self, Config, Source};
use crate::translate::{EdgeOptions, HostPort};

/// Where collectors listen for OTLP over gRPC.
const OTLP_PORT: u16 = 4317;

/// Watch the containers and serve Envoy.
///
/// Reads the Docker Engine that DOCKER_HOST names, or a services file, and serves listeners, routes, clusters and
/// endpoints over xDS. While its source is away the last configuration stands.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where it was told to stop and did, 1 where it cannot start or go on, and why; 2 where the command is wrong.\n\n    \
                  portolan serve\n    portolan serve --file services.yaml --edge-listen 127.0.0.1:8080\n    \
                  DOCKER_HOST=tcp://docker-guard:2375 portolan serve --policies portolan.yaml --state-file /var/lib/portolan/view"
)]
pub(super) struct Serve {
    /// Where gRPC listens: xDS, portolan.v1, health and reflection.
    #[arg(long, env = "PORTOLAN_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:18000")]
    listen: SocketAddr,

    #[command(flatten)]
    admin: AdminAccess,

    /// Where HTTP listens: the dashboard, its JSON under /api/, and /metrics for Prometheus. Nothing can be changed there.
    #[arg(long, env = "PORTOLAN_HTTP_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:18001")]
    http_listen: SocketAddr,

    /// The Docker Engine to watch: unix:///path or tcp://host:port.
    #[arg(long, env = "DOCKER_HOST", value_name = "URL", default_value = "unix:///var/run/docker.sock")]
    docker_host: String,

    /// Read services from this file instead of Docker; it is watched, and a faulty edit leaves the last good one standing.
    #[arg(long, env = "PORTOLAN_FILE", value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    settings: Settings,

    /// The address on which Envoy listens for HTTP, as seen from Envoy.
    #[arg(long, env = "PORTOLAN_EDGE_LISTEN", value_name = "ADDRESS", default_value = EDGE_LISTEN)]
    edge_listen: SocketAddr,

    /// Where --http-listen is, as seen from Envoy.
    #[arg(long, env = "PORTOLAN_DASHBOARD_AT", value_name = "HOST:PORT", default_value = DASHBOARD_AT)]
    dashboard_at: HostPort,

    /// Envoy's admin address, as seen from Envoy.
    #[arg(long, env = "PORTOLAN_ENVOY_ADMIN", value_name = "ADDRESS", default_value = ENVOY_ADMIN)]
    envoy_admin: SocketAddr,

    /// Where traces go, as seen from Envoy: OTLP over gRPC, such as http://collector:4317. OTEL_EXPORTER_OTLP_ENDPOINT says it too.
    #[arg(
        long,
        env = "PORTOLAN_OTLP_ENDPOINT",
        value_name = "URL",
        default_value = "",
        hide_default_value = true
    )]
    otlp_endpoint: Collector,

    /// The same under the name that every program with OpenTelemetry reads.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", default_value = "", hide = true)]
    otel_exporter_otlp_endpoint: Collector,

    /// Keep the last view in this file, and start from it while the source is away, or with the routes that stood for labels that
    /// are gone or faulty; and keep beside it, in FILE.decisions, what was decided by hand (drain, weight).
    #[arg(long, env = "PORTOLAN_STATE", value_name = "FILE")]
    state_file: Option<PathBuf>,

    /// How long Docker may leave the view unconfirmed before this is not ready any more (grpc.health.v1); Envoy keeps what it has.
    /// It is confirmed each minute, and with each event. 0 is for ever.
    #[arg(long, env = "PORTOLAN_MAX_VIEW_AGE", value_name = "DURATION", default_value = "3m", value_parser = lifecycle::duration::parse)]
    max_view_age: Duration,

    /// Record everything that decides on what is served, without secrets, in a new file in this folder: for portolan replay and
    /// for bug reports (docs/replay.md).
    #[arg(long, env = "PORTOLAN_RECORD", value_name = "DIR")]
    record: Option<PathBuf>,

    /// How many MiB all recordings in that folder may have together; then the recording ends, and what is served goes on.
    #[arg(long, env = "PORTOLAN_RECORD_LIMIT", value_name = "MIB", default_value_t = 64)]
    record_limit: u64,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let source = match self.file {
            Some(path) => Source::File(path),
            None => Source::Docker(self.docker_host),
        };
        let edge = EdgeOptions {
            listen: self.edge_listen,
            dashboard_host: self.settings.dashboard_host.clone(),
            dashboard_at: self.dashboard_at,
            envoy_admin: self.envoy_admin,
            traces: self.otlp_endpoint.0.or(self.otel_exporter_otlp_endpoint.0),
        };
        let limit = self.record_limit.saturating_mul(1 << 20);
        let record = self.record.map(|folder| Target { folder, limit });
        let (publisher, policies) = self.settings.publisher(edge.clone())?;
        let exposure = self.admin.exposure(self.listen);
        let config = Config {
            listen: self.listen,
            access: self.admin.at(self.listen)?,
            http_listen: self.http_listen,
            dashboard: dashboard::Options {
                host: edge.dashboard_host.clone(),
                edge_port: edge.listen.port(),
            },
            source,
            publisher,
            policies: policies.map(|file| file.exposed(exposure)),
            state_file: self.state_file,
            max_view_age: self.max_view_age,
            record,
        };
        runtime::serve(config, lifecycle::shutdown::signal()?).await
    }
}

/// Where traces go, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Collector(Option<HostPort>);

impl FromStr for Collector {
    type Err = String;

    /// `http://collector:4317`, `collector:4317`, `http://collector`; nothing is nowhere.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        if text.starts_with("https://") {
            return Err("traces are sent without TLS; write http://collector:4317".to_owned());
        }
        let place = text.strip_prefix("http://").unwrap_or(text);
        let place = place.strip_suffix('/').unwrap_or(place);
        let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let place = if has_port { place.to_owned() } else { format!("{place}:{OTLP_PORT}") };
        let wrong = |_| format!("{text:?} is not where traces can go; write http://collector:4317");
        place.parse().map(|place| Self(Some(place))).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_traces_go_is_read_as_open_telemetry_writes_it() {
        let read = |text: &str| text.parse::<Collector>().map(|read| read.0.map(|at| (at.host, at.port)));
        let at = |host: &str, port| Ok(Some((host.to_owned(), port)));
        assert_eq!(read(""), Ok(None));
        for text in ["http://collector:4317", "http://collector:4317/", "collector:4317", "http://collector"]
        {
            assert_eq!(read(text), at("collector", 4317), "{text}");
        }
        assert_eq!(read("http://[::1]:9"), at("::1", 9));
        assert_eq!(read("http://[::1]"), at("::1", 4317));
        for text in ["https://collector:4317", "http://collector:4317/v1/traces", "http://", "http://a b"] {
            assert!(read(text).unwrap_err().contains("write http://collector:4317"), "{text}");
        }
    }
}
