//! One resource: encoded once, versioned by its content.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use crate::kind::Kind;
use crate::references::{self, References};

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

/// One resource as it travels: its name, its encoded message and the hash of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    kind: Kind,
    name: Name,
    version: Version,
    body: Bytes,
    references: References,
}

impl Resource {
    fn new(kind: Kind, name: &str, message: &impl Message, references: References) -> Self {
        let body = Bytes::from(message.encode_to_vec());
        Self { kind, name: name.into(), version: Version::of(&body), body, references }
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
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// What it refers to by name.
    #[must_use]
    pub const fn references(&self) -> &References {
        &self.references
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} at {} ({} bytes)", self.kind, self.name, self.version, self.body.len())
    }
}

impl From<&Cluster> for Resource {
    fn from(cluster: &Cluster) -> Self {
        Self::new(Kind::Cluster, &cluster.name, cluster, references::of_cluster(cluster))
    }
}

impl From<&ClusterLoadAssignment> for Resource {
    fn from(assignment: &ClusterLoadAssignment) -> Self {
        Self::new(Kind::Endpoint, &assignment.cluster_name, assignment, References::default())
    }
}

impl From<&Listener> for Resource {
    fn from(listener: &Listener) -> Self {
        Self::new(Kind::Listener, &listener.name, listener, references::of_listener(listener))
    }
}

impl From<&RouteConfiguration> for Resource {
    fn from(routes: &RouteConfiguration) -> Self {
        Self::new(Kind::Route, &routes.name, routes, references::of_routes(routes))
    }
}

impl From<&Secret> for Resource {
    fn from(secret: &Secret) -> Self {
        Self::new(Kind::Secret, &secret.name, secret, References::default())
    }
}
