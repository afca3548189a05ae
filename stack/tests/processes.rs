//! The system as local processes: real Envoy, real Redis, real grpcurl. The tests share one system, one after another.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod asking;
mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use asking::*;
use common::*;
use libtest_mimic::{Arguments, Trial};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use stack::binaries::Binaries;
use stack::ports;
use stack::process::Process;
use stack::system::{Options, System};
use stack::wait::until;
use tokio::sync::Mutex;

type Shared = Arc<Mutex<System>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    // This thread starts all children, and outlives the tests.
    let folder = tempfile::tempdir().expect("a folder for the system");
    let system = start(folder.path().to_owned()).expect("the system starts");
    let shared = Arc::new(Mutex::new(system));
    let conclusion = libtest_mimic::run(&arguments, trials(Some(&shared)));
    if conclusion.has_failed() {
        let logs = shared.blocking_lock().folder().join("logs");
        for log in fs::read_dir(logs).into_iter().flatten().flatten() {
            eprintln!(
                "---- {}\n{}",
                log.path().display(),
                tail(&fs::read_to_string(log.path()).unwrap_or_default())
            );
        }
    }
    drop(shared);
    conclusion.exit_code()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

fn start(folder: PathBuf) -> Result<System> {
    let options = Options {
        edge_port: ports::free()?,
        grpc_port: ports::free()?,
        frontends: 3,
        folder,
        otlp_endpoint: None,
    };
    System::start(options, Binaries::build()?)
}

fn trials(system: Option<&Shared>) -> Vec<Trial> {
    let test = |name: &str, test: fn(&mut System) -> Result<()>| {
        let system = system.cloned();
        Trial::test(name, move || {
            let system = system.ok_or("no system")?;
            test(&mut system.blocking_lock()).map_err(|error| format!("{error:#}").into())
        })
    };
    vec![
        test("thirty_requests_reach_each_of_three_frontends_8_to_12_times", |system| {
            thirty_requests_reach_each_of_three_frontends_8_to_12_times(&system.site()?)
        }),
        test("the_form_saves_through_the_backend_and_leads_back", |system| {
            the_form_saves_through_the_backend_and_leads_back(&system.site()?)
        }),
        test("the_backend_stores_reads_changes_and_deletes", |system| {
            the_backend_stores_reads_changes_and_deletes(&system.site()?)
        }),
        test("wrong_input_is_told_and_never_a_500", |system| {
            wrong_input_is_told_and_never_a_500(&system.site()?)
        }),
        test("the_dashboard_reads_and_changes_nothing", |system| {
            the_dashboard_reads_and_changes_nothing(&system.site()?)
        }),
        test("the_dashboard_shows_what_is_routed", |system| {
            the_dashboard_shows_what_is_routed(&system.site()?)
        }),
        test("every_request_is_in_the_access_log_once", |system| {
            let log = system.folder().join("logs/envoy.log");
            every_request_is_in_the_access_log_once(&system.site()?, || Ok(fs::read_to_string(&log)?))
        }),
        test("an_unknown_host_is_404", |system| an_unknown_host_is_404(&system.site()?)),
        test("everything_in_envoy_came_over_ads", |system| {
            everything_in_envoy_came_over_ads(&system.site()?)
        }),
        test("grpcurl_lists_describes_and_prints_in_full", |system| {
            grpcurl_lists_describes_and_prints_in_full(&format!("127.0.0.1:{}", system.options().grpc_port))
        }),
        test("an_edited_services_file_moves_the_rotation", an_edited_services_file_moves_the_rotation),
        test(
            "a_faulty_services_file_leaves_the_last_good_one",
            a_faulty_services_file_leaves_the_last_good_one,
        ),
        test("a_service_without_endpoints_answers_503_and_says_which", without_endpoints_it_is_503),
        test("a_drained_frontend_gets_nothing_until_it_is_put_back", a_drained_frontend_gets_nothing),
        test("changes_need_the_token_and_never_come_through_envoy", changes_need_the_token),
        test("why_says_which_route_takes_a_url_as_the_dashboard_does", why_says_which_route),
        test(
            "why_says_how_far_a_container_is_with_and_without_a_control_plane",
            why_says_how_far_a_container_is,
        ),
        test("wait_says_what_is_missing", wait_says_what_is_missing),
        test("status_shows_everything_on_one_screen", status_shows_everything),
        test("watch_follows_what_changes", watch_follows_what_changes),
        test("the_way_of_a_container_is_told_to_the_envoy_that_has_it", the_way_of_a_container_is_told),
        test("acknowledged_writes_survive_a_killed_redis", acknowledged_writes_survive_a_killed_redis),
        test("grpcurl_shows_how_far_envoy_is", |system| {
            grpcurl_shows_how_far_envoy_is(&format!("127.0.0.1:{}", system.options().grpc_port))
        }),
        test("the_metrics_count_what_envoy_acknowledged", the_metrics_count),
        test(
            "a_restart_of_the_control_plane_changes_nothing_in_envoy",
            a_restart_of_the_control_plane_changes_nothing,
        ),
        test(
            "a_weight_by_hand_moves_endpoints_alone_and_outlives_a_restart",
            a_weight_by_hand_outlives_a_restart,
        ),
        test("a_frontend_says_no_before_it_stops", a_frontend_says_no_before_it_stops),
        test("a_port_in_use_is_told_in_one_line", a_port_in_use_is_told_in_one_line),
        test("cargo_stack_ends_everything_on_ctrl_c", |_| cargo_stack_ends_everything(Signal::INT)),
        test("cargo_stack_leaves_nothing_when_it_is_killed", |_| cargo_stack_ends_everything(Signal::KILL)),
    ]
}

fn an_edited_services_file_moves_the_rotation(system: &mut System) -> Result<()> {
    let site = system.site()?;
    fs::write(system.services_file(), system.services(2))?;
    rotation_of(&site, 2)?;
    fs::write(system.services_file(), system.services(3))?;
    rotation_of(&site, 3)?;
    Ok(())
}

fn a_faulty_services_file_leaves_the_last_good_one(system: &mut System) -> Result<()> {
    let site = system.site()?;
    let good = system.services(3);
    fs::write(system.services_file(), "services:\n  frontend:\n    endpoint: []\n")?;
    until("the log says where the mistake is", LIMIT, || {
        let log = system.process("control-plane")?.log();
        ensure!(
            log.contains("services.yaml:3:") && log.contains("the last good one stands"),
            "{}",
            tail(&log)
        );
        Ok(())
    })?;
    rotation_of(&site, 3)?;
    fs::write(system.services_file(), good)?;
    rotation_of(&site, 3)?;
    Ok(())
}

fn without_endpoints_it_is_503(system: &mut System) -> Result<()> {
    let site = system.site()?;
    let changes = "listener_manager.listener_(added|modified|removed)$";
    let before = stat(system, changes)?;
    let good = system.services(3);
    let (head, rest) = good.split_once("endpoints:").context("no endpoints")?;
    let (_, backend) = rest.split_once("  backend:").context("no backend")?;
    fs::write(system.services_file(), format!("{head}endpoints: []\n  backend:{backend}"))?;
    let answer = until("the frontend is not there", LIMIT, || {
        let answer = site.get(FRONTEND, "/")?;
        ensure!(status(&answer) == 503, "{answer:?}");
        Ok(answer)
    });
    fs::write(system.services_file(), good)?;
    let answer = answer?;
    ensure!(header(&answer, "retry-after") == "1", "{answer:?}");
    ensure!(
        header(&answer, "x-portolan-reason") == "no-ready-endpoint; service=frontend",
        "it says why, and which service: {answer:?}"
    );
    ensure!(answer.text()?.contains("No container of this service is ready"), "it says so to a person");
    rotation_of(&site, 3)?;
    ensure!(stat(system, changes)? == before, "the listener was touched");
    Ok(())
}

/// What Envoy counts of changes to anything but endpoints.
const CHANGES: &str = "(cluster_manager.cluster_(added|modified|removed)|listener_manager.listener_(added|modified|removed)|rds.http.config_reload)$";

fn acknowledged_writes_survive_a_killed_redis(system: &mut System) -> Result<()> {
    let site = system.site()?;
    let keys = write(&site, "process", 1_000)?;
    let backend = system.process("backend")?.id();
    system.take("redis")?.kill()?;
    without_its_store_the_backend_answers_503(&site)?;
    system.start_redis()?;
    all_are_there(&site, &keys)?;
    ensure!(system.process("backend")?.id() == backend, "the backend was not restarted");
    system.check()?;
    // What failed meanwhile took hosts out for some seconds: the next test finds all three again.
    rotation_of(&site, 3)?;
    Ok(())
}

fn stat(system: &System, name: &str) -> Result<u64> {
    let text = system.site()?.get(DASHBOARD, &format!("/stats?filter={name}"))?.text()?;
    let values = text.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    Ok(values.sum())
}

fn a_restart_of_the_control_plane_changes_nothing(system: &mut System) -> Result<()> {
    let site = system.site()?;
    let before = stat(system, CHANGES)?;
    let connects = stat(system, "cluster.control-plane.upstream_cx_total$")?;
    system.take("control-plane")?.kill()?;
    ensure!(rotation(&site, 6)?.len() == 3, "traffic goes on without it");
    system.start_control_plane()?;
    until("Envoy is back at the control plane", LIMIT, || {
        ensure!(stat(system, "cluster.control-plane.upstream_cx_total$")? > connects, "not yet");
        ensure!(stat(system, "control_plane.connected_state$")? == 1, "not yet connected");
        Ok(())
    })?;
    rotation_of(&site, 3)?;
    ensure!(stat(system, CHANGES)? == before, "Envoy's configuration changed");
    ensure!(stat(system, "update_rejected$")? == 0, "Envoy refused something");
    Ok(())
}

fn a_frontend_says_no_before_it_stops(system: &mut System) -> Result<()> {
    let logs = system.folder().join("logs");
    let port = ports::free()?;
    let frontend = Binaries::build()?.frontend;
    let mut process = Process::start("leaving", &logs, &frontend, |command| {
        command.env("LISTEN", format!("127.0.0.1:{port}")).env("DRAIN_DELAY", "2s");
    })?;
    let answers = |expected: u16| {
        let found = reqwest::blocking::get(format!("http://127.0.0.1:{port}/health"))?.status().as_u16();
        ensure!(found == expected, "it answers {found}");
        Ok(())
    };
    until("it serves", LIMIT, || answers(200))?;
    process.signal(Signal::USR1)?;
    until("its health check says no, by order", LIMIT, || answers(503))?;
    process.signal(Signal::USR2)?;
    until("its health check says yes again", LIMIT, || answers(200))?;
    process.signal(Signal::TERM)?;
    until("its health check says no while it still serves", LIMIT, || answers(503))?;
    ensure!(process.wait(LIMIT)?.success(), "its exit code is 0");
    Ok(())
}

fn the_metrics_count(system: &mut System) -> Result<()> {
    let url = format!("http://127.0.0.1:{}/metrics", system.http_port());
    let accept = "application/openmetrics-text";
    let answer = reqwest::blocking::Client::new().get(&url).header("accept", accept).send()?;
    ensure!(header(&answer, "content-type").starts_with("application/openmetrics-text"), "{answer:?}");
    let text = answer.text()?;
    let value = |line: &str| -> Result<f64> {
        let found = text.lines().find_map(|found| found.strip_prefix(line));
        Ok(found.with_context(|| format!("no {line} in:\n{text}"))?.trim().parse()?)
    };
    ensure!(value("portolan_xds_streams{protocol=\"delta\"}")? >= 1.0, "{text}");
    for kind in ["cluster", "endpoint", "listener", "route"] {
        let of_kind = |name: &str| value(&format!("portolan_xds_{name}{{type=\"{kind}\"}}"));
        ensure!(of_kind("responses_total")? >= 1.0 && of_kind("acks_total")? >= 1.0, "{text}");
        ensure!(of_kind("nacks_total")? == 0.0 && of_kind("refused_resources_total")? == 0.0, "{text}");
        ensure!(of_kind("response_bytes_total")? > 100.0, "{text}");
        ensure!(of_kind("snapshot_to_ack_seconds_count")? >= 1.0, "{text}");
    }
    // Who waits at least as long as the snapshot that is waited for.
    let snapshots = value("portolan_event_to_snapshot_seconds_count")?;
    let acks = value("portolan_xds_event_to_ack_seconds_count")?;
    ensure!(snapshots >= acks && acks >= 0.0, "{text}");
    ensure!(value("portolan_snapshots_total")? >= snapshots, "{text}");
    ensure!(text.ends_with("# EOF\n"), "{text}");
    let plain = reqwest::blocking::get(&url)?;
    ensure!(header(&plain, "content-type").starts_with("text/plain; version=0.0.4"), "{plain:?}");
    Ok(())
}

fn a_port_in_use_is_told_in_one_line(system: &mut System) -> Result<()> {
    let port = system.options().grpc_port;
    let output = Command::new(Binaries::build()?.portolan)
        .args(["serve", "--file", "none.yaml", "--listen", &format!("127.0.0.1:{port}")])
        .output()?;
    let text = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1), "{output:?}", output = output.status);
    ensure!(
        text.lines().count() == 1 && text.contains(&port.to_string()) && text.contains("--listen"),
        "{text}"
    );
    Ok(())
}

/// The children of a process, and theirs.
fn descendants(parent: u32) -> Vec<u32> {
    let output = Command::new("ps").args(["-e", "-o", "pid=,ppid="]).output().expect("ps");
    let table: Vec<(u32, u32)> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().filter_map(|word| word.parse().ok());
            Some((words.next()?, words.next()?))
        })
        .collect();
    let mut found = vec![parent];
    let mut at = 0;
    while at < found.len() {
        let children = table.iter().filter(|(_, ppid)| *ppid == found[at]).map(|(pid, _)| *pid);
        found.extend(children.collect::<Vec<_>>());
        at += 1;
    }
    found.split_off(1)
}

fn cargo_stack_ends_everything(signal: Signal) -> Result<()> {
    let (edge, grpc) = (ports::free()?.to_string(), ports::free()?.to_string());
    // It keeps its data under target/stack: not while somebody's own stack runs there.
    let output = tempfile::NamedTempFile::new()?;
    let mut stack = Command::new(env!("CARGO_BIN_EXE_stack"))
        .args(["--port", &edge, "--grpc-port", &grpc])
        .stdout(output.reopen()?)
        .stderr(Stdio::null())
        .spawn()?;
    let id = Pid::from_raw(i32::try_from(stack.id())?).context("no process id")?;
    let ready = until("the table of addresses", Duration::from_secs(300), || {
        let text = fs::read_to_string(output.path())?;
        ensure!(stack.try_wait()?.is_none(), "it ended: {text}");
        ensure!(
            text.contains("http://frontend.localhost:") && text.contains("Ctrl-C ends everything"),
            "{text}"
        );
        Ok(())
    });
    let children = descendants(stack.id());
    kill_process(id, signal)?;
    let status = stack.wait()?;
    ready?;
    ensure!(children.len() >= 7, "Redis, backend, three frontends, control plane, Envoy: {children:?}");
    ensure!(signal == Signal::KILL || status.success(), "{status}");
    until("no child is left", LIMIT, || {
        let alive = |id: &&u32| {
            let pid = i32::try_from(**id).ok().and_then(Pid::from_raw);
            let defunct =
                fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "));
            pid.is_some_and(|pid| test_kill_process(pid).is_ok()) && !defunct
        };
        let left: Vec<&u32> = children.iter().filter(alive).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}
