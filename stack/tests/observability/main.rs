//! What programs that watch are given, by the word of Prometheus itself. Where there is no promtool they are ignored;
//! `REQUIRE_PROMTOOL=1` makes that a failure.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use stack::binaries::Binaries;
use stack::ports;
use stack::system::{Options, System};
use stack::wait::until;
use tokio::sync::Mutex;

/// Generous: only a hang takes longer.
const LIMIT: Duration = Duration::from_secs(60);

type Test = fn(&mut System) -> Result<()>;

const TESTS: &[(&str, Test)] =
    &[("promtool_has_nothing_to_say_about_the_metrics", promtool_has_nothing_to_say_about_the_metrics)];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let nothing = |ignored: bool| {
        let trial = |(name, _): &(&str, Test)| Trial::test(*name, || Ok(())).with_ignored_flag(ignored);
        libtest_mimic::run(&arguments, TESTS.iter().map(trial).collect()).exit_code()
    };
    if let Err(error) = promtool(&["--version"], "") {
        if std::env::var("REQUIRE_PROMTOOL").is_ok_and(|value| value == "1") {
            eprintln!("REQUIRE_PROMTOOL=1, and {error:#}");
            return ExitCode::FAILURE;
        }
        eprintln!("what needs promtool (Debian's package prometheus) is ignored: {error:#}");
        return nothing(true);
    }
    let is_wanted =
        |name: &str| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    if arguments.list || !TESTS.iter().any(|(name, _)| is_wanted(name)) {
        return nothing(false);
    }
    // This thread starts all children, and outlives the tests.
    let folder = tempfile::tempdir().expect("a folder for the system");
    let system = Arc::new(Mutex::new(start(folder.path().to_owned()).expect("the system starts")));
    let trials = TESTS.iter().map(|(name, test)| {
        let system = Arc::clone(&system);
        Trial::test(*name, move || {
            test(&mut system.blocking_lock()).map_err(|error| format!("{error:#}").into())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn start(folder: PathBuf) -> Result<System> {
    let options = Options { edge_port: ports::free()?, grpc_port: ports::free()?, frontends: 2, folder };
    System::start(options, Binaries::build()?)
}

/// Runs promtool, and returns what it says.
fn promtool(arguments: &[&str], input: &str) -> Result<String> {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().context("there is no promtool")?;
    child.stdin.take().context("it takes no input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    ensure!(output.status.success(), "promtool: {said}");
    Ok(said)
}

fn promtool_has_nothing_to_say_about_the_metrics(system: &mut System) -> Result<()> {
    let url = format!("http://127.0.0.1:{}/metrics", system.http_port());
    until("Envoy has acknowledged everything", LIMIT, || {
        let text = reqwest::blocking::get(&url)?.text()?;
        ensure!(text.contains("\nportolan_xds_clients{state=\"current\"} 1\n"), "{text}");
        Ok(())
    })?;
    let text = reqwest::blocking::get(&url)?.text()?;
    let said = promtool(&["check", "metrics"], &text)?;
    ensure!(said.trim().is_empty(), "{said}\n{text}");
    // It does look: a counter that is none by its name is told.
    let wrong = "# HELP a_seconds_total A.\n# TYPE a_seconds_total gauge\na_seconds_total 1\n";
    ensure!(promtool(&["check", "metrics"], wrong).is_err(), "promtool says nothing about anything");
    Ok(())
}
