//! Containers that are replaced on purpose.

use std::io::Write as _;

use anyhow::{Context, Result, bail, ensure};
use stack::load::Ask;
use tempfile::NamedTempFile;

use super::{GET_MESSAGE, ROUNDS, Test, during, nothing_is_lost, scale};
use crate::common::rotation_of;
use crate::compose::Compose;

pub(super) const TESTS: &[(&str, Test)] = &[
    ("nothing_is_lost_while_frontends_are_scaled_up_and_down_ten_times", scaled_up_and_down),
    ("nothing_is_lost_while_every_frontend_is_rolled_out_ten_times", rolled_out),
    ("nothing_is_lost_by_a_rollout_of_what_never_is_healthy", rolled_out_in_vain),
    ("nothing_is_lost_while_the_backend_is_edited_and_rolled_out", the_backend_is_rolled_out),
    ("an_edited_backend_is_missed_only_while_there_is_none", the_backend_is_edited),
];

/// What is laid over `compose.yml`.
pub(super) fn overlay(text: &str) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::with_suffix(".yml")?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

pub(super) fn path(file: &NamedTempFile) -> Result<&str> {
    file.path().to_str().context("a path in UTF-8")
}

fn scaled_up_and_down(system: &Compose) -> Result<()> {
    nothing_is_lost(system, || {
        for _ in 0..ROUNDS {
            scale(system, 6)?;
            scale(system, 3)?;
        }
        Ok(())
    })
}

fn rolled_out(system: &Compose) -> Result<()> {
    let before = system.lives()?;
    nothing_is_lost(system, || {
        for _ in 0..ROUNDS {
            let told = system.portolan(&["rollout", "frontend"])?;
            ensure!(told.contains("have finished their requests"), "Envoy was asked: {told}");
        }
        Ok(())
    })?;
    rotation_of(&system.site()?, 3)?;
    let after = system.lives()?;
    let is_frontend = |name: &&String| name.contains("-frontend-");
    ensure!(after.keys().filter(is_frontend).count() == 3 && after.len() == before.len(), "{after:?}");
    for (name, life) in &before {
        // The new ones have other numbers, and with that other names.
        ensure!(is_frontend(&name) != (after.get(name) == Some(life)), "{name}: {life}, then {after:?}");
    }
    system.run(&["up", "-d", "--no-build", "--wait"])?;
    ensure!(system.lives()? == after, "and to Compose everything is as it should be");
    Ok(())
}

fn rolled_out_in_vain(system: &Compose) -> Result<()> {
    let before = system.lives()?;
    let sick = overlay("services: {frontend: {healthcheck: {test: [CMD, /nothing]}}}\n")?;
    nothing_is_lost(system, || {
        let arguments = ["rollout", "frontend", "-f", "compose.yml", "-f", path(&sick)?, "--timeout", "8s"];
        let Err(error) = system.portolan(&arguments) else { bail!("it was rolled out") };
        let told = format!("{error:#}");
        for words in ["is starting: its health check", "the old containers serve as before"] {
            ensure!(told.contains(words), "{words:?} is not in: {told}");
        }
        Ok(())
    })?;
    let after = system.lives()?;
    ensure!(after == before, "before {before:?}, after {after:?}");
    rotation_of(&system.site()?, 3).map(drop)
}

/// A host of its own beside the old one, so that the routes change with the containers.
const EDITED: &str = "services: {backend: {labels: {portolan.host: 'backend.localhost,api.localhost'}}}\n";
const GET_EDITED: Ask = Ask { host: "api.localhost", ..GET_MESSAGE };

/// What a client of the backend asks, and nothing else: the frontends find it by Docker's DNS, without Envoy.
const BACKEND_ALONE: &[Ask] = &[GET_MESSAGE];

fn the_backend_is_rolled_out(system: &Compose) -> Result<()> {
    let edited = overlay(EDITED)?;
    let account = during(system, BACKEND_ALONE, || {
        let told = system.portolan(&["rollout", "backend", "-f", "compose.yml", "-f", path(&edited)?])?;
        ensure!(told.contains("have finished their requests"), "Envoy was asked: {told}");
        let answer = system.site()?.get(GET_EDITED.host, GET_EDITED.path)?;
        ensure!(answer.status() == 200, "the edit is routed: {answer:?}");
        system.portolan(&["rollout", "backend"]).map(drop)
    })?;
    account.is_complete()
}

/// Compose stops the only container of a service and then makes a new one. What is lost meanwhile is told by Envoy, and
/// lost only because nobody was there.
fn the_backend_is_edited(system: &Compose) -> Result<()> {
    let edited = overlay(EDITED)?;
    let up = |files: &[&str]| {
        let up = ["up", "-d", "--no-build", "--wait", "backend"];
        system.run(&[files, &up].concat())
    };
    let account = during(system, BACKEND_ALONE, || {
        up(&["-f", "compose.yml", "-f", path(&edited)?])?;
        let answer = system.site()?.get(GET_EDITED.host, GET_EDITED.path)?;
        ensure!(answer.status() == 200, "the edit is routed: {answer:?}");
        up(&["-f", "compose.yml"]).map(drop)
    })?;
    ensure!(!account.lost.is_empty(), "Compose recreates the container, or this tests nothing");
    for lost in &account.lost {
        // Between the moment at which it takes no more connections and the one at which Docker says that it ended, Envoy
        // finds out by itself.
        let reasons = ["no-ready-endpoint", "connect-failure", "connection-lost"];
        let told = |reason| lost.what.starts_with(&format!("503 Service Unavailable {reason}; service="));
        ensure!(reasons.into_iter().any(told), "{lost}");
    }
    Ok(())
}
