//! Where examples are, and what they are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One that is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Example {
    /// File and line.
    pub(crate) place: String,
    pub(crate) command: String,
    /// What it prints, where that is shown.
    pub(crate) shows: Option<Vec<String>>,
}

/// Those that belong together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) examples: Vec<Example>,
}

/// README.md and docs/*.md.
pub(crate) fn documents(root: &Path) -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|it| it == "md")).collect();
    all.sort();
    all.insert(0, root.join("README.md"));
    all
}

pub(crate) fn in_document(path: &Path) -> Vec<Block> {
    let (name, text) = read(path);
    in_text(&name, &text)
}

/// Every line that names a command of ours where something is quoted to be typed or copied: its place, and the line.
pub(crate) fn named_in_document(path: &Path, commands: &[String]) -> Vec<(String, String)> {
    let (name, text) = read(path);
    named_in_text(&name, &text, commands)
}

fn read(path: &Path) -> (String, String) {
    (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap())
}

/// A block that stands between ```: its language, and its lines with their numbers.
type Quoted<'t> = (&'t str, Vec<(&'t str, usize)>);

fn quoted(text: &str) -> Vec<Quoted<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().zip(1..);
    while let Some((line, _)) = lines.next() {
        if let Some(language) = line.trim().strip_prefix("```") {
            blocks.push((language, lines.by_ref().take_while(|(line, _)| line.trim() != "```").collect()));
        }
    }
    blocks
}

fn in_text(name: &str, text: &str) -> Vec<Block> {
    let examples = |(language, inside): Quoted<'_>| match language {
        "console" => of_console(name, &inside),
        "sh" => of_script(name, &inside),
        _ => Vec::new(),
    };
    let blocks = quoted(text).into_iter().map(|block| Block { examples: examples(block) });
    blocks.filter(|block| !block.examples.is_empty()).collect()
}

fn named_in_text(name: &str, text: &str, commands: &[String]) -> Vec<(String, String)> {
    let names_one = |line: &str| {
        let words: Vec<&str> = line.split(|it: char| !it.is_alphanumeric() && it != '-').collect();
        let ours = |pair: &[&str]| {
            // Its image has it as the entry point.
            matches!(pair[0], "portolan" | "control-plane")
                && commands.iter().any(|command| command == pair[1])
        };
        words.windows(2).any(ours)
    };
    let lines = quoted(text).into_iter().flat_map(|(language, inside)| {
        let is_typed = move |line: &str| language != "console" || line.starts_with("$ ");
        inside.into_iter().filter(move |(line, _)| is_typed(line))
    });
    let named = lines.filter(|(line, _)| names_one(line));
    named.map(|(line, number)| (format!("{name}:{number}"), line.trim().to_owned())).collect()
}

/// Commands after a `$`, and what they print.
fn of_console(name: &str, lines: &[(&str, usize)]) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    for (line, number) in lines {
        match line.strip_prefix("$ ") {
            Some(command) => {
                examples.push(Example {
                    place: format!("{name}:{number}"),
                    command: command.to_owned(),
                    shows: None,
                });
            }
            None => {
                let shows = examples.last_mut().map(|example| example.shows.get_or_insert_default());
                shows.into_iter().for_each(|shows| shows.push((*line).to_owned()));
            }
        }
    }
    examples.retain(|example| calls_us(&example.command));
    examples
}

/// Commands, each in a line, with comments behind.
fn of_script(name: &str, lines: &[(&str, usize)]) -> Vec<Example> {
    let commands =
        lines.iter().map(|(line, number)| (line.split("  #").next().unwrap_or(line).trim(), number));
    commands
        .filter(|(command, _)| calls_us(command))
        .map(|(command, number)| Example {
            place: format!("{name}:{number}"),
            command: command.to_owned(),
            shows: None,
        })
        .collect()
}

fn help(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    // So wide that no line is broken.
    let output = command.args(arguments).arg("--help").env("COLUMNS", "500").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all commands.
pub(crate) fn commands() -> Vec<String> {
    let all = help(&[]);
    let commands =
        all.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 15, "{all}");
    names
}

/// The examples of each command: what is indented after its exit codes.
pub(crate) fn in_help() -> Vec<Block> {
    let of = |name: &String| {
        let text = help(&[name]);
        let after = text.split_once("Exit codes:").unwrap().1;
        let examples = after.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| Example {
            place: format!("{name} --help"),
            command: line.to_owned(),
            shows: None,
        });
        Block { examples: examples.collect() }
    };
    commands().iter().map(of).collect()
}

/// Whether a command line calls `portolan`, and not only names it.
fn calls_us(line: &str) -> bool {
    let parts = line.split(['|', ';', '&']).map(str::trim);
    parts.into_iter().any(|part| {
        let part = part.strip_prefix("docker compose exec control-plane ").unwrap_or(part);
        let mut words =
            part.split_whitespace().skip_while(|word| word.contains('=') && !word.starts_with('-'));
        words.next() == Some("portolan")
    })
}

#[test]
fn examples_are_found_where_they_are() {
    let text = "\n```sh\nportolan a   # comment\nls\nX=1 portolan b\n```\n\n```console\n$ portolan d | jq\nout\n\n$ cat portolan\nno\n```\n\
                ```yaml\nportolan e\n```\n";
    let blocks = in_text("x", text);
    let found: Vec<(&str, &str, Option<usize>)> = blocks
        .iter()
        .flat_map(|block| &block.examples)
        .map(|it| (it.place.as_str(), it.command.as_str(), it.shows.as_ref().map(Vec::len)))
        .collect();
    assert_eq!(
        found,
        [("x:3", "portolan a", None), ("x:5", "X=1 portolan b", None), ("x:9", "portolan d | jq", Some(2))]
    );
}

#[test]
fn what_names_a_command_is_found_whatever_it_is_written_in() {
    let text = "portolan lint\n```yaml\nrun: [sh, \"portolan lint x\"]\nimage: portolan\nportolan: lint\n```\n\
                ```console\n$ sudo portolan why\nportolan lint printed\n```\n\
                ```sh\ndocker compose run control-plane why x\ncat portolan-lint lint\n```\n";
    let commands = ["lint", "why"].map(str::to_owned);
    let found = named_in_text("x", text, &commands);
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["x:3", "x:8", "x:12"], "{found:?}");
}
