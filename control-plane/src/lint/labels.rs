//! Labels that look right and are not read, or not as they are written.

use super::{Finding, Level, MISPLACED, NUMBER, PREFIX, Rule};
use crate::compose::project::{Label, Service};
use crate::compose::tree::Place;
use crate::compose::yaml::{Style, Value};

/// So many letters of the first word may be wrong.
const WRONG_LETTERS: usize = 2;

/// Whether a label is one of the vocabulary's, rightly or wrongly.
pub(super) fn is_ours(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

pub(super) fn of(service: &Service, prefix: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tell = |rule: &'static Rule, key: &str, place: &Place, reason: String, fix: String| {
        let (service, label) = (Some(service.name.clone()), Some(key.to_owned()));
        let level = if rule == &PREFIX { Level::Warning } else { Level::Error };
        findings.push(Finding { rule, level, place: place.clone(), service, label, reason, fix });
    };
    for (key, label) in &service.labels {
        if !is_ours(key, prefix) {
            if let Some(right) = near(key, prefix) {
                let reason = format!("no label begins with {:?}: nothing reads this one", first_word(key));
                tell(&PREFIX, key, &label.key, reason, format!("did you mean {right}?"));
            }
        } else if let Some(written) = rewritten(label) {
            let value = label.value();
            let reason =
                format!("{written} without quotes is no text to YAML, and the container gets {value:?}");
            tell(&NUMBER, key, &label.place, reason, format!("quote it: \"{written}\""));
        }
    }
    for (key, label) in service.deploy_labels.iter().filter(|(key, _)| is_ours(key, prefix)) {
        let reason =
            "labels under deploy are those of a Swarm service; containers do not get them".to_owned();
        tell(&MISPLACED, key, &label.key, reason, format!("move it to services.{}.labels", service.name));
    }
    findings
}

fn first_word(key: &str) -> &str {
    key.split(['.', '/', '_', '-', ':']).next().unwrap_or(key)
}

/// The label that is meant by one whose first word is almost the prefix.
fn near(key: &str, prefix: &str) -> Option<String> {
    let word = first_word(key);
    let rest = key.get(word.len() + 1..).filter(|rest| !rest.is_empty())?;
    let distance = strsim::damerau_levenshtein(&word.to_ascii_lowercase(), prefix);
    (distance <= WRONG_LETTERS && word.len() > WRONG_LETTERS).then(|| format!("{prefix}.{rest}"))
}

/// What is written, where the value is something else, and not just another spelling of true or false.
fn rewritten(label: &Label) -> Option<&str> {
    let Value::Scalar(scalar) = &label.text.node.value else { return None };
    let is_plain = scalar.style == Style::Plain && label.text.variables.is_none() && label.text.from == 0;
    let differs = scalar.text != label.value() && !scalar.text.eq_ignore_ascii_case(label.value());
    (is_plain && differs && !label.value().is_empty()).then_some(&scalar.text)
}
