//! The composition root: the only place that sees both ends. Builds the parts, watches over them, stops them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::{info, warn};
use xds_server::{ServeOptions, SnapshotReceiver, XdsService};

use crate::admin;
use crate::dashboard;
use crate::docker::DockerProvider;
use crate::file::FileProvider;
use crate::overrides::{self, OverridesSender};
use crate::policies::PoliciesFile;
use crate::provider::{Freshness, Outlet, Provider, port};
use crate::publish::Publisher;
use crate::recording;
use crate::sources::Sources;
use crate::state::{DecisionsFile, HistoryFile, Keeper};
use crate::timing::Timing;

/// How long a part may hold up the end of the process; open streams are cut before.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Where the facts about the containers come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A Docker Engine, by its address as in `DOCKER_HOST`.
    Docker(String),
    /// A services file.
    File(PathBuf),
}

/// Everything `serve` needs to know, checked before a port is bound.
#[derive(Debug)]
pub struct Config {
    /// Where gRPC listens: xDS, the admin API, health and reflection.
    pub listen: SocketAddr,
    /// Where HTTP listens: the dashboard and `/metrics`.
    pub http_listen: SocketAddr,
    /// Who may change something there.
    pub access: admin::Access,
    /// How the dashboard is reached.
    pub dashboard: dashboard::Options,
    /// Where the facts come from.
    pub source: Source,
    /// What turns facts into configuration.
    pub publisher: Publisher,
    /// What the administrator says, if there is a file of it.
    pub policies: Option<PoliciesFile>,
    /// Where the last view is kept for a start without the source, if it is.
    pub state_file: Option<PathBuf>,
    /// How long the source may leave a view unconfirmed before the control plane calls itself not ready; zero is for ever.
    pub max_view_age: Duration,
    /// Where what is seen is recorded, if it is.
    pub record: Option<recording::Target>,
}

/// Runs the control plane until `stop` is cancelled.
///
/// # Errors
///
/// The port cannot be bound, or a part ended by itself: the first one that does takes the process with it, with its reason.
pub async fn serve(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let record = config.record.map(|target| target.open(config.publisher.settings())).transpose()?;
    let (recorder, writer) = record.unzip();
    let recorder = recorder.unwrap_or_default();
    let listener = bind(config.listen, "--listen")?;
    let http_listener = bind(config.http_listen, "--http-listen")?;
    info!(address = %listener.local_addr()?, source = ?config.source, "portolan serves xDS");
    info!("changes are accepted {}", config.access);
    // The parts stop on a token of their own, so that one that fails can take the others with it.
    let parts_stop = stop.child_token();
    let mut parts = JoinSet::new();
    let (outlet, inventories, freshness) = port(config.max_view_age);
    let timing = Timing::new(outlet.events());
    if let Some(writer) = writer {
        parts.spawn(writer.run(parts_stop.clone()));
    }
    let source = match config.source {
        Source::Docker(host) => {
            let provider = DockerProvider::new(&host)?.recorded(recorder.clone());
            start(&mut parts, provider, &outlet, &parts_stop)
        }
        Source::File(path) => start(&mut parts, FileProvider::new(path), &outlet, &parts_stop),
    };
    let decisions_file = config.state_file.as_deref().map(DecisionsFile::beside);
    let history = config.state_file.as_deref().map(HistoryFile::beside);
    let timeline = history.as_ref().map(HistoryFile::load).unwrap_or_default();
    if let Some(history) = history {
        parts.spawn(history.keep(timeline.clone(), parts_stop.clone()));
    }
    let (view_tx, view_rx) = watch::channel(None);
    let keeper = config.state_file.map(|path| Keeper::new(path, source));
    let kept = keeper.as_ref().map(|keeper| keeper.kept().to_vec()).unwrap_or_default();
    if let Some(keeper) = keeper {
        parts.spawn(keeper.run(outlet, inventories.clone(), view_rx.clone(), parts_stop.clone()));
    }
    let (snapshot_tx, snapshot_rx) = watch::channel(None);
    let overrides =
        OverridesSender::new(decisions_file.as_ref().map(DecisionsFile::load).unwrap_or_default());
    let control =
        admin::Control::service(inventories.clone(), view_rx.clone(), overrides.clone(), config.access);
    let decisions = overrides.subscribe();
    parts.spawn(overrides::keep(overrides.clone(), view_rx.clone(), decisions_file, parts_stop.clone()));
    let dashboard_inventories = inventories.clone();
    let publisher = config.publisher.recorded(recorder).keeping(&kept);
    let publisher = match config.policies {
        Some(file) => {
            let publisher = publisher.following(file.subscribe());
            parts.spawn(file.run(parts_stop.clone()));
            publisher
        }
        None => publisher,
    };
    parts.spawn(publisher.run(
        inventories,
        timing.clone(),
        overrides,
        view_tx,
        snapshot_tx,
        parts_stop.clone(),
    ));
    let identifier = format!("portolan {}", env!("CARGO_PKG_VERSION"));
    let xds = XdsService::new(snapshot_rx.clone(), Default::default(), &identifier, parts_stop.clone());
    let sources = Sources {
        views: view_rx,
        inventories: dashboard_inventories,
        decisions,
        clients: xds.clients(),
        freshness: freshness.clone(),
        timeline,
    };
    let registry = dashboard::registry(&xds, &timing, sources.clone());
    let dashboard_host = config.dashboard.host.clone();
    let inspect = admin::Inspect::service(sources.clone(), dashboard_host);
    parts.spawn(dashboard::serve(http_listener, registry, sources, config.dashboard, parts_stop.clone()));
    let routes = xds.routes().add_service(inspect).add_service(control);
    parts.spawn(serve_grpc(listener, routes, snapshot_rx, freshness, parts_stop.clone()));

    let ended = tokio::select! {
        // First: once it is asked for, parts that end are what was asked for.
        biased;
        () = stop.cancelled() => Ok(()),
        first = parts.join_next() => Err(why(first)),
    };
    parts_stop.cancel();
    let rest = async { while parts.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_DEADLINE, rest).await.is_err() {
        warn!("a part of the control plane does not stop and is cut off");
    }
    ended
}

fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    xds_server::listen(address).with_context(|| {
        format!("cannot listen on {address}; is another control plane running there? ({option} chooses another port)")
    })
}

/// Starts `provider`, and returns its name.
fn start<P: Provider>(
    parts: &mut JoinSet<anyhow::Result<()>>,
    provider: P,
    outlet: &Outlet,
    stop: &CancellationToken,
) -> &'static str {
    let name = provider.name();
    parts.spawn(provider.run(outlet.clone(), stop.clone()));
    name
}

/// The reason for which a part ended that should have gone on.
fn why(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Error {
    match ended {
        Some(Ok(Err(error))) => error,
        Some(Err(panic)) => anyhow::Error::new(panic).context("a part of the control plane panicked"),
        Some(Ok(Ok(()))) | None => anyhow::anyhow!("a part of the control plane ended unasked"),
    }
}

async fn serve_grpc(
    listener: TcpListener,
    routes: Routes,
    snapshots: SnapshotReceiver,
    freshness: Freshness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (reporter, health) = admin::health().await;
    let routes =
        routes.add_service(health).add_service(admin::reflection()).add_service(admin::reflection_v1alpha());
    tokio::select! {
        served = xds_server::serve(listener, routes, ServeOptions::default(), stop) => Ok(served?),
        () = admin::report(&reporter, snapshots, freshness) => Ok(()),
    }
}
