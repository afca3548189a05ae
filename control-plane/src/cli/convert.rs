//! `portolan convert`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::compat::Kind;
use crate::compat::convert::{self, Converted, Options, Placed};

/// Put our labels in the place of Traefik's in a Compose file, or of what nginx-proxy reads of the environment.
///
/// Writes the file anew, with its comments and in its order, and tells on stderr what could not be carried over, what is to be done
/// by hand, and what is not quite the same. What was not carried over stays in the file as a comment.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where all was carried over, 1 where something was not or is to be done by hand, 2 where the file \
                        could not be read or written.\n\n    \
                        portolan convert compose.yml > compose.portolan.yml\n    \
                        portolan convert --in-place compose.yml\n    \
                        portolan convert --format json compose.yml 2> notes.json > compose.portolan.yml\n\n\
                        What becomes of what is described in docs/from-traefik.md."
)]
pub(super) struct Convert {
    /// The Compose file; - is stdin.
    #[arg(value_name = "FILE", default_value = "compose.yml")]
    file: PathBuf,

    /// Change the file itself, and print nothing on stdout.
    #[arg(long)]
    in_place: bool,

    /// In what form notes are printed.
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,

    /// Name of the Compose project, if not that of the file or its directory: Traefik makes hosts of it where no rule names one.
    #[arg(short, long, env = "COMPOSE_PROJECT_NAME", value_name = "NAME")]
    project: Option<String>,

    /// What our labels begin with.
    #[arg(long, env = "PORTOLAN_LABEL_PREFIX", value_name = "PREFIX", default_value = "portolan")]
    label_prefix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each.
    Human,
    /// One JSON document.
    Json,
}

/// The file could not be read or written.
const UNREADABLE: u8 = 2;

impl Convert {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.convert() {
            Ok(code) => Ok(code),
            Err(error) => {
                writeln!(std::io::stderr(), "portolan: {error:#}")?;
                Ok(ExitCode::from(UNREADABLE))
            }
        }
    }

    fn convert(&self) -> anyhow::Result<ExitCode> {
        let shown = self.file.display();
        let is_stdin = self.file == Path::new("-");
        anyhow::ensure!(!(is_stdin && self.in_place), "stdin cannot be changed in place; name the file");
        let text = if is_stdin {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(&self.file)
        };
        let text = text.with_context(|| format!("cannot read {shown}"))?;
        let options = Options {
            prefix: self.label_prefix.clone(),
            project: self.project.clone().or_else(|| of_directory(&self.file)),
        };
        let directory = if is_stdin { Path::new("") } else { self.file.parent().unwrap_or(Path::new("")) };
        let read = |path: &Path| fs::read_to_string(directory.join(path));
        let converted =
            convert::convert(&text, &options, &read).with_context(|| format!("{shown} is not YAML"))?;
        if !self.in_place {
            std::io::stdout().write_all(converted.text.as_bytes())?;
        } else if converted.text != text {
            write_beside(&self.file, &converted.text).with_context(|| format!("cannot write {shown}"))?;
        }
        let notes = match self.format {
            Format::Human => human(&shown.to_string(), &converted),
            Format::Json => format!("{:#}\n", as_json(&shown.to_string(), &converted)),
        };
        std::io::stderr().write_all(notes.as_bytes())?;
        Ok(if converted.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// As Compose makes it of the directory that the file is in.
fn of_directory(file: &Path) -> Option<String> {
    let file = if file == Path::new("-") { Path::new(".") } else { file };
    let file = fs::canonicalize(file).ok()?;
    let directory = if file.is_dir() { Some(file.as_path()) } else { file.parent() };
    let name = directory?.file_name()?.to_str()?.to_ascii_lowercase();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    let name = name.trim_start_matches(['-', '_']);
    (!name.is_empty()).then(|| name.to_owned())
}

/// Beside and renamed, so that no half of it is ever there; with the permissions it had.
fn write_beside(file: &Path, text: &str) -> std::io::Result<()> {
    let target = fs::canonicalize(file)?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".converted");
    let beside = target.with_file_name(name);
    fs::write(&beside, text)?;
    let renamed = fs::metadata(&target)
        .and_then(|old| fs::set_permissions(&beside, old.permissions()))
        .and_then(|()| fs::rename(&beside, &target));
    renamed.inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn human(file: &str, converted: &Converted) -> String {
    let mut text = String::new();
    let lines = converted
        .notes
        .iter()
        .map(|Placed { service, at, note }| format!("{file}:{}:{}: {service}: {note}\n", at.line, at.column));
    text.extend(lines);
    let count = |kind| converted.notes.iter().filter(|placed| placed.note.kind == kind).count();
    let (lost, by_hand, differs) = (count(Kind::Lost), count(Kind::ByHand), count(Kind::Differs));
    text += &format!(
        "{file}: labels of {} service(s); not carried over: {lost}, to do by hand: {by_hand}, not quite the same: {differs}\n",
        converted.services
    );
    text
}

fn as_json(file: &str, converted: &Converted) -> serde_json::Value {
    let notes: Vec<serde_json::Value> = converted
        .notes
        .iter()
        .map(|Placed { service, at, note }| {
            let kind = match note.kind {
                Kind::Lost => "not-carried-over",
                Kind::ByHand => "by-hand",
                Kind::Differs => "differs",
            };
            json!({
                "service": service, "line": at.line, "column": at.column, "kind": kind,
                "label": note.label, "value": note.value, "reason": note.reason, "fix": note.fix,
            })
        })
        .collect();
    json!({ "file": file, "services": converted.services, "notes": notes })
}
