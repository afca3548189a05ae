//! The two variants of the protocol on the wire: protobuf in, [`Request`] out; [`Response`] in, protobuf out.

use std::fmt::Debug;

use envoy_types::pb::envoy::config::core::v3::ControlPlane;
use envoy_types::pb::envoy::service::discovery::v3 as pb;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::google::rpc::Status as RpcStatus;

use crate::kind::Kind;
use crate::resource::Resource;
use crate::session::{Protocol, Request, Response, Scope, Wants};

/// A request of which the type is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Ignored: ending the stream would take every other type down with it.
    #[error("unknown resource type {0:?}")]
    UnknownType(String),
    /// Without a type nobody can say what an aggregated request is about.
    #[error("type_url is empty; a request on the aggregated service must name its resource type")]
    NoType,
}

/// One variant of the protocol.
pub(crate) trait Variant: Send + 'static {
    const PROTOCOL: Protocol;
    type Request: Debug + Send + 'static;
    type Response: Send + 'static;

    fn read(request: Self::Request, scope: Scope) -> Result<Request, Unreadable>;
    fn write(response: &Response, identifier: &str) -> Self::Response;
}

fn kind(type_url: String, scope: Scope) -> Result<Kind, Unreadable> {
    match scope {
        Scope::Only(kind) if type_url.is_empty() => Ok(kind),
        Scope::Aggregated if type_url.is_empty() => Err(Unreadable::NoType),
        _ => Kind::from_type_url(&type_url).ok_or(Unreadable::UnknownType(type_url)),
    }
}

fn reason(error: Option<RpcStatus>) -> Option<String> {
    error.map(|status| status.message)
}

fn any(resource: &Resource) -> Any {
    Any { type_url: resource.kind().type_url().to_owned(), value: resource.body().to_vec() }
}

fn control_plane(identifier: &str) -> Option<ControlPlane> {
    Some(ControlPlane { identifier: identifier.to_owned() })
}

/// `StreamAggregatedResources` and the `Stream...` methods of the services for one type.
#[derive(Debug)]
pub(crate) struct StateOfTheWorld;

impl Variant for StateOfTheWorld {
    const PROTOCOL: Protocol = Protocol::StateOfTheWorld;
    type Request = pb::DiscoveryRequest;
    type Response = pb::DiscoveryResponse;

    fn read(request: Self::Request, scope: Scope) -> Result<Request, Unreadable> {
        Ok(Request {
            node: request.node,
            kind: kind(request.type_url, scope)?,
            nonce: request.response_nonce,
            refused: reason(request.error_detail),
            wants: Wants::Names(request.resource_names),
        })
    }

    fn write(response: &Response, identifier: &str) -> Self::Response {
        pb::DiscoveryResponse {
            version_info: response.version.to_string(),
            resources: response.resources.iter().map(|resource| any(resource)).collect(),
            type_url: response.kind.type_url().to_owned(),
            nonce: response.nonce.clone(),
            control_plane: control_plane(identifier),
            ..Default::default()
        }
    }
}

/// `DeltaAggregatedResources` and the `Delta...` methods of the services for one type.
#[derive(Debug)]
pub(crate) struct Delta;

impl Variant for Delta {
    const PROTOCOL: Protocol = Protocol::Delta;
    type Request = pb::DeltaDiscoveryRequest;
    type Response = pb::DeltaDiscoveryResponse;

    fn read(request: Self::Request, scope: Scope) -> Result<Request, Unreadable> {
        Ok(Request {
            node: request.node,
            kind: kind(request.type_url, scope)?,
            nonce: request.response_nonce,
            refused: reason(request.error_detail),
            wants: Wants::Update {
                subscribe: request.resource_names_subscribe,
                unsubscribe: request.resource_names_unsubscribe,
                initial_versions: request.initial_resource_versions.into_iter().collect(),
            },
        })
    }

    fn write(response: &Response, identifier: &str) -> Self::Response {
        let resources = response.resources.iter().map(|resource| pb::Resource {
            name: resource.name().to_string(),
            version: resource.version().to_string(),
            resource: Some(any(resource)),
            ..Default::default()
        });
        pb::DeltaDiscoveryResponse {
            system_version_info: response.version.to_string(),
            resources: resources.collect(),
            type_url: response.kind.type_url().to_owned(),
            removed_resources: response.removed.iter().map(ToString::to_string).collect(),
            nonce: response.nonce.clone(),
            control_plane: control_plane(identifier),
            ..Default::default()
        }
    }
}
