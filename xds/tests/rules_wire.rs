//! The rules about the wire, one test each, against the service on a real socket. The number is the rule's.
#![allow(missing_docs, clippy::unwrap_used)]

mod socket;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::envoy::service::endpoint::v3::endpoint_discovery_service_client::EndpointDiscoveryServiceClient;
use socket::*;
use support::{after, cluster, endpoints, snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use xds_server::session::Settings;
use xds_server::{Kind, ServeOptions, Snapshot, SnapshotReceiver};

fn two_clusters() -> Arc<Snapshot> {
    snapshot([cluster("a", 1), cluster("b", 1), endpoints("a", 1), endpoints("b", 1)])
}

#[tokio::test]
async fn r01_every_delta_response_has_a_new_nonce_its_type_and_each_resource_once_with_its_version() {
    let one = two_clusters();
    let server = Server::start(&one).await;
    let mut stream = server.delta().await;
    stream.subscribe(Kind::Cluster, &[]).await;
    let first = stream.response().await;
    assert_eq!(first.type_url, Kind::Cluster.type_url());
    assert_eq!(names(&first), ["a", "b"]);
    for resource in &first.resources {
        let expected = one.get(Kind::Cluster, &resource.name).unwrap();
        assert_eq!(resource.version, expected.version().to_string());
        let any = resource.resource.as_ref().unwrap();
        assert_eq!((any.type_url.as_str(), &*any.value), (Kind::Cluster.type_url(), expected.body()));
    }
    stream.ack(&first).await;
    server.publish(&after(&one, [cluster("a", 2), cluster("b", 1)]));
    let second = stream.response().await;
    assert_ne!(first.nonce, second.nonce);
    assert_ne!(second.nonce, second.system_version_info, "a nonce counts, a version does not");
    assert_eq!(names(&second), ["a"]);
}

#[tokio::test]
async fn r01_every_sotw_response_has_a_new_nonce_and_its_type() {
    let server = Server::start(&two_clusters()).await;
    let mut stream = server.sotw().await;
    let mut nonces = BTreeSet::new();
    for (kind, wanted) in [(Kind::Cluster, &[][..]), (Kind::Endpoint, &["a", "b"])] {
        stream.want(kind, wanted).await;
        let response = stream.response().await;
        assert_eq!(response.type_url, kind.type_url());
        assert_eq!(response.resources.len(), 2);
        assert!(response.resources.iter().all(|any| any.type_url == kind.type_url()));
        assert!(nonces.insert(response.nonce));
    }
}

/// Counts how often it is asked, and for whom.
#[derive(Debug)]
struct Asked(SnapshotReceiver, Arc<AtomicUsize>);

impl xds_server::SnapshotSource for Asked {
    fn for_node(&self, node: &Node) -> SnapshotReceiver {
        assert_eq!(node.id, "once");
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.clone()
    }
}

#[tokio::test]
async fn r02_the_node_of_the_first_request_is_kept_whatever_type_that_was_about() {
    let (sender, receiver) = tokio::sync::watch::channel(Some(two_clusters()));
    let asked = Arc::new(AtomicUsize::new(0));
    let source = Asked(receiver, Arc::clone(&asked));
    let server = Server::over(sender, source, Settings::default(), ServeOptions::default()).await;
    let mut stream = server.delta().await;
    stream.send(DeltaDiscoveryRequest { node: node("once"), ..delta_request(Kind::Endpoint, &["a"]) }).await;
    stream.response().await;
    stream.send(DeltaDiscoveryRequest { node: None, ..delta_request(Kind::Cluster, &[]) }).await;
    stream.response().await;
    assert_eq!(server.xds.clients().list()[0].node.as_ref().unwrap().id, "once");
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the source is asked once a stream");
}

#[tokio::test]
async fn r03_versions_are_equal_on_every_stream_in_every_protocol_and_after_a_restart() {
    let mut versions = BTreeSet::new();
    for _ in 0..2 {
        let server = Server::start(&two_clusters()).await;
        for _ in 0..2 {
            let mut stream = server.delta().await;
            stream.subscribe(Kind::Cluster, &[]).await;
            let response = stream.response().await;
            let each: Vec<_> = response.resources.iter().map(|resource| resource.version.clone()).collect();
            versions.insert((response.system_version_info, each));
        }
    }
    assert_eq!(versions.len(), 1, "{versions:?}");
    let mut sotw = BTreeSet::new();
    for _ in 0..2 {
        let server = Server::start(&two_clusters()).await;
        let mut stream = server.sotw().await;
        stream.want(Kind::Cluster, &[]).await;
        sotw.insert(stream.response().await.version_info);
    }
    assert_eq!(sotw.len(), 1, "{sotw:?}");
}

#[tokio::test]
async fn r04_an_unknown_type_is_ignored_and_the_stream_goes_on() {
    let server = Server::start(&two_clusters()).await;
    let mut stream = server.delta().await;
    let unknown = "type.googleapis.com/envoy.config.of.tomorrow.v4.Thing";
    stream
        .send(DeltaDiscoveryRequest { type_url: unknown.into(), ..delta_request(Kind::Cluster, &[]) })
        .await;
    stream.subscribe(Kind::Cluster, &[]).await;
    assert_eq!(stream.response().await.type_url, Kind::Cluster.type_url());
    let mut stream = server.sotw().await;
    stream.send(DiscoveryRequest { type_url: unknown.into(), ..sotw_request(Kind::Cluster, &[]) }).await;
    stream.want(Kind::Cluster, &[]).await;
    assert_eq!(stream.response().await.type_url, Kind::Cluster.type_url());
}

#[tokio::test]
async fn r04_no_type_is_an_error_on_the_aggregated_service_and_the_service_s_own_on_another() {
    let server = Server::start(&two_clusters()).await;
    let mut stream = server.delta().await;
    let nameless = DeltaDiscoveryRequest { type_url: String::new(), ..delta_request(Kind::Endpoint, &["a"]) };
    stream.send(nameless.clone()).await;
    let status = stream.next().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("type_url"), "{status}");

    let mut client = EndpointDiscoveryServiceClient::new(server.channel().await);
    let mut responses = soon(client.delta_endpoints(requests(nameless))).await.unwrap().into_inner();
    let response = soon(responses.message()).await.unwrap().unwrap();
    assert_eq!((names(&response), response.type_url.as_str()), (vec!["a"], Kind::Endpoint.type_url()));

    let mut client = EndpointDiscoveryServiceClient::new(server.channel().await);
    let other = soon(client.delta_endpoints(requests(delta_request(Kind::Cluster, &[])))).await.unwrap();
    let status = soon(other.into_inner().message()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "another type than the service's: {status}");
}

/// One request, and then silence.
fn requests<T: Send + 'static>(first: T) -> impl futures::Stream<Item = T> + Send + 'static {
    futures::StreamExt::chain(futures::stream::once(std::future::ready(first)), futures::stream::pending())
}

#[tokio::test]
async fn r05_every_response_names_the_instance() {
    let server = Server::start(&two_clusters()).await;
    let mut delta = server.delta().await;
    delta.subscribe(Kind::Cluster, &[]).await;
    assert_eq!(delta.response().await.control_plane.unwrap().identifier, "the tests");
    let mut sotw = server.sotw().await;
    sotw.want(Kind::Cluster, &[]).await;
    assert_eq!(sotw.response().await.control_plane.unwrap().identifier, "the tests");
}

/// A load assignment so large that it does not fit into the windows of a client that does not read.
fn large(revision: usize) -> xds_server::Resource {
    endpoints("a", 40_000 + revision)
}

#[tokio::test]
async fn r26_a_client_that_never_reads_costs_one_response_and_holds_up_nobody() {
    let mut last = snapshot([large(0)]);
    let server = Server::start(&last).await;
    let mut good = server.delta().await;
    good.subscribe(Kind::Endpoint, &["a"]).await;
    let first = good.response().await;
    good.ack(&first).await;
    let small = server.endpoint().initial_stream_window_size(1_024).initial_connection_window_size(70_000);
    let mut stuck = DeltaStream::open(soon(small.connect()).await.unwrap()).await;
    let request = DeltaDiscoveryRequest { node: node("stuck"), ..delta_request(Kind::Endpoint, &["a"]) };
    stuck.send(request).await;
    let sent = || server.metrics().contains("xds_responses_total{type=\"endpoint\"} 2");
    until(sent).await;
    for revision in 1..=20 {
        last = after(&last, [large(revision)]);
        server.publish(&last);
        let response = good.response().await;
        assert_eq!(
            response.resources[0].version,
            last.get(Kind::Endpoint, "a").unwrap().version().to_string()
        );
        good.ack(&response).await;
    }
    assert!(server.metrics().contains("xds_responses_total{type=\"endpoint\"} 22"), "{}", server.metrics());
    // It begins to read: what was on its way, and then the newest, and nothing that lies between.
    let old = stuck.response().await;
    assert_eq!(old.resources[0].version, first.resources[0].version);
    stuck.ack(&old).await;
    let newest = stuck.response().await;
    assert_eq!(newest.resources[0].version, last.get(Kind::Endpoint, "a").unwrap().version().to_string());
}

#[tokio::test]
async fn r26_what_is_too_much_ends_in_a_clear_status() {
    let settings = Settings { max_names: 3, max_name_bytes: 10, ..Settings::default() };
    let server = Server::with(Some(&two_clusters()), settings, ServeOptions::default()).await;
    for (names, word) in [
        (&["a", "b", "c", "d"][..], "more than 3 names"),
        (&["a-name-of-more-than-ten-bytes"], "at most 10 are allowed"),
    ] {
        let mut stream = server.delta().await;
        stream.subscribe(Kind::Endpoint, names).await;
        let status = stream.next().await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains(word), "{status}");
    }
    let mut stream = server.delta().await;
    let huge = "x".repeat(17 * 1024 * 1024);
    stream.subscribe(Kind::Endpoint, &[&huge]).await;
    let error = soon(stream.responses.message()).await;
    assert!(
        error.is_err() || error.is_ok_and(|message| message.is_none()),
        "a request of 17 MiB is not read"
    );
    let mut good = server.delta().await;
    good.subscribe(Kind::Cluster, &[]).await;
    assert_eq!(names(&good.response().await), ["a", "b"], "others are served as before");
}

#[tokio::test]
async fn r26_a_dead_peer_is_found_by_keepalive() {
    let options = ServeOptions {
        keepalive_interval: Duration::from_millis(50),
        keepalive_timeout: Duration::from_millis(50),
        ..ServeOptions::default()
    };
    let server = Server::with(Some(&two_clusters()), Settings::default(), options).await;
    let mut peer = TcpStream::connect(server.address).await.unwrap();
    // The connection preface and an empty SETTINGS frame (RFC 9113, 3.4), and not a word more.
    peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    let mut heard = Vec::new();
    let _ = soon(peer.read_to_end(&mut heard)).await;
    assert!(!heard.is_empty(), "the server spoke HTTP/2 before it hung up");
}

#[tokio::test]
async fn r27_a_stream_ends_at_the_stop_and_not_before_it_has_said_something() {
    let mut server = Server::with(None, Settings::default(), ServeOptions::default()).await;
    let one = two_clusters();
    let mut told = server.delta().await;
    let mut asking = server.delta().await;
    server.publish(&one);
    told.subscribe(Kind::Cluster, &[]).await;
    told.response().await;
    server.snapshots.send_replace(None);
    asking.subscribe(Kind::Endpoint, &["a"]).await;
    until(|| server.xds.clients().list().iter().all(|client| client.node.is_some())).await;
    server.stop.cancel();
    assert!(told.next().await.unwrap().is_none(), "the stream that was answered ends, without an error");
    server.publish(&one);
    assert_eq!(names(&asking.response().await), ["a"]);
    assert!(asking.next().await.unwrap().is_none());
    soon(server.tasks.join_next()).await.unwrap().unwrap();
}

#[tokio::test]
async fn r27_a_stream_on_which_there_was_nothing_to_say_ends_at_the_stop_as_well() {
    let one = two_clusters();
    let server = Server::start(&one).await;
    let mut back = server.delta().await;
    let has = |name: &str| (name.to_owned(), support::version(&one, Kind::Cluster, name));
    let initial_resource_versions = [has("a"), has("b")].into();
    back.send(DeltaDiscoveryRequest { initial_resource_versions, ..delta_request(Kind::Cluster, &[]) }).await;
    until(|| server.xds.clients().list().iter().any(|client| !client.types.is_empty())).await;
    server.stop.cancel();
    assert!(back.next().await.unwrap().is_none(), "without a word, and without an error");
}

#[tokio::test]
async fn r27_a_peer_that_is_stuck_holds_up_the_end_until_the_deadline_only() {
    let options = ServeOptions { stop_deadline: Duration::from_millis(100), ..ServeOptions::default() };
    let mut server = Server::with(Some(&snapshot([large(0)])), Settings::default(), options).await;
    let small = server.endpoint().initial_stream_window_size(1_024).initial_connection_window_size(70_000);
    let stuck = DeltaStream::open(soon(small.connect()).await.unwrap()).await;
    stuck.subscribe(Kind::Endpoint, &["a"]).await;
    until(|| server.metrics().contains("xds_responses_total{type=\"endpoint\"} 1")).await;
    server.stop.cancel();
    soon(server.tasks.join_next()).await.unwrap().unwrap();
    drop(stuck);
}

#[tokio::test]
async fn r28_streams_responses_answers_bytes_and_times_are_counted_per_type() {
    let one = two_clusters();
    let server = Server::start(&one).await;
    let mut stream = server.delta().await;
    stream.subscribe(Kind::Cluster, &[]).await;
    let first = stream.response().await;
    stream.ack(&first).await;
    stream.subscribe(Kind::Endpoint, &["a"]).await;
    let refused = stream.response().await;
    stream.nack(&refused, "no").await;
    until(|| server.metrics().contains("xds_nacks_total{type=\"endpoint\"} 1")).await;
    let text = server.metrics();
    let bytes = prost::Message::encoded_len(&first);
    for line in [
        "xds_streams{protocol=\"delta\"} 1",
        "xds_responses_total{type=\"cluster\"} 1",
        &format!("xds_response_bytes_total{{type=\"cluster\"}} {bytes}"),
        "xds_acks_total{type=\"cluster\"} 1",
        "xds_nacks_total{type=\"cluster\"} 0",
        "xds_acks_total{type=\"endpoint\"} 0",
        "xds_refused_resources_total{type=\"endpoint\"} 1",
        "xds_snapshot_to_ack_seconds_count{type=\"cluster\"} 1",
        "xds_snapshot_to_ack_seconds_count{type=\"endpoint\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
    }
    drop(stream);
    until(|| server.metrics().contains("xds_streams{protocol=\"delta\"} 0")).await;
    assert!(server.xds.clients().is_empty());
}
