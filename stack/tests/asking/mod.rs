//! What a person asks of a running control plane by the commands of `portolan`, and who may.

mod seen;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use stack::binaries::Binaries;
use stack::ports;
use stack::process::Process;
use stack::system::System;
use stack::wait::until;

pub(crate) use seen::*;

use crate::common::*;
use crate::{CHANGES, stat};

/// Where `portolan` is. Cargo is asked once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| Binaries::build().expect("the programs are built").portolan)
}

/// Runs a command of `portolan` that talks to the control plane at `port`: exit code, and what it printed.
fn portolan(port: u16, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(program());
    command.args(arguments).args(["--address", &format!("127.0.0.1:{port}")]);
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(text)?))
}

/// Runs it, and holds it to its exit code and to a word of what it prints.
fn says(port: u16, arguments: &[&str], code: i32, word: &str) -> Result<()> {
    let (found, text) = portolan(port, arguments)?;
    ensure!(found == Some(code) && text.contains(word), "{arguments:?}: {found:?} {text}");
    Ok(())
}

pub(crate) fn a_drained_frontend_gets_nothing(system: &mut System) -> Result<()> {
    let (site, port) = (system.site()?, system.options().grpc_port);
    let run = |arguments: &[&str], code: i32, word: &str| says(port, arguments, code, word);
    rotation_of(&site, 3)?;
    run(&["drain", "frontend-9"], 1, "no container has the name")?;
    run(&["drain", "front"], 1, "several: frontend-1, frontend-2, frontend-3")?;
    run(&["drain", "frontend-2"], 0, "frontend-2 is out of rotation")?;
    let drained = (|| {
        run(&["drain", "frontend/frontend-2"], 0, "already")?;
        run(&["wait", "--routed", "frontend", "--replicas", "2"], 0, "frontend is routed")?;
        // The acknowledgement is the last word: not one request from now on.
        let served = rotation(&site, 30)?;
        ensure!(served.len() == 2 && !served.contains_key("frontend-2"), "{served:?}");
        let view = grpcurl(&[&format!("127.0.0.1:{port}"), "portolan.v1.InspectService/GetView"])?;
        ensure!(view.contains("STATE_DRAINING") && view.contains("\"drained\": true"), "{view}");
        let three = ["wait", "--routed", "frontend", "--replicas", "3", "--timeout", "300ms"];
        run(&three, 1, "2 of 3 replicas of frontend are ready")?;
        run(&three, 1, "frontend-2 is draining")
    })();
    run(&["undrain", "frontend-2"], 0, "frontend-2 is in rotation again")?;
    drained?;
    run(&["undrain", "frontend-2"], 0, "was not drained")?;
    run(&["wait", "--routed", "frontend", "--replicas", "3"], 0, "ready replicas 3")?;
    rotation_of(&site, 3)?;
    Ok(())
}

pub(crate) fn a_weight_by_hand_outlives_a_restart(system: &mut System) -> Result<()> {
    let (site, port) = (system.site()?, system.options().grpc_port);
    let run = |arguments: &[&str], code: i32, word: &str| says(port, arguments, code, word);
    let good = system.services(3);
    let address = good.lines().find_map(|line| line.trim().strip_prefix("- ")).context("no frontend")?;
    // The first frontend once more, as another version.
    let canary = format!(
        "  canary:\n    labels: {{ portolan.host: frontend.localhost, portolan.service: frontend, portolan.version: v2 }}\n    endpoints: [{{ address: \"{address}\", name: canary }}]\n"
    );
    let rest = good.replacen(&format!("      - {address}\n"), "", 1);
    fs::write(system.services_file(), rest + &canary)?;
    let tried = (|| {
        rotation_of(&site, 3)?;
        let before = stat(system, CHANGES)?;
        run(&["weight", "frontend", "v3", "1"], 1, "no version \"v3\"; it has \"\", \"v2\"")?;
        run(&["weight", "frontend", "v2", "10001"], 1, "0 to 10000")?;
        run(&["weight", "frontend", "v2", "1", "--for", "0"], 1, "366 days")?;
        run(&["weight", "frontend", "v2", "--for", "5m"], 2, "<N>")?;
        run(&["weight", "frontend", "v2", "0"], 0, "frontend v2: weight 0, by hand; its label says 100")?;
        run(&["wait", "--routed", "frontend"], 0, "frontend is routed")?;
        let served = rotation(&site, 30)?;
        ensure!(served.len() == 2 && !served.contains_key("frontend-1"), "{served:?}");
        ensure!(stat(system, CHANGES)? == before, "more than endpoints was changed");
        let shown: serde_json::Value = site.get(DASHBOARD, "/api/services?q=canary")?.json()?;
        let version = &shown["services"][0]["versions"][1];
        ensure!(version["by_hand"] == true && version["weight"] == 0, "{shown}");
        ensure!(site.get(DASHBOARD, "/timeline")?.text()?.contains("the weight 0, by hand"), "the timeline");
        system.take("control-plane")?.kill()?;
        system.start_control_plane()?;
        until("the control plane is back", LIMIT, || {
            run(&["wait", "--routed", "frontend"], 0, "frontend is routed")
        })?;
        run(&["weight", "frontend", "v2"], 0, "weight 0, by hand")?;
        let served = rotation(&site, 30)?;
        ensure!(served.len() == 2, "a restart undid it: {served:?}");
        ensure!(stat(system, CHANGES)? == before, "Envoy's configuration changed");
        run(&["weight", "frontend", "v2", "--reset"], 0, "frontend v2: weight 100, by label")?;
        rotation_of(&site, 3).map(drop)
    })();
    fs::write(system.services_file(), good)?;
    rotation_of(&site, 3)?;
    tried
}

pub(crate) fn changes_need_the_token(system: &mut System) -> Result<()> {
    let (site, edge, grpc) = (system.site()?, system.options().edge_port, system.options().grpc_port);
    let drain = ["-d", "{\"container\": \"frontend-1\"}"];
    // At the dashboard's host there is nothing of the kind.
    let method = "/portolan.v1.AdminService/Drain";
    let post = || site.request(reqwest::Method::POST, DASHBOARD, method);
    ensure!(status(&post().send()?) == 405, "the dashboard took it");
    // To gRPC Envoy says the same in gRPC's way.
    let refused = post().header("content-type", "application/grpc").send()?;
    ensure!(!["", "0"].contains(&header(&refused, "grpc-status").as_str()), "{refused:?}");
    ensure!(status(&site.get(DASHBOARD, method)?) == 404, "the dashboard has such a page");
    // Not even where somebody makes a route to the port: reading works, changes do not.
    let good = system.services(3);
    let route = format!(
        "  api:\n    labels: {{ portolan.host: api.localhost, portolan.protocol: grpc }}\n    endpoints: [\"127.0.0.1:{grpc}\"]\n"
    );
    fs::write(system.services_file(), good.clone() + &route)?;
    let through = |rest: &[&str]| {
        let address = format!("127.0.0.1:{edge}");
        let mut all = vec!["-plaintext", "-max-time", "20", "-authority", "api.localhost"];
        let (method, before) = rest.split_last().context("no method")?;
        all.extend(before);
        all.extend([address.as_str(), method]);
        let output = Command::new(stack::tools::GRPCURL.find()?).args(all).output()?;
        Ok::<_, anyhow::Error>(String::from_utf8([output.stdout, output.stderr].concat())?)
    };
    let tried = (|| {
        until("reading works through the route", LIMIT, || {
            let view = through(&["portolan.v1.InspectService/GetView"])?;
            ensure!(view.contains("snapshotVersion"), "{view}");
            Ok(())
        })?;
        let refused = through(&[&drain[..], &["portolan.v1.AdminService/Drain"]].concat())?;
        ensure!(refused.contains("THROUGH_A_PROXY") && refused.contains("PermissionDenied"), "{refused}");
        rotation_of(&site, 3).map(drop)
    })();
    fs::write(system.services_file(), good)?;
    tried?;
    with_a_token(system)
}

/// A control plane that has a token.
fn with_a_token(system: &mut System) -> Result<()> {
    let (port, http) = (ports::free()?, ports::free()?);
    let (file, logs) = (system.services_file(), system.folder().join("logs"));
    let (token, wrong) = (system.folder().join("token"), system.folder().join("wrong"));
    let secret = "a-secret-of-some-length-0123456789";
    fs::write(&token, format!("{secret}\n"))?;
    fs::write(&wrong, "another-secret-of-some-length")?;
    let process = Process::start("guarded", &logs, &Binaries::build()?.portolan, |command| {
        command.arg("serve").arg("--file").arg(file).arg("--admin-token-file").arg(&token);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--http-listen", &format!("127.0.0.1:{http}")]);
    })?;
    let run = |file: Option<&PathBuf>, code: i32, word: &str| {
        let file = file.map(|file| file.display().to_string());
        let mut arguments = vec!["drain", "frontend-1"];
        arguments.extend(file.iter().flat_map(|file| ["--admin-token-file", file.as_str()]));
        let (found, text) = portolan(port, &arguments)?;
        ensure!(found == Some(code) && text.contains(word) && !text.contains(secret), "{found:?} {text}");
        Ok(())
    };
    until("it asks for the token", LIMIT, || run(None, 1, "changes need the control plane's token"))?;
    run(Some(&wrong), 1, "that is not the control plane's token")?;
    until("it accepts the token", LIMIT, || run(Some(&token), 0, "frontend-1 is out of rotation"))?;
    let log = process.log();
    ensure!(log.contains("changes are accepted with the token") && !log.contains(secret), "{log}");
    Ok(())
}

pub(crate) fn why_says_which_route(system: &mut System) -> Result<()> {
    let (site, port) = (system.site()?, system.options().grpc_port);
    let address = format!("127.0.0.1:{port}");
    for (url, code, words) in [
        (
            "frontend.localhost/x",
            0,
            &["✓ frontend", "frontend-1 at 127.0.0.1:", "3 of 3 endpoints ready"][..],
        ),
        ("nobody.localhost/", 1, &["no container claims nobody.localhost"]),
        ("dashboard.localhost/", 0, &["the dashboard answers"]),
        ("frontend.localhost/a%2Fb", 0, &["Envoy answers 307"]),
        ("ftp://a/", 1, &["ftp:// is not routed here"]),
    ] {
        let (found, text) = portolan(port, &["why", url])?;
        ensure!(found == Some(code), "{url}: {found:?} {text}");
        ensure!(words.iter().all(|word| text.contains(word)), "{url}: {text}");
        // A % in a query stands for more than itself.
        let path = format!("/api/match?url={}", url.replace('%', "%25"));
        let said: serde_json::Value = site.get(DASHBOARD, &path)?.json()?;
        let request = serde_json::json!({ "url": url }).to_string();
        let asked = grpcurl(&["-d", &request, &address, "portolan.v1.InspectService/Explain"]);
        let Some(sentence) = said["sentence"].as_str() else { continue };
        let asked: serde_json::Value = serde_json::from_str(&asked?)?;
        ensure!(asked["sentence"] == sentence && asked["route"] == said["route"], "{url}: {asked} {said}");
        let (_, shown) = portolan(port, &["why", url, "--format", "json"])?;
        let shown: serde_json::Value = serde_json::from_str(&shown)?;
        for (key, value) in shown.as_object().context("no object")? {
            ensure!(said[key] == *value, "{url}, {key}: {shown} {said}");
        }
    }
    Ok(())
}

pub(crate) fn why_says_how_far_a_container_is(system: &mut System) -> Result<()> {
    let port = system.options().grpc_port;
    rotation_of(&system.site()?, 3)?;
    let whole =
        ["frontend-2", "takes requests", "✓ label", "✓ network", "✓ port", "✓ health", "✓ cluster", "✓ ack"];
    let said = |arguments: &[&str], code: i32, words: &[&str]| -> Result<String> {
        let (found, text) = portolan(port, &[&["why"][..], arguments].concat())?;
        ensure!(found == Some(code), "{arguments:?}: {found:?} {text}");
        ensure!(words.iter().all(|word| text.contains(word)), "{arguments:?}: {text}");
        Ok(text)
    };
    let all = ["frontend-1", "frontend-2", "frontend-3"];
    until("every step of the way is taken", LIMIT, || said(&["frontend-2"], 0, &whole).map(drop))?;
    said(&["frontend"], 0, &all)?;
    says(port, &["drain", "frontend-2"], 0, "is out of rotation")?;
    let drained = (|| {
        let words = ["✗ health", "taken out of rotation by hand", "→ portolan undrain frontend-2", "- ack"];
        said(&["frontend-2"], 1, &words)?;
        said(&["frontend"], 1, &all)?;
        let json: serde_json::Value =
            serde_json::from_str(&said(&["frontend", "--format", "json"], 1, &[])?)?;
        let takes: Vec<_> = (0..3).map(|n| json["containers"][n]["takes_requests"].as_bool()).collect();
        ensure!(takes == [Some(true), Some(false), Some(true)], "{json}");
        let site = system.site()?;
        until("the JSON of the dashboard has the same", LIMIT, || {
            let shown: serde_json::Value = site.get(DASHBOARD, "/api/workloads?name=frontend")?.json()?;
            let (_, told) = portolan(port, &["why", "frontend", "--format", "json"])?;
            let told: serde_json::Value = serde_json::from_str(&told)?;
            ensure!(shown["workloads"] == told["containers"], "{shown} {told}");
            Ok(())
        })?;
        without_a_control_plane(&system.folder().join("view"))
    })();
    says(port, &["undrain", "frontend-2"], 0, "in rotation again")?;
    drained?;
    said(
        &["nothing"],
        1,
        &["no container claims nothing", "And no container has the name or id \"nothing\""],
    )?;
    said(&["front"], 1, &["is the beginning of several"])?;
    said(&["frontend-2", "--header", "x"], 2, &["write NAME:VALUE"])?;
    rotation_of(&system.site()?, 3).map(drop)
}

/// The view at `saved`, and what was decided, answers where no control plane does.
fn without_a_control_plane(saved: &Path) -> Result<()> {
    let (nobody, state) = (ports::free()?, saved.display().to_string());
    let ask = |state: &str, subject: &str| portolan(nobody, &["why", "--state-file", state, subject]);
    until("what was decided is saved", LIMIT, || {
        let (code, text) = ask(&state, "frontend-2")?;
        let told = text.contains("No control plane answers at 127.0.0.1") && text.contains("was saved at 20");
        ensure!(code == Some(1) && told && text.contains("taken out of rotation by hand"), "{code:?} {text}");
        Ok(())
    })?;
    let (code, text) = ask(&state, "frontend-1")?;
    ensure!(code == Some(0) && text.contains("✓ version") && text.contains("- ack"), "{code:?} {text}");
    let (code, text) = ask(&state, "frontend.localhost/x")?;
    ensure!(code == Some(0) && text.contains("2 of 3 endpoints ready"), "{code:?} {text}");
    let (code, text) = ask("/nowhere/view", "frontend-1")?;
    ensure!(
        code == Some(1) && text.contains("the saved view /nowhere/view cannot be used"),
        "{code:?} {text}"
    );
    let (code, text) = portolan(nobody, &["why", "frontend-1"])?;
    ensure!(code == Some(1) && text.contains("no control plane at 127.0.0.1"), "{code:?} {text}");
    Ok(())
}

pub(crate) fn wait_says_what_is_missing(system: &mut System) -> Result<()> {
    let wait = |port: u16, service: &str, expected: i32, word: &str| {
        let (code, text) = portolan(port, &["wait", "--routed", service, "--timeout", "300ms"])?;
        ensure!(code == Some(expected) && text.contains(word), "{service}: {code:?} {text}");
        Ok(())
    };
    wait(system.options().grpc_port, "fronted", 1, "no container claims a route for a service fronted")?;
    let nobody = ports::free()?;
    wait(nobody, "frontend", 1, "no control plane at 127.0.0.1")?;
    // One to which no Envoy is connected.
    let (lonely, http) = (ports::free()?, ports::free()?);
    let (file, logs) = (system.services_file(), system.folder().join("logs"));
    let _process = Process::start("lonely", &logs, &Binaries::build()?.portolan, |command| {
        command.arg("serve").arg("--file").arg(file);
        command.args(["--listen", &format!("127.0.0.1:{lonely}")]);
        command.args(["--http-listen", &format!("127.0.0.1:{http}")]);
    })?;
    until("it says that there is no Envoy", LIMIT, || wait(lonely, "frontend", 1, "no Envoy that asks"))
}
