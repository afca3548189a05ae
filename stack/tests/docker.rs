//! The system as `docker compose up -d` starts it, on a real engine. Where there is none the tests are reported as
//! ignored, with the reason; `REQUIRE_DOCKER=1` makes that a failure. They share one system, one after another.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod compose;
mod lossless;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use common::*;
use compose::{Compose, docker, engine};
use libtest_mimic::{Arguments, Trial};
use reqwest::Method;
use serde_json::Value;
use stack::wait::until;

type Test = fn(&Compose) -> Result<()>;

const TESTS: &[(&str, Test)] = &[
    ("up_wait_returns_0_and_every_container_is_healthy", everything_is_healthy),
    ("containers_start_in_order_of_health", containers_start_in_order_of_health),
    ("thirty_requests_reach_each_of_three_frontends_8_to_12_times", |system| {
        thirty_requests_reach_each_of_three_frontends_8_to_12_times(&system.site()?)
    }),
    ("the_form_saves_through_the_backend_and_leads_back", |system| {
        the_form_saves_through_the_backend_and_leads_back(&system.site()?)
    }),
    ("the_backend_stores_reads_changes_and_deletes", |system| {
        the_backend_stores_reads_changes_and_deletes(&system.site()?)
    }),
    ("wrong_input_is_told_and_never_a_500", |system| wrong_input_is_told_and_never_a_500(&system.site()?)),
    ("the_dashboard_reads_and_changes_nothing", |system| {
        the_dashboard_reads_and_changes_nothing(&system.site()?)
    }),
    ("the_dashboard_shows_what_is_routed", |system| the_dashboard_shows_what_is_routed(&system.site()?)),
    ("the_admin_port_is_on_loopback_and_not_published", the_admin_port_is_on_loopback),
    ("every_request_is_in_the_access_log_once", |system| {
        every_request_is_in_the_access_log_once(&system.site()?, || system.log("envoy"))
    }),
    ("everything_in_envoy_came_over_ads", |system| everything_in_envoy_came_over_ads(&system.site()?)),
    ("grpcurl_lists_describes_and_prints_in_full", |system| {
        grpcurl_lists_describes_and_prints_in_full(&format!("localhost:{}", system.admin_port))
    }),
    ("grpcurl_shows_how_far_envoy_is", |system| {
        grpcurl_shows_how_far_envoy_is(&format!("localhost:{}", system.admin_port))
    }),
    ("redis_cannot_be_reached_from_a_frontend_or_from_envoy", redis_is_out_of_reach),
    ("only_docker_guard_sees_the_socket", only_docker_guard_sees_the_socket),
    ("docker_guard_lets_reads_through_and_nothing_else", docker_guard_lets_reads_through),
    ("every_container_is_confined", every_container_is_confined),
    ("a_restart_of_the_control_plane_without_docker_serves_what_was_saved", a_restart_without_docker),
    ("scaling_up_and_down_moves_the_rotation_and_restarts_nothing_else", scaling_restarts_nothing_else),
    ("an_unhealthy_frontend_leaves_the_rotation_and_returns", an_unhealthy_frontend_leaves_and_returns),
    ("acknowledged_writes_survive_a_killed_redis", acknowledged_writes_survive_a_killed_redis),
    ("acknowledged_writes_survive_down_and_up", acknowledged_writes_survive_down_and_up),
];

fn tests() -> Vec<(&'static str, Test)> {
    TESTS.iter().copied().chain(lossless::tests()).collect()
}

fn main() -> ExitCode {
    let tests = tests();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let required = std::env::var("REQUIRE_DOCKER").is_ok_and(|value| value == "1");
    if let Err(reason) = engine() {
        if required {
            eprintln!("REQUIRE_DOCKER=1, and there is no Docker Engine with Compose v2: {reason:#}");
            return ExitCode::FAILURE;
        }
        eprintln!("the Docker tests are ignored: {reason:#}");
        let ignored = |(name, _): &(&str, Test)| Trial::test(*name, || Ok(())).with_ignored_flag(true);
        return libtest_mimic::run(&arguments, tests.iter().map(ignored).collect()).exit_code();
    }
    let wanted = |(name, _): &&(&str, Test)| {
        arguments.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()))
    };
    if arguments.list || !tests.iter().any(|test| wanted(&test)) {
        let trials = tests.iter().map(|(name, _)| Trial::test(*name, || Ok(())));
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }
    let system = std::sync::Arc::new(Compose::new());
    let started = system.start();
    let mut conclusion = None;
    match started {
        Ok(()) => {
            let trials = tests.into_iter().map(|(name, test)| {
                let system = std::sync::Arc::clone(&system);
                Trial::test(name, move || test(&system).map_err(|error| format!("{error:#}").into()))
            });
            conclusion = Some(libtest_mimic::run(&arguments, trials.collect()));
        }
        Err(error) => eprintln!("the system does not start: {error:#}"),
    }
    let failed = conclusion.as_ref().is_none_or(|conclusion| conclusion.has_failed());
    if failed {
        system.dump();
    }
    system.remove();
    conclusion.map_or(ExitCode::FAILURE, |conclusion| conclusion.exit_code())
}

fn everything_is_healthy(system: &Compose) -> Result<()> {
    let containers = system.containers()?;
    ensure!(containers.len() == 8, "{} containers", containers.len());
    for container in containers {
        ensure!(
            container["State"]["Health"]["Status"] == "healthy",
            "{}: {}",
            container["Name"],
            container["State"]
        );
    }
    Ok(())
}

fn containers_start_in_order_of_health(system: &Compose) -> Result<()> {
    let events = system.start_events()?;
    let position = |service: &str, what: &str| -> Result<usize> {
        let found = events.iter().position(|event| event == &format!("{service} {what}"));
        found.ok_or_else(|| anyhow::anyhow!("no `{service} {what}` in {events:?}"))
    };
    for (first, then) in [
        ("redis", "backend"),
        ("backend", "frontend"),
        ("docker-guard", "control-plane"),
        ("control-plane", "envoy"),
    ] {
        let (healthy, started) = (position(first, "health_status: healthy")?, position(then, "start")?);
        ensure!(healthy < started, "{then} started before {first} was healthy: {events:?}");
    }
    let envoy = &system.config()?["services"]["envoy"]["depends_on"];
    ensure!(envoy.as_object().is_some_and(|on| on.len() == 1 && on.contains_key("control-plane")), "{envoy}");
    Ok(())
}

fn the_admin_port_is_on_loopback(system: &Compose) -> Result<()> {
    let envoy = system.container("envoy")?;
    let ports = &envoy["NetworkSettings"]["Ports"];
    ensure!(
        ports.as_object().is_some_and(|ports| ports.len() == 1 && ports.contains_key("8080/tcp")),
        "{ports}"
    );
    for address in addresses(&envoy) {
        let refused = std::net::TcpStream::connect((address.as_str(), 9901)).is_err();
        ensure!(refused, "Envoy's admin interface listens on {address}");
        ensure!(
            std::net::TcpStream::connect((address.as_str(), 8080)).is_ok(),
            "the probe itself reaches {address}"
        );
    }
    Ok(())
}

fn addresses(container: &Value) -> Vec<String> {
    let networks = container["NetworkSettings"]["Networks"].as_object();
    networks.into_iter().flatten().filter_map(|(_, on)| on["IPAddress"].as_str().map(str::to_owned)).collect()
}

/// Whether Redis answers at `address` from inside the network namespace of a container.
fn redis_answers(from: &Value, address: &str) -> Result<bool> {
    let namespace = format!("container:{}", from["Id"].as_str().unwrap_or_default());
    let probe = "portolan-e2e-probe";
    let image = "redis:8.0-bookworm";
    docker(&["create", "--name", probe, "--network", &namespace, image, "redis-cli", "-h", address, "ping"])?;
    docker(&["start", probe])?;
    // A dropped packet is not answered at all: ten seconds of silence are a no.
    let ended = until("the probe ends", Duration::from_secs(10), || {
        let state = docker(&["inspect", "-f", "{{.State.Running}}", probe])?;
        ensure!(state.trim() == "false", "it runs");
        Ok(())
    });
    let output = docker(&["logs", probe])?;
    docker(&["rm", "-f", probe])?;
    Ok(ended.is_ok() && output.contains("PONG"))
}

fn redis_is_out_of_reach(system: &Compose) -> Result<()> {
    for address in addresses(&system.container("redis")?) {
        ensure!(
            redis_answers(&system.container("backend")?, &address)?,
            "the backend reaches Redis (or the probe is no good)"
        );
        ensure!(!redis_answers(&system.container("frontend")?, &address)?, "a frontend reaches Redis");
        ensure!(!redis_answers(&system.container("envoy")?, &address)?, "Envoy reaches Redis");
    }
    Ok(())
}

fn only_docker_guard_sees_the_socket(system: &Compose) -> Result<()> {
    for container in system.containers()? {
        let name = container["Name"].as_str().unwrap_or_default();
        let text = container["Mounts"].to_string();
        ensure!(text.contains("docker.sock") == name.contains("docker-guard"), "{name}: {text}");
    }
    Ok(())
}

fn docker_guard_lets_reads_through(system: &Compose) -> Result<()> {
    let guard = system.container("docker-guard")?;
    let id = guard["Id"].as_str().unwrap_or_default();
    let address = addresses(&guard).into_iter().next().unwrap_or_default();
    let client = reqwest::blocking::Client::builder().no_proxy().build()?;
    let ask = |method: Method, path: &str| -> Result<u16> {
        Ok(client.request(method, format!("http://{address}:2375{path}")).send()?.status().as_u16())
    };
    let inspect = format!("/v1.41/containers/{id}/json");
    for path in ["/_ping", "/version", "/info", "/v1.41/containers/json?all=1", "/networks", &inspect] {
        ensure!(ask(Method::GET, path)? == 200, "GET {path} passes");
    }
    ensure!(ask(Method::HEAD, "/_ping")? == 200, "HEAD passes");
    for (method, path) in [
        (Method::POST, "/v1.41/containers/create".to_owned()),
        (Method::POST, format!("/containers/{id}/kill")),
        (Method::POST, format!("/containers/{id}/exec")),
        (Method::DELETE, format!("/containers/{id}")),
        (Method::PUT, format!("/containers/{id}/archive?path=/")),
        (Method::GET, format!("/containers/{id}/archive?path=/etc")),
        (Method::GET, format!("/containers/{id}/export")),
        (Method::GET, format!("/containers/{id}/logs?stdout=1")),
        (Method::GET, "/images/json".to_owned()),
        (Method::GET, "/secrets".to_owned()),
        (Method::GET, format!("/containers/json/../{id}/export")),
        (Method::GET, format!("/containers/{id}%2Fexport/json")),
        (Method::GET, format!("/containers//{id}/export")),
        (Method::POST, "/_ping".to_owned()),
    ] {
        let found = ask(method.clone(), &path)?;
        ensure!(found == 403 || found == 400, "{method} {path}: {found}");
    }
    let host = format!("tcp://{address}:2375");
    ensure!(docker(&["-H", &host, "ps"])?.contains("docker-guard"), "docker ps through the guard");
    let refused = docker(&["-H", &host, "run", "--rm", "redis:8.0-bookworm", "redis-cli", "--version"]);
    ensure!(
        refused.is_err_and(|error| format!("{error:#}").contains("docker-guard")),
        "docker run is refused"
    );
    Ok(())
}

fn every_container_is_confined(system: &Compose) -> Result<()> {
    for container in system.containers()? {
        let name = container["Name"].as_str().unwrap_or_default();
        let (config, host) = (&container["Config"], &container["HostConfig"]);
        let user = config["User"].as_str().unwrap_or_default();
        let root = user.is_empty() || user.starts_with('0') || user.starts_with("root");
        ensure!(root == name.contains("docker-guard"), "{name} runs as {user:?}");
        ensure!(host["ReadonlyRootfs"] == true, "{name} can write to its file system");
        ensure!(
            host["CapDrop"] == serde_json::json!(["ALL"]) && host["CapAdd"].is_null(),
            "{name}: {}",
            host["CapDrop"]
        );
        ensure!(host["Privileged"] == false, "{name} is privileged");
        ensure!(
            host["SecurityOpt"].to_string().contains("no-new-privileges:true"),
            "{name}: {}",
            host["SecurityOpt"]
        );
        ensure!(host["Memory"].as_i64().is_some_and(|bytes| bytes > 0), "{name} has no memory limit");
        ensure!(host["PidsLimit"].as_i64().is_some_and(|pids| pids > 0), "{name} has no pid limit");
        ensure!(host["LogConfig"]["Config"]["max-size"].is_string(), "{name}: its log grows for ever");
        ensure!(host["RestartPolicy"]["Name"] == "unless-stopped", "{name}: {}", host["RestartPolicy"]);
    }
    let networks = &system.config()?["networks"];
    for (name, network) in networks.as_object().into_iter().flatten() {
        let open = name == "edge" || name == "admin";
        ensure!((network["internal"] == true) != open, "network {name}: {network}");
    }
    Ok(())
}

fn a_restart_without_docker(system: &Compose) -> Result<()> {
    let address = format!("localhost:{}", system.admin_port);
    let view = || -> Result<Value> {
        Ok(serde_json::from_str(&grpcurl(&[&address, "portolan.v1.InspectService/GetView"])?)?)
    };
    let before = view()?["snapshotVersion"].clone();
    let control_plane = system.id("control-plane")?;
    system.run(&["stop", "docker-guard"])?;
    // Not by Compose, which would wait for docker-guard, or make other containers anew at the next `up`.
    docker(&["kill", &control_plane])?;
    docker(&["start", &control_plane])?;
    let saved = until("the saved view is served", LIMIT, || {
        let now = view()?;
        ensure!(now["stale"] == true && now["age"].is_null() && now["snapshotVersion"] == before, "{now}");
        Ok(())
    });
    let served = saved.and_then(|()| rotation_of(&system.site()?, 3));
    system.run(&["start", "docker-guard"])?;
    served?;
    until("the view is Docker's own again, and the same", LIMIT, || {
        let now = view()?;
        ensure!(
            now["stale"].is_null() && now["age"].is_string() && now["snapshotVersion"] == before,
            "{now}"
        );
        Ok(())
    })?;
    compose::becomes("healthy", &control_plane)
}

fn scaling_restarts_nothing_else(system: &Compose) -> Result<()> {
    let site = system.site()?;
    rotation_of(&site, 3)?;
    let before = system.lives()?;
    system.run(&["up", "-d", "--no-build", "--wait", "--scale", "frontend=5"])?;
    rotation_of(&site, 5)?;
    let scaled = system.lives()?;
    ensure!(
        scaled.len() == 10 && before.iter().all(|(name, life)| scaled.get(name) == Some(life)),
        "{scaled:?}"
    );
    system.run(&["up", "-d", "--no-build", "--wait", "--scale", "frontend=3"])?;
    rotation_of(&site, 3)?;
    let after = system.lives()?;
    ensure!(after == before, "before {before:?}, after {after:?}");
    Ok(())
}

fn an_unhealthy_frontend_leaves_and_returns(system: &Compose) -> Result<()> {
    let site = system.site()?;
    rotation_of(&site, 3)?;
    let id = system.id("frontend")?;
    // A process that is stopped answers nothing: the engine finds that out by its health check.
    docker(&["kill", "--signal", "STOP", &id])?;
    let left = compose::becomes("unhealthy", &id).and_then(|()| rotation_of(&site, 2));
    docker(&["kill", "--signal", "CONT", &id])?;
    let left = left?;
    ensure!(!left.contains(&id[..12]), "{left:?}");
    compose::becomes("healthy", &id)?;
    rotation_of(&site, 3)?;
    Ok(())
}

fn acknowledged_writes_survive_a_killed_redis(system: &Compose) -> Result<()> {
    let site = system.site()?;
    let keys = write(&site, "killed", 1_000)?;
    let backend = system.container("backend")?["State"]["StartedAt"].clone();
    system.run(&["kill", "redis"])?;
    without_its_store_the_backend_answers_503(&site)?;
    system.run(&["start", "redis"])?;
    all_are_there(&site, &keys)?;
    ensure!(system.container("backend")?["State"]["StartedAt"] == backend, "the backend was restarted");
    Ok(())
}

fn acknowledged_writes_survive_down_and_up(system: &Compose) -> Result<()> {
    let site = system.site()?;
    let keys = write(&site, "down", 1_000)?;
    system.run(&["down"])?;
    system.run(&["up", "-d", "--no-build", "--wait"])?;
    all_are_there(&site, &keys)?;
    rotation_of(&site, 3)?;
    Ok(())
}
