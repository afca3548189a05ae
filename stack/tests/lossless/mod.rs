//! What a client loses while containers change: nothing. A steady client asks throughout each scenario.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use stack::load::{Account, Ask, Load};
use stack::wait::until;
use tokio::time::Instant;

use crate::common::{BACKEND, FRONTEND, LIMIT, rotation_of};
use crate::compose::{Compose, docker};

/// Requests a second, unless `LOAD_RATE` says otherwise. More than this is for a machine that does nothing else: the
/// client, the system and Docker share its cores, and what is lost because nobody had time proves nothing.
const RATE: u32 = 200;
/// How often a scenario that is quick is gone through.
const ROUNDS: usize = 10;
/// How long the client goes on after a scenario: what it stirred up shows by then.
const AFTER: Duration = Duration::from_secs(2);

const GET_PAGE: Ask = Ask { method: "GET", host: FRONTEND, path: "/", expected: 200 };
const GET_STYLE: Ask = Ask { method: "GET", host: FRONTEND, path: "/style.css", expected: 200 };
const POST_FORM: Ask = Ask { method: "POST", host: FRONTEND, path: "/messages", expected: 303 };
const GET_MESSAGE: Ask = Ask { method: "GET", host: BACKEND, path: "/messages/steady", expected: 200 };

/// Mostly small answers, so that the client and the system fit on two cores; some pages and some writes.
const MIXED: &[Ask] = &[
    GET_STYLE,
    GET_STYLE,
    GET_STYLE,
    POST_FORM,
    GET_STYLE,
    GET_STYLE,
    GET_STYLE,
    GET_PAGE,
    GET_STYLE,
    GET_MESSAGE,
];
const READS: &[Ask] = &[GET_STYLE, GET_STYLE, GET_STYLE, GET_PAGE];

type Test = fn(&Compose) -> Result<()>;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("nothing_is_lost_while_frontends_are_scaled_up_and_down_ten_times", scaled_up_and_down),
    ("nothing_is_lost_while_a_frontend_is_restarted", a_frontend_is_restarted),
    ("nothing_is_lost_while_the_control_plane_is_killed_during_scaling", the_control_plane_is_killed),
    ("nothing_is_lost_while_docker_cannot_be_reached", docker_cannot_be_reached),
    ("no_get_is_lost_while_a_frontend_is_killed", a_frontend_is_killed),
];

/// Goes through `scenario` while the client asks.
fn during(system: &Compose, asks: &'static [Ask], scenario: impl FnOnce() -> Result<()>) -> Result<Account> {
    let site = system.site()?;
    rotation_of(&site, 3)?;
    let stored = site
        .request(reqwest::Method::PUT, BACKEND, "/messages/steady")
        .json(&serde_json::json!({ "value": "on" }));
    ensure!(stored.send()?.status().is_success(), "something to read");
    let rate = std::env::var("LOAD_RATE").ok().and_then(|rate| rate.parse().ok()).unwrap_or(RATE);
    let load = Load::start(site.port(), rate, asks)?;
    let told = scenario();
    let end = Instant::now() + AFTER;
    let _ = until("the client went on for a while", AFTER * 2, || {
        ensure!(Instant::now() >= end, "not yet");
        Ok(())
    });
    let account = load.stop()?;
    told?;
    eprintln!("    {account}");
    Ok(account)
}

fn scale(system: &Compose, number: usize) -> Result<()> {
    let scale = format!("frontend={number}");
    system.run(&["up", "-d", "--no-build", "--wait", "--scale", &scale]).map(drop)
}

fn a_frontend(system: &Compose) -> Result<String> {
    let id = system.container("frontend")?["Id"].as_str().map(str::to_owned);
    id.context("a container has an id")
}

fn scaled_up_and_down(system: &Compose) -> Result<()> {
    let account = during(system, MIXED, || {
        for _ in 0..ROUNDS {
            scale(system, 6)?;
            scale(system, 3)?;
        }
        Ok(())
    })?;
    account.is_complete()
}

fn a_frontend_is_restarted(system: &Compose) -> Result<()> {
    let id = a_frontend(system)?;
    let account = during(system, MIXED, || {
        docker(&["restart", &id])?;
        rotation_of(&system.site()?, 3).map(drop)
    })?;
    account.is_complete()
}

fn the_control_plane_is_killed(system: &Compose) -> Result<()> {
    let account = during(system, MIXED, || {
        scale(system, 5)?;
        system.run(&["kill", "control-plane"])?;
        // Compose waits for the control plane where something is to be started; stopping goes on without it.
        system.run(&["start", "control-plane"])?;
        scale(system, 3)?;
        rotation_of(&system.site()?, 3).map(drop)
    })?;
    account.is_complete()
}

fn docker_cannot_be_reached(system: &Compose) -> Result<()> {
    let guard = system.container("docker-guard")?["Id"].as_str().map(str::to_owned);
    let guard = guard.context("docker-guard has an id")?;
    let account = during(system, MIXED, || {
        docker(&["pause", &guard])?;
        let end = Instant::now() + Duration::from_secs(30);
        let cut = until("Docker was away for 30 s", LIMIT, || {
            ensure!(Instant::now() >= end, "not yet");
            Ok(())
        });
        docker(&["unpause", &guard])?;
        cut?;
        // Its health check failed while it was paused, and Compose starts nothing before it is well again.
        until("docker-guard is healthy", LIMIT, || {
            let health = docker(&["inspect", "-f", "{{.State.Health.Status}}", &guard])?;
            ensure!(health.trim() == "healthy", "{}", health.trim());
            Ok(())
        })?;
        scale(system, 4)?;
        rotation_of(&system.site()?, 4)?;
        scale(system, 3)?;
        rotation_of(&system.site()?, 3).map(drop)
    })?;
    account.is_complete()
}

fn a_frontend_is_killed(system: &Compose) -> Result<()> {
    let id = a_frontend(system)?;
    let account = during(system, READS, || {
        docker(&["kill", "--signal", "KILL", &id])?;
        rotation_of(&system.site()?, 2)?;
        docker(&["start", &id])?;
        rotation_of(&system.site()?, 3).map(drop)
    })?;
    account.is_complete()
}
