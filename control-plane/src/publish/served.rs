//! The next snapshot of a topology. What is made of the same as last time is last time's: an event costs what it changes.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use xds_server::{EncodedVirtualHost, EncodedVirtualHosts, Kind, Name, Resource, Snapshot, SnapshotError};

use crate::model::{Host, Service, Site, Topology};
use crate::policies::EntryName;
use crate::translate::{self, EdgeOptions};

/// What each of the containers' hosts answers, encoded, at each entry point of HTTP.
#[derive(Debug, Clone, Default)]
pub(super) struct VirtualHosts(OrdMap<EntryName, EncodedVirtualHosts<Host>>);

/// What was served last, and what it was made of.
pub(super) struct Last<'a> {
    pub(super) topology: &'a Topology,
    pub(super) snapshot: &'a Snapshot,
    pub(super) hosts: &'a VirtualHosts,
}

/// The snapshot of `topology` that follows `last`.
///
/// # Errors
///
/// [`SnapshotError`]: what is made of the topology is not consistent.
pub(super) fn next(
    topology: &Topology,
    edge: &EdgeOptions,
    last: Option<&Last<'_>>,
) -> Result<(Snapshot, VirtualHosts), SnapshotError> {
    match last.filter(|last| last.topology.policies == topology.policies) {
        Some(last) => {
            let hosts = last.hosts.follow(last.topology, topology);
            let mut put = Vec::new();
            let mut removed: Vec<(Kind, Name)> = Vec::new();
            for change in last.topology.services.diff(&topology.services) {
                match change {
                    DiffItem::Add(_, service) | DiffItem::Update { new: (_, service), .. } => {
                        put.extend(of_service(service, topology));
                    }
                    DiffItem::Remove(name, _) => {
                        let gone = [Kind::Cluster, Kind::Endpoint].map(|kind| (kind, Arc::clone(&name.0)));
                        removed.extend(gone);
                    }
                }
            }
            if last.topology.hosts != topology.hosts {
                put.extend(routes(topology, edge, &hosts));
                put.extend(connections(topology, edge));
            }
            Ok((last.snapshot.with(put, removed)?, hosts))
        }
        None => {
            let hosts = VirtualHosts::of(topology);
            let settled = translate::settled(edge, &topology.policies);
            let mut all: Vec<Resource> =
                topology.services.values().flat_map(|service| of_service(service, topology)).collect();
            all.extend(routes(topology, edge, &hosts));
            all.extend(settled.clusters.iter().map(Resource::from));
            all.extend(settled.listeners.iter().map(Resource::from));
            all.extend(connections(topology, edge));
            all.extend(translate::secrets(&topology.policies).iter().map(Resource::from));
            let before = last.map(|last| &*last.topology.policies);
            all.push(Resource::from(&translate::extension(&topology.policies, before)));
            let first = Snapshot::default();
            Ok((last.map_or(&first, |last| last.snapshot).next(all)?, hosts))
        }
    }
}

fn of_service(service: &Service, topology: &Topology) -> [Resource; 2] {
    let cluster = translate::cluster(service, &topology.policies);
    [Resource::from(&cluster), Resource::from(&translate::assignment(service))]
}

/// The listeners of TCP. They are few, and what is the same as before is not sent.
fn connections(topology: &Topology, edge: &EdgeOptions) -> impl Iterator<Item = Resource> {
    translate::tcp_entries(topology)
        .filter_map(move |entry| translate::tcp_listener(topology, edge, entry))
        .map(|listener| Resource::from(&listener))
}

/// The routes of each entry point of HTTP.
fn routes(topology: &Topology, edge: &EdgeOptions, hosts: &VirtualHosts) -> Vec<Resource> {
    let none = EncodedVirtualHosts::default();
    let of_entry = |entry: &EntryName| {
        let own = hosts.0.get(entry).unwrap_or(&none);
        Resource::of_virtual_hosts(&translate::routes_frame(topology, edge, entry), own)
    };
    translate::http_entries(topology).map(of_entry).collect()
}

impl VirtualHosts {
    fn of(topology: &Topology) -> Self {
        let mut hosts = Self::default();
        let sites = topology.hosts.keys().filter(|site| !topology.policies.is_tcp(&site.entry));
        sites.for_each(|site| hosts.put(topology, site));
        hosts
    }

    /// Those of `new`, of which these are those of `old`. A wildcard is part of what the hosts below it answer.
    fn follow(&self, old: &Topology, new: &Topology) -> Self {
        let mut hosts = self.clone();
        for change in old.hosts.diff(&new.hosts) {
            let (DiffItem::Add(site, _)
            | DiffItem::Update { new: (site, _), .. }
            | DiffItem::Remove(site, _)) = change;
            if new.policies.is_tcp(&site.entry) {
                continue;
            }
            if !matches!(site.host, Host::Exact(_)) {
                return Self::of(new);
            }
            if new.hosts.contains_key(site) {
                hosts.put(new, site);
            } else {
                hosts.remove(site);
            }
        }
        hosts
    }

    fn put(&mut self, topology: &Topology, site: &Site) {
        let host = EncodedVirtualHost::from(&translate::virtual_host(topology, site));
        self.0.entry(Arc::clone(&site.entry)).or_default().insert(site.host.clone(), host);
    }

    fn remove(&mut self, site: &Site) {
        if let Some(hosts) = self.0.get_mut(&site.entry) {
            hosts.remove(&site.host);
        }
    }
}
