//! The xDS server and real clients of it: Envoy, gRPC without a proxy, grpcurl. Each test has a server of its own in this
//! process, which says what the test publishes, and clients of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod xds;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};
use stack::tools;
use tracing_subscriber::EnvFilter;
use xds::envoy::{Mode, Streams};
use xds::refusals::{REFUSALS, Refusal};
use xds::{changes, extensions, reconnects, refusals, secrets, several, without_proxy};
use xds_server::session::Protocol;

/// The tests wait for others most of the time.
const THREADS: usize = 3;
/// How much of a client's log is shown.
const LOG_LINES: usize = 20;

/// Every way in which Envoy gets its configuration over gRPC.
const MODES: [(&str, Mode); 4] = [
    ("delta_ads", Mode::new(Protocol::Delta, Streams::Aggregated)),
    ("sotw_ads", Mode::new(Protocol::StateOfTheWorld, Streams::Aggregated)),
    ("delta_for_each_type", Mode::new(Protocol::Delta, Streams::ForEachType)),
    ("sotw_for_each_type", Mode::new(Protocol::StateOfTheWorld, Streams::ForEachType)),
];

fn main() -> ExitCode {
    // RUST_LOG=xds_server=debug shows what the servers do.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    if !arguments.list {
        // Once, and not by several tests at the same time. The one that needs what cannot be had will say so.
        let _ = (tools::ENVOY.find(), tools::GRPCURL.find(), tools::grpcio());
    }
    libtest_mimic::run(&arguments, trials()).exit_code()
}

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut in_modes = |name: &str, modes: &[(&str, Mode)], test: fn(Mode, &Path) -> Result<()>| {
        for (mode_name, mode) in modes.iter().copied() {
            trials.push(trial(&format!("{name}::{mode_name}"), move |folder| test(mode, folder)));
        }
    };
    in_modes("requests_survive_every_change", &MODES, changes::requests_survive_every_change);
    in_modes(
        "a_listener_that_comes_back_has_its_routes",
        &MODES,
        changes::a_listener_that_comes_back_has_its_routes,
    );
    in_modes(
        "a_server_that_comes_back_disturbs_nobody",
        &MODES,
        reconnects::a_server_that_comes_back_disturbs_nobody,
    );
    in_modes(
        "a_certificate_comes_late_and_is_renewed",
        &MODES,
        secrets::a_certificate_comes_late_and_is_renewed,
    );
    in_modes(
        "the_configuration_of_a_filter_reaches_connections_that_stay",
        &MODES,
        extensions::the_configuration_of_a_filter_reaches_connections_that_stay,
    );
    in_modes("a_stuck_client_holds_nobody_up", &MODES[..2], several::a_stuck_client_holds_nobody_up);
    for refusal in REFUSALS {
        for (mode_name, mode) in MODES.into_iter().take(2) {
            let mut add = |name: &str, test: fn(Refusal, Mode, &Path) -> Result<()>| {
                let name = format!("{name}::{mode_name}::{}", refusal.what);
                trials.push(trial(&name, move |folder| test(refusal, mode, folder)));
            };
            add("a_refused_resource_harms_no_other", refusals::a_refused_resource_harms_no_other);
            add("a_newcomer_gets_all_but_what_it_refuses", refusals::a_newcomer_gets_all_but_what_it_refuses);
        }
    }
    trials.push(trial(
        "grpc_without_a_proxy_follows_every_change",
        without_proxy::grpc_without_a_proxy_follows_every_change,
    ));
    trials
}

/// A test with a folder of its own. If it fails, the logs in there are shown.
fn trial(name: &str, test: impl FnOnce(&Path) -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let folder = tempfile::tempdir()?;
        test(folder.path()).map_err(|error| format!("{error:#}{}", logs(folder.path())).into())
    })
}

fn logs(folder: &Path) -> String {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let logs = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.map(|path| {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("\n---- {}\n{}", path.display(), lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
    })
    .collect()
}
