//! Several Envoys at one server, each with a configuration of its own, and one of them stops reading.

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
const NODES: [&str; 3] = ["one", "two", "stuck"];

/// Those that read follow every change meanwhile; the one that did not goes straight to the newest.
pub fn a_stuck_client_holds_nobody_up(mode: Mode, folder: &Path) -> Result<()> {
    let plane = ControlPlane::start(&NODES)?;
    let mut clients = NODES.map(|node| Client::start(node, &plane, mode, folder)).into_iter();
    let mut next = || clients.next().expect("there are three");
    let (mut one, mut two, mut stuck) = (next()?, next()?, next()?);
    for client in [&mut one, &mut two, &mut stuck] {
        client.envoy.ready()?;
        client.holds_its_own()?;
    }
    let before = [one.updates()?, two.updates()?, stuck.updates()?];

    stuck.envoy.process.signal(Signal::STOP)?;
    for _ in 0..MOVES {
        for client in [&mut one, &mut two, &mut stuck] {
            client.move_endpoint(&plane)?;
        }
        one.holds_its_own()?;
        two.holds_its_own()?;
    }
    ensure!(one.updates()? - before[0] == u64::from(MOVES), "the first follows every move");
    ensure!(two.updates()? - before[1] == u64::from(MOVES), "the second follows every move");

    stuck.envoy.process.signal(Signal::CONT)?;
    stuck.holds_its_own()?;
    // The first move was on its way to it already; of the others it hears the last.
    let heard = stuck.updates()? - before[2];
    ensure!(heard <= 2, "it was told {heard} of {MOVES} moves");
    for client in [&one, &two, &stuck] {
        is_spotless(&client.envoy.stats()?)?;
    }
    Ok(())
}

/// An Envoy, and what it shall hold.
struct Client {
    node: &'static str,
    envoy: Envoy,
    world: World,
}

impl Client {
    /// Its endpoint says which node it is.
    fn start(node: &'static str, plane: &ControlPlane, mode: Mode, folder: &Path) -> Result<Self> {
        let mut world = World::new(mode.source());
        world.listeners.insert(HTTP, Entrance::new(&[("web.test", "web")])?);
        world.clusters.insert("web", vec![world.listeners[HTTP].port.port()]);
        plane.publish(node, world.resources())?;
        let envoy = Envoy::start(node, mode, plane.port(), folder)?;
        Ok(Self { node, envoy, world })
    }

    fn move_endpoint(&mut self, plane: &ControlPlane) -> Result<()> {
        for port in self.world.clusters.values_mut().flatten() {
            *port = port.checked_sub(1).unwrap_or(u16::MAX);
        }
        plane.publish(self.node, self.world.resources())
    }

    fn holds_its_own(&self) -> Result<()> {
        let expected = self.world.expected();
        until(&format!("{} has what is its own", self.node), LIMIT, || {
            let found = self.envoy.holds()?;
            ensure!(found == expected, "it has {found:#?}\nand not {expected:#?}");
            Ok(())
        })
    }

    fn updates(&self) -> Result<u64> {
        Ok(self.envoy.stats()?.get("cluster.web.update_success"))
    }
}
