//! SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format).

use serde_json::{Value, json};

use super::{Report, end};
use crate::compose::tree::Place;
use crate::lint::{Finding, RULES};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn print(report: &Report) -> String {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| json!({ "id": rule.id, "shortDescription": { "text": rule.about } }))
        .collect();
    let results: Vec<Value> = report.outcome.iter().flatten().map(result).collect();
    let notifications: Vec<Value> = report
        .outcome
        .as_ref()
        .err()
        .map(|error| {
            let locations = json!([location(&error.place)]);
            json!({ "level": "error", "message": { "text": error.reason }, "locations": locations })
        })
        .into_iter()
        .collect();
    let invocation = json!({
        "executionSuccessful": report.outcome.is_ok(),
        "toolExecutionNotifications": notifications,
    });
    let all = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "portolan lint", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "invocations": [invocation],
            "results": results,
        }],
    });
    format!("{all:#}\n")
}

fn result(finding: &Finding) -> Value {
    let index = RULES.iter().position(|rule| *rule == finding.rule);
    json!({
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": finding.level.word(),
        "message": { "text": format!("{}; {}", finding.reason, finding.fix) },
        "locations": [location(&finding.place)],
    })
}

fn location(place: &Place) -> Value {
    let Place { source, span } = place;
    let (end_line, end_column) = end(&source.text, *span);
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(&source.path.to_string_lossy()) },
        "region": { "startLine": span.line, "startColumn": span.column, "endLine": end_line, "endColumn": end_column },
    }})
}

/// A path as a reference (RFC 3986): what may not stand in one is escaped.
fn uri(path: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(escaped).collect()
}
