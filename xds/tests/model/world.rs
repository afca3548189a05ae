//! A small world of resources that is consistent whatever is done to it.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::http_uri::HttpUpstreamType;
use envoy_types::pb::envoy::config::core::v3::{ExtensionConfigSource, HttpUri, TypedExtensionConfig};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::JwksSourceSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::{JwtAuthentication, JwtProvider, RemoteJwks};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as HttpFilterConfig;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier as TcpCluster;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use xds_server::{Resource, Snapshot};

/// What every bad resource carries in its bytes, and what no name holds.
const BAD: &str = "<bad>";

/// Whether a client that looks at `resource` will refuse it.
pub fn refusable(resource: &Resource) -> bool {
    resource.body().windows(BAD.len()).any(|bytes| bytes == BAD.as_bytes())
}

/// What tells one version of a resource from another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Note {
    pub revision: u8,
    pub bad: bool,
}

impl Note {
    fn text(self) -> String {
        format!("revision {}{}", self.revision, if self.bad { BAD } else { "" })
    }

    fn mend(&mut self) {
        if self.bad {
            *self = Self { revision: self.revision + 100, bad: false };
        }
    }
}

/// Where a cluster has its endpoints from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// An assignment of the cluster's own name.
    Eds,
    /// An assignment of another name.
    Alias,
    /// The cluster itself: nothing to wait for.
    Static,
}

/// What a listener does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Asks for the routes of this number.
    Routes(u8),
    /// Asks for the routes of the first number, with a filter that is configured by the extension of the second.
    Filtered(u8, u8),
    /// Passes it on to the cluster of this number.
    Cluster(u8),
}

/// One change of the world. Numbers name resources; what makes the world inconsistent is repaired.
#[derive(Debug, Clone)]
pub enum Edit {
    Cluster(u8, Flavour, Note),
    DropCluster(u8),
    Endpoints(u8, Note),
    DropEndpoints(u8),
    /// A route configuration to the clusters whose bits are set, as far as they exist.
    Routes(u8, u8, Note),
    DropRoutes(u8),
    Listener(u8, Target, Note),
    DropListener(u8),
    Secret(u8, Note),
    DropSecret(u8),
    /// The configuration of a filter, which asks the cluster of this number, if it exists.
    Extension(u8, Option<u8>, Note),
    DropExtension(u8),
    /// Everything bad becomes good, with a new revision.
    Mend,
    /// Everything goes.
    Clear,
    /// A cluster, its endpoints, a route to it alone and a listener for that route: a service, in one go.
    Service(u8, Note),
}

/// One resource, by what it is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Spec {
    Cluster(u8, Flavour, Note),
    Endpoints(u8, bool, Note),
    Routes(u8, u8, Note),
    Listener(u8, Target, Note),
    Secret(u8, Note),
    Extension(u8, Option<u8>, Note),
}

/// Everything there is.
#[derive(Debug, Clone, Default)]
pub struct World {
    clusters: BTreeMap<u8, (Flavour, Note)>,
    endpoints: BTreeMap<u8, Note>,
    routes: BTreeMap<u8, (u8, Note)>,
    listeners: BTreeMap<u8, (Target, Note)>,
    secrets: BTreeMap<u8, Note>,
    extensions: BTreeMap<u8, (Option<u8>, Note)>,
}

impl World {
    pub fn apply(&mut self, edit: &Edit) {
        match *edit {
            Edit::Cluster(n, flavour, note) => drop(self.clusters.insert(n, (flavour, note))),
            Edit::DropCluster(n) => drop(self.clusters.remove(&n)),
            Edit::Endpoints(n, note) => drop(self.endpoints.insert(n, note)),
            Edit::DropEndpoints(n) => drop(self.endpoints.remove(&n)),
            Edit::Routes(n, to, note) => drop(self.routes.insert(n, (to, note))),
            Edit::DropRoutes(n) => drop(self.routes.remove(&n)),
            Edit::Listener(n, target, note) => drop(self.listeners.insert(n, (target, note))),
            Edit::DropListener(n) => drop(self.listeners.remove(&n)),
            Edit::Secret(n, note) => drop(self.secrets.insert(n, note)),
            Edit::DropSecret(n) => drop(self.secrets.remove(&n)),
            Edit::Extension(n, asks, note) => drop(self.extensions.insert(n, (asks, note))),
            Edit::DropExtension(n) => drop(self.extensions.remove(&n)),
            Edit::Mend => self.mend(),
            Edit::Clear => *self = Self::default(),
            Edit::Service(n, note) => {
                let good = Note { bad: false, ..note };
                self.clusters.insert(n, (Flavour::Eds, note));
                self.endpoints.insert(n, good);
                self.routes.insert(n, (1 << n, good));
                self.listeners.insert(n, (Target::Routes(n), good));
            }
        }
        self.repair();
    }

    fn mend(&mut self) {
        self.clusters.values_mut().for_each(|(_, note)| note.mend());
        self.endpoints.values_mut().for_each(Note::mend);
        self.routes.values_mut().for_each(|(_, note)| note.mend());
        self.listeners.values_mut().for_each(|(_, note)| note.mend());
        self.secrets.values_mut().for_each(Note::mend);
        self.extensions.values_mut().for_each(|(_, note)| note.mend());
    }

    /// Lets go of what refers to something that is not there.
    fn repair(&mut self) {
        let existing = self.clusters.keys().fold(0, |bits, n| bits | 1 << n);
        self.routes.values_mut().for_each(|(to, _)| *to &= existing);
        for (asks, _) in self.extensions.values_mut() {
            *asks = asks.filter(|n| existing & 1 << n != 0);
        }
        self.listeners.retain(|_, (target, _)| match target {
            Target::Filtered(n, by) => self.routes.contains_key(n) && self.extensions.contains_key(by),
            Target::Routes(n) => self.routes.contains_key(n),
            Target::Cluster(n) => self.clusters.contains_key(n),
        });
    }

    /// Whether anything in it is bad.
    pub fn is_good(&self) -> bool {
        let clusters = self.clusters.values().map(|(_, note)| note);
        let routes = self.routes.values().map(|(_, note)| note);
        let listeners = self.listeners.values().map(|(_, note)| note);
        let extensions = self.extensions.values().map(|(_, note)| note);
        let others = self.endpoints.values().chain(self.secrets.values()).chain(extensions);
        !clusters.chain(routes).chain(listeners).chain(others).any(|note| note.bad)
    }

    /// The snapshot of it that follows `previous`.
    #[allow(clippy::expect_used)] // It cannot be otherwise, and a test may say so.
    pub fn snapshot(&self, previous: &Snapshot) -> Arc<Snapshot> {
        Arc::new(previous.next(self.resources()).expect("a repaired world is consistent"))
    }

    fn resources(&self) -> Vec<Resource> {
        let endpoints = |(n, note): (&u8, &Note)| {
            let alias = matches!(self.clusters.get(n), Some((Flavour::Alias, _)));
            Spec::Endpoints(*n, alias, *note)
        };
        let clusters = self.clusters.iter().map(|(n, (flavour, note))| Spec::Cluster(*n, *flavour, *note));
        let routes = self.routes.iter().map(|(n, (to, note))| Spec::Routes(*n, *to, *note));
        let listeners = self.listeners.iter().map(|(n, (target, note))| Spec::Listener(*n, *target, *note));
        let secrets = self.secrets.iter().map(|(n, note)| Spec::Secret(*n, *note));
        let extensions = self.extensions.iter().map(|(n, (asks, note))| Spec::Extension(*n, *asks, *note));
        let all = clusters
            .chain(self.endpoints.iter().map(endpoints))
            .chain(routes)
            .chain(listeners)
            .chain(secrets)
            .chain(extensions);
        all.map(Spec::resource).collect()
    }
}

impl Spec {
    /// The resource it describes; each is made once in a thread, which is most of the time a test would take.
    fn resource(self) -> Resource {
        thread_local! {
            static MADE: RefCell<HashMap<Spec, Resource>> = RefCell::default();
        }
        MADE.with_borrow_mut(|made| made.entry(self).or_insert_with(|| self.make()).clone())
    }

    fn make(self) -> Resource {
        match self {
            Self::Cluster(n, flavour, note) => cluster(n, flavour, note),
            Self::Endpoints(n, alias, note) => endpoints(n, alias, note),
            Self::Routes(n, to, note) => Resource::from(&routes(n, to, note)),
            Self::Listener(n, target, note) => listener(n, target, note),
            Self::Extension(n, asks, note) => extension(n, asks, note),
            Self::Secret(n, note) => {
                let name = format!("s{n}");
                Resource::from(&Secret { name, r#type: Some(secret_type(note)) })
            }
        }
    }
}

fn secret_type(note: Note) -> envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type {
    use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
    use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{GenericSecret, secret::Type};
    let source = DataSource { specifier: Some(Specifier::InlineString(note.text())), ..Default::default() };
    Type::GenericSecret(GenericSecret { secret: Some(source), ..Default::default() })
}

fn cluster(n: u8, flavour: Flavour, note: Note) -> Resource {
    let kind = if flavour == Flavour::Static { DiscoveryType::Static } else { DiscoveryType::Eds };
    let eds = EdsClusterConfig { service_name: format!("alias{n}"), ..Default::default() };
    Resource::from(&Cluster {
        name: format!("c{n}"),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind as i32)),
        eds_cluster_config: (flavour == Flavour::Alias).then_some(eds),
        alt_stat_name: note.text(),
        ..Default::default()
    })
}

fn endpoints(n: u8, alias: bool, note: Note) -> Resource {
    use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::policy::DropOverload;
    let name = if alias { format!("alias{n}") } else { format!("c{n}") };
    let drop = DropOverload { category: note.text(), drop_percentage: Some(FractionalPercent::default()) };
    Resource::from(&ClusterLoadAssignment {
        cluster_name: name,
        policy: Some(Policy { drop_overloads: vec![drop], ..Default::default() }),
        ..Default::default()
    })
}

fn routes(n: u8, to: u8, note: Note) -> RouteConfiguration {
    let host = |cluster: u8| VirtualHost {
        name: format!("to c{cluster}"),
        routes: vec![Route {
            action: Some(Action::Route(RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster(format!("c{cluster}"))),
                ..Default::default()
            })),
            ..Default::default()
        }],
        ..Default::default()
    };
    RouteConfiguration {
        name: format!("r{n}"),
        virtual_hosts: (0..8).filter(|cluster| to & 1 << cluster != 0).map(host).collect(),
        internal_only_headers: vec![note.text()],
        ..Default::default()
    }
}

fn extension(n: u8, asks: Option<u8>, note: Note) -> Resource {
    let keys = |cluster: u8| RemoteJwks {
        http_uri: Some(HttpUri {
            http_upstream_type: Some(HttpUpstreamType::Cluster(format!("c{cluster}"))),
            ..Default::default()
        }),
        ..Default::default()
    };
    let provider = JwtProvider {
        issuer: note.text(),
        jwks_source_specifier: asks.map(|cluster| JwksSourceSpecifier::RemoteJwks(keys(cluster))),
        ..Default::default()
    };
    // A map of one entry: more have no order.
    let providers = [("one".to_owned(), provider)].into();
    let filter = JwtAuthentication { providers, ..Default::default() };
    Resource::from(&TypedExtensionConfig { name: format!("x{n}"), typed_config: Some(packed(&filter)) })
}

/// A listener's HTTP connection manager, with a filter of which the configuration is elsewhere.
fn manager(routes: u8, by: Option<u8>) -> Any {
    let filter = |by: u8| HttpFilter {
        name: format!("x{by}"),
        config_type: Some(HttpFilterConfig::ConfigDiscovery(ExtensionConfigSource::default())),
        ..Default::default()
    };
    packed(&HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            route_config_name: format!("r{routes}"),
            ..Default::default()
        })),
        http_filters: by.map(filter).into_iter().collect(),
        ..Default::default()
    })
}

fn listener(n: u8, target: Target, note: Note) -> Resource {
    let config = match target {
        Target::Routes(routes) => manager(routes, None),
        Target::Filtered(routes, by) => manager(routes, Some(by)),
        Target::Cluster(cluster) => packed(&TcpProxy {
            cluster_specifier: Some(TcpCluster::Cluster(format!("c{cluster}"))),
            ..Default::default()
        }),
    };
    let filter = Filter { name: "filter".into(), config_type: Some(ConfigType::TypedConfig(config)) };
    Resource::from(&Listener {
        name: format!("l{n}"),
        filter_chains: vec![FilterChain { filters: vec![filter], ..Default::default() }],
        stat_prefix: note.text(),
        ..Default::default()
    })
}

fn packed<M: Message + prost::Name>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}
