//! What a client loses while containers change: nothing. A steady client asks throughout each scenario, and a WebSocket stays
//! open.

mod connections;
mod deploys;
mod failures;

use std::time::Duration;

use anyhow::{Result, ensure};
use connections::Connections;
use stack::load::{Account, Ask, Load};
use stack::wait::until;
use tokio::time::Instant;

use crate::common::{BACKEND, FRONTEND, rotation_of};
use crate::compose::Compose;

/// Requests a second, unless `LOAD_RATE` says otherwise. More than this is for a machine that does nothing else: the
/// client, the system and Docker share its cores, and what is lost because nobody had time proves nothing.
const RATE: u32 = 200;
/// How often a deployment is gone through.
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

/// The scenarios, by name.
pub(crate) fn tests() -> impl Iterator<Item = (&'static str, Test)> {
    deploys::TESTS.iter().chain(failures::TESTS).copied()
}

/// Lets time pass while the client goes on.
fn go_on_for(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    until("the client went on for a while", time * 2, || {
        ensure!(Instant::now() >= end, "not yet");
        Ok(())
    })
}

/// Goes through `scenario` while the client asks and the connections are open.
fn during(system: &Compose, asks: &'static [Ask], scenario: impl FnOnce() -> Result<()>) -> Result<Account> {
    let site = system.site()?;
    rotation_of(&site, 3)?;
    let stored = site
        .request(reqwest::Method::PUT, BACKEND, "/messages/steady")
        .json(&serde_json::json!({ "value": "on" }));
    ensure!(stored.send()?.status().is_success(), "something to read");
    let rate = std::env::var("LOAD_RATE").ok().and_then(|rate| rate.parse().ok()).unwrap_or(RATE);
    let connections = Connections::open(system)?;
    let load = Load::start(site.port(), rate, asks)?;
    let told = scenario().and_then(|()| go_on_for(AFTER));
    let account = load.stop()?;
    let open = connections.close();
    told?;
    eprintln!("    {account}; {}", open?);
    Ok(account)
}

/// As [`during`], and nothing may be lost.
fn nothing_is_lost(system: &Compose, scenario: impl FnOnce() -> Result<()>) -> Result<()> {
    let account = during(system, MIXED, scenario)?;
    ensure!(account.made > 100, "{account}");
    account.is_complete()
}

fn scale(system: &Compose, number: usize) -> Result<()> {
    let scale = format!("frontend={number}");
    system.run(&["up", "-d", "--no-build", "--wait", "--scale", &scale]).map(drop)
}
