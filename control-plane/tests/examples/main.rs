//! The examples in README.md, in docs/ and in the help of the commands are run as they stand there, and print what they show.
//!
//! Every line of a block marked `sh` or `console` that calls `portolan` counts. A `console` block shows what is printed: `...` stands for
//! any lines, or for the rest of a line; times, versions and amounts may be others. Whatever else names a command, in a block of any
//! language, is on a list with the reason why it is not run. Docker and Envoy's own pages are stood in for: the control plane, its
//! engine's API and a client that acknowledges what it gets are real ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod docker;
mod found;
mod plane;
mod shell;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use found::{Block, Example};
use plane::Plane;
use shell::Sandbox;

/// What names a command of `portolan` where it cannot be run, and why.
const NOT_RUN: [(&str, &str); 3] = [
    ("lint.md: name: portolan lint", "the hook for pre-commit, which tests/hook.rs runs"),
    ("lint.md: entry: portolan lint", "the same"),
    (
        "lifecycle.md: - command: [\"sh\", \"-c\", \"portolan drain --address control-plane:18000 && sleep 5 || true\"]",
        "Compose runs it in a container that it is about to stop; scripts/try-pre-stop has it do so",
    ),
];
/// Those that end with another code than 0 here, as their help says.
const CODES: [(&str, &str, i32); 2] = [
    // There is a mistake in them.
    ("lint.md", "portolan lint", 1),
    // Something would change.
    ("plan", "portolan plan", 2),
];

fn code(example: &Example) -> i32 {
    let is_it = |(place, command, _): &&(&str, &str, i32)| {
        example.place.starts_with(place) && example.command.starts_with(command)
    };
    CODES.iter().find(is_it).map_or(0, |(.., code)| *code)
}

/// Runs the examples of one block, in one place, one after the other.
async fn run(block: &Block, files: &str) -> Vec<String> {
    let plane = Plane::start(files).await;
    let sandbox = Sandbox::new(files, &plane);
    let mut wrong = Vec::new();
    for example in &block.examples {
        let Example { place, command, shows } = example;
        let expected = shows.is_none().then(|| code(example));
        // What is followed tells of more than what is shown.
        let shows = shows.as_ref().map(|shows| match command.contains("portolan watch") {
            true => shows
                .iter()
                .flat_map(|line| ["...".to_owned(), line.clone()])
                .chain(["...".to_owned()])
                .collect(),
            false => shows.clone(),
        });
        let ran = sandbox.run(command, shows.as_deref()).await;
        if let Err(reason) = ran.check(expected, shows.as_deref()) {
            wrong.push(format!("{place}: {command}\n{reason}"));
        }
    }
    plane.stop().await;
    wrong
}

#[tokio::test]
async fn the_examples_in_the_documents_are_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut ran, mut wrong) = (0, Vec::new());
    for document in found::documents(&root) {
        for block in found::in_document(&document) {
            let stem = document.file_stem().unwrap().to_str().unwrap();
            let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/files").join(stem);
            wrong.extend(run(&block, if own.exists() { stem } else { "shop" }).await);
            ran += block.examples.len();
        }
    }
    assert!(wrong.is_empty(), "{} of {ran}:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(ran >= 26, "only {ran} were found");
}

#[test]
fn what_is_not_run_in_the_documents_is_known() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let commands = found::commands();
    let mut left = Vec::new();
    for document in found::documents(&root) {
        let blocks = found::in_document(&document);
        let examples: Vec<&Example> = blocks.iter().flat_map(|block| &block.examples).collect();
        for (place, line) in found::named_in_document(&document, &commands) {
            if examples.iter().all(|example| example.place != place) {
                let (file, _) = place.split_once(':').unwrap();
                left.push(format!("{file}: {line}"));
            }
        }
    }
    left.sort();
    let mut known = NOT_RUN.map(|(line, _)| line.to_owned());
    known.sort();
    assert_eq!(left, known, "what is neither run nor in NOT_RUN, or in NOT_RUN and not there");
}

#[tokio::test]
async fn the_examples_in_the_help_can_be_typed() {
    let (mut ran, mut wrong) = (0, Vec::new());
    for block in found::in_help() {
        assert!(!block.examples.is_empty(), "a command has no example");
        wrong.extend(run(&block, "shop").await);
        ran += block.examples.len();
    }
    assert!(wrong.is_empty(), "{} of {ran}:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(ran >= 42, "only {ran} were found");
}
