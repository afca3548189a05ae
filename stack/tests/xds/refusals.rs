//! Resources that Envoy refuses: one bad one takes nothing else with it.

use std::path::Path;

use anyhow::{Result, ensure};
use envoy_types::pb::envoy::config::cluster::v3::cluster::LbPolicy;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use envoy_types::pb::google::protobuf::Duration;
use stack::wait::until;
use xds_server::{Kind, Resource};

use super::LIMIT;
use super::envoy::Mode;
use super::lab::{Lab, NODE};
use super::resources::{Entrance, HTTP, World, routes, virtual_host};
use super::status;

/// Something that Envoy refuses.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// What is wrong with it.
    pub what: &'static str,
    kind: Kind,
    name: &'static str,
    /// Words of Envoy's reason.
    reason: &'static str,
    spoil: fn(&World) -> Resource,
}

/// A resource of the listener that is tried: one that exists already, or a new one.
pub const REFUSALS: [Refusal; 6] = [
    Refusal {
        what: "a_new_cluster_that_breaks_a_constraint",
        kind: Kind::Cluster,
        name: "odd",
        reason: "ConnectTimeout",
        spoil: |world| {
            let mut cluster = world.cluster("odd");
            cluster.connect_timeout = Some(Duration { seconds: 0, nanos: 0 });
            Resource::from(&cluster)
        },
    },
    Refusal {
        what: "a_cluster_that_turns_contradictory",
        kind: Kind::Cluster,
        name: "web",
        reason: "web",
        spoil: |world| {
            let mut cluster = world.cluster("web");
            cluster.lb_policy = LbPolicy::ClusterProvided as i32;
            Resource::from(&cluster)
        },
    },
    Refusal {
        what: "a_new_listener_with_an_unknown_filter",
        kind: Kind::Listener,
        name: "odd",
        reason: "test.Unknown",
        spoil: |world| {
            let mut listener = world.listener("odd", &world.listeners[HTTP]);
            let filter = &mut listener.filter_chains[0].filters[0];
            if let Some(ConfigType::TypedConfig(config)) = &mut filter.config_type {
                config.type_url = "type.googleapis.com/test.Unknown".to_owned();
            }
            Resource::from(&listener)
        },
    },
    Refusal {
        what: "a_listener_that_turns_odd",
        kind: Kind::Listener,
        name: "second",
        reason: "second",
        spoil: |world| {
            let mut listener = world.listener("second", &world.listeners["second"]);
            listener.filter_chains.push(listener.filter_chains[0].clone());
            Resource::from(&listener)
        },
    },
    Refusal {
        what: "routes_with_a_bad_expression",
        kind: Kind::Route,
        name: HTTP,
        reason: "missing )",
        spoil: |world| {
            let mut routes = routes(HTTP, &world.listeners[HTTP].hosts);
            let matched = &mut routes.virtual_hosts[0].routes[0].r#match;
            let expression = RegexMatcher { regex: "/(".to_owned(), ..Default::default() };
            matched.get_or_insert_default().path_specifier = Some(PathSpecifier::SafeRegex(expression));
            Resource::from(&routes)
        },
    },
    Refusal {
        what: "routes_with_one_domain_twice",
        kind: Kind::Route,
        name: HTTP,
        reason: "web.test",
        spoil: |world| {
            let mut routes = routes(HTTP, &world.listeners[HTTP].hosts);
            let mut again = virtual_host("again", "web");
            again.domains = vec!["web.test".to_owned()];
            routes.virtual_hosts.push(again);
            Resource::from(&routes)
        },
    },
];

/// It stays as it was, and everything else goes on: what came with it, what comes later, and its next version.
pub fn a_refused_resource_harms_no_other(refusal: Refusal, mode: Mode, folder: &Path) -> Result<()> {
    let second = Entrance::new(&[("second.test", "web")])?;
    let mut lab = Lab::start_with(mode, folder, |world, _| {
        world.listeners.insert("second", second);
    })?;
    let traffic = lab.traffic()?;

    // Something of each type changes beside it.
    let good = lab.world.clone();
    lab.world.extra = vec![(refusal.spoil)(&good)];
    lab.world.clusters.insert("new", lab.upstreams.ports(&["u2"]));
    lab.world.clusters.insert("kept", lab.upstreams.ports(&["k2"]));
    lab.world.hosts("second").insert("new.test", "new");
    lab.world.listeners.insert("third", Entrance::new(&[("third.test", "new")])?);
    lab.publish()?;
    everything_else_is_there(&lab, refusal)?;
    traffic.served_by("kept.test", &["k2"])?;
    status::refused(&lab.plane, NODE, refusal.kind, refusal.name, refusal.reason)?;
    status::acknowledged(&lab.plane, NODE, Some((refusal.kind, refusal.name)))?;
    let parked = rejections(&lab)?;
    ensure!(parked > 0, "Envoy refuses nothing");

    // It is not sent again, whatever else changes.
    lab.world.clusters.insert("kept", lab.upstreams.ports(&["k1"]));
    let between = lab.world.resources();
    lab.world.clusters.insert("more", lab.upstreams.ports(&["u3"]));
    lab.world.hosts("third").insert("more.test", "more");
    lab.plane.publish_in_a_row(NODE, [between, lab.world.resources()])?;
    everything_else_is_there(&lab, refusal)?;
    traffic.served_by("kept.test", &["k1"])?;
    status::acknowledged(&lab.plane, NODE, Some((refusal.kind, refusal.name)))?;
    ensure!(rejections(&lab)? == parked, "it was sent again");

    // Its next version goes out at once.
    lab.world.extra.clear();
    lab.world.connect_seconds = 2;
    lab.world.hosts(HTTP).insert("last.test", "more");
    lab.converge()?;
    status::acknowledged(&lab.plane, NODE, None)?;
    ensure!(rejections(&lab)? == parked, "Envoy refuses what is right now");
    traffic.finish()?;
    Ok(())
}

fn everything_else_is_there(lab: &Lab, refusal: Refusal) -> Result<()> {
    let expected = lab.world.expected();
    until("Envoy has everything else", LIMIT, || {
        let mut found = lab.envoy.holds()?;
        // Envoy shows what it refused of a listener, and keeps the one it had.
        found.unfinished.remove(&format!("listener {}: error_state", refusal.name));
        ensure!(found == expected, "it has {found:#?}\nand not {expected:#?}");
        Ok(())
    })
}

fn rejections(lab: &Lab) -> Result<u64> {
    Ok(lab.envoy.stats()?.ending("update_rejected").values().sum())
}
