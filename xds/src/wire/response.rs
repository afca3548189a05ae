//! Responses as bytes: what is a stream's own is written here, the resources are copied as they were encoded.

use std::sync::Arc;

use bytes::Bytes;

use crate::protobuf::{field_len, put_field, put_header};
use crate::resource::Resource;
use crate::session::Response;

/// Tag of `identifier` in `envoy.config.core.v3.ControlPlane`.
const IDENTIFIER: u32 = 1;

/// Tag of `resources`, the same in both protocols.
pub(super) const RESOURCES: u32 = 2;

/// A response of which the size is known and nothing is copied yet: the fields around the resources, then these.
#[derive(Debug)]
pub(crate) struct Encoded {
    own: Vec<u8>,
    resources: Vec<Arc<Resource>>,
    /// How a resource stands in the response.
    part: fn(&Resource) -> &[u8],
    len: usize,
}

impl Encoded {
    fn new(own: Vec<u8>, resources: Vec<Arc<Resource>>, part: fn(&Resource) -> &[u8]) -> Self {
        let listed: usize = resources.iter().map(|resource| field_len(RESOURCES, part(resource).len())).sum();
        Self { len: own.len() + listed, own, resources, part }
    }

    /// Its size, in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The fields around the resources, encoded.
    pub(super) fn own(&self) -> &[u8] {
        &self.own
    }

    /// What stands in the field of the resource at `index`.
    pub(super) fn resource(&self, index: usize) -> Option<&[u8]> {
        self.resources.get(index).map(|resource| (self.part)(resource))
    }

    /// The same, in the memory that all clients share.
    pub(super) fn share(&self, index: usize) -> Option<Bytes> {
        self.resources.get(index).map(|resource| resource.entry().slice_ref((self.part)(resource)))
    }
}

/// `envoy.service.discovery.v3.DiscoveryResponse`.
pub(super) fn state_of_the_world(response: Response, identifier: &str) -> Encoded {
    let mut own = Vec::with_capacity(192);
    put_field(&mut own, 1, response.version.to_string().as_bytes());
    put_field(&mut own, 4, response.kind.type_url().as_bytes());
    put_field(&mut own, 5, response.nonce.as_bytes());
    put_header(&mut own, 6, field_len(IDENTIFIER, identifier.len()));
    put_field(&mut own, IDENTIFIER, identifier.as_bytes());
    Encoded::new(own, response.resources, Resource::any)
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
pub(super) fn delta(response: Response, identifier: &str) -> Encoded {
    let mut own = Vec::with_capacity(192);
    put_field(&mut own, 1, response.version.to_string().as_bytes());
    put_field(&mut own, 4, response.kind.type_url().as_bytes());
    put_field(&mut own, 5, response.nonce.as_bytes());
    for name in &response.removed {
        put_field(&mut own, 6, name.as_bytes());
    }
    put_header(&mut own, 7, field_len(IDENTIFIER, identifier.len()));
    put_field(&mut own, IDENTIFIER, identifier.as_bytes());
    Encoded::new(own, response.resources, |resource| resource.entry())
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::ControlPlane;
    use envoy_types::pb::envoy::service::discovery::v3 as pb;
    use envoy_types::pb::google::protobuf::Any;
    use prost::Message;

    use super::*;
    use crate::kind::Kind;
    use crate::resource::Version;

    fn cluster(name: &str) -> Cluster {
        Cluster { name: name.into(), alt_stat_name: "x".repeat(200), ..Default::default() }
    }

    fn response(removed: &[&str]) -> Response {
        let resources = ["a", "b"].map(|name| Arc::new(Resource::from(&cluster(name)))).to_vec();
        Response {
            kind: Kind::Cluster,
            nonce: "7".into(),
            version: Version::of_list(&resources),
            resources,
            removed: removed.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn any(name: &str) -> Any {
        Any { type_url: Kind::Cluster.type_url().into(), value: cluster(name).encode_to_vec() }
    }

    fn bytes(encoded: &Encoded) -> Vec<u8> {
        let mut bytes = encoded.own().to_vec();
        for index in 0..encoded.resources.len() {
            put_field(&mut bytes, RESOURCES, encoded.resource(index).unwrap());
            assert_eq!(encoded.share(index).unwrap(), encoded.resource(index).unwrap());
        }
        assert_eq!(bytes.len(), encoded.len());
        bytes
    }

    #[test]
    fn a_state_of_the_world_response_reads_as_envoy_reads_it() {
        let response = response(&[]);
        let version_info = response.version.to_string();
        let read = pb::DiscoveryResponse::decode(&*bytes(&state_of_the_world(response, "me"))).unwrap();
        let expected = pb::DiscoveryResponse {
            version_info,
            resources: vec![any("a"), any("b")],
            type_url: Kind::Cluster.type_url().into(),
            nonce: "7".into(),
            control_plane: Some(ControlPlane { identifier: "me".into() }),
            ..Default::default()
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_delta_response_reads_as_envoy_reads_it() {
        let response = response(&["gone", "lost"]);
        let system_version_info = response.version.to_string();
        let named = |name: &str, resource: &Resource| pb::Resource {
            name: name.into(),
            version: resource.version().to_string(),
            resource: Some(any(name)),
            ..Default::default()
        };
        let resources = vec![named("a", &response.resources[0]), named("b", &response.resources[1])];
        let read = pb::DeltaDiscoveryResponse::decode(&*bytes(&delta(response, "me"))).unwrap();
        let expected = pb::DeltaDiscoveryResponse {
            system_version_info,
            resources,
            type_url: Kind::Cluster.type_url().into(),
            nonce: "7".into(),
            removed_resources: vec!["gone".into(), "lost".into()],
            control_plane: Some(ControlPlane { identifier: "me".into() }),
            ..Default::default()
        };
        assert_eq!(read, expected);
    }
}
