//! A whole control plane that starts from what an earlier one has saved.
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
use support::living::Living;
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
                    && let Ok(view) = InspectServiceClient::new(channel.clone())
                        .get_view(GetViewRequest { containers: true })
                        .await
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

#[tokio::test]
async fn a_restart_keeps_how_a_service_is_asked_where_nobody_says_so_rightly() {
    let shadow = |id: &str, requests: &str| {
        let labels = [("portolan.enable", "true"), ("portolan.max-requests", requests)];
        let mut shadow = container("shadow", "10.0.0.5", &labels);
        shadow["Id"] = id.into();
        shadow
    };
    let folder = tempfile::tempdir().unwrap();
    let envoy = container("envoy", "10.0.0.2", &[("portolan.proxy", "true")]);
    let before = vec![envoy, old(&[("portolan.mirror", "shadow:50%")]), shadow("id-of-shadow", "7")];
    let docker = Living::at(&folder.path().join("docker.sock"), before);
    let remove = |id: &str| {
        docker.remove(id);
        docker.tell("destroy", id, None);
    };
    let is_there = |view: &GetViewResponse, id: &str| view.containers.iter().any(|each| each.id == id);

    let plane = Plane::start(folder.path());
    plane.until(|view| !view.stale && is_there(view, "id-of-shadow")).await;
    docker.start(shadow("id-of-the-faulty", "few"));
    remove("id-of-shadow");
    let replaced =
        |view: &GetViewResponse| is_there(view, "id-of-the-faulty") && !is_there(view, "id-of-shadow");
    let (faulty, _) = plane.until(replaced).await;
    plane.stop().await;
    restarted_as(folder.path(), &faulty).await;

    // And when the last of them is gone, and a route that is kept sends it copies still.
    let plane = Plane::start(folder.path());
    docker.start(next(&[("portolan.host", "old.localhost"), ("portolan.timeout", "soon")]));
    ["id-of-web", "id-of-the-faulty"].into_iter().for_each(remove);
    let gone = |view: &GetViewResponse| {
        is_there(view, "id-of-the-next")
            && !["id-of-web", "id-of-the-faulty"].iter().any(|id| is_there(view, id))
    };
    let (gone, _) = plane.until(gone).await;
    plane.stop().await;
    restarted_as(folder.path(), &gone).await;
}

/// A control plane that is started again, and again, serves what it did.
async fn restarted_as(folder: &Path, before: &GetViewResponse) {
    for _ in 0..2 {
        let plane = Plane::start(folder);
        let (after, _) = plane.until(|view| !view.stale).await;
        assert_eq!(after.snapshot_version, before.snapshot_version, "Envoy notices nothing");
        plane.stop().await;
    }
}

/// The container of `web` that is there first.
fn old(labels: &[(&str, &str)]) -> serde_json::Value {
    container("web", "10.0.0.3", &[labels, &[("portolan.host", "old.localhost")]].concat())
}

/// A container of `web` that takes the place of the one before.
fn next(labels: &[(&str, &str)]) -> serde_json::Value {
    let mut next = container("web", "10.0.0.4", labels);
    next["Id"] = "id-of-the-next".into();
    next
}

#[tokio::test]
async fn a_restart_keeps_the_route_of_an_edited_service_until_its_replacement_is_ready() {
    let mut replacement = next(&[("portolan.host", "new.localhost")]);
    replacement["State"]["Health"] = serde_json::json!({"Status": "starting"});
    let mut ready = replacement.clone();
    ready["State"]["Health"]["Status"] = "healthy".into();
    over_a_restart(vec![old(&[])], replacement, &["new.localhost", "old.localhost"], ready).await;
}

#[tokio::test]
async fn a_restart_keeps_the_last_good_route_of_a_faulty_label() {
    let faulty = next(&[("portolan.host", "old.localhost"), ("portolan.timeout", "soon")]);
    let mended = next(&[("portolan.host", "new.localhost"), ("portolan.timeout", "5s")]);
    over_a_restart(vec![old(&[])], faulty, &["old.localhost"], mended).await;
}

#[tokio::test]
async fn a_restart_keeps_the_copies_that_a_kept_route_sends() {
    let shadow = container("shadow", "10.0.0.5", &[("portolan.enable", "true")]);
    let before = vec![old(&[("portolan.mirror", "shadow:50%")]), shadow];
    let faulty = next(&[("portolan.host", "old.localhost"), ("portolan.timeout", "soon")]);
    let mended = next(&[("portolan.host", "new.localhost")]);
    over_a_restart(before, faulty, &["old.localhost"], mended).await;
}

/// A control plane that has seen the containers `before`, one of them at `old.localhost`, and then another one in its
/// place, serves what it did when it is started again, and again, and the hosts of `kept`; until `mended` comes, which is
/// at `new.localhost` alone.
async fn over_a_restart(
    before: Vec<serde_json::Value>,
    edited: serde_json::Value,
    kept: &[&str],
    mended: serde_json::Value,
) {
    let hosts = |view: &GetViewResponse| -> Vec<String> {
        view.routes.iter().map(|route| route.host.clone()).collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let envoy = container("envoy", "10.0.0.2", &[("portolan.proxy", "true")]);
    let docker = Living::at(&socket, [vec![envoy.clone()], before].concat());
    let plane = Plane::start(folder.path());
    plane.until(|view| hosts(view) == ["old.localhost"]).await;
    // As Compose does it: the next one is there before the last one is gone.
    docker.start(edited.clone());
    let is_there = |view: &GetViewResponse, id: &str| view.containers.iter().any(|each| each.id == id);
    plane.until(|view| is_there(view, "id-of-the-next")).await;
    docker.remove("id-of-web");
    docker.tell("destroy", "id-of-web", None);
    let is_gone =
        |view: &GetViewResponse| !is_there(view, "id-of-web") && !addresses(view).contains(&"10.0.0.3:8080");
    let (before, _) = plane.until(is_gone).await;
    assert_eq!(hosts(&before), kept);
    plane.stop().await;

    restarted_as(folder.path(), &before).await;

    drop(docker);
    let _docker = engine(&socket, vec![envoy, mended]);
    let plane = Plane::start(folder.path());
    let (after, _) = plane.until(|view| !view.stale).await;
    assert_eq!(hosts(&after), ["new.localhost"], "nothing is kept for ever");
    plane.stop().await;
}
