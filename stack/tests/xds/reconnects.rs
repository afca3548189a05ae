//! The server goes and comes back under a live Envoy.

use std::path::Path;

use anyhow::{Result, ensure};
use stack::wait::until;
use xds_server::session::Protocol;

use super::LIMIT;
use super::envoy::{Envoy, Mode, Stats};
use super::lab::{Lab, changes, is_spotless};
use super::resources::HTTP;

/// A server that was cut off, or stopped, comes back with what it had: nothing changes. Then with something else: Envoy
/// takes that over, and what exists throughout is served throughout.
pub fn a_server_that_comes_back_disturbs_nobody(mode: Mode, folder: &Path) -> Result<()> {
    let mut lab = Lab::start_with(mode, folder, |world, upstreams| {
        world.hosts(HTTP).insert("plain.test", "plain");
        world.clusters.insert("plain", upstreams.ports(&["u2"]));
    })?;
    let traffic = lab.traffic()?;
    traffic.served_by("kept.test", &["k1"])?;
    let first = lab.envoy.stats()?;

    lab.plane.kill()?;
    comes_back_unchanged(&mut lab, &first)?;
    lab.plane.stop()?;
    comes_back_unchanged(&mut lab, &first)?;
    traffic.served_by("web.test", &["u1"])?;

    // What changes while nobody tells: a cluster and its host go, an endpoint moves, a host with a cluster comes; of the
    // cluster `plain` a detail, and not its endpoint.
    traffic.set_hosts(&["kept.test", "plain.test"]);
    traffic.goes_on(20)?;
    lab.plane.stop()?;
    lab.world.hosts(HTTP).remove("web.test");
    lab.world.clusters.remove("web");
    lab.world.connect_seconds = 3;
    lab.world.clusters.insert("kept", lab.upstreams.ports(&["k2"]));
    lab.world.hosts(HTTP).insert("next.test", "next");
    lab.world.clusters.insert("next", lab.upstreams.ports(&["u3"]));
    traffic.goes_on(20)?;
    // It is there before it knows anything, and says nothing until it does.
    lab.plane.restart()?;
    until("Envoy is back on every stream", LIMIT, || connected(&lab.envoy, &first))?;
    traffic.goes_on(20)?;
    lab.converge()?;
    traffic.served_by("kept.test", &["k2"])?;
    traffic.set_hosts(&["kept.test", "plain.test", "next.test"]);
    traffic.served_by("next.test", &["u3"])?;
    is_spotless(&lab.envoy.stats()?)?;
    traffic.finish()?;
    Ok(())
}

fn comes_back_unchanged(lab: &mut Lab, first: &Stats) -> Result<()> {
    until("Envoy has noticed", LIMIT, || disconnected(&lab.envoy))?;
    lab.plane.restart()?;
    lab.publish()?;
    until("Envoy is back on every stream", LIMIT, || connected(&lab.envoy, first))?;
    lab.settled()?;
    let now = lab.envoy.stats()?;
    ensure!(changes(&now) == changes(first), "{:?}, and it was {:?}", changes(&now), changes(first));
    if lab.mode.protocol == Protocol::Delta {
        // Its versions are right, so it is not told again; routes and endpoints it asks for by name, and gets.
        for subscription in ["cluster_manager.cds", "listener_manager.lds"] {
            let more = now.since(first, &format!("{subscription}.update_success"));
            ensure!(more == 0, "{subscription} was told {more} times what it knew");
        }
    }
    is_spotless(&now)
}

fn disconnected(envoy: &Envoy) -> Result<()> {
    let streams = envoy.stats()?.ending("control_plane.connected_state").len();
    ensure!(streams == 0, "{streams} streams are still there");
    Ok(())
}

fn connected(envoy: &Envoy, first: &Stats) -> Result<()> {
    let found = envoy.stats()?;
    let end = "connected_state";
    ensure!(found.ending(end) == first.ending(end), "{:?}", found.ending(end));
    Ok(())
}
