//! A recording of what a control plane saw gives the same resources again, byte for byte, and holds no secret.
//!
//! The engine is on a real Unix socket; watcher, model, translation and snapshots are the real ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portolan::docker::DockerProvider;
use portolan::file::FileProvider;
use portolan::inventory::WorkloadId;
use portolan::model::{Kept, Problem};
use portolan::overrides::{OverridesSender, Weight};
use portolan::policies::PoliciesFile;
use portolan::provider::{Provider, port};
use portolan::publish::{Publisher, View, ViewReceiver};
use portolan::recording::{self, Outcome, Target};
use portolan::timing::Timing;
use serde_json::{Value, json};
use support::engine::container;
use support::living::Living;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use xds_server::{Kind, Snapshot};

/// Far longer than any step takes; only a step that never comes waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stands wherever a secret may stand that must not get into a recording.
const SECRET: &str = "hunter2-hunter2";

/// All bytes of a snapshot, by type and name.
type Bytes = BTreeMap<(String, String), Vec<u8>>;

fn bytes(snapshot: &Snapshot) -> Bytes {
    let of_kind = |kind: Kind| {
        let all = snapshot.section(kind).values();
        all.map(move |resource| ((kind.to_string(), resource.name().to_string()), resource.body().to_vec()))
    };
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

/// The inner part of a control plane, with a recording.
struct Plane {
    views: ViewReceiver,
    decisions: OverridesSender,
    recording: PathBuf,
    /// What was served at each step that was waited for, by version.
    served: BTreeMap<String, Bytes>,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Plane {
    fn start(folder: &Path, publisher: Publisher, limit: u64) -> Self {
        let policies = folder.join("portolan.yaml");
        let policies = policies.exists().then_some(policies);
        let target = Target { folder: folder.join("recording"), limit };
        let (recorder, writer) = target.open(publisher.settings()).unwrap();
        let recording = writer.path().clone();
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(writer.run(stop.clone()));
        let mut publisher = publisher.recorded(recorder.clone());
        if let Some(path) = policies {
            let file = PoliciesFile::open(path).unwrap();
            publisher = publisher.following(file.subscribe());
            tasks.spawn(file.run(stop.clone()));
        }
        let (outlet, inventories, _) = port(Duration::ZERO);
        let timing = Timing::new(outlet.events());
        let host = format!("unix://{}", folder.join("docker.sock").display());
        let provider = DockerProvider::new(&host).unwrap().recorded(recorder);
        tasks.spawn(provider.run(outlet, stop.clone()));
        let (views_tx, views) = watch::channel(None);
        let decisions = OverridesSender::default();
        let snapshots = watch::Sender::new(None);
        tasks.spawn(publisher.run(inventories, timing, decisions.clone(), views_tx, snapshots, stop.clone()));
        Self { views, decisions, recording, served: BTreeMap::new(), stop, tasks }
    }

    /// Waits for a view, and remembers what is served then.
    async fn until(&mut self, is: impl Fn(&View) -> bool) -> Arc<View> {
        let seen = self.views.wait_for(|view| view.as_ref().is_some_and(|view| is(view)));
        let view = tokio::time::timeout(PATIENCE, seen).await.unwrap().unwrap().clone().unwrap();
        self.served.insert(view.snapshot.version().to_string(), bytes(&view.snapshot));
        view
    }

    async fn stop(mut self) -> (PathBuf, BTreeMap<String, Bytes>) {
        self.stop.cancel();
        while let Some(ended) = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await.unwrap() {
            ended.unwrap().unwrap();
        }
        (self.recording, self.served)
    }
}

fn publisher() -> Publisher {
    Publisher::new(support::options(), support::edge())
}

/// Addresses of a service, in order.
fn endpoints(view: &View, service: &str) -> Vec<String> {
    let services = view.model.topology.services.iter();
    let of_it = services.filter(|(name, _)| &*name.0 == service).flat_map(|(_, service)| &service.endpoints);
    of_it.map(|endpoint| format!("{} {:?}", endpoint.address, endpoint.state)).collect()
}

/// A replica of the service `web`, with all that may hold a secret.
fn web(number: u32, address: &str) -> Value {
    let mut web =
        container("web", address, &[("portolan.host", "web.localhost"), ("org.acme.token", SECRET)]);
    web["Id"] = json!(format!("web-{number}"));
    web["Name"] = json!(format!("/shop-web-{number}"));
    web["Args"] = json!([SECRET]);
    web["Path"] = json!(SECRET);
    web["Mounts"] = json!([{"Type": "bind", "Source": SECRET, "Destination": "/x"}]);
    let config = &mut web["Config"];
    config["Labels"]["com.docker.compose.container-number"] = json!(number.to_string());
    config["Labels"]["com.docker.compose.project.working_dir"] = json!(SECRET);
    config["Env"] = json!([format!("PASSWORD={SECRET}")]);
    config["Cmd"] = json!([SECRET]);
    config["Entrypoint"] = json!([SECRET]);
    web["State"]["Health"] = json!({"Status": "healthy", "Log": [{"Output": SECRET}]});
    web
}

fn envoy() -> Value {
    container("envoy", "10.0.0.2", &[("portolan.proxy", "true")])
}

fn is_ready(view: &View, address: &str) -> bool {
    endpoints(view, "shop/web").contains(&format!("{address}:8080 Ready"))
}

/// Many changes of all kinds, one after the other.
async fn live_through(folder: &Path, publisher: Publisher) -> (PathBuf, BTreeMap<String, Bytes>) {
    let engine = Living::at(&folder.join("docker.sock"), vec![envoy(), web(1, "10.0.0.3")]);
    let mut plane = Plane::start(folder, publisher, 1 << 20);
    plane.until(|view| is_ready(view, "10.0.0.3")).await;
    // It comes without an address, and no event tells when it gets one.
    engine.start(web(2, ""));
    plane.until(|view| view.model.topology.services.values().any(|service| service.absent.len() == 1)).await;
    engine.put(web(2, "10.0.0.4"));
    plane.until(|view| is_ready(view, "10.0.0.4")).await;
    engine.tell("kill", "web-1", Some("15"));
    plane.until(|view| endpoints(view, "shop/web").contains(&"10.0.0.3:8080 Draining".to_owned())).await;
    engine.remove("web-1");
    engine.tell("die", "web-1", None);
    engine.tell("destroy", "web-1", None);
    plane.until(|view| endpoints(view, "shop/web") == ["10.0.0.4:8080 Ready"]).await;
    // One that claims what the other has: the older one keeps it.
    engine.start(container(
        "rival",
        "10.0.0.5",
        &[("portolan.host", "web.localhost"), ("portolan.pth", "/x")],
    ));
    plane.until(|view| !view.model.problems.is_empty()).await;
    plane.decisions.send_modify(|decisions| {
        decisions.drained.insert(WorkloadId("web-2".into()));
        decisions.set_weight("shop/web", "v2", Weight { share: 7, end: None });
    });
    plane.until(|view| endpoints(view, "shop/web") == ["10.0.0.4:8080 Draining"]).await;
    plane.decisions.send_modify(|decisions| decisions.drained.clear());
    plane.until(|view| is_ready(view, "10.0.0.4")).await;
    // Nothing tells of this one but the list after the cut.
    engine.put(web(3, "10.0.0.6"));
    engine.cut();
    plane.until(|view| is_ready(view, "10.0.0.6")).await;
    engine.change("web-3", |it| it["State"]["Health"]["Status"] = json!("unhealthy"));
    engine.tell("health_status: unhealthy", "web-3", None);
    plane.until(|view| !is_ready(view, "10.0.0.6")).await;
    plane.stop().await
}

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
async fn a_recording_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = live_through(folder.path(), publisher()).await;
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("web.localhost") && text.contains("shop-web-3"), "{text}");
    for secret in [SECRET, "PASSWORD", "org.acme", "working_dir"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn secrets_of_labels_and_policies_are_left_out_and_a_replay_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("crt", &made.cert.pem());
    write("key", &made.signing_key.serialize_pem());
    write("users", &format!("me:{{SHA}}{SECRET}=\n"));
    write(
        "portolan.yaml",
        "entry-points: {websecure: {listen: '0.0.0.0:8443', tls: site}}\ncertificates: {site: {chain: crt, key: key}}\n\
         auth: {staff: {basic: {users: users}}, id: {jwt: {issuer: i, audiences: a, keys: 'https://id.test/keys', ca: crt}}}\n",
    );
    let labels = [
        ("portolan.host", "web.localhost"),
        ("portolan.request-header.x-key", SECRET),
        ("traefik.http.middlewares.a.basicauth.users", SECRET),
    ];
    let _engine =
        Living::at(&folder.path().join("docker.sock"), vec![envoy(), container("web", "10.0.0.3", &labels)]);
    let mut plane = Plane::start(folder.path(), publisher(), 1 << 20);
    let live = plane.until(|view| is_ready(view, "10.0.0.3")).await;
    let (path, _) = plane.stop().await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(SECRET) && !text.contains("PRIVATE KEY"), "{text}");

    let replay = recording::replay(&recording::read(&path).unwrap(), None).unwrap();
    assert!(replay.difference().is_none(), "{replay:?}");
    assert_eq!(replay.unknown(), ["cluster", "route", "secret"]);
    let others = |snapshot: &Snapshot| {
        let mut all = bytes(snapshot);
        all.retain(|(kind, _), _| !["cluster", "route", "secret"].contains(&kind.as_str()));
        all
    };
    let (here, live) = (replay.snapshot().unwrap(), &live.snapshot);
    assert!(live.section(Kind::Listener).len() == 2 && others(here) == others(live));
    let names = |snapshot: &Snapshot| bytes(snapshot).into_keys().collect::<Vec<_>>();
    assert_eq!(names(here), names(live));
}

/// What a person is told, in the order in which they are told.
fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn mistakes_of_the_policies_file_are_told_again_and_what_it_said_before_stands() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| {
        let beside = folder.path().join("portolan.new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, folder.path().join("portolan.yaml")).unwrap();
    };
    let good = "entry-points: {db: {listen: '0.0.0.0:5432', protocol: tcp}}\ndefaults: {timeout: 7s}\n";
    write(good);
    let labels = [("portolan.host", "web.localhost")];
    let db = [("portolan.protocol", "tcp"), ("portolan.listen", "db")];
    let containers = vec![envoy(), container("web", "10.0.0.3", &labels), container("db", "10.0.0.4", &db)];
    let _engine = Living::at(&folder.path().join("docker.sock"), containers);
    let mut plane = Plane::start(folder.path(), publisher(), 1 << 20);
    let first = plane.until(|view| is_ready(view, "10.0.0.3")).await;
    let mut told_then = Vec::new();
    for (text, word) in [
        // YAML that is none, beside what may be a secret,
        (format!("{good}auth: {{staff: {{basic: {{users: {SECRET}}}}}\n"), "portolan.yaml: line"),
        // words that nobody knows, in the place of one,
        (
            format!("{good}  request-header.x-key: {{word: '{SECRET}'}}\n")
                .replace("{timeout: 7s}", "\n  timeout: 7s"),
            "portolan.yaml: line",
        ),
        // and values that cannot be.
        (
            format!("defaults:\n  request-header.authorization: \"{SECRET}\\n\"\n  timeout: soon\n"),
            "defaults.timeout",
        ),
        (format!("auth: {{staff: {{forward: {{to: 'http://me:{SECRET}@id'}}}}}}\n"), "to: "),
    ] {
        write(&text);
        let view = plane
            .until(|view| {
                let all = told(&view.model.problems);
                all.iter().any(|problem| problem.contains(word)) && !told_then.contains(&all)
            })
            .await;
        assert_eq!(view.snapshot.version(), first.snapshot.version(), "what it said before stands: {text}");
        told_then.push(told(&view.model.problems));
    }
    write(good);
    plane.until(|view| view.model.problems.is_empty()).await;
    let (path, served) = plane.stop().await;

    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains(SECRET), "{text}");
    let recording = recording::read(&path).unwrap();
    let replay = recording::replay(&recording, None).unwrap();
    assert!(replay.difference().is_none() && replay.unknown().is_empty(), "{:?}", replay.steps);
    assert!(replay.problems().is_empty() && served.len() == 1);
    let published = replay.steps.iter().filter(|step| step.outcome.is_some());
    let all: Vec<Vec<String>> = published
        .map(|step| told(recording::replay(&recording, Some(step.line)).unwrap().problems()))
        .collect();
    for then in told_then {
        let hidden = |told: &[String]| told.iter().map(|text| without_secrets(text)).collect::<Vec<_>>();
        assert!(all.iter().any(|again| hidden(again) == hidden(&then)), "{then:?} is not in {all:?}");
    }
}

/// The same, whatever stands for a secret.
fn without_secrets(text: &str) -> String {
    let text = text.replace(&format!("me:{SECRET}"), "hidden").replace(SECRET, "hidden");
    let mut parts = text.split("hidden-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, rest| all + "hidden" + rest.get(16..).unwrap_or_default())
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
async fn what_an_earlier_run_has_kept_is_recorded_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mut replacement = container("web", "10.0.0.3", &[("portolan.host", "new.localhost")]);
    replacement["State"]["Health"] = json!({"Status": "starting"});
    let _engine = Living::at(&folder.path().join("docker.sock"), vec![envoy(), replacement]);
    let labels =
        [("portolan.host", "old.localhost"), ("portolan.service", "shop/web"), ("org.acme.token", SECRET)];
    let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    let routes = vec![("old.localhost".to_owned(), "shop/web".to_owned())];
    let kept = Kept { workload: support::labelled(labels), routes, copies: vec![] };
    let mut plane = Plane::start(folder.path(), publisher().keeping(&[kept]), 1 << 20);
    let view = plane.until(|_| true).await;
    let hosts: Vec<String> = view.model.topology.hosts.keys().map(ToString::to_string).collect();
    assert_eq!(hosts, ["new.localhost", "old.localhost"]);
    let (path, _) = plane.stop().await;
    assert!(!std::fs::read_to_string(&path).unwrap().contains(SECRET));
    let replay = recording::replay(&recording::read(&path).unwrap(), None).unwrap();
    assert!(replay.difference().is_none(), "{replay:?}");
    assert_eq!(bytes(replay.snapshot().unwrap()), bytes(&view.snapshot));
}

#[tokio::test]
async fn a_recording_that_is_full_ends_and_what_is_served_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Living::at(&folder.path().join("docker.sock"), vec![envoy(), web(1, "10.0.0.3")]);
    let mut plane = Plane::start(folder.path(), publisher(), 4_096);
    plane.until(|view| is_ready(view, "10.0.0.3")).await;
    for number in 2..12 {
        let address = format!("10.0.1.{number}");
        engine.start(web(number, &address));
        plane.until(|view| is_ready(view, &address)).await;
    }
    let (path, _) = plane.stop().await;
    assert!(std::fs::metadata(&path).unwrap().len() <= 4_096);
    let recording = recording::read(&path).unwrap();
    assert_eq!(recording.notes, ["it ends where it was as large as --record-limit let it be"]);
    let replay = recording::replay(&recording, None).unwrap();
    assert!(replay.difference().is_none() && replay.snapshot().is_some(), "{replay:?}");
    // The next one finds no room, and says so before anything is served.
    let target = Target { folder: folder.path().join("recording"), limit: 4_096 };
    let error = target.open(publisher().settings()).unwrap_err().to_string();
    assert!(error.contains("raise --record-limit"), "{error}");
}

#[tokio::test]
async fn a_recording_whose_last_line_is_cut_off_is_played_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = live_through(folder.path(), publisher()).await;
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines = whole.lines().count();
    for cut in [whole.len() - 1, whole.len() - 20, whole.len() / 2] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let recording = recording::read(&path).unwrap();
        assert!(recording.notes[0].contains("last line is cut off"), "{:?}", recording.notes);
        assert!(recording.notes[1].contains("it has no end"), "{:?}", recording.notes);
        let replay = recording::replay(&recording, None).unwrap();
        assert!(replay.difference().is_none() && replay.steps.len() < lines, "{replay:?}");
    }
}

#[tokio::test]
async fn a_recording_from_which_something_is_missing_is_not_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = live_through(folder.path(), publisher()).await;
    let whole = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = whole.lines().filter(|line| !line.contains(r#""kill":"TERM""#)).collect();
    assert_eq!(without.len() + 1, whole.lines().count());
    std::fs::write(&path, without.join("\n") + "\n").unwrap();
    let replay = recording::replay(&recording::read(&path).unwrap(), None).unwrap();
    let difference = replay.difference().unwrap();
    assert!(
        matches!(difference.outcome, Some(Outcome::Other { .. })) && difference.what.starts_with("published")
    );
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

#[test]
fn what_is_no_recording_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        recording::read(&path).unwrap_err().to_string()
    };
    let settings = serde_json::to_string(&publisher().settings()).unwrap();
    let head = format!(
        r#"{{"portolan-recording":1,"portolan":"0.1.0","began":"2026-11-30T10:00:00Z","settings":{settings}}}"#
    );
    for (text, words) in [
        (String::new(), "is no recording"),
        ("services: {}\n".to_owned(), "is no recording"),
        (
            "{\"portolan-recording\":9,\"portolan\":\"9.0\"}\n".to_owned(),
            "is of version 9, and this is version 1: replay it with the portolan that made it, 9.0",
        ),
        ("{\"portolan-recording\":1}\n".to_owned(), ":1: "),
        (format!("{head}\nnonsense\n{{\"t\":1,\"end\":\"stopped\"}}\n"), ":2: "),
    ] {
        let error = at("a.jsonl", &text);
        assert!(error.contains(words), "{text}: {error}");
    }
    let error = recording::read(&folder.path().join("none")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read"), "{error}");
    std::fs::remove_file(folder.path().join("a.jsonl")).unwrap();
    let error = recording::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("there is no recording in"), "{error}");
    // What cannot follow has a place.
    let path = folder.path().join("b.jsonl");
    std::fs::write(&path, format!("{head}\n{{\"t\":1,\"engine\":\"listing\"}}\n")).unwrap();
    let error = format!("{:#}", recording::replay(&recording::read(&path).unwrap(), None).unwrap_err());
    assert!(error.contains("b.jsonl:2: there is no connection"), "{error}");
}
