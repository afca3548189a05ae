//! Client status (CSDS, `envoy.service.status.v3`): for each stream what was sent, acknowledged and refused, and why.

mod matcher;
mod redact;

use std::time::SystemTime;

use envoy_types::pb::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::status::v3::client_config::GenericXdsConfig;
use envoy_types::pb::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::status::v3::{
    ClientConfig, ClientStatusRequest, ClientStatusResponse, ConfigStatus,
};
use envoy_types::pb::google::protobuf::Timestamp;
use futures::stream::BoxStream;
use tokio_stream::StreamExt;
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};

use crate::clients::{ClientStream, Clients};
use crate::kind::Kind;
use crate::session::{Refusal, ResourceStatus, Sync};
use matcher::NodeMatchers;

pub(crate) const NAME: &str = <ClientStatusDiscoveryServiceServer<ClientStatus> as NamedService>::NAME;

/// The service over `clients`, ready for a tonic router.
pub(crate) fn service(clients: Clients) -> ClientStatusDiscoveryServiceServer<ClientStatus> {
    ClientStatusDiscoveryServiceServer::new(ClientStatus { clients })
}

#[derive(Debug, Clone)]
pub(crate) struct ClientStatus {
    clients: Clients,
}

impl ClientStatus {
    fn answer(&self, request: &ClientStatusRequest) -> Result<ClientStatusResponse, Status> {
        let wanted = NodeMatchers::new(&request.node_matchers)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let anonymous = Node::default();
        let streams = self.clients.list().into_iter();
        let streams = streams.filter(|stream| wanted.matches(stream.node.as_ref().unwrap_or(&anonymous)));
        let config = streams.map(|stream| to_config(stream, !request.exclude_resource_contents));
        Ok(ClientStatusResponse { config: config.collect() })
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream = BoxStream<'static, Result<ClientStatusResponse, Status>>;

    /// One answer a request, for as long as requests come.
    async fn stream_client_status(
        &self,
        requests: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let status = self.clone();
        let answers = requests.into_inner().map(move |request| status.answer(&request?));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        self.answer(request.get_ref()).map(Response::new)
    }
}

/// One stream. A client with a stream for each type, or two clients of one name, are told apart by `client_scope`.
fn to_config(stream: ClientStream, contents: bool) -> ClientConfig {
    let ClientStream { id, peer, protocol, scope, node, types, .. } = stream;
    let resources = types.into_iter().flat_map(|of_type| {
        of_type.resources.into_iter().map(move |resource| to_resource(of_type.kind, resource, contents))
    });
    ClientConfig {
        node,
        generic_xds_configs: resources.collect(),
        client_scope: format!("stream {id} from {peer}: {protocol}, {scope}"),
        ..Default::default()
    }
}

fn to_resource(kind: Kind, resource: ResourceStatus, contents: bool) -> GenericXdsConfig {
    let ResourceStatus { name, newest, acknowledged, sync } = resource;
    let (config, client) = match &sync {
        Sync::Acknowledged => (ConfigStatus::Synced, ClientResourceStatus::Acked),
        Sync::Sent => (ConfigStatus::Stale, ClientResourceStatus::Requested),
        Sync::NotSent => (ConfigStatus::NotSent, ClientResourceStatus::Requested),
        Sync::Refused(_) => (ConfigStatus::Error, ClientResourceStatus::Nacked),
        Sync::Missing => (ConfigStatus::NotSent, ClientResourceStatus::DoesNotExist),
    };
    let shown = newest.as_ref().filter(|_| contents).and_then(|newest| redact::shown(newest));
    let error = match sync {
        Sync::Refused(refusal) => Some(to_failure(&refusal)),
        _ => None,
    };
    GenericXdsConfig {
        type_url: kind.type_url().to_owned(),
        name: name.to_string(),
        version_info: acknowledged.map(|held| held.to_string()).unwrap_or_default(),
        xds_config: shown,
        config_status: config.into(),
        client_status: client.into(),
        error_state: error,
        ..Default::default()
    }
}

fn to_failure(refusal: &Refusal) -> UpdateFailureState {
    let version = refusal.version.map(|version| version.to_string());
    UpdateFailureState {
        last_update_attempt: Some(to_timestamp(refusal.at)),
        details: refusal.reason.to_string(),
        version_info: version.unwrap_or_default(),
        ..Default::default()
    }
}

fn to_timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    }
}
