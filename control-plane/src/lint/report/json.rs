//! One JSON object, for programs; docs/lint.md describes it.

use serde_json::{Value, json};

use super::{Report, end};
use crate::compose::tree::Place;
use crate::lint::Finding;

pub(super) fn print(report: &Report) -> String {
    let findings: Vec<Value> = report.outcome.iter().flatten().map(finding).collect();
    let error =
        report.outcome.as_ref().err().map(|error| placed(json!({ "reason": error.reason }), &error.place));
    let all = json!({
        "findings": findings,
        "error": error,
        "services": report.services,
        "resolved_by": if report.by_compose { "docker compose" } else { "portolan" },
    });
    format!("{all:#}\n")
}

fn finding(finding: &Finding) -> Value {
    let Finding { rule, level, place, service, label, reason, fix } = finding;
    let all = json!({
        "rule": rule.id,
        "level": level.word(),
        "service": service,
        "label": label,
        "reason": reason,
        "fix": fix,
    });
    placed(all, place)
}

fn placed(mut what: Value, place: &Place) -> Value {
    let Place { source, span } = place;
    let (end_line, end_column) = end(&source.text, *span);
    what["file"] = json!(source.path.to_string_lossy());
    what["line"] = json!(span.line);
    what["column"] = json!(span.column);
    what["end_line"] = json!(end_line);
    what["end_column"] = json!(end_column);
    what
}
