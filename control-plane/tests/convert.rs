//! `portolan convert`: each folder of `tests/convert` has a `compose.yml`, what becomes of it, and what is told.
//!
//! `UPDATE_GOLDEN=1 cargo test -p portolan --test convert` writes what comes out anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portolan::compat::convert::{self, Converted, Options};
use portolan::compose::yaml;
use portolan::inventory::Workload;
use portolan::model::label;
use portolan::policies::Policies;
use proptest::prelude::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/convert")
}

fn options() -> Options {
    Options { prefix: "portolan".to_owned(), project: Some("shop".to_owned()) }
}

fn convert_in(folder: &Path, text: &str) -> Result<Converted, yaml::Error> {
    convert::convert(text, &options(), &|path| fs::read_to_string(folder.join(path)))
}

fn told(converted: &Converted) -> String {
    let told = converted.notes.iter().map(|placed| {
        format!("{}:{} {}: {}\n", placed.at.line, placed.at.column, placed.service, placed.note)
    });
    told.collect()
}

#[test]
fn each_file_becomes_what_stands_beside_it() {
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 30, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let text = fs::read_to_string(case.join("compose.yml")).unwrap();
        let converted =
            convert_in(&case, &text).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        for (file, got) in [("converted.yml", &converted.text), ("notes.txt", &told(&converted))] {
            let file = case.join(file);
            if is_update {
                fs::write(&file, got).unwrap();
            } else if fs::read_to_string(&file).ok().as_ref() != Some(got) {
                wrong.push(format!("{}:\n{got}", file.display()));
            }
        }
        is_right(&converted, &case);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What came out is YAML, has nothing to be converted any more, and labels that read without a mistake.
fn is_right(converted: &Converted, case: &Path) {
    let again =
        convert_in(case, &converted.text).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    assert_eq!(again.text, converted.text, "{}", case.display());
    let file = yaml::parse(&converted.text).unwrap();
    let services = file.documents[0].get("services").map_or(&[][..], |services| services.entries());
    for service in services {
        let labels = service.value.get("labels").map(|labels| labels_of(labels)).unwrap_or_default();
        // A variable may say anything; a policy and an entry point are for somebody to write.
        let labels =
            labels.into_iter().filter(|(key, value)| !value.contains("${") && !key.ends_with("auth"));
        let workload = Workload {
            exposed_ports: BTreeSet::new(),
            ..support::labelled(labels.map(|(key, value)| (key, value.replace("$$", "$"))).collect())
        };
        let (_, problems) = label::read(&workload, "portolan", &Policies::default());
        let is_for_somebody = |reason: &str| reason.starts_with("there is no entry point");
        let problems = problems.iter().map(|problem| problem.reason.as_str());
        let problems = problems.filter(|reason| !reason.contains("has no host") && !is_for_somebody(reason));
        assert_eq!(problems.collect::<Vec<_>>(), [""; 0], "{}: {:?}", case.display(), workload.labels);
    }
}

fn labels_of(node: &yaml::Node) -> BTreeMap<String, String> {
    let items = node.items().iter().filter_map(|item| item.text()?.split_once('='));
    let pairs = node.entries().iter().filter_map(|entry| Some((entry.key.text()?, entry.value.text()?)));
    items.chain(pairs).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn portolan(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.arg("convert").args(arguments).current_dir(folder).env_remove("COMPOSE_PROJECT_NAME");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_exit_code_says_whether_all_was_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yml");
    let compose = |labels: &str| format!("services:\n  web:\n    image: x\n    labels: [{labels}]\n");
    let run = |labels: &str, arguments: &[&str]| {
        fs::write(&file, compose(labels)).unwrap();
        portolan(arguments, folder.path())
    };
    let whole = run("\"traefik.http.routers.web.rule=Host(`a.localhost`)\"", &[]);
    assert_eq!(whole.status.code(), Some(0));
    assert!(text(&whole.stdout).contains("labels: [\"portolan.host=a.localhost\"]"), "{whole:?}");
    assert_eq!(
        text(&whole.stderr),
        "compose.yml: labels of 1 service(s); not carried over: 0, to do by hand: 0, not quite the same: 0\n"
    );
    let lost = run("\"traefik.http.routers.web.rule=ClientIP(`10.0.0.1`)\"", &["compose.yml"]);
    assert_eq!(lost.status.code(), Some(1));
    assert!(text(&lost.stderr).starts_with("compose.yml:4:14: web: not carried over: "), "{lost:?}");
    assert_eq!(run("", &["--nothing"]).status.code(), Some(2));
    assert_eq!(run("]", &[]).status.code(), Some(2));
    let missing = portolan(&["missing.yml"], folder.path());
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).starts_with("portolan: cannot read missing.yml"), "{missing:?}");
}

#[test]
fn a_file_is_changed_in_place_and_notes_can_be_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yml");
    fs::write(&file, "services:\n  web:\n    labels:\n      traefik.http.routers.web.rule: Host(`a.localhost`)\n      traefik.docker.lbswarm: \"true\"\n").unwrap();
    let output = portolan(&["--in-place", "--format", "json"], folder.path());
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "services:\n  web:\n    labels:\n      portolan.host: a.localhost\n      # traefik.docker.lbswarm: \"true\"\n"
    );
    let notes: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let note = &notes["notes"][0];
    assert_eq!(
        (&note["kind"], &note["line"], &note["service"]),
        (&"not-carried-over".into(), &5.into(), &"web".into())
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn what_a_file_names_is_looked_for_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("deploy")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join("deploy").join(name), text).unwrap();
    write(
        "compose.yml",
        "services:\n  web:\n    extends: {file: common.yml, service: base}\n    env_file: web.env\n",
    );
    write("common.yml", "services: {base: {environment: {VIRTUAL_PORT: 81}}}\n");
    write("web.env", "VIRTUAL_HOST=a.example\n");
    let output = portolan(&["deploy/compose.yml"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let labels = "    labels:\n      portolan.host: a.example\n      portolan.port: \"81\"\n    extends:";
    assert!(text(&output.stdout).contains(labels), "{output:?}");
}

#[test]
fn without_a_rule_the_host_is_made_of_the_name_of_the_project() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("My.Shop");
    fs::create_dir(&project).unwrap();
    fs::write(project.join("compose.yml"), "services:\n  web:\n    labels: [traefik.enable=true]\n").unwrap();
    let output = portolan(&[], &project);
    assert!(text(&output.stdout).contains("portolan.host=web-myshop"), "{output:?}");
    let output = portolan(&["--project", "other"], &project);
    assert!(text(&output.stdout).contains("portolan.host=web-other"), "{output:?}");
}

/// Lines that, in any order, may be a Compose file.
fn lines() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "services:",
        "  web:",
        "  api: &api",
        "    <<: *api",
        "    image: x # é",
        "    extends: web",
        "    extends: { service: api }",
        "    extends: { file: no.yml, service: api }",
        "    env_file: no.env",
        "    labels:",
        "    labels: &l",
        "    labels: *l",
        "    environment:",
        "      - traefik.enable=true",
        "      - \"traefik.http.routers.web.rule=Host(`a.localhost`)\" # why",
        "      traefik.enable: \"true\"",
        "      traefik.http.routers.web.rule: >-",
        "        Host(`b.localhost`)",
        "",
        "      # a comment é",
        "      - traefik.docker.lbswarm=${X:-é}",
        "    labels: [a=b, \"traefik.http.routers.x.rule=Host(`${A}`)\"]",
        "    labels: {traefik.enable: true, é: x}",
        "      - VIRTUAL_HOST=a.b, ~^x",
        "    environment: [VIRTUAL_HOST=a.b]",
        "      VIRTUAL_PORT: 80",
        "      VIRTUAL_HOST: a.b",
        "      ? traefik.enable",
        "      traefik.x: |",
        "        é",
    ]);
    prop::collection::vec(line, 0..14).prop_map(|lines| format!("services:\n  web:\n{}", lines.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_yaml_is_yaml_when_it_was_converted(text in lines()) {
        if let Ok(converted) = convert_in(Path::new("/nowhere"), &text) {
            let read = yaml::parse(&converted.text);
            prop_assert!(read.is_ok(), "{text}\n--- became\n{}\n{read:?}", converted.text);
        }
    }
}
