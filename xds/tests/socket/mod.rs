//! A server on a real socket, and clients that speak to it in the protocol's own messages.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use xds_server::session::Settings;
use xds_server::{Kind, ServeOptions, Snapshot, SnapshotReceiver, XdsService, serve};

/// No step of a test takes this long, unless it hangs.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits for `future`, and never for ever.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it hangs")
}

/// Looks until `condition` holds.
pub async fn until(condition: impl Fn() -> bool) {
    let look = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(look).await;
}

pub type SnapshotSender = watch::Sender<Option<Arc<Snapshot>>>;

/// A running server. It ends with this.
pub struct Server {
    pub address: SocketAddr,
    pub xds: XdsService,
    pub snapshots: SnapshotSender,
    pub stop: CancellationToken,
    pub tasks: JoinSet<()>,
}

impl Server {
    pub async fn start(snapshot: &Arc<Snapshot>) -> Self {
        Self::with(Some(snapshot), Settings::default(), ServeOptions::default()).await
    }

    pub async fn with(snapshot: Option<&Arc<Snapshot>>, settings: Settings, options: ServeOptions) -> Self {
        let (snapshots, receiver) = watch::channel(snapshot.cloned());
        Self::over(snapshots, receiver, settings, options).await
    }

    pub async fn over(
        snapshots: SnapshotSender,
        source: impl xds_server::SnapshotSource,
        settings: Settings,
        options: ServeOptions,
    ) -> Self {
        let stop = CancellationToken::new();
        let xds = XdsService::new(source, settings, "the tests", stop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let (routes, stopped) = (xds.routes(), stop.clone());
        tasks.spawn(async move { serve(listener, routes, options, stopped).await.unwrap() });
        Self { address, xds, snapshots, stop, tasks }
    }

    pub fn publish(&self, snapshot: &Arc<Snapshot>) {
        self.snapshots.send_replace(Some(Arc::clone(snapshot)));
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap()
    }

    pub async fn channel(&self) -> Channel {
        soon(self.endpoint().connect()).await.unwrap()
    }

    pub async fn delta(&self) -> DeltaStream {
        DeltaStream::open(self.channel().await).await
    }

    pub async fn sotw(&self) -> SotwStream {
        SotwStream::open(self.channel().await).await
    }

    /// Everything that was counted, as Prometheus reads it.
    pub fn metrics(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        self.xds.metrics().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }
}

pub type SnapshotSource = SnapshotReceiver;

/// One aggregated delta stream.
pub struct DeltaStream {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    pub responses: Streaming<DeltaDiscoveryResponse>,
}

impl DeltaStream {
    pub async fn open(channel: Channel) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let answer = soon(client.delta_aggregated_resources(ReceiverStream::new(receiver))).await.unwrap();
        Self { requests, responses: answer.into_inner() }
    }

    pub async fn send(&self, request: DeltaDiscoveryRequest) {
        soon(self.requests.send(request)).await.unwrap();
    }

    pub async fn next(&mut self) -> Result<Option<DeltaDiscoveryResponse>, Status> {
        soon(self.responses.message()).await
    }

    /// The next response, which must come.
    pub async fn response(&mut self) -> DeltaDiscoveryResponse {
        self.next().await.unwrap().expect("the stream is open")
    }

    pub async fn subscribe(&self, kind: Kind, names: &[&str]) {
        self.send(delta_request(kind, names)).await;
    }

    pub async fn ack(&self, response: &DeltaDiscoveryResponse) {
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..Default::default()
        })
        .await;
    }

    pub async fn nack(&self, response: &DeltaDiscoveryResponse, reason: &str) {
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: Some(refusal(reason)),
            ..Default::default()
        })
        .await;
    }
}

/// One aggregated state-of-the-world stream.
pub struct SotwStream {
    requests: mpsc::Sender<DiscoveryRequest>,
    pub responses: Streaming<DiscoveryResponse>,
}

impl SotwStream {
    pub async fn open(channel: Channel) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let answer = soon(client.stream_aggregated_resources(ReceiverStream::new(receiver))).await.unwrap();
        Self { requests, responses: answer.into_inner() }
    }

    pub async fn send(&self, request: DiscoveryRequest) {
        soon(self.requests.send(request)).await.unwrap();
    }

    pub async fn response(&mut self) -> DiscoveryResponse {
        soon(self.responses.message()).await.unwrap().expect("the stream is open")
    }

    pub async fn want(&self, kind: Kind, names: &[&str]) {
        self.send(sotw_request(kind, names)).await;
    }

    pub async fn ack(&self, response: &DiscoveryResponse, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.send(DiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            version_info: response.version_info.clone(),
            resource_names: names,
            ..Default::default()
        })
        .await;
    }
}

pub fn node(id: &str) -> Option<Node> {
    Some(Node { id: id.into(), ..Default::default() })
}

/// A first request from the node `tested`.
pub fn delta_request(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: node("tested"),
        type_url: kind.type_url().into(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

/// A first request from the node `tested`.
pub fn sotw_request(kind: Kind, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        node: node("tested"),
        type_url: kind.type_url().into(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

pub fn refusal(reason: &str) -> envoy_types::pb::google::rpc::Status {
    envoy_types::pb::google::rpc::Status { code: 13, message: reason.into(), ..Default::default() }
}

/// The names in a delta response.
pub fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}
