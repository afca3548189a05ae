//! The two variants of the protocol on the wire: protobuf in, [`Request`] out; [`Response`] in, bytes out.

mod body;
mod requests;
mod response;

use std::fmt::Debug;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3 as pb;
use envoy_types::pb::google::rpc::Status as RpcStatus;
use prost::Message;

use crate::kind::Kind;
use crate::session::{Protocol, Request, Response, Scope, Wants};

pub(crate) use body::Responses;
pub(crate) use requests::Requests;
pub(crate) use response::Encoded;

/// What gRPC puts before each message: a flag, whether it is compressed, and its length (gRPC over HTTP/2, "Requests").
const PREFIX_BYTES: usize = 5;

/// Why a request cannot be handed to a session.
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
pub(crate) trait Variant: Debug + Send + Sync + 'static {
    const PROTOCOL: Protocol;
    type Request: Message + Default + 'static;

    fn read(request: Self::Request, scope: Scope) -> Result<Request, Unreadable>;
    fn write(response: Response, identifier: &str) -> Encoded;
}

fn kind(type_url: String, scope: Scope) -> Result<Kind, Unreadable> {
    match scope {
        Scope::Only(kind) if type_url.is_empty() => Ok(kind),
        Scope::Aggregated if type_url.is_empty() => Err(Unreadable::NoType),
        _ => Kind::from_type_url(&type_url).ok_or(Unreadable::UnknownType(type_url)),
    }
}

/// Who asks, without the extensions it was built with: an Envoy lists some five hundred, nine tenths of what a client
/// would cost, and nobody asks for them here.
fn without_extensions(node: Node) -> Node {
    Node { extensions: Vec::new(), ..node }
}

fn reason(error: Option<RpcStatus>) -> Option<String> {
    error.map(|status| status.message)
}

/// `StreamAggregatedResources` and the `Stream...` methods of the services for one type.
#[derive(Debug)]
pub(crate) struct StateOfTheWorld;

impl Variant for StateOfTheWorld {
    const PROTOCOL: Protocol = Protocol::StateOfTheWorld;
    type Request = pb::DiscoveryRequest;

    fn read(request: Self::Request, scope: Scope) -> Result<Request, Unreadable> {
        Ok(Request {
            node: request.node.map(without_extensions),
            kind: kind(request.type_url, scope)?,
            nonce: request.response_nonce,
            refused: reason(request.error_detail),
            wants: Wants::Names(request.resource_names),
        })
    }

    fn write(response: Response, identifier: &str) -> Encoded {
        response::state_of_the_world(response, identifier)
    }
}

/// `DeltaAggregatedResources` and the `Delta...` methods of the services for one type.
#[derive(Debug)]
pub(crate) struct Delta;

impl Variant for Delta {
    const PROTOCOL: Protocol = Protocol::Delta;
    type Request = pb::DeltaDiscoveryRequest;

    fn read(request: Self::Request, scope: Scope) -> Result<Request, Unreadable> {
        Ok(Request {
            node: request.node.map(without_extensions),
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

    fn write(response: Response, identifier: &str) -> Encoded {
        response::delta(response, identifier)
    }
}
