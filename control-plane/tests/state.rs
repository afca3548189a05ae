//! A whole control plane that starts while Docker is away, from what an earlier one has saved.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use portolan::admin::pb::inspect_service_client::InspectServiceClient;
use portolan::admin::pb::{GetViewRequest, GetViewResponse};
use portolan::publish::Publisher;
use portolan::runtime::{Config, Source, serve};
use support::engine::{container, engine};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Far longer than any step takes; only a step that never comes waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A control plane in this process.
struct Plane {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Plane {
    fn start(folder: &Path) -> Self {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, stop) = (free(), CancellationToken::new());
        let config = Config {
            listen: address,
            access: portolan::admin::Access::Everyone,
            http_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dashboard: portolan::dashboard::Options {
                host: "dashboard.localhost".to_owned(),
                edge_port: 8080,
            },
            source: Source::Docker(format!("unix://{}", folder.join("docker.sock").display())),
            publisher: Publisher::new(support::options(), support::edge()),
            policies: None,
            state_file: Some(folder.join("state")),
            max_view_age: Duration::from_secs(180),
            record: None,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(config, stop.clone()));
        Self { address, stop, tasks }
    }

    async fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        tonic::transport::Endpoint::from_shared(format!("http://{}", self.address))?.connect().await
    }

    /// The view, once it is as wanted; with what the health check says of it.
    async fn until(&self, is: impl Fn(&GetViewResponse) -> bool) -> (GetViewResponse, ServingStatus) {
        let seen = async {
            loop {
                if let Ok(channel) = self.channel().await
                    && let Ok(view) =
                        InspectServiceClient::new(channel.clone()).get_view(GetViewRequest::default()).await
                    && is(view.get_ref())
                {
                    let health =
                        HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
                    return (view.into_inner(), health.into_inner().status());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.unwrap()
    }

    async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.tasks.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    }
}

fn addresses(view: &GetViewResponse) -> Vec<&str> {
    view.services
        .iter()
        .flat_map(|service| &service.endpoints)
        .map(|endpoint| endpoint.address.as_str())
        .collect()
}

#[tokio::test]
async fn a_restart_while_docker_is_away_serves_what_was_served_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let envoy = container("envoy", "10.0.0.2", &[("portolan.proxy", "true")]);
    let web = |address| container("web", address, &[("portolan.host", "web.localhost")]);

    let docker = engine(&socket, vec![envoy.clone(), web("10.0.0.3")]);
    let plane = Plane::start(folder.path());
    let (before, _) = plane.until(|view| !view.stale).await;
    assert_eq!(addresses(&before), ["10.0.0.3:8080"]);
    assert!(before.age.is_some());
    plane.stop().await;

    drop(docker);
    std::fs::remove_file(&socket).unwrap();
    let plane = Plane::start(folder.path());
    let (saved, health) = plane.until(|_| true).await;
    assert_eq!(saved.snapshot_version, before.snapshot_version, "Envoy notices nothing");
    assert_eq!((saved.stale, saved.age, health), (true, None, ServingStatus::NotServing));

    let _docker = engine(&socket, vec![envoy, web("10.0.0.4")]);
    let (real, _) = plane.until(|view| !view.stale).await;
    assert_eq!(addresses(&real), ["10.0.0.4:8080"]);
    plane.stop().await;
}
