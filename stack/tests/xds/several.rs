//! Several Envoys at one server, and one of them stops reading.

use std::path::Path;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use stack::wait::until;

use super::LIMIT;
use super::envoy::{Envoy, Mode};
use super::lab::is_spotless;
use super::resources::{Entrance, HTTP, World};
use super::server::ControlPlane;

/// How often the endpoints move while one client does not read.
const MOVES: u16 = 20;

/// Those that read follow every change meanwhile; the one that did not goes straight to the newest.
pub fn a_stuck_client_holds_nobody_up(mode: Mode, folder: &Path) -> Result<()> {
    let plane = ControlPlane::start()?;
    let mut world = World::new(mode.source());
    world.listeners.insert(HTTP, Entrance::new(&[("web.test", "web")])?);
    world.clusters.insert("web", vec![1]);
    plane.publish(world.resources())?;
    let start = |node| Envoy::start(node, mode, plane.port(), folder);
    let mut envoys = [start("one")?, start("two")?, start("stuck")?];
    for envoy in &mut envoys {
        envoy.ready()?;
        holds(envoy, &world)?;
    }
    let [one, two, stuck] = &envoys;
    let updates = |envoy: &Envoy| anyhow::Ok(envoy.stats()?.get("cluster.web.update_success"));
    let before = [updates(one)?, updates(two)?, updates(stuck)?];

    stuck.process.signal(Signal::STOP)?;
    for port in 1..=MOVES {
        world.clusters.insert("web", vec![1 + port]);
        plane.publish(world.resources())?;
        holds(one, &world)?;
        holds(two, &world)?;
    }
    ensure!(updates(one)? - before[0] == u64::from(MOVES), "the first follows every move");
    ensure!(updates(two)? - before[1] == u64::from(MOVES), "the second follows every move");

    stuck.process.signal(Signal::CONT)?;
    holds(stuck, &world)?;
    // The first move was on its way to it already; of the others it hears the last.
    let heard = updates(stuck)? - before[2];
    ensure!(heard <= 2, "it was told {heard} of {MOVES} moves");
    for envoy in &envoys {
        is_spotless(&envoy.stats()?)?;
    }
    Ok(())
}

fn holds(envoy: &Envoy, world: &World) -> Result<()> {
    let expected = world.expected();
    until("Envoy has what was published", LIMIT, || {
        let found = envoy.holds()?;
        ensure!(found == expected, "it has {found:#?}\nand not {expected:#?}");
        Ok(())
    })
}
