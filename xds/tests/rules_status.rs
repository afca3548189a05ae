//! The rules on client status (29), against the service on a real socket.
#![allow(missing_docs, clippy::unwrap_used)]

mod socket;
mod support;

use std::sync::Arc;

use envoy_types::pb::envoy::admin::v3::ClientResourceStatus;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use envoy_types::pb::envoy::service::status::v3::{ClientStatusRequest, ClientStatusResponse, ConfigStatus};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};
use socket::*;
use support::{after, cluster, endpoints, snapshot};
use tonic::Code;
use xds_server::session::Sync;
use xds_server::{Kind, Resource, Snapshot};

async fn ask(server: &Server, request: ClientStatusRequest) -> Result<ClientStatusResponse, tonic::Status> {
    let mut client = ClientStatusDiscoveryServiceClient::new(server.channel().await);
    soon(client.fetch_client_status(request)).await.map(tonic::Response::into_inner)
}

async fn status(server: &Server) -> Vec<GenericXdsConfig> {
    let mut answer = ask(server, ClientStatusRequest::default()).await.unwrap();
    assert_eq!(answer.config.len(), 1);
    answer.config.remove(0).generic_xds_configs
}

fn states(configs: &[GenericXdsConfig]) -> Vec<(&str, ConfigStatus, ClientResourceStatus)> {
    configs
        .iter()
        .map(|config| (config.name.as_str(), config.config_status(), config.client_status()))
        .collect()
}

#[tokio::test]
async fn r29_how_far_a_client_is_on_the_whole_is_told_in_a_few_words() {
    let one = snapshot([endpoints("a", 1), endpoints("b", 1)]);
    let server = Server::start(&one).await;
    let progress = || server.xds.clients().progress().remove(0);
    let mut stream = server.delta().await;
    until(|| server.xds.clients().len() == 1).await;
    assert!(!progress().asked);
    stream.subscribe(Kind::Endpoint, &["a", "b"]).await;
    let first = stream.response().await;
    assert!(progress().asked && progress().settled.is_none(), "it was sent what it has not answered");
    stream.ack(&first).await;
    until(|| {
        progress().settled.is_some_and(|(version, since)| version == one.version() && since >= one.born())
    })
    .await;

    let two = after(&one, [endpoints("a", 2), endpoints("b", 1)]);
    server.publish(&two);
    let second = stream.response().await;
    assert!(progress().settled.is_none(), "and again");
    stream.nack(&second, "a has too many").await;
    until(|| !progress().refusals.is_empty()).await;
    let (kind, refusal) = &progress().refusals[0];
    assert_eq!((*kind, &*refusal.name, &*refusal.reason), (Kind::Endpoint, "a", "a has too many"));

    let three = after(&two, [endpoints("a", 3), endpoints("b", 1)]);
    server.publish(&three);
    let third = stream.response().await;
    stream.ack(&third).await;
    until(|| progress().settled.is_some_and(|(version, _)| version == three.version())).await;
    assert!(progress().refusals.is_empty(), "what it refused is gone");
}

#[tokio::test]
async fn r29_each_resource_is_told_as_sent_acknowledged_refused_or_missing() {
    let one = snapshot([endpoints("a", 1), endpoints("b", 1)]);
    let server = Server::start(&one).await;
    let mut stream = server.delta().await;
    stream.subscribe(Kind::Endpoint, &["a", "b", "nowhere"]).await;
    let first = stream.response().await;
    assert_eq!(
        states(&status(&server).await),
        [
            ("a", ConfigStatus::Stale, ClientResourceStatus::Requested),
            ("b", ConfigStatus::Stale, ClientResourceStatus::Requested),
            ("nowhere", ConfigStatus::Stale, ClientResourceStatus::Requested),
        ]
    );
    stream.ack(&first).await;
    until(|| server.metrics().contains("xds_acks_total{type=\"endpoint\"} 1")).await;
    let configs = status(&server).await;
    assert_eq!(
        states(&configs),
        [
            ("a", ConfigStatus::Synced, ClientResourceStatus::Acked),
            ("b", ConfigStatus::Synced, ClientResourceStatus::Acked),
            ("nowhere", ConfigStatus::NotSent, ClientResourceStatus::DoesNotExist),
        ]
    );
    let resource = one.get(Kind::Endpoint, "a").unwrap();
    assert_eq!(configs[0].version_info, resource.version().to_string());
    let shown = configs[0].xds_config.as_ref().unwrap();
    assert_eq!((shown.type_url.as_str(), &*shown.value), (Kind::Endpoint.type_url(), resource.body()));

    let two = after(&one, [endpoints("a", 2), endpoints("b", 1)]);
    server.publish(&two);
    let second = stream.response().await;
    stream.nack(&second, "a has too many").await;
    until(|| server.metrics().contains("xds_nacks_total{type=\"endpoint\"} 1")).await;
    let configs = status(&server).await;
    assert_eq!(states(&configs)[0], ("a", ConfigStatus::Error, ClientResourceStatus::Nacked));
    let error = configs[0].error_state.as_ref().unwrap();
    assert_eq!(error.details, "a has too many");
    assert_eq!(error.version_info, two.get(Kind::Endpoint, "a").unwrap().version().to_string());
    assert!(error.last_update_attempt.as_ref().is_some_and(|at| at.seconds > 1_700_000_000));
    assert_eq!(configs[0].version_info, resource.version().to_string(), "what the client still has");
}

#[tokio::test]
async fn r29_what_waits_for_another_acknowledgement_is_not_sent() {
    let server = Server::start(&snapshot([cluster("a", 1), support::routes("r", &["a"])])).await;
    let mut stream = server.delta().await;
    stream.subscribe(Kind::Cluster, &[]).await;
    stream.response().await;
    stream.subscribe(Kind::Route, &["r"]).await;
    until(|| server.xds.clients().list()[0].types.len() == 2).await;
    let configs = status(&server).await;
    assert_eq!(states(&configs)[1], ("r", ConfigStatus::NotSent, ClientResourceStatus::Requested));
}

#[tokio::test]
async fn r29_a_version_is_not_acknowledged_while_an_older_one_is_on_its_way() {
    let one = snapshot([endpoints("a", 1)]);
    let server = Server::start(&one).await;
    let sync = || server.xds.clients().list()[0].types[0].resources[0].sync.clone();
    let mut stream = server.delta().await;
    stream.subscribe(Kind::Endpoint, &["a"]).await;
    let first = stream.response().await;
    stream.ack(&first).await;
    until(|| sync() == Sync::Acknowledged).await;
    let two = after(&one, [endpoints("a", 2)]);
    server.publish(&two);
    let second = stream.response().await;
    assert_eq!(sync(), Sync::Sent);
    // Back to what the client has acknowledged; and what it is about to take in is something else.
    server.publish(&after(&two, [endpoints("a", 1)]));
    until(|| sync() == Sync::NotSent).await;
    stream.ack(&second).await;
    let third = stream.response().await;
    stream.ack(&third).await;
    until(|| sync() == Sync::Acknowledged).await;
}

#[tokio::test]
async fn r29_node_matchers_choose_whose_status_is_told() {
    let server = Server::start(&snapshot([cluster("a", 1)])).await;
    let mut streams = Vec::new();
    for id in ["edge-1", "edge-2", "other"] {
        let mut stream = server.delta().await;
        stream.send(DeltaDiscoveryRequest { node: node(id), ..delta_request(Kind::Cluster, &[]) }).await;
        stream.response().await;
        streams.push(stream);
    }
    let matching = |pattern| ClientStatusRequest {
        node_matchers: vec![NodeMatcher {
            node_id: Some(StringMatcher { match_pattern: pattern, ..Default::default() }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let prefix = Some(MatchPattern::Prefix("edge-".into()));
    let answer = ask(&server, matching(prefix)).await.unwrap();
    let ids: Vec<_> = answer.config.iter().map(|config| config.node.as_ref().unwrap().id.as_str()).collect();
    assert_eq!(ids, ["edge-1", "edge-2"]);
    let status = ask(&server, matching(None)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[tokio::test]
async fn r29_a_stream_of_questions_has_one_answer_each() {
    let server = Server::start(&snapshot([cluster("a", 1)])).await;
    let mut client = ClientStatusDiscoveryServiceClient::new(server.channel().await);
    let questions = futures::stream::iter([ClientStatusRequest::default(), ClientStatusRequest::default()]);
    let mut answers = soon(client.stream_client_status(questions)).await.unwrap().into_inner();
    for _ in 0..2 {
        assert!(soon(answers.message()).await.unwrap().is_some_and(|answer| answer.config.is_empty()));
    }
    assert!(soon(answers.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn r29_secrets_are_told_by_name_only_and_contents_can_be_left_out() {
    let secret = Secret { name: "certificate".into(), ..Default::default() };
    let server = Server::start(&snapshot([Resource::from(&secret), endpoints("a", 1)])).await;
    let mut stream = server.delta().await;
    stream.subscribe(Kind::Secret, &["certificate"]).await;
    stream.response().await;
    stream.subscribe(Kind::Endpoint, &["a"]).await;
    stream.response().await;
    let shown: Vec<_> = status(&server).await.iter().map(|config| config.xds_config.is_some()).collect();
    assert_eq!(shown, [true, false]);
    let request = ClientStatusRequest { exclude_resource_contents: true, ..Default::default() };
    let answer = ask(&server, request).await.unwrap();
    assert!(answer.config[0].generic_xds_configs.iter().all(|config| config.xds_config.is_none()));
}

#[tokio::test]
async fn r29_who_waits_for_an_answer_is_told_when_there_is_one() {
    let server = Server::start(&snapshot([endpoints("a", 1)])).await;
    let clients = server.xds.clients();
    let mut changes = clients.changes();
    let mut stream = server.delta().await;
    stream.subscribe(Kind::Endpoint, &["a"]).await;
    let response = stream.response().await;
    stream.ack(&response).await;
    let acknowledged = || {
        let listed = clients.list();
        listed.iter().any(|client| client.types.iter().any(|of| of.resources[0].sync == Sync::Acknowledged))
    };
    while !acknowledged() {
        soon(changes.changed()).await.unwrap();
    }
    drop(stream);
    while !clients.is_empty() {
        soon(changes.changed()).await.unwrap();
    }
}

#[tokio::test]
async fn the_time_from_an_event_is_told_once_a_client_that_has_acknowledged_all_of_it() {
    let one = snapshot([cluster("a", 1), endpoints("a", 1)]);
    let event = tokio::time::Instant::now();
    let server = Server::start(&Arc::new(Snapshot::clone(&one).since(Some(event)))).await;
    let mut stream = server.delta().await;
    let count = |n: usize| format!("xds_event_to_ack_seconds_count {n}\n");
    stream.subscribe(Kind::Cluster, &[]).await;
    let first = stream.response().await;
    stream.ack(&first).await;
    until(|| server.metrics().contains("xds_acks_total{type=\"cluster\"} 1")).await;
    stream.subscribe(Kind::Endpoint, &["a"]).await;
    let first = stream.response().await;
    stream.ack(&first).await;
    until(|| server.metrics().contains("xds_acks_total{type=\"endpoint\"} 1")).await;
    assert!(server.metrics().contains(&count(0)), "what there was before it came: {}", server.metrics());

    // Two types change: it is over with the last answer.
    let next = after(&one, [cluster("a", 2), endpoints("a", 2)]);
    server.publish(&Arc::new(Snapshot::clone(&next).since(Some(event))));
    let responses = [stream.response().await, stream.response().await];
    stream.ack(&responses[0]).await;
    let acks = |kind: &str| format!("xds_acks_total{{type=\"{kind}\"}} 2");
    until(|| server.metrics().contains(&acks("cluster")) || server.metrics().contains(&acks("endpoint")))
        .await;
    assert!(server.metrics().contains(&count(0)), "{}", server.metrics());
    stream.ack(&responses[1]).await;
    until(|| server.metrics().contains(&count(1))).await;
}
