//! Versions with weights, copies, and clients that stay.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use stack::wait::until;

use super::lab::{LIMIT, Lab, header, is, said, status};
use super::resilience::servers;
use super::upstream::Upstream;

const REQUESTS: usize = 2_000;

fn counts(lab: &Lab, host: &str, n: usize) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        let response = lab.get(host, "/")?;
        is(status(&response), 200, host)?;
        *counts.entry(header(&response, "x-server").to_owned()).or_insert(0) += 1;
    }
    Ok(counts)
}

/// One version of the service `name`, as an entry of its own in the services file.
fn version<'a>(name: &'a str, host: &'a str, version: &'a str, weight: &'a str) -> [(&'a str, &'a str); 4] {
    [("host", host), ("service", name), ("version", version), ("weight", weight)]
}

pub fn versions_share_by_weight_whatever_the_number_of_their_containers(lab: &Lab) -> Result<()> {
    let one = lab.upstream("one")?;
    let twos = [lab.upstream("two")?, lab.upstream("two")?, lab.upstream("two")?];
    let twos = twos.each_ref().map(Upstream::address);
    let host = "weights.test";
    lab.serve_all(&[
        ("weights-1", &version("weights", host, "v1", "90"), &[one.address()]),
        ("weights-2", &version("weights", host, "v2", "10"), &twos),
    ])?;
    let counts = counts(lab, host, REQUESTS)?;
    let few = counts.get("two").copied().unwrap_or_default();
    // A tenth is 200; three standard deviations of a draw would be 40.
    ensure!((160..=240).contains(&few), "{counts:?}");
    Ok(())
}

pub fn a_weight_by_hand_wins_over_the_label_until_its_time_is_over_or_it_is_reset(lab: &Lab) -> Result<()> {
    let (one, two) = (lab.upstream("one")?, lab.upstream("two")?);
    let host = "by-hand.test";
    lab.serve_all(&[
        ("by-hand-1", &version("by-hand", host, "v1", "90"), &[one.address()]),
        ("by-hand-2", &version("by-hand", host, "v2", "10"), &[two.address()]),
    ])?;
    // Two thousand requests: three standard deviations of a draw would be 40 at a tenth, and 67 at a half.
    let share = |what: &str, wanted: RangeInclusive<usize>| -> Result<()> {
        let counts = counts(lab, host, REQUESTS)?;
        let two = counts.get("two").copied().unwrap_or_default();
        ensure!(wanted.contains(&two), "{what}: {counts:?}");
        Ok(())
    };
    // Envoy has what the control plane acknowledges to have been told.
    let run = |arguments: &[&str], word: &str| -> Result<()> {
        let told = lab.portolan(arguments)?;
        ensure!(told.contains(word), "{arguments:?}: {told}");
        lab.portolan(&["wait", "--routed", "by-hand"]).map(drop)
    };
    share("as the labels say", 160..=240)?;
    run(&["weight", "by-hand", "v2", "90"], "weight 90, by hand; its label says 10")?;
    share("by hand", 930..=1_070)?;
    run(&["weight", "by-hand", "--reset"], "v2: weight 10, by label")?;
    share("reset", 160..=240)?;
    // For a time: what follows needs no waiting for a clock, only for the label to count again.
    run(&["weight", "by-hand", "v1", "0", "--for", "3s"], "v1: weight 0, by hand until 2")?;
    is(counts(lab, host, 20)?.into_keys().collect::<Vec<_>>(), vec!["two".to_owned()], "v1 is dark")?;
    until("its time is over", LIMIT, || {
        let told = lab.portolan(&["weight", "by-hand", "v1"])?;
        ensure!(told.contains("weight 90, by label"), "{told}");
        Ok(())
    })?;
    lab.portolan(&["wait", "--routed", "by-hand"])?;
    share("its time is over", 160..=240)
}

pub fn a_dark_version_gets_nothing_and_one_that_is_away_gives_its_share(lab: &Lab) -> Result<()> {
    let (one, dark) = (lab.upstream("one")?, lab.upstream("dark")?);
    let host = "dark.test";
    let with = |weight| version("dark", host, "v2", weight);
    let light = version("dark", host, "v1", "100");
    lab.serve_all(&[("dark-1", &light, &[one.address()]), ("dark-2", &with("0"), &[dark.address()])])?;
    is(servers(lab, host, 50)?.into_iter().collect::<Vec<_>>(), vec!["one".to_owned()], "a weight of 0")?;
    lab.serve("dark-1", &light, &[])?;
    until("nobody answers", LIMIT, || is(status(&lab.get(host, "/")?), 503, "only the dark one is left"))?;
    lab.serve("dark-2", &with("1"), &[dark.address()])?;
    until("the other version answers", LIMIT, || {
        is(counts(lab, host, 20)?.into_keys().collect::<Vec<_>>(), vec!["dark".to_owned()], "a weight of 1")
    })
}

pub fn a_mirror_gets_copies_and_nobody_waits_for_it(lab: &Lab) -> Result<()> {
    let (web, all, some) = (lab.upstream("web")?, lab.upstream("all")?, lab.upstream("some")?);
    lab.serve_all(&[
        ("mirror-all", &[("enable", "true")], &[all.address()]),
        ("mirror-some", &[("host", "mirror-some.test")], &[some.address()]),
        (
            "mirror",
            &[
                ("host", "mirror.test"),
                ("mirror", "mirror-all"),
                ("routes.some.host", "mirror-25.test"),
                ("routes.some.mirror", "mirror-some:25%"),
                ("routes.none.host", "mirror-none.test"),
                ("routes.none.mirror", "mirror-nobody"),
            ],
            &[web.address()],
        ),
    ])?;
    for _ in 0..50 {
        is(lab.asked("mirror.test", "/")?["server"].as_str(), Some("web"), "who answers")?;
    }
    until("every request was copied", LIMIT, || is(all.state.requests(), 50, "copies"))?;
    is(counts(lab, "mirror-25.test", 400)?.len(), 1, "who answers")?;
    until("a quarter was copied", LIMIT, || {
        // Four and a half standard deviations to either side.
        let copies = some.state.requests();
        ensure!((60..=140).contains(&copies), "{copies} copies of 400");
        Ok(())
    })?;
    // The copy is slow, and the answer does not wait.
    let body = lab.request(Method::POST, "mirror.test", "/slow/1").body("text").send()?;
    is(said(body)?["body"].as_u64(), Some(4), "a body")?;
    // One that is not there is told, and the route stands without it.
    is(status(&lab.get("mirror-none.test", "/")?), 200, "without a mirror")?;
    ensure!(lab.control_plane.log().contains("there is no service mirror-nobody"), "the log says so");
    is(status(&lab.get("mirror-all.test", "/")?), 404, "a service without a host has no route")
}

pub fn a_sticky_client_stays_while_the_service_is_scaled(lab: &Lab) -> Result<()> {
    let names = ["one", "two", "three", "four", "five"];
    let all: Vec<Upstream> = names.iter().map(|name| lab.upstream(name)).collect::<Result<_>>()?;
    let addresses: Vec<String> = all.iter().map(Upstream::address).collect();
    let labels = [("host", "sticky.test"), ("sticky", "cookie:seat")];
    lab.serve("sticky", &labels, &addresses[..3])?;
    let first = lab.get("sticky.test", "/")?;
    let server = header(&first, "x-server").to_owned();
    let set = header(&first, "set-cookie");
    ensure!(set.starts_with("seat=") && set.contains("HttpOnly"), "{set:?}");
    let cookie = set.split(';').next().context("a cookie")?.to_owned();
    let again = || -> Result<(String, bool)> {
        let response = lab.request(Method::GET, "sticky.test", "/").header("cookie", &cookie).send()?;
        is(status(&response), 200, "status")?;
        Ok((header(&response, "x-server").to_owned(), response.headers().contains_key("set-cookie")))
    };
    let stays = |what: &str| -> Result<()> {
        for _ in 0..12 {
            is(again()?, (server.clone(), false), what)?;
        }
        Ok(())
    };
    stays("three containers")?;
    lab.serve("sticky", &labels, &addresses)?;
    until("the new ones are in rotation", LIMIT, || {
        let found = servers(lab, "sticky.test", 10)?;
        ensure!(found.len() == 5, "{found:?}");
        Ok(())
    })?;
    stays("five containers")?;
    let others: Vec<String> =
        all.iter().zip(names).filter(|(_, name)| *name != server).map(|(each, _)| each.address()).collect();
    lab.serve("sticky", &labels, &others)?;
    until("the client has another seat", LIMIT, || {
        let (now, set) = again()?;
        ensure!(now != server && set, "{now} answers, a new cookie: {set}");
        Ok(())
    })
}
