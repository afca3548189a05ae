//! What programs that watch are given: metrics, by the word of Prometheus itself, and traces. Where there is no promtool or no
//! Compose, what needs it is ignored; `REQUIRE_PROMTOOL=1` and `REQUIRE_DOCKER=1` make that a failure.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod collector;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use collector::Collector;
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use stack::binaries::Binaries;
use stack::ports;
use stack::process::Process;
use stack::system::{Options, System};
use stack::wait::until;
use tokio::sync::Mutex;

/// Generous: only a hang takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A system, and where its traces go.
struct Lab {
    system: System,
    collector: Collector,
}

type Test = fn(&mut Lab) -> Result<()>;

/// What a test needs besides what every test has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// Debian's package prometheus.
    Promtool,
    /// No engine.
    Compose,
}

const TESTS: &[(&str, Needs, Test)] = &[
    ("promtool_has_nothing_to_say_about_the_metrics", Needs::Promtool, promtool_has_nothing_to_say),
    ("promtool_reads_the_configuration_and_the_alerts", Needs::Promtool, promtool_reads_the_configuration),
    (
        "the_alerts_and_the_dashboard_ask_for_metrics_that_there_are",
        Needs::Nothing,
        they_ask_for_what_there_is,
    ),
    ("prometheus_reads_both_and_takes_every_query", Needs::Promtool, prometheus_reads_both),
    ("compose_reads_the_file_beside_its_own", Needs::Compose, compose_reads_the_file),
    ("a_request_is_one_trace_from_envoy_to_the_backend", Needs::Nothing, a_request_is_one_trace),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mut missing = Vec::new();
    for (needs, there, variable) in [
        (Needs::Promtool, promtool(&["--version"], "").map(drop), "REQUIRE_PROMTOOL"),
        (Needs::Compose, compose(&["version"]).map(drop), "REQUIRE_DOCKER"),
    ] {
        let Err(error) = there else { continue };
        if is_set(variable) {
            eprintln!("{variable}=1, and {error:#}");
            return ExitCode::FAILURE;
        }
        eprintln!("what needs {needs:?} is ignored: {error:#}");
        missing.push(needs);
    }
    let trial = |lab: Option<&Arc<Mutex<Lab>>>, (name, needs, test): &(&str, Needs, Test)| {
        let (lab, test) = (lab.cloned(), *test);
        let run = move || {
            let lab = lab.ok_or("no system")?;
            test(&mut lab.blocking_lock()).map_err(|error| format!("{error:#}").into())
        };
        Trial::test(*name, run).with_ignored_flag(missing.contains(needs))
    };
    let trials = |lab| TESTS.iter().map(|test| trial(lab, test)).collect();
    let is_wanted =
        |name: &str| arguments.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    if arguments.list || !TESTS.iter().any(|(name, ..)| is_wanted(name)) {
        return libtest_mimic::run(&arguments, trials(None)).exit_code();
    }
    // This thread starts all children, and outlives the tests.
    let folder = tempfile::tempdir().expect("a folder for the system");
    let lab = Arc::new(Mutex::new(start(folder.path().to_owned()).expect("the system starts")));
    libtest_mimic::run(&arguments, trials(Some(&lab))).exit_code()
}

fn start(folder: PathBuf) -> Result<Lab> {
    let collector = Collector::start()?;
    let options = Options {
        edge_port: ports::free()?,
        grpc_port: ports::free()?,
        frontends: 2,
        folder,
        otlp_endpoint: Some(collector.endpoint()),
    };
    Ok(Lab { system: System::start(options, Binaries::build()?)?, collector })
}

fn is_set(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "1")
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

fn promtool_has_nothing_to_say(Lab { system, .. }: &mut Lab) -> Result<()> {
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

fn file(path: &str) -> PathBuf {
    stack::workspace().join(path)
}

fn promtool_reads_the_configuration(_: &mut Lab) -> Result<()> {
    let config = file("observability/prometheus.yml");
    let said = promtool(&["check", "config", &config.display().to_string()], "")?;
    ensure!(said.contains("1 rule files found") && said.contains("9 rules found"), "{said}");
    Ok(())
}

/// Everything that Prometheus would read of this system, as its configuration says where.
fn scraped(system: &System) -> Result<String> {
    let own = reqwest::blocking::get(format!("http://127.0.0.1:{}/metrics", system.http_port()))?.text()?;
    // As a proxy is asked: by the whole URL.
    let edge = reqwest::Proxy::http(format!("http://127.0.0.1:{}", system.options().edge_port))?;
    let client = reqwest::blocking::Client::builder().proxy(edge).build()?;
    let envoy = client.get("http://dashboard.localhost/envoy/stats/prometheus").send()?;
    ensure!(envoy.status().is_success(), "{envoy:?}");
    Ok(own + &envoy.text()?)
}

/// The words of a query that are names of metrics.
fn metrics_of(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let is_label = |word: &&str| {
        ["envoy_cluster_name", "envoy_response_code_class", "envoy_http_conn_manager_prefix"].contains(word)
    };
    let is_metric =
        |word: &&str| ["portolan_", "process_", "envoy_"].iter().any(|start| word.starts_with(start));
    // Not what stands in quotes, as in a regular expression.
    words.filter(is_metric).filter(move |word| !is_label(word) && *word != "portolan_dashboard")
}

fn they_ask_for_what_there_is(Lab { system, .. }: &mut Lab) -> Result<()> {
    let site = system.site()?;
    // What nobody asked for yet has no statistics.
    for _ in 0..5 {
        site.get("frontend.localhost", "/")?;
    }
    let shown: Vec<String> = queries()?.into_iter().map(|(_, query)| query).collect();
    ensure!(shown.len() > 20, "{shown:?}");
    let alerts = fs::read_to_string(file("observability/alerts.yml"))?;
    let asked: BTreeSet<&str> =
        shown.iter().flat_map(|query| metrics_of(query)).chain(metrics_of(&alerts)).collect();
    ensure!(asked.len() > 20, "{asked:?}");
    until("Envoy counts and is up to date", LIMIT, || {
        let text = scraped(system)?;
        let is_there = |name: &&&str| {
            text.lines()
                .any(|line| line.strip_prefix(**name).is_some_and(|rest| rest.starts_with([' ', '{'])))
        };
        let missing: Vec<_> = asked.iter().filter(|name| !is_there(name)).collect();
        ensure!(missing.is_empty(), "nobody tells {missing:?}");
        for label in [
            "envoy_http_conn_manager_prefix=\"http\"",
            "envoy_cluster_name=\"frontend\"",
            "envoy_response_code_class=\"2\"",
        ] {
            ensure!(text.contains(label), "no {label}");
        }
        Ok(())
    })
}

/// The same programs that compose.observability.yml runs, as far as a process can be one.
fn prometheus_reads_both(Lab { system, .. }: &mut Lab) -> Result<()> {
    let (port, folder) = (ports::free()?, system.folder().join("prometheus"));
    fs::create_dir_all(&folder)?;
    let config = fs::read_to_string(file("observability/prometheus.yml"))?
        .replace("control-plane:18001", &format!("127.0.0.1:{}", system.http_port()))
        .replace("http://envoy:8080", &format!("http://127.0.0.1:{}", system.options().edge_port))
        .replace("localhost:9090", &format!("127.0.0.1:{port}"))
        .replace("alerts.yml", &file("observability/alerts.yml").display().to_string())
        .replace("_interval: 10s", "_interval: 1s");
    let path = folder.join("prometheus.yml");
    fs::write(&path, config)?;
    let _prometheus = Process::start("prometheus", &folder, Path::new("prometheus"), |command| {
        command.arg(format!("--config.file={}", path.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    })?;
    let client = reqwest::blocking::Client::new();
    let query = |query: &str| -> Result<Value> {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let answer: Value = client.post(url).form(&[("query", query)]).send()?.json()?;
        ensure!(answer["status"] == "success", "{query}: {answer}");
        Ok(answer["data"]["result"].clone())
    };
    until("Prometheus reads the control plane, Envoy and itself", LIMIT, || {
        let up = query("sum(up)")?;
        ensure!(up[0]["value"][1] == "3", "{up}");
        Ok(())
    })?;
    for (panel, expression) in queries()? {
        query(&expression.replace("$__rate_interval", "1m")).with_context(|| panel)?;
    }
    let stands = query("portolan_services{state=\"ready\"}")?;
    ensure!(stands[0]["value"][1] == "2" && stands[0]["metric"]["job"] == "portolan", "{stands}");
    Ok(())
}

/// What the panels of the dashboard ask, each with the panel's title.
fn queries() -> Result<Vec<(String, String)>> {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(file("observability/grafana/portolan.json"))?)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let of = |panel: &Value| -> Vec<(String, String)> {
        let targets = panel["targets"].as_array().into_iter().flatten();
        let title = panel["title"].as_str().unwrap_or_default();
        targets.filter_map(|target| Some((title.to_owned(), target["expr"].as_str()?.to_owned()))).collect()
    };
    Ok(panels.iter().flat_map(of).collect())
}

fn compose(arguments: &[&str]) -> Result<Vec<u8>> {
    let mut compose = Command::new("docker");
    compose.args(["compose", "-f", "compose.yml", "-f", "compose.observability.yml", "--profile", "grafana"]);
    let output = compose.args(arguments).current_dir(stack::workspace()).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(output.stdout)
}

fn compose_reads_the_file(_: &mut Lab) -> Result<()> {
    let value: Value = serde_json::from_slice(&compose(&["config", "--format", "json"])?)?;
    for (service, network) in [("prometheus", "control"), ("grafana", "observability"), ("envoy", "control")]
    {
        ensure!(value["services"][service]["networks"].get(network).is_some(), "{service}: {value}");
    }
    for service in ["prometheus", "grafana"] {
        ensure!(
            value["services"][service]["ports"][0]["host_ip"] == "127.0.0.1",
            "{service} is open: {value}"
        );
        ensure!(value["services"][service]["read_only"] == true, "{service}: {value}");
    }
    Ok(())
}

fn a_request_is_one_trace(Lab { system, collector }: &mut Lab) -> Result<()> {
    let site = system.site()?;
    let trace: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    let parent = format!("00-{trace:032x}-b7ad6b7169203331-01");
    let request = site.request(reqwest::Method::GET, "frontend.localhost", "/?traced");
    ensure!(request.header("traceparent", parent).send()?.status() == 200, "the page");
    // Who brings no trace gets one.
    ensure!(site.get("frontend.localhost", "/?untraced")?.status() == 200, "the page");
    until("all three have sent their spans", LIMIT, || {
        for service in ["envoy", "frontend", "backend"] {
            ensure!(collector.has(service, trace), "nothing of {service}");
        }
        Ok(())
    })?;
    let log = system.folder().join("logs/envoy.log");
    until("the access log has both", LIMIT, || {
        let log = fs::read_to_string(&log)?;
        let id = |path: &str| -> Result<u128> {
            let line = log.lines().find(|line| line.contains(path)).context("no line yet")?;
            let line: Value = serde_json::from_str(line)?;
            let id = line["trace_id"].as_str().with_context(|| format!("no trace in {line}"))?;
            ensure!(id.len() == 32, "{line}");
            Ok(u128::from_str_radix(id, 16)?)
        };
        ensure!(id("/?traced")? == trace, "another trace than the client's");
        let own = id("/?untraced")?;
        ensure!(own != trace && collector.has("backend", own), "its own is not at the backend yet");
        Ok(())
    })
}
