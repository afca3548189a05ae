//! The inner part of a control plane that is recorded, and what it lives through.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portolan::docker::DockerProvider;
use portolan::inventory::WorkloadId;
use portolan::overrides::{OverridesSender, Weight};
use portolan::policies::PoliciesFile;
use portolan::provider::{Provider, port};
use portolan::publish::{Publisher, View, ViewReceiver};
use portolan::recording::Target;
use portolan::timing::Timing;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use xds_server::{Kind, Snapshot};

use crate::support;
use crate::support::engine::container;
use crate::support::living::Living;

/// Far longer than any step takes; only a step that never comes waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Stands wherever a secret may stand that must not get into a recording.
pub(crate) const SECRET: &str = "hunter2-hunter2";

/// All bytes of a snapshot, by type and name.
pub(crate) type Bytes = BTreeMap<(String, String), Vec<u8>>;

pub(crate) fn bytes(snapshot: &Snapshot) -> Bytes {
    let of_kind = |kind: Kind| {
        let all = snapshot.section(kind).values();
        all.map(move |resource| ((kind.to_string(), resource.name().to_string()), resource.body().to_vec()))
    };
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

/// The inner part of a control plane, with a recording.
pub(crate) struct Plane {
    pub(crate) views: ViewReceiver,
    pub(crate) decisions: OverridesSender,
    pub(crate) recording: PathBuf,
    /// What was served at each step that was waited for, by version.
    pub(crate) served: BTreeMap<String, Bytes>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<anyhow::Result<()>>,
}

impl Plane {
    pub(crate) fn start(folder: &Path, publisher: Publisher, limit: u64) -> Self {
        let policies = folder.join("portolan.yaml");
        let policies = policies.exists().then_some(policies);
        let target = Target { folder: folder.join("recording"), limit };
        let (recorder, writer) = target.open(publisher.settings()).unwrap();
        let recording = writer.path().clone();
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(writer.run(stop.clone()));
        let mut publisher = publisher.recorded(recorder.clone());
        if let Some(path) = policies {
            let file = PoliciesFile::open(path).unwrap();
            publisher = publisher.following(file.subscribe());
            tasks.spawn(file.run(stop.clone()));
        }
        let (outlet, inventories, _) = port(Duration::ZERO);
        let timing = Timing::new(outlet.events());
        let host = format!("unix://{}", folder.join("docker.sock").display());
        let provider = DockerProvider::new(&host).unwrap().recorded(recorder);
        tasks.spawn(provider.run(outlet, stop.clone()));
        let (views_tx, views) = watch::channel(None);
        let decisions = OverridesSender::default();
        let snapshots = watch::Sender::new(None);
        tasks.spawn(publisher.run(inventories, timing, decisions.clone(), views_tx, snapshots, stop.clone()));
        Self { views, decisions, recording, served: BTreeMap::new(), stop, tasks }
    }

    /// Waits for a view, and remembers what is served then.
    pub(crate) async fn until(&mut self, is: impl Fn(&View) -> bool) -> Arc<View> {
        let seen = self.views.wait_for(|view| view.as_ref().is_some_and(|view| is(view)));
        let view = tokio::time::timeout(PATIENCE, seen).await.unwrap().unwrap().clone().unwrap();
        self.served.insert(view.snapshot.version().to_string(), bytes(&view.snapshot));
        view
    }

    pub(crate) async fn stop(mut self) -> (PathBuf, BTreeMap<String, Bytes>) {
        self.stop.cancel();
        while let Some(ended) = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await.unwrap() {
            ended.unwrap().unwrap();
        }
        (self.recording, self.served)
    }
}

pub(crate) fn publisher() -> Publisher {
    Publisher::new(support::options(), support::edge())
}

/// Addresses of a service, in order.
pub(crate) fn endpoints(view: &View, service: &str) -> Vec<String> {
    let services = view.model.topology.services.iter();
    let of_it = services.filter(|(name, _)| &*name.0 == service).flat_map(|(_, service)| &service.endpoints);
    of_it.map(|endpoint| format!("{} {:?}", endpoint.address, endpoint.state)).collect()
}

/// A replica of the service `web`, with all that may hold a secret.
pub(crate) fn web(number: u32, address: &str) -> Value {
    let mut web =
        container("web", address, &[("portolan.host", "web.localhost"), ("org.acme.token", SECRET)]);
    web["Id"] = json!(format!("web-{number}"));
    web["Name"] = json!(format!("/shop-web-{number}"));
    web["Args"] = json!([SECRET]);
    web["Path"] = json!(SECRET);
    web["Mounts"] = json!([{"Type": "bind", "Source": SECRET, "Destination": "/x"}]);
    let config = &mut web["Config"];
    config["Labels"]["com.docker.compose.container-number"] = json!(number.to_string());
    config["Labels"]["com.docker.compose.project.working_dir"] = json!(SECRET);
    config["Env"] = json!([format!("PASSWORD={SECRET}")]);
    config["Cmd"] = json!([SECRET]);
    config["Entrypoint"] = json!([SECRET]);
    web["State"]["Health"] = json!({"Status": "healthy", "Log": [{"Output": SECRET}]});
    web
}

pub(crate) fn envoy() -> Value {
    container("envoy", "10.0.0.2", &[("portolan.proxy", "true")])
}

pub(crate) fn is_ready(view: &View, address: &str) -> bool {
    endpoints(view, "shop/web").contains(&format!("{address}:8080 Ready"))
}

/// Many changes of all kinds, one after the other.
pub(crate) async fn live_through(folder: &Path, publisher: Publisher) -> (PathBuf, BTreeMap<String, Bytes>) {
    let engine = Living::at(&folder.join("docker.sock"), vec![envoy(), web(1, "10.0.0.3")]);
    let mut plane = Plane::start(folder, publisher, 1 << 20);
    plane.until(|view| is_ready(view, "10.0.0.3")).await;
    // It comes without an address, and no event tells when it gets one.
    engine.start(web(2, ""));
    plane.until(|view| view.model.topology.services.values().any(|service| service.absent.len() == 1)).await;
    engine.put(web(2, "10.0.0.4"));
    plane.until(|view| is_ready(view, "10.0.0.4")).await;
    engine.tell("kill", "web-1", Some("15"));
    plane.until(|view| endpoints(view, "shop/web").contains(&"10.0.0.3:8080 Draining".to_owned())).await;
    engine.remove("web-1");
    engine.tell("die", "web-1", None);
    engine.tell("destroy", "web-1", None);
    plane.until(|view| endpoints(view, "shop/web") == ["10.0.0.4:8080 Ready"]).await;
    // One that claims what the other has: the older one keeps it.
    engine.start(container(
        "rival",
        "10.0.0.5",
        &[("portolan.host", "web.localhost"), ("portolan.pth", "/x")],
    ));
    plane.until(|view| !view.model.problems.is_empty()).await;
    plane.decisions.send_modify(|decisions| {
        decisions.drained.insert(WorkloadId("web-2".into()));
        decisions.set_weight("shop/web", "v2", Weight { share: 7, end: None });
    });
    plane.until(|view| endpoints(view, "shop/web") == ["10.0.0.4:8080 Draining"]).await;
    plane.decisions.send_modify(|decisions| decisions.drained.clear());
    plane.until(|view| is_ready(view, "10.0.0.4")).await;
    // Nothing tells of this one but the list after the cut.
    engine.put(web(3, "10.0.0.6"));
    engine.cut();
    plane.until(|view| is_ready(view, "10.0.0.6")).await;
    engine.change("web-3", |it| it["State"]["Health"]["Status"] = json!("unhealthy"));
    engine.tell("health_status: unhealthy", "web-3", None);
    plane.until(|view| !is_ready(view, "10.0.0.6")).await;
    plane.stop().await
}
