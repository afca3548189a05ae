//! What a recording must not hold, and what is told in its place.

use portolan::model::{Kept, Problem};
use portolan::recording;
use serde_json::json;
use xds_server::{Kind, Snapshot};

use crate::plane::{Plane, SECRET, bytes, envoy, is_ready, live_through, publisher};
use crate::support;
use crate::support::engine::container;
use crate::support::living::Living;

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
