//! Secrets in labels: whoever may list containers reads labels, and so do logs, dashboards and backups.

use std::sync::LazyLock;

use regex::Regex;

use super::{Finding, Level, SECRET};
use crate::compose::project::{Label, Service};

/// What a label is called that holds one.
const WORDS: [&str; 8] =
    ["authorization", "password", "passwd", "secret", "token", "api-key", "apikey", "credential"];

/// How secrets look, and what each is.
const LOOKS: [(&str, &str); 8] = [
    (r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]+:[^/\s@]+@", "a password in a URL"),
    (r"(?i)\b(?:bearer|basic)\s+[a-z0-9+/=._~-]{8,}", "credentials of a request"),
    (r"\$(?:2[aby]|apr1|5|6)\$|\{SHA\}", "the hash of a password"),
    (r"\bAKIA[0-9A-Z]{16}\b", "a key of a cloud account"),
    (r"\bgh[pousr]_[A-Za-z0-9]{36}", "a token of a code host"),
    (r"\bxox[abprs]-[A-Za-z0-9-]{10,}", "a token of a chat service"),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}", "a JSON web token"),
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key"),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    LOOKS.iter().filter_map(|(pattern, what)| Some((Regex::new(pattern).ok()?, *what))).collect()
});

/// Whether what is called so is a secret, as far as a name tells.
pub(crate) fn is_name_of_one(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// Where something begins in `text` that looks like a secret.
pub(crate) fn begins(text: &str) -> Option<usize> {
    PATTERNS.iter().filter_map(|(pattern, _)| pattern.find(text)).map(|found| found.start()).min()
}

pub(super) fn of(service: &Service, prefix: &str) -> Vec<Finding> {
    let all = service.labels.iter().chain(&service.deploy_labels);
    all.filter_map(|(key, label)| {
        let what = found(key, label, prefix)?;
        Some(Finding {
            rule: &SECRET,
            level: Level::Error,
            place: label.place.clone(),
            service: Some(service.name.clone()),
            label: Some(key.clone()),
            reason: format!("it looks like {what}, and everyone who sees the container reads its labels"),
            fix: "take it out, and change the secret: let the application read it from a file, such as one of Compose's secrets".to_owned(),
        })
    })
    .collect()
}

/// What secret a label holds, if any.
fn found(key: &str, label: &Label, prefix: &str) -> Option<&'static str> {
    let value = label.value();
    let looks = PATTERNS.iter().find(|(pattern, _)| pattern.is_match(value)).map(|(_, what)| *what);
    looks.or_else(|| {
        let name = key.strip_prefix(prefix)?.to_ascii_lowercase();
        let is_named = is_name_of_one(&name);
        // Of a header that is matched, removed or has a public value there is nothing to hide.
        let says_it = name.contains("request-header.") || !name.contains("header.");
        let is_open = matches!(value, "" | "*") || value.starts_with('~') || value.len() < 6;
        (is_named && says_it && !is_open).then_some("a secret, by the name of the label")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(PATTERNS.len(), LOOKS.len());
    }
}
