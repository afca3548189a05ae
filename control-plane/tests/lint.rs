//! Compose files in, findings out: one folder a case under `tests/lint`, each checked by the program as a person runs it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p portolan --test lint` writes what comes out; read the difference before it is kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portolan::compose::load::{Asked, load};
use portolan::compose::project::Project;
use portolan::lint::report::{Format, Report};
use portolan::{lint, model};
use proptest::prelude::*;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// `portolan lint` in the folder of a case, with nothing of this machine's environment.
fn lint(case: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    let command = command.current_dir(case).env_clear().args(["lint", "--compose", "never"]);
    command.args(arguments).output().unwrap()
}

fn arguments(case: &Path) -> String {
    std::fs::read_to_string(case.join("arguments")).unwrap_or_default().trim().to_owned()
}

#[test]
fn faulty_files_are_told_as_the_golden_files_say() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let (mut failures, mut exits) = (String::new(), BTreeMap::<i32, usize>::new());
    for case in cases() {
        let arguments = arguments(&case);
        let Output { status, stdout, stderr } =
            lint(&case, &arguments.split_whitespace().collect::<Vec<_>>());
        let exit = status.code().unwrap();
        *exits.entry(exit).or_default() += 1;
        let (out, errors) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(out.is_empty() || errors.is_empty(), "{case:?} writes on both: {out}{errors}");
        let command = format!("$ portolan lint {arguments}");
        let got = format!("{}\n{out}{errors}exit {exit}\n", command.trim_end());
        let golden = case.join("expected.txt");
        if update {
            std::fs::write(&golden, &got).unwrap();
        }
        let want = std::fs::read_to_string(&golden).unwrap_or_default();
        if want != got {
            writeln!(failures, "{}:\n{want}--- is now\n{got}", case.display()).unwrap();
        }
    }
    assert!(failures.is_empty(), "{failures}\nUPDATE_GOLDEN=1 writes what comes out now");
    let faulty = exits.iter().filter(|(exit, _)| **exit != 0).map(|(_, count)| count).sum::<usize>();
    assert!(faulty >= 60 && exits.len() == 3, "{exits:?}");
}

#[test]
fn every_rule_is_described_and_has_a_case() {
    let docs = std::fs::read_to_string(root().join("../../../docs/lint.md")).unwrap();
    let told: String = cases()
        .iter()
        .map(|case| std::fs::read_to_string(case.join("expected.txt")).unwrap_or_default())
        .collect();
    for rule in portolan::lint::RULES {
        assert!(docs.contains(&format!("| `{}` |", rule.id)), "{rule:?}");
        assert!(told.contains(&format!("[{}]: ", rule.id)), "{rule:?}");
    }
}

fn json(case: &str, format: &str) -> Value {
    serde_json::from_slice(&lint(&root().join(case), &["--format", format]).stdout).unwrap()
}

#[test]
fn findings_as_json_have_all_that_a_person_is_told() {
    let all = json("labels-as-a-list", "json");
    let finding = &all["findings"][0];
    assert_eq!(finding["rule"], "label");
    assert_eq!((&finding["file"], &finding["label"]), (&"compose.yml".into(), &"portolan.timeout".into()));
    assert_eq!((&finding["line"], &finding["column"]), (&8.into(), &29.into()));
    assert_eq!((&finding["end_line"], &finding["end_column"]), (&8.into(), &37.into()));
    assert_eq!(
        (&all["services"], &all["resolved_by"], &all["error"]),
        (&1.into(), &"portolan".into(), &Value::Null)
    );
    let error = json("yaml-key-twice", "json");
    assert_eq!((&error["error"]["line"], &error["findings"]), (&8.into(), &Value::Array(Vec::new())));
}

#[test]
fn findings_as_annotations_have_one_line_each() {
    let told = |case| String::from_utf8(lint(&root().join(case), &["--format", "github"]).stdout).unwrap();
    let text = told("several-mistakes");
    assert_eq!(text.lines().count(), 3, "{text}");
    for line in text.lines() {
        assert!(line.starts_with("::error file=compose.yml,line="), "{line}");
        assert!(line.contains(",title=portolan label::"), "{line}");
    }
    assert!(told("port-unknown").starts_with("::notice "));
    assert!(told("yaml-broken").starts_with("::error "));
}

/// What SARIF 2.1.0 requires, and code hosts ask for beyond that.
#[test]
fn findings_as_sarif_have_its_structure() {
    let mut seen = 0;
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let log = json(&name, "sarif");
        assert_eq!(log["version"], "2.1.0");
        assert!(log["$schema"].as_str().unwrap().ends_with("sarif-2.1.0.json"));
        let [run] = log["runs"].as_array().unwrap().as_slice() else { panic!("{name}: one run") };
        let driver = &run["tool"]["driver"];
        assert!(driver["name"].is_string() && driver["version"].is_string());
        let rules = driver["rules"].as_array().unwrap();
        assert!(rules.iter().all(|rule| rule["shortDescription"]["text"].is_string()));
        let [invocation] = run["invocations"].as_array().unwrap().as_slice() else { panic!("{name}") };
        let notifications = invocation["toolExecutionNotifications"].as_array().unwrap();
        assert_eq!(invocation["executionSuccessful"], notifications.is_empty(), "{name}");
        for result in run["results"].as_array().unwrap() {
            seen += 1;
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"], "{name}");
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            has_message_and_place(result, &name);
        }
        notifications.iter().for_each(|notification| has_message_and_place(notification, &name));
    }
    assert!(seen >= 60, "{seen}");
}

fn has_message_and_place(object: &Value, case: &str) {
    assert!(!object["message"]["text"].as_str().unwrap().is_empty());
    let place = &object["locations"][0]["physicalLocation"];
    let uri = place["artifactLocation"]["uri"].as_str().unwrap();
    assert!(!uri.starts_with('/') && !uri.contains(' '), "{case}: {uri}");
    let of = |key: &str| place["region"][key].as_u64().unwrap();
    let (start, end) = ((of("startLine"), of("startColumn")), (of("endLine"), of("endColumn")));
    assert!(start.0 >= 1 && start.1 >= 1 && start <= end, "{case}: {start:?} {end:?}");
}

/// What is said of one file with this text, in every form; there is no other file.
fn told(text: &str) -> Vec<String> {
    let read = |path: &Path| match path.file_name().is_some_and(|name| name == "compose.yml") {
        true => Ok(text.to_owned()),
        false => Err(std::io::ErrorKind::NotFound.into()),
    };
    let asked = Asked { files: vec!["compose.yml".into()], ..Asked::default() };
    let settings = lint::Settings {
        model: model::Options {
            label_prefix: "portolan".to_owned(),
            reserved_host: "dashboard.localhost".to_owned(),
            policies: Default::default(),
        },
        profiles: vec!["*".to_owned()],
        proxy_networks: Default::default(),
    };
    let outcome = load(&asked, &read)
        .and_then(|loaded| Ok((Project::of(&loaded)?, loaded)))
        .map(|(project, loaded)| lint::check(&project, &loaded, &settings, &read));
    let report = Report { outcome, services: 1, by_compose: false };
    let formats = [Format::Human, Format::Json, Format::Sarif, Format::Github];
    formats.into_iter().map(|format| report.print(format, true)).collect()
}

/// What breaks places: signs of YAML and of variables, and letters of more than one byte.
const PIECES: &str = r#"[ \n\t:#&*!|>'"{}\[\],<=$?%@`~a-c0-9é漢-]{0,6}"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_with_anything_in_it_is_answered(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..8, PIECES), 1..5),
    ) {
        let cases = cases();
        let file = cases[which.index(cases.len())].join("compose.yml");
        let mut text: Vec<char> = std::fs::read_to_string(file).unwrap().chars().collect();
        for (at, removed, added) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, added.chars());
        }
        let text: String = text.into_iter().collect();
        prop_assert!(told(&text).iter().skip(1).take(2).all(|text| !text.is_empty()));
    }
}
