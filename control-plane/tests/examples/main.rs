//! The examples in README.md, in docs/ and in the help of the commands are run as they stand there, and print what they show.
//!
//! Every line of a block marked `sh` or `console` that calls `portolan` counts. A `console` block shows what is printed: `...` stands for
//! any lines, or for the rest of a line; times, versions and amounts may be others. What cannot be run has a line before its block
//! that says why: `<!-- not run: it builds images -->`. Only Docker is stood in for, by a script of a few lines: the control plane, its
//! engine's API and a client that acknowledges what it gets are real ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod found;
mod plane;
mod shell;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use found::{Block, Example};
use plane::Plane;
use shell::Sandbox;

/// Examples of help that are not run, and why.
const HELP_NOT_RUN: [(&str, &str); 5] = [
    (
        "docker compose build frontend && portolan rollout frontend",
        "it replaces containers; stack's docker tests do",
    ),
    ("portolan health", "it asks a port that may be somebody else's here"),
    (
        "portolan watch --format json | jq 'select(.kind == \"refused\")'",
        "nothing is refused here, so it prints nothing",
    ),
    ("portolan health --http http://127.0.0.1:9901/ready", "it asks Envoy"),
    ("portolan man --dir /usr/local/share/man/man1", "it installs"),
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
    assert!(ran >= 25, "only {ran} were found");
}

#[tokio::test]
async fn the_examples_in_the_help_can_be_typed() {
    let (mut ran, mut wrong) = (0, Vec::new());
    let blocks = found::in_help();
    for (command, _) in HELP_NOT_RUN {
        let mut all = blocks.iter().flat_map(|block| &block.examples);
        assert!(all.any(|example| example.command == command), "no help has {command}");
    }
    for mut block in blocks {
        block.examples.retain(|example| HELP_NOT_RUN.iter().all(|(command, _)| *command != example.command));
        wrong.extend(run(&block, "shop").await);
        ran += block.examples.len();
    }
    assert!(wrong.is_empty(), "{} of {ran}:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(ran >= 36, "only {ran} were found");
}
