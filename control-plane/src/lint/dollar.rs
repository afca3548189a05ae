//! Dollars: Compose replaces `$name` and `${name}` in every value, also where a dollar is meant.

use std::ops::Range;

use super::{DOLLAR, Finding, Level, VARIABLE};
use crate::compose::interpolate::Outcome;
use crate::compose::load::Loaded;
use crate::compose::project::{Label, Service};

const DOUBLE: &str = "write $$ where a dollar is meant";
const QUOTE: &str = "write $$ where a dollar is meant, or the value in single quotes";

/// What Compose refuses to read, in any value.
pub(super) fn anywhere(loaded: &Loaded) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, text) in loaded.variables() {
        let Some(read) = &text.variables else { continue };
        let mut tell = |rule, at: &Range<usize>, reason: String, fix: String| {
            let place = text.written(at.clone(), place).unwrap_or_else(|| place.clone());
            let (level, service, label) = (Level::Error, None, None);
            findings.push(Finding { rule, level, place, service, label, reason, fix });
        };
        if let Some(broken) = &read.broken {
            let reason =
                format!("Compose cannot read this variable, and refuses the file: {}", broken.reason);
            tell(&DOLLAR, &broken.at, reason, DOUBLE.to_owned());
        }
        for reference in &read.references {
            let Outcome::Required(why) = &reference.outcome else { continue };
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            let reason = format!("the variable {} must be set, and is not{why}", reference.name);
            let fix = match place.source.is_label_file {
                true => format!("{DOUBLE}: what can be set here are other labels of the file"),
                false => format!("set {}, in the environment or in .env", reference.name),
            };
            tell(&VARIABLE, &reference.at, reason, fix);
        }
    }
    findings
}

/// Variables in labels that are not set: mostly the dollar was meant as a dollar.
pub(super) fn of(service: &Service, prefix: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, label) in service.labels.iter().filter(|(key, _)| super::labels::is_ours(key, prefix)) {
        let references = label.text.variables.iter().flat_map(|read| &read.references);
        for reference in references.filter(|reference| reference.outcome == Outcome::Missing) {
            let name = &reference.name;
            let fix = match label.place.source.is_label_file {
                true => QUOTE.to_owned(),
                false => format!("{DOUBLE}; else set {name}, or say what stands for it: ${{{name}:-value}}"),
            };
            findings.push(Finding {
                rule: &DOLLAR,
                level: Level::Error,
                place: label.text.written(reference.at.clone(), &label.place).unwrap_or_else(|| label.place.clone()),
                service: Some(service.name.clone()),
                label: Some(key.clone()),
                reason: format!("Compose takes this for the variable {name}, which is not set, and puts nothing in its place"),
                fix,
            });
        }
    }
    findings
}

/// Whether variables keep a label's value from being what is meant.
pub(super) fn is_lost(label: &Label) -> bool {
    label.text.variables.as_ref().is_some_and(|read| {
        let is_lost = |outcome: &Outcome| *outcome != Outcome::Replaced;
        read.broken.is_some() || read.references.iter().any(|reference| is_lost(&reference.outcome))
    })
}
