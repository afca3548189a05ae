//! What a running control plane shows at a glance, and as it changes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stack::ports;
use stack::system::System;
use stack::wait::until;

use super::{portolan, program, says};
use crate::common::*;

pub(crate) fn status_shows_everything(system: &mut System) -> Result<()> {
    let port = system.options().grpc_port;
    until("Envoy has everything", LIMIT, || says(port, &["status"], 0, "✓ edge has everything"))?;
    let (code, text) = portolan(port, &["status"])?;
    ensure!(code == Some(0) && !text.contains('\u{1b}'), "no colours without a terminal: {text}");
    for words in ["is ready: the view was confirmed", "✓ frontend  3 of 3 ready", "✓ backend   1 of 1 ready"]
    {
        ensure!(text.contains(words), "{words}: {text}");
    }
    for kind in ["cluster", "endpoint", "listener", "route"] {
        ensure!(text.lines().any(|line| line.trim_start().starts_with(kind)), "{kind}: {text}");
    }
    let (code, text) = portolan(port, &["status", "--format", "json"])?;
    let value: Value = serde_json::from_str(&text)?;
    ensure!(code == Some(0) && value["ready"] == true && value["problems"] == json!([]), "{value}");
    let frontend = json!({ "name": "frontend", "ready": 3, "total": 3 });
    ensure!(value["services"].as_array().is_some_and(|all| all.contains(&frontend)), "{value}");
    ensure!(value["clients"][0]["state"] == "current", "{value}");
    says(ports::free()?, &["status"], 1, "no control plane at 127.0.0.1")
}

pub(crate) fn watch_follows_what_changes(system: &mut System) -> Result<()> {
    let port = system.options().grpc_port;
    let mut watch = Command::new(program())
        .args(["watch", "--format", "json", "--past", "1", "--address", &format!("127.0.0.1:{port}")])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
    let mut next = || -> Result<Value> { Ok(serde_json::from_str(&lines.next().context("it ended")??)?) };
    let seen = (|| {
        // There it is, and follows.
        let first = next()?;
        ensure!(first["number"].as_u64().is_some_and(|number| number > 0), "{first}");
        fs::write(system.services_file(), system.services(2))?;
        let mut kinds = Vec::new();
        loop {
            let change = next()?;
            kinds.push(format!("{} {}", change["kind"], change["subject"]).replace('"', ""));
            ensure!(change["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{change}");
            if change["kind"] == "acknowledged" {
                return Ok(kinds);
            }
        }
    })();
    watch.kill()?;
    watch.wait()?;
    fs::write(system.services_file(), system.services(3))?;
    rotation_of(&system.site()?, 3)?;
    let kinds: Vec<String> = seen?;
    for kind in ["container frontend-3", "rotation frontend-3", "published portolan", "acknowledged edge"] {
        ensure!(kinds.iter().any(|found| found == kind), "{kind}: {kinds:?}");
    }
    says(ports::free()?, &["watch"], 1, "no control plane at 127.0.0.1")
}

pub(crate) fn the_way_of_a_container_is_told(system: &mut System) -> Result<()> {
    let port = system.options().grpc_port;
    let list = |name: &str| -> Result<Value> {
        let request = json!({ "name": name }).to_string();
        let address = format!("127.0.0.1:{port}");
        Ok(serde_json::from_str(&grpcurl(&[
            "-d",
            &request,
            &address,
            "portolan.v1.InspectService/ListWorkloads",
        ])?)?)
    };
    let steps = |workload: &Value| -> Vec<String> {
        let step = |step: &Value| format!("{} {}", step["name"], step["outcome"]).replace('"', "");
        workload["chain"].as_array().into_iter().flatten().map(step).collect()
    };
    let whole = ["LABEL", "NETWORK", "PORT", "HEALTH", "CLUSTER", "VERSION", "ACK"]
        .map(|name| format!("NAME_{name} OUTCOME_OK"));
    until("all of it is acknowledged", LIMIT, || {
        let all = list("")?;
        let workloads = all["workloads"].as_array().context("none")?;
        ensure!(workloads.len() == 4 && workloads.iter().all(|workload| steps(workload) == whole), "{all}");
        Ok(())
    })?;
    let frontends = list("frontend")?;
    ensure!(frontends["workloads"].as_array().is_some_and(|all| all.len() == 3), "{frontends}");
    ensure!(frontends["workloads"][0]["chain"][6]["client"] == "edge", "{frontends}");
    says(port, &["drain", "frontend-2"], 0, "out of rotation")?;
    let drained = list("frontend-2");
    says(port, &["undrain", "frontend-2"], 0, "in rotation again")?;
    let drained = &drained?["workloads"][0];
    ensure!(steps(drained)[3] == "NAME_HEALTH OUTCOME_STOPPED", "{drained}");
    ensure!(drained["chain"][3]["fix"] == "portolan undrain frontend-2", "{drained}");
    ensure!(
        list("nobody").is_err_and(|error| error.to_string().contains("no container has the name")),
        "nobody"
    );
    Ok(())
}
