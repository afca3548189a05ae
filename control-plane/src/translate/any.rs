//! Messages inside messages.

use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

/// `message` with the URL of its type.
pub(super) fn any<M: Message + Name>(message: &M) -> Any {
    any_as(&M::full_name(), message)
}

/// `message` under the name of another type that has the same fields.
pub(super) fn any_as(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}
