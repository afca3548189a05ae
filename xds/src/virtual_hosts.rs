//! The virtual hosts of a route configuration, each encoded: the next configuration is put together from them.

use bytes::Bytes;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use imbl::{OrdMap, OrdSet};
use prost::Message;

use crate::kind::Kind;
use crate::protobuf;
use crate::references::{self, References};
use crate::resource::{Name, Resource};

/// The numbers of the first fields of a route configuration.
const NAME: u32 = 1;
const VIRTUAL_HOSTS: u32 = 2;
/// The one map of several entries that is written every day: in a virtual host its routes, and what those say to filters.
const FILTER_CONFIGS: [u32; 2] = [3, 13];

/// A virtual host as it stands in an encoded route configuration.
#[derive(Debug, Clone)]
pub struct EncodedVirtualHost {
    /// The field, with its header.
    field: Bytes,
    /// The clusters it names.
    clusters: OrdSet<Name>,
}

impl From<&VirtualHost> for EncodedVirtualHost {
    fn from(host: &VirtualHost) -> Self {
        let mut body = host.encode_to_vec();
        if host.routes.iter().any(|route| route.typed_per_filter_config.len() > 1) {
            protobuf::sort_map(&mut body, &FILTER_CONFIGS);
        }
        let mut field = Vec::with_capacity(protobuf::field_len(VIRTUAL_HOSTS, body.len()));
        protobuf::put_field(&mut field, VIRTUAL_HOSTS, &body);
        Self { field: field.into(), clusters: references::of_virtual_host(host).clusters }
    }
}

/// Virtual hosts in the order of their keys: whoever has thousands of them, of which few change, keeps them, and has the next
/// configuration of [`Resource::of_virtual_hosts`]. A copy shares what it has in common with this.
#[derive(Debug, Clone)]
pub struct EncodedVirtualHosts<K: Ord> {
    hosts: OrdMap<K, EncodedVirtualHost>,
    /// The length of all fields together.
    bytes: usize,
    /// The clusters they name, and by how many each is named.
    clusters: OrdSet<Name>,
    named: OrdMap<Name, usize>,
}

impl<K: Ord> Default for EncodedVirtualHosts<K> {
    fn default() -> Self {
        Self { hosts: OrdMap::default(), bytes: 0, clusters: OrdSet::default(), named: OrdMap::default() }
    }
}

impl<K: Ord + Clone> EncodedVirtualHosts<K> {
    /// Puts `host` in the place of `key`.
    pub fn insert(&mut self, key: K, host: EncodedVirtualHost) {
        self.bytes += host.field.len();
        for cluster in &host.clusters {
            *self.named.entry(Name::clone(cluster)).or_insert(0) += 1;
            self.clusters.insert(Name::clone(cluster));
        }
        if let Some(old) = self.hosts.insert(key, host) {
            self.forget(&old);
        }
    }

    /// Takes out the one of `key`, if there is one.
    pub fn remove(&mut self, key: &K) {
        if let Some(old) = self.hosts.remove(key) {
            self.forget(&old);
        }
    }

    fn forget(&mut self, host: &EncodedVirtualHost) {
        self.bytes -= host.field.len();
        for cluster in &host.clusters {
            match self.named.get_mut(cluster) {
                Some(times) if *times > 1 => *times -= 1,
                _ => {
                    self.named.remove(cluster);
                    self.clusters.remove(cluster);
                }
            }
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

impl<K: Ord + Clone> FromIterator<(K, EncodedVirtualHost)> for EncodedVirtualHosts<K> {
    fn from_iter<I: IntoIterator<Item = (K, EncodedVirtualHost)>>(hosts: I) -> Self {
        let mut all = Self::default();
        hosts.into_iter().for_each(|(key, host)| all.insert(key, host));
        all
    }
}

impl Resource {
    /// The route configuration `rest`, with `hosts` before the virtual hosts that it has itself: the same bytes as if it were
    /// encoded whole.
    #[must_use]
    pub fn of_virtual_hosts<K: Ord + Clone>(
        rest: &RouteConfiguration,
        hosts: &EncodedVirtualHosts<K>,
    ) -> Self {
        let own: Vec<EncodedVirtualHost> = rest.virtual_hosts.iter().map(EncodedVirtualHost::from).collect();
        // The numbers of all other fields are higher, and fields are written in the order of their numbers.
        let others = RouteConfiguration { name: String::new(), virtual_hosts: Vec::new(), ..rest.clone() };
        let name_len = if rest.name.is_empty() { 0 } else { protobuf::field_len(NAME, rest.name.len()) };
        let own_len: usize = own.iter().map(|host| host.field.len()).sum();
        let mut clusters = hosts.clusters.clone();
        references::of_routes(rest).clusters.into_iter().for_each(|cluster| drop(clusters.insert(cluster)));
        let references = References { clusters, ..References::default() };
        let len = name_len + hosts.bytes + own_len + others.encoded_len();
        Self::of_written(Kind::Route, &rest.name, len, references, |body| {
            if !rest.name.is_empty() {
                protobuf::put_field(body, NAME, rest.name.as_bytes());
            }
            hosts.hosts.values().chain(&own).for_each(|host| body.extend_from_slice(&host.field));
            body.extend_from_slice(&others.encode_to_vec());
        })
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::route::v3::route::Action;
    use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
    use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction};

    use super::*;

    /// A host that sends to these clusters.
    fn host(name: &str, clusters: &[&str]) -> VirtualHost {
        let route = |cluster: &&str| Route {
            action: Some(Action::Route(RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster((*cluster).to_owned())),
                ..Default::default()
            })),
            ..Default::default()
        };
        VirtualHost {
            name: name.to_owned(),
            routes: clusters.iter().map(route).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn what_hosts_came_to_is_what_they_are_encoded_whole() {
        let rest = RouteConfiguration { name: "http".to_owned(), ..Default::default() };
        let mut hosts: EncodedVirtualHosts<&str> =
            [("a", host("a", &["one", "two"])), ("b", host("b", &["two"])), ("c", host("c", &["three"]))]
                .iter()
                .map(|(key, host)| (*key, EncodedVirtualHost::from(host)))
                .collect();
        hosts.insert("a", EncodedVirtualHost::from(&host("a", &["two", "four"])));
        hosts.remove(&"c");
        hosts.remove(&"never there");
        let whole = RouteConfiguration {
            virtual_hosts: vec![host("a", &["two", "four"]), host("b", &["two"])],
            ..rest.clone()
        };
        assert_eq!(Resource::of_virtual_hosts(&rest, &hosts), Resource::from(&whole));
        hosts.remove(&"a");
        hosts.remove(&"b");
        assert!(hosts.is_empty());
        assert_eq!(Resource::of_virtual_hosts(&rest, &hosts), Resource::from(&rest));
    }
}
