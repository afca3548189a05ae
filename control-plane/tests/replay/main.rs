//! A recording of what a control plane saw gives the same resources again, byte for byte, and holds no secret.
//!
//! The engine is on a real Unix socket; watcher, model, translation and snapshots are the real ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod damaged;
mod plane;
mod secrets;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use plane::{Plane, bytes, endpoints, envoy, is_ready, live_through, publisher};
use portolan::file::FileProvider;
use portolan::provider::{Provider, port};
use portolan::recording::{self, Outcome, Target};
use portolan::timing::Timing;
use serde_json::{Value, json};
use support::engine::container;
use support::living::Living;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use xds_server::Kind;

#[tokio::test]
async fn a_recording_gives_the_same_resources_byte_for_byte_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let (path, served) = live_through(folder.path(), publisher()).await;
    let recording = recording::read(&path).unwrap();
    let replay = recording::replay(&recording, None).unwrap();
    let published: Vec<_> = replay.steps.iter().filter(|step| step.outcome.is_some()).collect();
    assert!(published.iter().all(|step| step.outcome == Some(Outcome::Same)), "{published:?}");
    let mut compared = 0;
    for step in published {
        let then = recording::replay(&recording, Some(step.line)).unwrap();
        let snapshot = then.snapshot().unwrap();
        if let Some(served) = served.get(&snapshot.version().to_string()) {
            assert_eq!(bytes(snapshot), *served, "line {}", step.line);
            compared += 1;
        }
    }
    assert!(served.len() >= 6 && compared >= served.len(), "{compared} of {}", served.len());
    let text = std::fs::read_to_string(&path).unwrap();
    for kind in ["\"due\"", "\"lost\"", "\"decisions\"", "\"kill\":\"TERM\"", "\"listed\""] {
        assert!(text.contains(kind), "there was no {kind}: {text}");
    }
    assert_eq!(recording.notes, ["it goes on until the control plane was stopped"]);
}

#[tokio::test]
async fn traefiks_labels_are_read_again_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let rule = [("traefik.http.routers.web.rule", "Host(`web.localhost`) && PathPrefix(`/a`)")];
    let traefik = container("web", "10.0.0.3", &rule);
    let _engine = Living::at(&folder.path().join("docker.sock"), vec![envoy(), traefik]);
    let mut plane = Plane::start(folder.path(), publisher().reading_traefik(), 1 << 20);
    let live = plane.until(|view| is_ready(view, "10.0.0.3")).await;
    let (path, _) = plane.stop().await;
    let replay = recording::replay(&recording::read(&path).unwrap(), None).unwrap();
    assert!(replay.difference().is_none() && replay.unknown().is_empty(), "{replay:?}");
    assert_eq!(bytes(replay.snapshot().unwrap()), bytes(&live.snapshot));
}

#[tokio::test]
async fn a_services_file_is_recorded_as_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let services = folder.path().join("services.yaml");
    let write = |address: &str| {
        let text = format!(
            "services: {{web: {{endpoints: [{address:?}], labels: {{portolan.host: web.localhost}}}}}}"
        );
        std::fs::write(&services, text).unwrap();
    };
    write("127.0.0.1:1");
    let target = Target { folder: folder.path().join("recording"), limit: 1 << 20 };
    let (recorder, writer) = target.open(publisher().settings()).unwrap();
    let path = writer.path().clone();
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(writer.run(stop.clone()));
    let (outlet, inventories, _) = port(Duration::ZERO);
    let timing = Timing::new(outlet.events());
    tasks.spawn(FileProvider::new(services.clone()).run(outlet, stop.clone()));
    let (views_tx, views) = watch::channel(None);
    let publisher = publisher().recorded(recorder);
    tasks.spawn(publisher.run(
        inventories,
        timing,
        Default::default(),
        views_tx,
        watch::Sender::new(None),
        stop.clone(),
    ));
    let mut plane =
        Plane { views, decisions: Default::default(), recording: path, served: BTreeMap::new(), stop, tasks };
    plane.until(|view| endpoints(view, "web") == ["127.0.0.1:1 Ready"]).await;
    write("127.0.0.1:2");
    let live = plane.until(|view| endpoints(view, "web") == ["127.0.0.1:2 Ready"]).await;
    let (path, _) = plane.stop().await;
    let replay = recording::replay(&recording::read(&path).unwrap(), None).unwrap();
    assert!(replay.difference().is_none() && replay.unknown().is_empty(), "{replay:?}");
    assert_eq!(bytes(replay.snapshot().unwrap()), bytes(&live.snapshot));
}

/// `portolan replay` as it is typed: what it prints, what it says beside, and its code.
fn typed(arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portolan"));
    let output = command.arg("replay").args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

#[tokio::test]
async fn the_command_prints_what_was_served_and_says_whether_it_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = live_through(folder.path(), publisher()).await;
    let path = path.to_str().unwrap();
    let (printed, told, code) = typed(&[path]);
    assert_eq!(code, Some(0), "{told}");
    assert!(printed.contains("10.0.0.4") && printed.contains("portolan.pth"), "{printed}");
    assert!(told.contains("the same as what was served, "), "{told}");
    let (json, _, _) = typed(&["--format", "json", path]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let of_yaml: Value = serde_saphyr::from_str(&printed).unwrap();
    assert_eq!(json, of_yaml);
    // The folder stands for the recording in it.
    assert_eq!(typed(&[folder.path().join("recording").to_str().unwrap()]).0, printed);

    let (steps, _, code) = typed(&["--steps", path]);
    assert_eq!(code, Some(0));
    let killed = steps.lines().find(|line| line.contains("event of web-1: it was sent TERM")).unwrap();
    let line = killed.split_whitespace().next().unwrap();
    let (before, _, _) = typed(&["--at", line, path]);
    assert!(before.contains("10.0.0.3") && before.contains("10.0.0.4"), "{before}");

    let whole = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, whole.replace("web.localhost", "other.localhost")).unwrap();
    let (_, told, code) = typed(&[path]);
    assert!(told.contains("not the same: from line ") && code == Some(1), "{told}");
    let (printed, told, code) = typed(&["nowhere"]);
    assert!(
        printed.is_empty() && told.starts_with("portolan: cannot read nowhere") && code == Some(2),
        "{told}"
    );
}

/// Recordings of a real engine, and what they led to: one folder a case under `tests/recordings`.
///
/// `UPDATE_GOLDEN=1 cargo test -p portolan --test replay` writes what comes out; read the difference before it is kept.
#[test]
fn kept_recordings_give_what_is_in_the_golden_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let printer = recording::Printer::new().unwrap();
    let mut compared = 0;
    for case in std::fs::read_dir(root).unwrap() {
        let case = case.unwrap().path();
        let recording = recording::read(&case).unwrap();
        let replay = recording::replay(&recording, None).unwrap();
        let snapshot = replay.snapshot().unwrap();
        let names = |kind: Kind| snapshot.section(kind).keys().map(ToString::to_string).collect::<Vec<_>>();
        let endpoints = snapshot.section(Kind::Endpoint).values().map(|it| printer.resource(it).unwrap());
        let hosts =
            snapshot.section(Kind::Route).values().flat_map(|it| hosts(&printer.resource(it).unwrap()));
        let got = json!({
            "problems": replay.problems().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "clusters": names(Kind::Cluster),
            "endpoints": endpoints.collect::<Vec<_>>(),
            "hosts": hosts.collect::<Vec<_>>(),
            "steps": replay.steps.iter().map(|step| without_version(&step.what)).collect::<Vec<_>>(),
        });
        let got = serde_saphyr::to_string_with_options(
            &got,
            serde_saphyr::ser_options! { prefer_block_scalars: false },
        )
        .unwrap();
        let golden = case.join("resources.yaml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &got).unwrap();
        }
        let want = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(want == got, "{}: UPDATE_GOLDEN=1 writes what comes out now:\n{got}", golden.display());
        compared += 1;
    }
    assert_eq!(compared, 2);
}

/// The hosts of containers; what is there without any has golden files of its own.
fn hosts(routes: &Value) -> Vec<Value> {
    let all = routes["virtualHosts"].as_array().unwrap().iter();
    let own = all.filter(|host| !host["name"].as_str().unwrap().starts_with("portolan:"));
    own.map(|host| json!({"domains": host["domains"], "routes": host["routes"]})).collect()
}

/// The version is another one with every change of what a listener says.
fn without_version(step: &str) -> &str {
    if step.starts_with("published") { "published" } else { step }
}
