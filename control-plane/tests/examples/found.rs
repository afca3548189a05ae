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
    let name = path.file_name().unwrap().to_string_lossy();
    in_text(&name, &std::fs::read_to_string(path).unwrap())
}

fn in_text(name: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = text.lines().zip(1..);
    while let Some((line, _)) = lines.next() {
        if let Some(language) = line.trim().strip_prefix("```") {
            let inside: Vec<(&str, usize)> =
                lines.by_ref().take_while(|(line, _)| line.trim() != "```").collect();
            let is_run = !before.starts_with("<!-- not run: ");
            let examples = match language {
                "console" if is_run => of_console(name, &inside),
                "sh" if is_run => of_script(name, &inside),
                _ => Vec::new(),
            };
            if !examples.is_empty() {
                blocks.push(Block { examples });
            }
        }
        if !line.trim().is_empty() {
            before = line;
        }
    }
    blocks
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

/// The examples of each command.
pub(crate) fn in_help() -> Vec<Block> {
    let help = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        // So wide that no line is broken.
        let output = command.args(arguments).arg("--help").env("COLUMNS", "500").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&[]);
    let commands =
        all.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(names.len() > 15, "{all}");
    let of = |name: &&str| {
        let text = help(&[name]);
        let after = text.split_once("Exit codes:").unwrap().1.to_owned();
        let lines = after.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| calls_us(line));
        let examples = lines.map(|line| Example {
            place: format!("{name} --help"),
            command: line.to_owned(),
            shows: None,
        });
        Block { examples: examples.collect() }
    };
    names.iter().map(of).collect()
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
    let text = "\n```sh\nportolan a   # comment\nls\nX=1 portolan b\n```\n\n<!-- not run: why -->\n\n```sh\nportolan c\n```\n\
                ```console\n$ portolan d | jq\nout\n\n$ cat portolan\nno\n```\n```yaml\nportolan e\n```\n";
    let blocks = in_text("x", text);
    let found: Vec<(&str, &str, Option<usize>)> = blocks
        .iter()
        .flat_map(|block| &block.examples)
        .map(|it| (it.place.as_str(), it.command.as_str(), it.shows.as_ref().map(Vec::len)))
        .collect();
    assert_eq!(
        found,
        [("x:3", "portolan a", None), ("x:5", "X=1 portolan b", None), ("x:14", "portolan d | jq", Some(2))]
    );
}
