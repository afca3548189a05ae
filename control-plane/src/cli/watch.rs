//! `portolan watch`.

use std::io::Write as _;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::connection::ControlPlane;
use super::terminal::{BAD, DIM, GOOD, WAIT, clock, shown, time};
use crate::admin::pb;
use pb::change::Kind;

/// Follow what changes: containers, routes, endpoints, snapshots, and who has acknowledged them.
///
/// One line a change, as the running control plane sees it: what happened, to whom, and when (UTC).
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where the reader left, 1 where the control plane cannot be asked or stops; 2 where the command is wrong.\n\n    \
                  portolan watch\n    portolan watch --past 100\n    portolan watch --format json | jq 'select(.kind == \"refused\")'\n\n\
                  Kinds: container, route, rotation (an endpoint entered, drains or left), weight, published (a snapshot), acknowledged and \
                  refused (by an Envoy), client (connected or left), problem, solved."
)]
pub(super) struct Watch {
    /// So many of the changes that there were already come first; 500 are remembered.
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    past: u32,

    /// How changes are shown: in words, or as one JSON object a line.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,

    #[command(flatten)]
    control_plane: ControlPlane,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

impl Watch {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let told = |status: tonic::Status| self.control_plane.told(&status);
        let request = pb::WatchChangesRequest { past: self.past };
        let changes = self.control_plane.inspect()?.watch_changes(request).await;
        let mut changes = changes.map_err(told)?.into_inner();
        while let Some(answer) = changes.message().await.map_err(told)? {
            let line = match self.format {
                Format::Text => in_words(&answer),
                Format::Json => as_json(&answer),
            };
            match writeln!(anstream::stdout(), "{line}") {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
        }
        Ok(())
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Container => "container",
        Kind::Rotation => "rotation",
        Kind::Weight => "weight",
        Kind::Published => "published",
        Kind::Acknowledged => "acknowledged",
        Kind::Refused => "refused",
        Kind::Client => "client",
        Kind::Problem => "problem",
        Kind::Solved => "solved",
        Kind::Route => "route",
        Kind::Unspecified => "change",
    }
}

fn in_words(answer: &pb::WatchChangesResponse) -> String {
    let Some(change) = &answer.change else {
        return format!("{DIM}{} changes came faster than they were read{DIM:#}", answer.missed);
    };
    let colour = match change.kind() {
        Kind::Refused | Kind::Problem => BAD,
        Kind::Acknowledged | Kind::Solved => GOOD,
        Kind::Rotation | Kind::Route | Kind::Weight => WAIT,
        _ => DIM,
    };
    let (at, kind) = (time(change.at), word(change.kind()));
    let (subject, text) = (shown(&change.subject), shown(&change.text));
    format!("{DIM}{}{DIM:#} {colour}{kind:<12}{colour:#} {subject} {text}", clock(&at))
}

fn as_json(answer: &pb::WatchChangesResponse) -> String {
    let Some(change) = &answer.change else { return json!({ "missed": answer.missed }).to_string() };
    json!({
        "number": change.number,
        "at": time(change.at),
        "kind": word(change.kind()),
        "subject": change.subject,
        "text": change.text,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: Kind) -> pb::WatchChangesResponse {
        let at = prost_types::Timestamp { seconds: 3_600, nanos: 7_000_000 };
        let change = pb::Change {
            number: 7,
            at: Some(at),
            kind: kind.into(),
            subject: "web-2".to_owned(),
            text: "is in rotation of \u{1b}web".to_owned(),
        };
        pb::WatchChangesResponse { change: Some(change), missed: 0 }
    }

    #[test]
    fn a_change_is_a_sentence_or_an_object() {
        let text = in_words(&change(Kind::Rotation));
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, r"01:00:00.007 rotation     web-2 is in rotation of \u{1b}web");
        let value: serde_json::Value = serde_json::from_str(&as_json(&change(Kind::Refused))).unwrap();
        let wanted = json!({
            "number": 7, "at": "1970-01-01T01:00:00.007Z", "kind": "refused", "subject": "web-2",
            "text": "is in rotation of \u{1b}web",
        });
        assert_eq!(value, wanted);
        let missed = pb::WatchChangesResponse { change: None, missed: 3 };
        assert!(in_words(&missed).contains("3 changes came faster"));
        assert_eq!(as_json(&missed), r#"{"missed":3}"#);
    }
}
