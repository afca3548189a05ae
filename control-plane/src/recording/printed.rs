//! Messages as a person reads them.

use std::collections::BTreeMap;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use xds_server::Resource;

use crate::admin::ENVOY_DESCRIPTORS;

/// Prints messages by the descriptors that reflection serves too, so that what is inside an `Any` is readable.
#[derive(Debug)]
pub struct Printer(DescriptorPool);

impl Printer {
    /// One that knows every message that is sent.
    ///
    /// # Errors
    ///
    /// The descriptors that were compiled in do not decode.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(DescriptorPool::decode(ENVOY_DESCRIPTORS)?))
    }

    /// A message.
    ///
    /// # Errors
    ///
    /// It is none of those that are sent.
    pub fn value<M: Message + Name>(&self, message: &M) -> anyhow::Result<Value> {
        self.named(&M::full_name(), &message.encode_to_vec())
    }

    /// A resource of a snapshot.
    ///
    /// # Errors
    ///
    /// As for [`value`](Self::value).
    pub fn resource(&self, resource: &Resource) -> anyhow::Result<Value> {
        let url = resource.kind().type_url();
        self.named(url.rsplit('/').next().unwrap_or(url), resource.body())
    }

    fn named(&self, name: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        let descriptor = self.0.get_message_by_name(name);
        let descriptor = descriptor.ok_or_else(|| anyhow::anyhow!("there is no descriptor of {name}"))?;
        let dynamic = DynamicMessage::decode(descriptor, bytes)?;
        Ok(sorted(serde_json::to_value(dynamic)?))
    }
}

/// The same with the keys of every map in order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}
