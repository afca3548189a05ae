//! One resource: encoded once, versioned by its content.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::kind::Kind;
use crate::protobuf;
use crate::references::{self, References};
use crate::virtual_hosts::EncodedVirtualHost;

/// The version of a resource: a hash of its bytes.
///
/// Equal content has an equal version on every stream, in every instance and after a restart, so that a client that
/// reconnects is sent what differs and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(xxh3_64(bytes))
    }

    /// The version of a list of resources: of their names and versions, in the order given.
    pub(crate) fn of_list<'a>(resources: impl IntoIterator<Item = &'a Arc<Resource>>) -> Self {
        let mut bytes = Vec::new();
        for resource in resources {
            bytes.extend_from_slice(resource.name.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&resource.version.0.to_le_bytes());
        }
        Self::of(&bytes)
    }

    /// The part of a resource in the version of its section, which is the sum of them: that of the next section is known
    /// from what changed.
    pub(crate) fn in_section(resource: &Arc<Resource>) -> u64 {
        Self::of_list([resource]).0
    }

    /// The version of a section that had this one, without `gone` and with `come`.
    pub(crate) const fn of_section(self, gone: u64, come: u64) -> Self {
        Self(self.0.wrapping_sub(gone).wrapping_add(come))
    }

    /// The version of a section without resources.
    pub(crate) const EMPTY_SECTION: Self = Self(0);

    /// The version of what these are the versions of, in the order given.
    pub(crate) fn of_versions(versions: &[Self]) -> Self {
        Self::of(&versions.iter().flat_map(|version| version.0.to_le_bytes()).collect::<Vec<_>>())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a resource, shared between the snapshot and every session.
pub type Name = Arc<str>;

/// Where the maps are in an assignment: `endpoints.lb_endpoints.metadata.filter_metadata.value.fields`.
const ENDPOINT_METADATA: [u32; 6] = [2, 2, 3, 1, 2, 1];

/// One resource as it travels: its name, its encoded message and the hash of it.
///
/// It is encoded once, for all clients of both protocols: a response to any of them is a copy of these bytes with a few
/// fields of the stream's own around them.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    kind: Kind,
    name: Name,
    version: Version,
    /// `envoy.service.discovery.v3.Resource`, as delta sends it. State of the world sends the `Any` inside it.
    entry: Bytes,
    /// Where in `entry` the `google.protobuf.Any` is.
    any: Range<usize>,
    /// Where in `entry` the message is.
    body: Range<usize>,
    references: References,
}

impl Resource {
    fn new(kind: Kind, name: &str, message: &impl Message, references: References) -> Self {
        Self::of_body(kind, name, &message.encode_to_vec(), references)
    }

    fn of_body(kind: Kind, name: &str, body: &[u8], references: References) -> Self {
        Self::of_written(kind, name, body.len(), references, |entry| entry.extend_from_slice(body))
    }

    /// The resource whose body, of `body_len` bytes, is what `write` adds: where that is long, it is written once.
    pub(crate) fn of_written(
        kind: Kind,
        name: &str,
        body_len: usize,
        references: References,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        // As long as any version's text; what it says is known when the body is there.
        let unknown = Version::EMPTY_SECTION.to_string();
        let any_len = protobuf::field_len(1, kind.type_url().len()) + protobuf::field_len(2, body_len);
        let len = protobuf::field_len(1, unknown.len())
            + protobuf::field_len(2, any_len)
            + protobuf::field_len(3, name.len());
        let mut entry = Vec::with_capacity(len);
        protobuf::put_field(&mut entry, 1, unknown.as_bytes());
        let version_text = entry.len() - unknown.len()..entry.len();
        protobuf::put_header(&mut entry, 2, any_len);
        let any = entry.len()..entry.len() + any_len;
        protobuf::put_field(&mut entry, 1, kind.type_url().as_bytes());
        protobuf::put_header(&mut entry, 2, body_len);
        let body = entry.len()..entry.len() + body_len;
        write(&mut entry);
        debug_assert_eq!(
            entry.len(),
            body.end,
            "the body of {kind} {name:?} is as long as it was said to be"
        );
        let version = Version::of(&entry[body.clone()]);
        entry[version_text].copy_from_slice(version.to_string().as_bytes());
        protobuf::put_field(&mut entry, 3, name.as_bytes());
        Self { kind, name: name.into(), version, entry: entry.into(), any, body, references }
    }

    /// The assignment of a cluster that has no endpoints.
    pub(crate) fn empty_assignment(name: &str) -> Self {
        Self::from(&ClusterLoadAssignment { cluster_name: name.to_owned(), ..Default::default() })
    }

    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name, unique within its type.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The version its content has.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The encoded message, without the `Any` around it.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.entry[self.body.clone()]
    }

    /// The encoded `google.protobuf.Any` around the message: an element of a state-of-the-world response.
    pub(crate) fn any(&self) -> &[u8] {
        &self.entry[self.any.clone()]
    }

    /// The encoded `envoy.service.discovery.v3.Resource`: an element of a delta response.
    pub(crate) const fn entry(&self) -> &Bytes {
        &self.entry
    }

    /// What it refers to by name.
    #[must_use]
    pub const fn references(&self) -> &References {
        &self.references
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} at {} ({} bytes)", self.kind, self.name, self.version, self.body().len())
    }
}

impl From<&Cluster> for Resource {
    fn from(cluster: &Cluster) -> Self {
        Self::new(Kind::Cluster, &cluster.name, cluster, references::of_cluster(cluster))
    }
}

impl From<&ClusterLoadAssignment> for Resource {
    fn from(assignment: &ClusterLoadAssignment) -> Self {
        let mut body = assignment.encode_to_vec();
        let mut all = assignment.endpoints.iter().flat_map(|locality| &locality.lb_endpoints);
        if all.any(|endpoint| endpoint.metadata.is_some()) {
            protobuf::sort_map(&mut body, &ENDPOINT_METADATA);
        }
        Self::of_body(Kind::Endpoint, &assignment.cluster_name, &body, References::default())
    }
}

impl From<&TypedExtensionConfig> for Resource {
    fn from(config: &TypedExtensionConfig) -> Self {
        Self::new(Kind::Extension, &config.name, config, references::of_extension(config))
    }
}

impl From<&Listener> for Resource {
    fn from(listener: &Listener) -> Self {
        Self::new(Kind::Listener, &listener.name, listener, references::of_listener(listener))
    }
}

impl From<&RouteConfiguration> for Resource {
    fn from(routes: &RouteConfiguration) -> Self {
        let hosts = routes.virtual_hosts.iter().map(EncodedVirtualHost::from).enumerate().collect();
        let rest = RouteConfiguration { virtual_hosts: Vec::new(), ..routes.clone() };
        Self::of_virtual_hosts(&rest, &hosts)
    }
}

impl From<&Secret> for Resource {
    fn from(secret: &Secret) -> Self {
        Self::new(Kind::Secret, &secret.name, secret, References::default())
    }
}
