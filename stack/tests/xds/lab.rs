//! One server, one Envoy, some web servers behind it: what most of the tests start with.

use std::path::Path;

use anyhow::{Result, ensure};
use stack::wait::until;

use super::LIMIT;
use super::envoy::{Envoy, Mode, Stats};
use super::resources::{Entrance, HTTP, World};
use super::server::ControlPlane;
use super::traffic::Traffic;
use super::upstream::Upstreams;

/// The name under which Envoy is known.
pub const NODE: &str = "envoy";

/// Counters of what Envoy has changed about itself.
const CHANGES: [&str; 8] = [
    "cluster_manager.cluster_added",
    "cluster_manager.cluster_modified",
    "cluster_manager.cluster_removed",
    "listener_manager.listener_added",
    "listener_manager.listener_modified",
    "listener_manager.listener_in_place_updated",
    "listener_manager.listener_removed",
    "http.http.rds.http.config_reload",
];

/// Those of Envoy's subscriptions that are not about endpoints.
pub const SUBSCRIPTIONS: [&str; 3] = ["cluster_manager.cds", "listener_manager.lds", "http.http.rds.http"];

/// The parts, and what the server shall say.
#[derive(Debug)]
pub struct Lab {
    pub mode: Mode,
    pub envoy: Envoy,
    pub plane: ControlPlane,
    pub upstreams: Upstreams,
    pub world: World,
}

impl Lab {
    /// Two hosts with a cluster each: `kept.test` on `k1`, `web.test` on `u1`. Envoy has them, and is ready.
    pub fn start(mode: Mode, folder: &Path) -> Result<Self> {
        Self::start_with(mode, folder, |_, _| {})
    }

    /// The same, with whatever else `add` puts into the first snapshot.
    pub fn start_with(mode: Mode, folder: &Path, add: impl FnOnce(&mut World, &Upstreams)) -> Result<Self> {
        let mut lab = Self::prepare(mode, folder)?;
        add(&mut lab.world, &lab.upstreams);
        lab.publish()?;
        lab.envoy.ready()?;
        lab.settled()?;
        Ok(lab)
    }

    /// The same before anything is published.
    pub fn prepare(mode: Mode, folder: &Path) -> Result<Self> {
        let upstreams = Upstreams::start(&["k1", "k2", "u1", "u2", "u3"])?;
        let mut world = World::new(mode.source());
        let http = Entrance::new(&[("kept.test", "kept"), ("web.test", "web")])?;
        world.listeners.insert(HTTP, http);
        world.clusters.insert("kept", upstreams.ports(&["k1"]));
        world.clusters.insert("web", upstreams.ports(&["u1"]));
        let plane = ControlPlane::start(&[NODE])?;
        let envoy = Envoy::start(NODE, mode, plane.port(), folder)?;
        Ok(Self { mode, envoy, plane, upstreams, world })
    }

    /// Requests to the hosts of the listener `http`.
    pub fn traffic(&self) -> Result<Traffic> {
        let http = &self.world.listeners[HTTP];
        let hosts: Vec<&str> = http.hosts.keys().copied().collect();
        Traffic::start(http.port.port(), &hosts)
    }

    /// Publishes the world as it is now.
    pub fn publish(&self) -> Result<()> {
        self.plane.publish(NODE, self.world.resources())
    }

    /// Waits until Envoy holds the world as it is now, and nothing warms or drains.
    pub fn settled(&self) -> Result<()> {
        let expected = self.world.expected();
        until("Envoy has what was published", LIMIT, || {
            let found = self.envoy.holds()?;
            ensure!(found == expected, "it has {found:#?}\nand not {expected:#?}");
            Ok(())
        })
    }

    /// Publishes, and waits until Envoy has it.
    pub fn converge(&self) -> Result<()> {
        self.publish()?;
        self.settled()
    }
}

/// How often Envoy has changed anything but endpoints.
pub fn changes(stats: &Stats) -> Vec<(&'static str, u64)> {
    CHANGES.into_iter().map(|name| (name, stats.get(name))).collect()
}

/// Nothing was refused, nothing was waited for in vain, no listener was touched.
pub fn is_spotless(stats: &Stats) -> Result<()> {
    for end in ["update_rejected", "init_fetch_timeout", "warming_clusters", "total_listeners_draining"] {
        let found = stats.ending(end);
        ensure!(found.is_empty(), "{found:?}");
    }
    for name in
        ["listener_modified", "listener_in_place_updated", "listener_removed", "listener_create_failure"]
    {
        let found = stats.get(&format!("listener_manager.{name}"));
        ensure!(found == 0, "{name}: {found}");
    }
    Ok(())
}
