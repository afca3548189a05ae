//! The hook for pre-commit (`.pre-commit-hooks.yaml`): what pre-commit asks of a definition, which files it is run for, and that the one in
//! docs/lint.md is the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The hook as `.pre-commit-hooks.yaml` defines it.
fn hook() -> Value {
    let hooks: Vec<Value> = serde_saphyr::from_str(&file(".pre-commit-hooks.yaml")).unwrap();
    assert_eq!(hooks.len(), 1);
    hooks.into_iter().next().unwrap()
}

#[test]
fn the_hook_of_the_documents_is_the_one_that_is_defined() {
    let text = file("docs/lint.md");
    let yaml = text.split("```yaml\n").find(|part| part.starts_with("repos:")).unwrap();
    let config: Value = serde_saphyr::from_str(yaml.split("```").next().unwrap()).unwrap();
    let (defined, shown) = (hook(), &config["repos"][0]["hooks"][0]);
    assert_eq!(config["repos"][0]["repo"], "local");
    for key in ["id", "name", "entry", "language", "files", "pass_filenames"] {
        assert!(!defined[key].is_null() && defined[key] == shown[key], "{key}: {defined} {shown}");
    }
}

#[test]
fn it_is_run_for_what_lint_reads() {
    // pre-commit searches, and does not match from the beginning.
    let files = Regex::new(hook()["files"].as_str().unwrap()).unwrap();
    for path in [
        "compose.yml",
        "compose.yaml",
        "compose.prod.yml",
        "docker-compose.yml",
        "docker-compose.override.yaml",
        "deploy/compose.yml",
        ".env",
        "deploy/.env",
        "Dockerfile",
        "web/Dockerfile.dev",
    ] {
        assert!(files.is_match(path), "{path}");
    }
    for path in [
        "README.md",
        "decompose.yml",
        "compose.yml.orig",
        "src/compose.rs",
        "environment.env",
        "docs/lint.md",
    ] {
        assert!(!files.is_match(path), "{path}");
    }
}

#[test]
fn what_it_runs_tells_of_a_mistake_without_being_given_files() {
    let hook = hook();
    assert_eq!((&hook["language"], &hook["pass_filenames"]), (&"system".into(), &false.into()));
    let mut words = hook["entry"].as_str().unwrap().split_whitespace();
    assert_eq!(words.next(), Some("portolan"));
    let arguments: Vec<&str> = words.collect();
    let folder = tempfile::tempdir().unwrap();
    let run = |label: &str, more: &[&str]| {
        let compose = format!(
            "services:\n  web:\n    image: x\n    expose: [80]\n    labels: {{ portolan.host: a.localhost, {label}: /a }}\n"
        );
        std::fs::create_dir_all(folder.path().join("deploy")).unwrap();
        let at = if more.is_empty() { "compose.yml" } else { "deploy/compose.yml" };
        std::fs::write(folder.path().join(at), compose).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command.args(&arguments).args(more).current_dir(folder.path());
        command.output().unwrap().status.code()
    };
    assert_eq!(run("portolan.path", &[]), Some(0));
    assert_eq!(run("portolan.pth", &[]), Some(1));
    // As `args: [deploy/compose.yml]` makes it.
    std::fs::remove_file(folder.path().join("compose.yml")).unwrap();
    assert_eq!(run("portolan.pth", &["deploy/compose.yml"]), Some(1));
    assert_eq!(run("portolan.path", &["deploy/compose.yml"]), Some(0));
}
