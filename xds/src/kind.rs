//! The resource types this server knows.

use std::fmt;

/// A resource type of the xDS protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `envoy.config.cluster.v3.Cluster` (CDS).
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment` (EDS).
    Endpoint,
    /// `envoy.config.core.v3.TypedExtensionConfig` (ECDS).
    Extension,
    /// `envoy.config.listener.v3.Listener` (LDS).
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration` (RDS).
    Route,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret` (SDS).
    Secret,
}

impl Kind {
    /// Every type, in the order in which additions are sent: what is referred to before what refers to it
    /// (xDS protocol, "Eventual consistency considerations").
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::Endpoint, Self::Extension, Self::Listener, Self::Route, Self::Secret];

    /// The type URL that names this type on the wire.
    #[must_use]
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    /// The type a type URL names, or nothing where it is not one of ours.
    #[must_use]
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// Whether a client may ask for everything of this type: listeners and clusters only
    /// (xDS protocol, "How the client specifies what resources to return").
    #[must_use]
    pub const fn allows_wildcard(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }

    /// Whether a state-of-the-world response of this type must list everything subscribed, because the client
    /// takes what is missing as removed (xDS protocol, "Grouping resources into responses").
    #[must_use]
    pub const fn is_full_state(self) -> bool {
        self.allows_wildcard()
    }

    /// What a person calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Extension => "extension",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Secret => "secret",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
