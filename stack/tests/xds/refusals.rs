//! Resources that Envoy refuses: one bad one takes nothing else with it.

use std::path::Path;

use anyhow::{Result, ensure};
use envoy_types::pb::envoy::config::cluster::v3::cluster::LbPolicy;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use envoy_types::pb::google::protobuf::{Duration, UInt32Value};
use stack::wait::until;
use xds_server::session::Protocol;
use xds_server::{Kind, Resource};

use super::LIMIT;
use super::envoy::{Holds, Mode};
use super::lab::{Lab, NODE, changes};
use super::resources::{Entrance, HTTP, World, assignment, routes, virtual_host};
use super::status;
use super::traffic::Traffic;

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
pub const REFUSALS: [Refusal; 7] = [
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
        what: "endpoints_that_break_a_constraint",
        kind: Kind::Endpoint,
        name: "web",
        reason: "LoadBalancingWeight",
        spoil: |world| {
            let mut endpoints = assignment("web", &world.clusters["web"]);
            endpoints.endpoints[0].lb_endpoints[0].load_balancing_weight = Some(UInt32Value { value: 0 });
            Resource::from(&endpoints)
        },
    },
    Refusal {
        what: "a_new_listener_with_an_unknown_filter",
        kind: Kind::Listener,
        name: "odd",
        reason: "google.protobuf.Empty",
        spoil: |world| {
            let mut listener = world.listener("odd", &world.listeners[HTTP]);
            let filter = &mut listener.filter_chains[0].filters[0];
            if let Some(ConfigType::TypedConfig(config)) = &mut filter.config_type {
                // A type that Envoy knows, and not as a filter: of any other it cannot even show what it refused.
                config.type_url = "type.googleapis.com/google.protobuf.Empty".to_owned();
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
    let routed = (refusal.kind, refusal.name) == (Kind::Cluster, "odd");
    if routed {
        // A route that waits for a cluster that is refused would wait for ever.
        lab.world.hosts("second").insert("odd.test", "odd");
    }

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

    traffic.set_hosts(&["kept.test"]);
    traffic.goes_on(20)?;
    the_server_comes_back(&mut lab, refusal)?;
    let parked = rejections(&lab)?;

    // Its next version goes out at once.
    lab.world.extra.clear();
    if routed {
        lab.world.clusters.insert("odd", lab.upstreams.ports(&["u1"]));
    }
    lab.world.connect_seconds = 2;
    lab.world.hosts(HTTP).insert("last.test", "more");
    lab.publish()?;
    everything_else_is_there(&lab, refusal)?;
    status::acknowledged(&lab.plane, NODE, None)?;
    ensure!(rejections(&lab)? == parked, "Envoy refuses what is right now");
    traffic.finish()?;
    Ok(())
}

/// A server that comes back does not know the version that was good, so it cannot list it; where a list means that all
/// else is gone (state of the world, clusters and listeners) Envoy loses it. Otherwise it keeps what it has.
fn the_server_comes_back(lab: &mut Lab, refusal: Refusal) -> Result<()> {
    lab.plane.kill()?;
    lab.plane.restart()?;
    lab.publish()?;
    status::refused(&lab.plane, NODE, refusal.kind, refusal.name, refusal.reason)?;
    status::acknowledged(&lab.plane, NODE, Some((refusal.kind, refusal.name)))?;
    let is_lost = lab.mode.protocol == Protocol::StateOfTheWorld && refusal.kind.is_full_state();
    let world = &lab.world;
    holds(lab, refusal, &if is_lost { refusal.takes_from(world) } else { world.expected() })
}

/// A client that is new, and then one that comes back, gets everything but what it refuses, and loses nothing over it.
pub fn a_newcomer_gets_all_but_what_it_refuses(refusal: Refusal, mode: Mode, folder: &Path) -> Result<()> {
    let mut lab = Lab::prepare(mode, folder)?;
    lab.world.listeners.insert("second", Entrance::new(&[("second.test", "kept")])?);
    lab.world.listeners.insert("third", Entrance::new(&[("third.test", "kept")])?);
    let good = lab.world.clone();
    lab.world.extra = vec![(refusal.spoil)(&good)];
    lab.publish()?;
    lab.envoy.ready()?;
    let expected = refusal.takes_from(&good);
    holds(&lab, refusal, &expected)?;
    status::refused(&lab.plane, NODE, refusal.kind, refusal.name, refusal.reason)?;
    status::acknowledged(&lab.plane, NODE, Some((refusal.kind, refusal.name)))?;
    let first = lab.envoy.stats()?;
    ensure!(first.ending("init_fetch_timeout").is_empty(), "{:?}", first.ending("init_fetch_timeout"));

    let third = lab.world.listeners["third"].port.port();
    let traffic = Traffic::start(third, &["third.test"])?;
    traffic.goes_on(10)?;
    lab.plane.kill()?;
    lab.plane.restart()?;
    lab.publish()?;
    status::refused(&lab.plane, NODE, refusal.kind, refusal.name, refusal.reason)?;
    status::acknowledged(&lab.plane, NODE, Some((refusal.kind, refusal.name)))?;
    holds(&lab, refusal, &expected)?;
    let second = lab.envoy.stats()?;
    for (name, before) in changes(&first) {
        // Envoy counts a cluster as added before it refuses it.
        let refused = name == "cluster_manager.cluster_added" && refusal.kind == Kind::Cluster;
        let more = second.since(&first, name);
        ensure!(more == 0 || (refused && more == 1), "{name}: {more} more than {before}");
    }

    lab.world.extra.clear();
    lab.world.connect_seconds = 2;
    lab.world.clusters.insert("web", lab.upstreams.ports(&["u2"]));
    lab.publish()?;
    everything_else_is_there(&lab, refusal)?;
    status::acknowledged(&lab.plane, NODE, None)?;
    traffic.finish()?;
    Ok(())
}

impl Refusal {
    /// What is left to an Envoy that never had the refused resource.
    fn takes_from(self, world: &World) -> Holds {
        let mut world = world.clone();
        match self.kind {
            Kind::Cluster => drop(world.clusters.remove(self.name)),
            Kind::Endpoint => drop(world.clusters.insert("web", Vec::new())),
            Kind::Listener => drop(world.listeners.remove(self.name)),
            _ => world.hosts(self.name).clear(),
        }
        world.expected()
    }
}

fn everything_else_is_there(lab: &Lab, refusal: Refusal) -> Result<()> {
    holds(lab, refusal, &lab.world.expected())
}

fn holds(lab: &Lab, refusal: Refusal, expected: &Holds) -> Result<()> {
    until("Envoy has everything else", LIMIT, || {
        let mut found = lab.envoy.holds()?;
        // Envoy shows what it refused of a listener until it hears of others; one that it never had is nameless.
        for name in [refusal.name, ""] {
            found.unfinished.remove(&format!("listener {name}: error_state"));
        }
        ensure!(found == *expected, "it has {found:#?}\nand not {expected:#?}");
        Ok(())
    })
}

fn rejections(lab: &Lab) -> Result<u64> {
    Ok(lab.envoy.stats()?.ending("update_rejected").values().sum())
}
