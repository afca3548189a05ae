//! `portolan replay`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use xds_server::Kind;

use super::terminal::{length, print};
use crate::recording::{self, Outcome, Printer, Recording};

/// Play a recording of `portolan serve --record` again, and print what would be served.
///
/// Takes in what the control plane saw then, in the same order and at the same times, and makes the same of it: listeners, routes,
/// clusters, endpoints, byte for byte, and problems. Whether it is the same as what was served then is told at the end.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where what comes out is what was served then, 1 where it is something else, 2 where there is no recording that \
                  can be played, or the command is wrong.\n\n    \
                  portolan replay recording\n    portolan replay --steps recording\n    portolan replay --at 12 --format json recording"
)]
pub(super) struct Replay {
    /// The recording, or the folder that it is in: then the newest one.
    #[arg(value_name = "DIR")]
    path: PathBuf,

    /// Stop after this line of the file, and print what was served then.
    #[arg(long, value_name = "LINE")]
    at: Option<usize>,

    /// Print what happened, line by line, and not what is served.
    #[arg(long)]
    steps: bool,

    /// In what form it is printed.
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Yaml,
    /// One JSON object.
    Json,
}

/// There is nothing to play.
const UNPLAYED: u8 = 2;

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let played = recording::read(&self.path)
            .map_err(anyhow::Error::from)
            .and_then(|recording| recording::replay(&recording, self.at).map(|replay| (recording, replay)));
        let (recording, replay) = match played {
            Ok(played) => played,
            Err(error) => {
                eprintln!("portolan: {error:#}");
                return Ok(ExitCode::from(UNPLAYED));
            }
        };
        let value = if self.steps { steps(&replay) } else { resources(&replay)? };
        let text = match (self.format, self.steps) {
            (Format::Json, _) => format!("{value:#}\n"),
            (Format::Yaml, true) => steps_text(&replay),
            (Format::Yaml, false) => {
                let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
                serde_saphyr::to_string_with_options(&value, options)?
            }
        };
        print(anstream::stdout(), text.as_bytes())?;
        let same = tell(&recording, &replay);
        Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What is served, and what is wrong.
fn resources(replay: &recording::Replay) -> anyhow::Result<Value> {
    let printer = Printer::new()?;
    let mut all = serde_json::Map::new();
    all.insert("problems".to_owned(), replay.problems().iter().map(ToString::to_string).collect());
    for (kind, name) in [
        (Kind::Listener, "listeners"),
        (Kind::Extension, "extensions"),
        (Kind::Route, "routes"),
        (Kind::Cluster, "clusters"),
        (Kind::Endpoint, "endpoints"),
    ] {
        let of_kind = replay.snapshot().map(|snapshot| snapshot.section(kind).values()).into_iter().flatten();
        let printed =
            of_kind.map(|resource| printer.resource(resource)).collect::<anyhow::Result<Vec<_>>>()?;
        all.insert(name.to_owned(), printed.into());
    }
    Ok(all.into())
}

fn steps(replay: &recording::Replay) -> Value {
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Same => json!("same"),
        Outcome::SameButFor(parts) => json!({ "same but for": parts }),
        Outcome::Other { served, here } => json!({ "served": served, "here": here }),
    };
    let step = |step: &recording::Step| {
        json!({
            "line": step.line, "seconds": step.at.as_secs_f64(), "what": step.what,
            "outcome": step.outcome.as_ref().map(outcome),
        })
    };
    json!({ "steps": replay.steps.iter().map(step).collect::<Vec<_>>() })
}

fn steps_text(replay: &recording::Replay) -> String {
    let mut text = String::new();
    for step in &replay.steps {
        let outcome = match &step.outcome {
            None => String::new(),
            Some(Outcome::Same) => ": the same here".to_owned(),
            Some(Outcome::SameButFor(parts)) => {
                format!(": the same here, but for secrets in {}", parts.join(", "))
            }
            Some(Outcome::Other { here, .. }) => format!(": here it is {here}"),
        };
        let _ = writeln!(text, "{:>6}  {:>12.6}  {}{outcome}", step.line, step.at.as_secs_f64(), step.what);
    }
    text
}

/// Says what there is to say about it, and whether it is what was served.
fn tell(recording: &Recording, replay: &recording::Replay) -> bool {
    eprintln!("{} of {}", recording.path.display(), recording.made());
    for note in &recording.notes {
        eprintln!("note: {note}");
    }
    let last = replay.steps.iter().rev().find(|step| step.outcome.is_some());
    let published = replay.steps.iter().filter(|step| step.outcome.is_some()).count();
    match (replay.difference(), last) {
        (Some(step), _) => {
            eprintln!("not the same: from line {} on something else comes out than was served", step.line);
            return false;
        }
        (None, None) => eprintln!("nothing was served yet"),
        (None, Some(last)) if replay.unknown().is_empty() => {
            eprintln!("the same as what was served, {published} times in {}", length(last.at));
        }
        (None, Some(last)) => eprintln!(
            "the same as what was served, {published} times in {}, as far as one can tell: secrets are left out, and are in {}",
            length(last.at),
            replay.unknown().join(", ")
        ),
    }
    true
}
