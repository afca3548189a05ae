//! Who one has to prove to be. Each case has a control plane and an Envoy of its own.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use stack::wait::until;

use super::lab::{LIMIT, Lab, header, is, said, status};

/// The SHA-1 of `password` and of `changed`, as htpasswd -s writes them.
const FIRST: &str = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
const SECOND: &str = "{SHA}N8bFe+30MF70EknBeUdgtcuPrRc=";

pub fn a_password_is_asked_for_and_a_new_one_is_taken_up(folder: &Path) -> Result<()> {
    fs::write(folder.join("staff"), format!("# us\nann:{FIRST}\n"))?;
    let policies = json!({ "auth": {
        "staff": { "basic": { "users": "staff" } },
        "missing": { "basic": { "users": "missing" } },
    } });
    let lab = Lab::start_with(folder, Some(&policies))?;
    let web = lab.upstream("web")?;
    let labels = [
        ("host", "open.test"),
        ("routes.basic.host", "basic.test"),
        ("routes.basic.auth", "staff"),
        ("routes.basic.cors", "https://shop.test"),
        ("routes.basic.max-body", "1KiB"),
        ("routes.closed.host", "closed.test"),
        ("routes.closed.auth", "missing"),
        ("routes.wrong.host", "wrong.test"),
        ("routes.wrong.auth", "stuff"),
    ];
    lab.serve("basic", &labels, &[web.address()])?;
    let ask = |user: &str, password: &str| -> Result<u16> {
        let request = lab.request(Method::GET, "basic.test", "/").basic_auth(user, Some(password));
        Ok(status(&request.send()?))
    };
    is(status(&lab.get("open.test", "/")?), 200, "a route that asks nobody")?;
    let stranger = lab.get("basic.test", "/")?;
    is(status(&stranger), 401, "a stranger")?;
    ensure!(header(&stranger, "www-authenticate").starts_with("Basic"), "a browser asks for a password");
    for (user, password, wanted) in
        [("ann", "password", 200), ("ann", "changed", 401), ("bob", "password", 401), ("nobody", "", 401)]
    {
        is(ask(user, password)?, wanted, &format!("{user} with {password}"))?;
    }
    let large = lab.request(Method::POST, "basic.test", "/").body(vec![b'x'; 2_000]).send()?;
    is(status(&large), 401, "a stranger learns of no limit")?;
    let preflight = lab
        .request(Method::OPTIONS, "basic.test", "/")
        .header("origin", "https://shop.test")
        .header("access-control-request-method", "GET");
    is(status(&preflight.send()?), 200, "a browser asks in advance without a password")?;
    is(status(&lab.get("closed.test", "/")?), 503, "a policy whose file is not there lets nobody in")?;
    is(status(&lab.get("wrong.test", "/")?), 404, "a policy that is not there takes the route out")?;
    let shown = lab.problems()?.to_string();
    for words in
        ["the policy missing: cannot read", "what it guards is closed", "there is no policy \\\"stuff\\\""]
    {
        ensure!(shown.contains(words), "{words}: {shown}");
    }

    fs::write(folder.join("staff"), format!("ann:{SECOND}\n"))?;
    until("the new password is the one", LIMIT, || is(ask("ann", "changed")?, 200, "ann"))?;
    is(ask("ann", "password")?, 401, "the old one")?;
    is(lab.counter("listener_manager.listener_modified")?, 0, "listeners that were touched")?;
    super::policies::shown_nowhere(&lab, SECOND)?;
    ensure!(
        lab.admin("/config_dump")?.contains("BasicAuthPerRoute"),
        "the dump has the policy, without the hash"
    );

    // A policy that is taken away takes the key to its routes with it: they stay as they were, and closed.
    lab.write_policies("{}\n")?;
    until("the route is closed", LIMIT, || is(ask("ann", "changed")?, 503, "ann"))?;
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}

pub fn another_service_is_asked_who_may_come(folder: &Path) -> Result<()> {
    let lab = Lab::start_with(folder, Some(&json!({})))?;
    let (web, door) = (lab.upstream("web")?, lab.upstream("door")?);
    let policies = json!({ "auth": {
        "door": { "forward": { "to": door.address(), "path": "/status" } },
        "gone": { "forward": { "to": "127.0.0.1:1" } },
        // A name of both families, of which one is listened on.
        "named": { "forward": { "to": door.address().replace("127.0.0.1", "localhost"), "path": "/status" } },
    } });
    lab.write_policies(&policies.to_string())?;
    let labels = [
        ("host", "asked.test"),
        ("auth", "door"),
        ("routes.gone.host", "gone.test"),
        ("routes.gone.auth", "gone"),
        ("routes.named.host", "named.test"),
        ("routes.named.auth", "named"),
        ("routes.open.host", "open.test"),
    ];
    lab.serve("forward", &labels, &[web.address()])?;
    until("the policies are there", LIMIT, || {
        is(status(&lab.get("asked.test", "/a")?), 200, "who may come")
    })?;
    is(
        said(lab.get("asked.test", "/a?b=c")?)?["path"].as_str(),
        Some("/a?b=c"),
        "the application is asked as before",
    )?;
    is(
        status(&lab.get("named.test", "/")?),
        200,
        "who may come, by a service with addresses of both families",
    )?;
    let (asked, reached) = (door.state.requests(), web.state.requests());
    door.state.answers(401);
    is(status(&lab.get("asked.test", "/a")?), 401, "who may not")?;
    is(door.state.requests(), asked + 1, "the service is asked each time")?;
    is(web.state.requests(), reached, "the application is not")?;
    ensure!(matches!(status(&lab.get("gone.test", "/")?), 403 | 503), "nobody to ask lets nobody in");
    is(status(&lab.get("open.test", "/")?), 200, "a route that asks nobody")?;
    is(lab.counter("listener_manager.listener_modified")?, 0, "listeners that were touched")?;
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}
