//! A control plane, an engine that it watches, and a client that takes what it is given.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::google::rpc::Status;
use portolan::policies::PoliciesFile;
use portolan::publish::Publisher;
use portolan::recording::Target;
use portolan::runtime::{Config, Source, serve};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use xds_server::Kind;

use crate::docker;
use crate::support;
use crate::support::engine::container;
use crate::support::living::Living;

/// Far longer than any step takes; only a step that never comes waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Where the shop takes connections as well.
const POLICIES: &str =
    "entry-points: { names: { listen: '0.0.0.0:9443', published: 993, protocol: tcp, tls: passthrough } }";
/// The service whose cluster the client refuses.
const REFUSED: &str = "shop/refused";

pub(crate) struct Plane {
    pub(crate) address: SocketAddr,
    /// Where the client's own pages are.
    pub(crate) edge: SocketAddr,
    pub(crate) engine: Arc<Living>,
    /// Where the engine is.
    pub(crate) docker_host: String,
    /// Where it keeps a recording, and its last view; and where `docker` is stood in for.
    pub(crate) folder: tempfile::TempDir,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    _stand_ins: [JoinSet<()>; 2],
}

impl Plane {
    /// One that watches the containers that the examples of `files` are about, once a client has all of it.
    pub(crate) async fn start(files: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let engine = Arc::new(Living::at(
            &socket,
            match files {
                "api" => of_this_system(),
                "plan" => of_a_small_shop(),
                _ => of_a_shop(),
            },
        ));
        let commands = docker::commands(&folder.path().join("commands.sock"), Arc::clone(&engine));
        let (edge, pages) = docker::envoy(Arc::clone(&engine));
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let docker_host = format!("unix://{}", socket.display());
        let policies = folder.path().join("portolan.yaml");
        std::fs::write(&policies, POLICIES).unwrap();
        let policies = (!matches!(files, "api" | "plan")).then_some(policies);
        let record = Target { folder: folder.path().join("recording"), limit: 1 << 20 };
        let config = Config {
            listen: address,
            access: portolan::admin::Access::Everyone,
            http_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dashboard: portolan::dashboard::Options { host: "dashboard.localhost".to_owned(), edge_port: 80 },
            source: Source::Docker(docker_host.clone()),
            publisher: Publisher::new(support::options(), support::edge()),
            policies: policies.map(|file| PoliciesFile::open(file).unwrap()),
            state_file: Some(folder.path().join("view")),
            max_view_age: Duration::from_secs(180),
            record: Some(record),
        };
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(config, stop.clone()));
        let (ready, mut is_ready) = mpsc::channel(1);
        tasks.spawn(client(address, ready));
        tokio::time::timeout(PATIENCE, is_ready.recv()).await.unwrap().unwrap();
        tokio::time::timeout(PATIENCE, exists(&folder.path().join("view"))).await.unwrap();
        Self { address, edge, engine, docker_host, folder, stop, tasks, _stand_ins: [commands, pages] }
    }

    /// Something changes, for those who follow.
    pub(crate) fn change(&self) {
        self.engine.change_all(|it| it["State"]["Health"] = json!({"Status": "healthy"}));
        self.engine.tell_all("health_status: healthy");
    }

    /// Something comes that the client refuses.
    pub(crate) fn be_refused(&self) {
        let labels = [("portolan.host", "refused.localhost")];
        self.engine.start(replica("shop", "refused", 1, "shop_edge", "172.20.0.9", &labels));
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        tokio::time::timeout(PATIENCE, ended).await.unwrap();
    }
}

async fn exists(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Takes everything but one, and acknowledges it, as an Envoy does.
async fn client(address: SocketAddr, ready: mpsc::Sender<()>) -> anyhow::Result<()> {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?;
    let channel = loop {
        match endpoint.connect().await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let (requests, receiver) = mpsc::channel(64);
    let kinds = [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route];
    for kind in kinds.into_iter().filter(|kind| *kind != Kind::Endpoint) {
        let node = Some(Node { id: "edge".to_owned(), ..Default::default() });
        let everything = vec!["*".to_owned()];
        let type_url = kind.type_url().to_owned();
        requests
            .send(DeltaDiscoveryRequest {
                node,
                type_url,
                resource_names_subscribe: everything,
                ..Default::default()
            })
            .await?;
    }
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let mut answers = client.delta_aggregated_resources(ReceiverStream::new(receiver)).await?.into_inner();
    let mut missing = kinds.map(Kind::type_url).to_vec();
    while let Ok(Some(answer)) = answers.message().await {
        if answer.type_url == Kind::Cluster.type_url() {
            let resource_names_subscribe =
                answer.resources.iter().map(|cluster| cluster.name.clone()).collect();
            let type_url = Kind::Endpoint.type_url().to_owned();
            requests
                .send(DeltaDiscoveryRequest { type_url, resource_names_subscribe, ..Default::default() })
                .await?;
        }
        let is_refused = answer.type_url == Kind::Cluster.type_url()
            && answer.resources.iter().any(|cluster| cluster.name == REFUSED);
        let acknowledged = DeltaDiscoveryRequest {
            type_url: answer.type_url.clone(),
            response_nonce: answer.nonce,
            error_detail: is_refused
                .then(|| Status { message: format!("no {REFUSED} here"), ..Default::default() }),
            ..Default::default()
        };
        requests.send(acknowledged).await?;
        missing.retain(|url| *url != answer.type_url);
        if missing.is_empty() {
            // Only the first time somebody waits.
            let _ = ready.try_send(());
        }
    }
    Ok(())
}

/// A running replica that is healthy.
fn replica(
    project: &str,
    service: &str,
    number: u32,
    network: &str,
    address: &str,
    labels: &[(&str, &str)],
) -> Value {
    let mut it = container(service, address, labels);
    it["Id"] = json!(format!(
        "{:0<64}",
        format!("{project}{service}{number}").replace(|letter: char| !letter.is_ascii_hexdigit(), "a")
    ));
    it["Name"] = json!(format!("/{project}-{service}-{number}"));
    it["HostConfig"]["NetworkMode"] = json!(network);
    it["NetworkSettings"]["Networks"] = json!({network: {"IPAddress": address}});
    it["State"]["Health"] = json!({"Status": "healthy"});
    it["Config"]["Labels"]["com.docker.compose.project"] = json!(project);
    it["Config"]["Labels"]["com.docker.compose.container-number"] = json!(number.to_string());
    it
}

/// The project of compose.yml, of which a frontend is not well.
fn of_this_system() -> Vec<Value> {
    let network = "portolan_frontends";
    let frontend = |number, address: &str| {
        replica("portolan", "frontend", number, network, address, &[("portolan.host", "frontend.localhost")])
    };
    let mut sick = frontend(2, "172.20.0.6");
    sick["State"]["Health"]["Status"] = json!("unhealthy");
    let envoy = replica("portolan", "envoy", 1, network, "172.20.0.2", &[("portolan.proxy", "true")]);
    vec![envoy, frontend(1, "172.20.0.5"), sick]
}

/// A shop that is about to grow.
fn of_a_small_shop() -> Vec<Value> {
    let mut all = of_a_shop();
    all.truncate(2);
    all[1]["Config"]["Labels"].as_object_mut().unwrap().remove("portolan.version");
    all
}

/// The shop that most examples are about.
fn of_a_shop() -> Vec<Value> {
    let network = "shop_edge";
    let of = |service: &str, number, address: &str, labels: &[(&str, &str)]| {
        replica("shop", service, number, network, address, labels)
    };
    let web = |number, address: &str, version: &str| {
        of("web", number, address, &[("portolan.host", "shop.localhost"), ("portolan.version", version)])
    };
    let frontend =
        |number, address: &str| of("frontend", number, address, &[("portolan.host", "frontend.localhost")]);
    vec![
        of("envoy", 1, "172.20.0.2", &[("portolan.proxy", "true")]),
        web(1, "172.20.0.3", "v1"),
        web(2, "172.20.0.4", "v2"),
        frontend(1, "172.20.0.5"),
        frontend(2, "172.20.0.6"),
        of(
            "mail",
            1,
            "172.20.0.7",
            &[
                ("portolan.protocol", "tcp"),
                ("portolan.listen", "names"),
                ("portolan.host", "mail.localhost"),
            ],
        ),
    ]
}
