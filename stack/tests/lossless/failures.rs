//! Containers, and what looks after them, that fail.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::deploys::{overlay, path};
use super::{MIXED, READS, Test, during, go_on_for, nothing_is_lost, scale};
use crate::common::rotation_of;
use crate::compose::{Compose, becomes, docker};

pub(super) const TESTS: &[(&str, Test)] = &[
    ("nothing_is_lost_while_a_frontend_is_restarted", a_frontend_is_restarted),
    ("nothing_is_lost_while_a_frontend_that_does_not_stop_is_killed", a_frontend_does_not_stop),
    ("nothing_is_lost_while_a_frontend_is_unhealthy", a_frontend_is_unhealthy),
    ("nothing_is_lost_while_the_control_plane_is_killed_during_scaling", the_control_plane_is_killed),
    ("nothing_is_lost_while_docker_cannot_be_reached", docker_cannot_be_reached),
    ("no_get_is_lost_while_a_frontend_is_killed", a_frontend_is_killed),
    ("a_killed_frontend_costs_no_more_than_the_writes_it_had", a_frontend_is_killed_while_it_writes),
];

/// Requests that one frontend has at a time when so many come in a second, and some more.
const IN_FLIGHT: usize = 5;

fn a_frontend_is_restarted(system: &Compose) -> Result<()> {
    let id = system.id("frontend")?;
    nothing_is_lost(system, || {
        docker(&["restart", &id])?;
        rotation_of(&system.site()?, 3).map(drop)
    })
}

/// One more frontend, that goes on for an hour after SIGTERM: the engine kills it when its time is over.
fn a_frontend_does_not_stop(system: &Compose) -> Result<()> {
    let stubborn = overlay("services: {frontend: {environment: {DRAIN_DELAY: 1h}}}\n")?;
    let files = ["-f", "compose.yml", "-f", path(&stubborn)?];
    let one_more = ["up", "-d", "--no-build", "--wait", "--no-recreate", "--scale", "frontend=4"];
    nothing_is_lost(system, || {
        let site = system.site()?;
        system.run(&[&files[..], &one_more].concat())?;
        let names = system.lives()?.into_keys().filter(|name| name.contains("-frontend-"));
        let newest = names.max_by_key(|name| number(name)).unwrap_or_default();
        let killed = rotation_of(&site, 4).and_then(|_| is_killed(&newest));
        let left = killed.and_then(|()| rotation_of(&site, 3));
        docker(&["rm", "-f", &newest])?;
        left.map(drop)
    })
}

/// Stops a container that does not end when it is told to.
fn is_killed(name: &str) -> Result<()> {
    docker(&["stop", "--time", "5", name])?;
    let code = docker(&["inspect", "-f", "{{.State.ExitCode}}", name])?;
    ensure!(code.trim() == "137", "it ended by itself, and was not killed: exit code {}", code.trim());
    Ok(())
}

/// The number in the name of a container of a service: `/portolan-e2e-frontend-12`.
fn number(name: &str) -> u32 {
    name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// It serves while its health check says no.
fn a_frontend_is_unhealthy(system: &Compose) -> Result<()> {
    let id = system.id("frontend")?;
    nothing_is_lost(system, || {
        let site = system.site()?;
        docker(&["kill", "--signal", "USR1", &id])?;
        let left = becomes("unhealthy", &id).and_then(|()| rotation_of(&site, 2));
        docker(&["kill", "--signal", "USR2", &id])?;
        left?;
        becomes("healthy", &id)?;
        rotation_of(&site, 3).map(drop)
    })
}

fn the_control_plane_is_killed(system: &Compose) -> Result<()> {
    nothing_is_lost(system, || {
        scale(system, 5)?;
        system.run(&["kill", "control-plane"])?;
        // Compose waits for the control plane where something is to be started; stopping goes on without it.
        system.run(&["start", "control-plane"])?;
        scale(system, 3)?;
        rotation_of(&system.site()?, 3).map(drop)
    })
}

fn docker_cannot_be_reached(system: &Compose) -> Result<()> {
    let guard = system.id("docker-guard")?;
    nothing_is_lost(system, || {
        docker(&["pause", &guard])?;
        let cut = go_on_for(Duration::from_secs(30));
        docker(&["unpause", &guard])?;
        cut?;
        // Its health check failed while it was paused, and Compose starts nothing before it is well again.
        becomes("healthy", &guard)?;
        scale(system, 4)?;
        rotation_of(&system.site()?, 4)?;
        scale(system, 3)?;
        rotation_of(&system.site()?, 3).map(drop)
    })
}

/// Kills a frontend, and starts it again once it is out of the rotation.
fn kill_a_frontend(system: &Compose) -> Result<()> {
    let id = system.id("frontend")?;
    docker(&["kill", "--signal", "KILL", &id])?;
    rotation_of(&system.site()?, 2)?;
    docker(&["start", &id])?;
    rotation_of(&system.site()?, 3).map(drop)
}

fn a_frontend_is_killed(system: &Compose) -> Result<()> {
    during(system, READS, || kill_a_frontend(system))?.is_complete()
}

/// A write that was under way may have been done: it is not tried again, and the client is told.
fn a_frontend_is_killed_while_it_writes(system: &Compose) -> Result<()> {
    let account = during(system, MIXED, || kill_a_frontend(system))?;
    for lost in &account.lost {
        ensure!(lost.ask.method == "POST" && lost.what.starts_with("503 "), "{lost}");
    }
    if account.lost.len() > IN_FLIGHT { account.is_complete() } else { Ok(()) }
}
