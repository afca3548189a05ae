//! What Traefik's labels say of services and limits, done by Envoy.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result, ensure};
use stack::wait::until;

use super::{LIMIT, Lab, Question};

/// Services with more than one container stand there more than once.
pub(crate) const SERVICES: [(&str, &[(&str, &str)]); 6] = [
    ("sticky", STICKY),
    ("sticky", STICKY),
    ("checked", CHECKED),
    ("checked", CHECKED),
    (
        "limited",
        &[
            ("traefik.http.routers.limited.rule", "Host(`limited.test`)"),
            ("traefik.http.routers.limited.middlewares", "few"),
            ("traefik.http.middlewares.few.ratelimit.average", "3"),
            ("traefik.http.middlewares.few.ratelimit.period", "1h"),
            ("traefik.http.middlewares.few.ratelimit.burst", "2"),
        ],
    ),
    (
        "busy",
        &[
            ("traefik.http.routers.busy.rule", "Host(`busy.test`)"),
            ("traefik.http.routers.busy.middlewares", "one"),
            ("traefik.http.middlewares.one.inflightreq.amount", "1"),
        ],
    ),
];

const STICKY: &[(&str, &str)] = &[
    ("traefik.http.routers.sticky.rule", "Host(`sticky.test`)"),
    ("traefik.http.services.sticky.loadbalancer.sticky.cookie", "true"),
    ("traefik.http.services.sticky.loadbalancer.sticky.cookie.name", "seat"),
];

const CHECKED: &[(&str, &str)] = &[
    ("traefik.http.routers.checked.rule", "Host(`checked.test`)"),
    ("traefik.http.services.checked.loadbalancer.healthcheck.path", "/health"),
    ("traefik.http.services.checked.loadbalancer.healthcheck.interval", "1s"),
];

/// The numbers of the containers that answer so many requests, each with this cookie.
fn numbers(lab: &Lab, host: &str, cookie: Option<&str>, n: usize) -> Result<BTreeSet<u64>> {
    let number = |_| {
        let url = format!("http://127.0.0.1:{}/", lab.edge);
        let request = lab.client.get(url).header("host", host);
        let request = cookie.into_iter().fold(request, |request, cookie| request.header("cookie", cookie));
        let said: serde_json::Value = serde_json::from_str(&request.send()?.error_for_status()?.text()?)?;
        said["number"].as_u64().context("no number")
    };
    (0..n).map(number).collect()
}

/// The statuses of so many requests.
fn statuses(lab: &Lab, host: &str, path: &str, n: usize) -> Result<Vec<u16>> {
    (0..n).map(|_| Ok(lab.ask(lab.edge, &Question::of(host, path))?.status().as_u16())).collect()
}

pub(crate) fn a_sticky_client_keeps_its_container(lab: &Lab) -> Result<()> {
    let all = numbers(lab, "sticky.test", None, 10)?;
    ensure!(all == [1, 2].into(), "without a cookie both answer: {all:?}");
    for _ in 0..4 {
        let first = lab.ask(lab.edge, &Question::of("sticky.test", "/"))?;
        let set = first.headers().get("set-cookie").context("no cookie")?.to_str()?.to_owned();
        ensure!(set.starts_with("seat=") && set.contains("HttpOnly"), "{set}");
        let said: serde_json::Value = serde_json::from_str(&first.text()?)?;
        let stays = numbers(lab, "sticky.test", set.split(';').next(), 10)?;
        ensure!(
            Some(&said["number"]) == stays.first().map(|number| (*number).into()).as_ref()
                && stays.len() == 1,
            "{said}, then {stays:?}"
        );
    }
    Ok(())
}

pub(crate) fn a_container_that_fails_its_check_gets_nothing(lab: &Lab) -> Result<()> {
    until("the second one is found out", LIMIT, || {
        let all = numbers(lab, "checked.test", None, 10)?;
        ensure!(all == [1].into(), "{all:?}");
        Ok(())
    })?;
    let all = numbers(lab, "checked.test", None, 40)?;
    ensure!(all == [1].into(), "{all:?}");
    Ok(())
}

pub(crate) fn a_rate_is_limited_for_each_client(lab: &Lab) -> Result<()> {
    let all = statuses(lab, "limited.test", "/", 4)?;
    ensure!(all == [200, 200, 429, 429], "a burst of two: {all:?}");
    Ok(())
}

/// One is under way and one waits; beyond that it is 503, not 429 (docs/from-traefik.md).
pub(crate) fn what_is_under_way_is_limited_for_each_service(lab: &Lab) -> Result<()> {
    ensure!(statuses(lab, "busy.test", "/", 4)? == [200; 4], "one after the other");
    let (answers, answered) = mpsc::channel();
    let ask = || {
        let answers = answers.clone();
        move || answers.send(statuses(lab, "busy.test", "/held", 1))
    };
    thread::scope(|scope| {
        scope.spawn(ask());
        until("the first one is under way", LIMIT, || {
            ensure!(lab.world.held() == 1, "it is not there yet");
            Ok(())
        })?;
        // One of these two waits, and the other is one too many.
        scope.spawn(ask());
        scope.spawn(ask());
        let refused = answered.recv_timeout(LIMIT);
        lab.world.release();
        let refused = refused??;
        ensure!(refused == [503], "{refused:?}");
        for _ in 0..2 {
            let all = answered.recv_timeout(LIMIT)??;
            ensure!(all == [200], "what was there is answered: {all:?}");
        }
        Ok(())
    })
}
