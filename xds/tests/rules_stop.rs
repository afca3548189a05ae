//! The end of a stream, on a real socket.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use futures::{StreamExt, stream};
use support::*;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use xds_server::{Kind, XdsService};

/// Only a hang takes longer.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn r27_a_stream_on_which_there_was_nothing_to_say_ends_at_the_stop() {
    let one = snapshot([cluster("a", 1)]);
    let (_snapshots, source) = watch::channel(Some(one.clone()));
    let stop = CancellationToken::new();
    let xds = XdsService::new(source, Default::default(), "the tests", stop.clone());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(Server::builder().add_routes(xds.routes()).serve_with_incoming(TcpIncoming::from(listener)));

    // A client that comes back, and has the newest version already.
    let kept = ("a".to_owned(), version(&one, Kind::Cluster, "a"));
    let request = DeltaDiscoveryRequest {
        node: Some(Node { id: "returning".to_owned(), ..Default::default() }),
        type_url: Kind::Cluster.type_url().to_owned(),
        initial_resource_versions: [kept].into(),
        ..Default::default()
    };
    let mut client = AggregatedDiscoveryServiceClient::connect(format!("http://{address}")).await.unwrap();
    let requests = stream::iter([request]).chain(stream::pending());
    let mut responses = client.delta_aggregated_resources(requests).await.unwrap().into_inner();
    let asked = async {
        while xds.clients().list().iter().all(|client| client.types.is_empty()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LIMIT, asked).await.unwrap();

    stop.cancel();
    let end = timeout(LIMIT, responses.message()).await.expect("the stream ends");
    assert!(end.unwrap().is_none(), "without a word, and without an error");
}
