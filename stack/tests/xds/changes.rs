//! Everything that may change does, under requests, and none of them fails.

use std::path::Path;

use anyhow::{Result, ensure};
use xds_server::Resource;

use super::envoy::{Mode, Streams};
use super::lab::{Lab, NODE, SUBSCRIPTIONS, changes, is_spotless};
use super::resources::{Entrance, HTTP, routes};
use super::status;
use super::traffic::Traffic;

/// First configuration, endpoints, a detail of all clusters, another cluster behind a host, and a snapshot that says
/// nothing new.
pub fn requests_survive_every_change(mode: Mode, folder: &Path) -> Result<()> {
    let mut lab = Lab::start_with(mode, folder, |world, _| {
        if mode.streams == Streams::Aggregated {
            // One snapshot serves Envoy and gRPC without a proxy: Envoy takes what is not for it.
            world.extra = vec![
                Resource::from(&world.api_listener("backend", "backend")),
                Resource::from(&routes("backend", &[("*", "kept")].into())),
            ];
        }
    })?;
    let traffic = lab.traffic()?;
    traffic.served_by("kept.test", &["k1"])?;
    traffic.served_by("web.test", &["u1"])?;
    endpoints_move(&mut lab, &traffic)?;
    a_detail_of_all_clusters_changes(&mut lab, &traffic)?;
    clusters_are_replaced(&mut lab, &traffic)?;
    nothing_new_is_not_sent(&mut lab, &traffic)?;
    is_spotless(&lab.envoy.stats()?)?;
    status::acknowledged(&lab.plane, NODE, None)?;
    traffic.finish()?;
    Ok(())
}

/// Their cluster hears of it, and nothing else does.
fn endpoints_move(lab: &mut Lab, traffic: &Traffic) -> Result<()> {
    let before = lab.envoy.stats()?;
    for upstreams in [&["u1", "u2"][..], &["u2"]] {
        lab.world.clusters.insert("web", lab.upstreams.ports(upstreams));
        lab.converge()?;
        traffic.served_by("web.test", upstreams)?;
    }
    let after = lab.envoy.stats()?;
    ensure!(after.since(&before, "cluster.web.update_success") == 2, "one update an endpoint change");
    ensure!(after.since(&before, "cluster.kept.update_success") == 0, "the other cluster hears nothing");
    ensure!(changes(&after) == changes(&before), "endpoints only: {:?}", changes(&after));
    Ok(())
}

/// They are warm at once, and serve on meanwhile.
fn a_detail_of_all_clusters_changes(lab: &mut Lab, traffic: &Traffic) -> Result<()> {
    let before = lab.envoy.stats()?;
    lab.world.connect_seconds = 2;
    lab.converge()?;
    traffic.goes_on(50)?;
    let after = lab.envoy.stats()?;
    ensure!(after.since(&before, "cluster_manager.cluster_modified") == 2, "both clusters were modified");
    Ok(())
}

/// A host moves to a cluster that is new, and the old one goes, some times in a row.
fn clusters_are_replaced(lab: &mut Lab, traffic: &Traffic) -> Result<()> {
    let before = lab.envoy.stats()?;
    let moves =
        [("web", "next", "u3"), ("next", "other", "u2"), ("other", "web", "u1"), ("web", "next", "u3")];
    for (from, to, upstream) in moves {
        replace_cluster(lab, from, to, upstream)?;
        traffic.served_by("web.test", &[upstream])?;
    }
    let after = lab.envoy.stats()?;
    for (event, more) in [("added", 4), ("removed", 4), ("modified", 0)] {
        let found = after.since(&before, &format!("cluster_manager.cluster_{event}"));
        ensure!(found == more, "{found} clusters were {event}, and not {more}");
    }
    Ok(())
}

/// A snapshot that is equal is not sent; the endpoint that follows shows that it had its chance.
fn nothing_new_is_not_sent(lab: &mut Lab, traffic: &Traffic) -> Result<()> {
    let before = lab.envoy.stats()?;
    lab.publish()?;
    lab.world.clusters.insert("next", lab.upstreams.ports(&["u1"]));
    lab.converge()?;
    traffic.served_by("web.test", &["u1"])?;
    let after = lab.envoy.stats()?;
    ensure!(changes(&after) == changes(&before), "{:?}", changes(&after));
    ensure!(after.since(&before, "cluster.next.update_success") == 1, "only the endpoint was sent");
    for subscription in SUBSCRIPTIONS.into_iter().chain(["cluster.kept"]) {
        for counter in ["update_attempt", "update_success"] {
            let more = after.since(&before, &format!("{subscription}.{counter}"));
            ensure!(more == 0, "{subscription}.{counter}: {more} more for nothing new");
        }
    }
    Ok(())
}

/// A listener comes, goes, and comes back as it was, and the other one is not touched. Envoy lets go of its routes in
/// between, so it has to be told them again at the version it once had.
pub fn a_listener_that_comes_back_has_its_routes(mode: Mode, folder: &Path) -> Result<()> {
    let mut lab = Lab::start(mode, folder)?;
    let traffic = lab.traffic()?;
    let second = Entrance::new(&[("second.test", "web")])?;
    // Its routes are there all the time.
    lab.world.extra = vec![Resource::from(&routes("second", &second.hosts))];
    for times in 1..=2 {
        lab.world.listeners.insert("second", second.clone());
        lab.converge()?;
        let visitors = Traffic::start(second.port.port(), &["second.test"])?;
        visitors.served_by("second.test", &["u1"])?;
        visitors.finish()?;
        lab.world.listeners.remove("second");
        lab.converge()?;
        let removed = lab.envoy.stats()?.get("listener_manager.listener_removed");
        ensure!(removed == times, "{removed} listeners were removed");
    }
    let stats = lab.envoy.stats()?;
    for end in ["update_rejected", "init_fetch_timeout"] {
        ensure!(stats.ending(end).is_empty(), "{:?}", stats.ending(end));
    }
    ensure!(stats.get("listener_manager.listener_modified") == 0, "no listener was modified");
    traffic.finish()?;
    Ok(())
}

/// `web.test` leads to the cluster `to` instead of `from`. Over one stream that is one snapshot; streams for one type
/// each know nothing of each other, so there the publisher makes before it breaks.
fn replace_cluster(lab: &mut Lab, from: &str, to: &'static str, upstream: &str) -> Result<()> {
    lab.world.clusters.insert(to, lab.upstreams.ports(&[upstream]));
    if lab.mode.streams == Streams::ForEachType {
        lab.converge()?;
    }
    lab.world.hosts(HTTP).insert("web.test", to);
    if lab.mode.streams == Streams::ForEachType {
        lab.converge()?;
    }
    lab.world.clusters.remove(from);
    lab.converge()
}
