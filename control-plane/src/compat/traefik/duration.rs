//! Durations and the like, as Go writes them.

use std::time::Duration;

use crate::model::options::Span;

/// `1m30s`, `500ms`, `1.5s`; a number alone is of seconds. Whole milliseconds, for that is what ours are.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return (seconds < 1 << 40).then(|| Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (digits, after) = rest.split_at(number);
        let unit = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += digits.parse::<f64>().ok()? * factor;
        rest = after;
    }
    (!text.is_empty() && (0.0..1e9).contains(&seconds))
        .then(|| Duration::from_millis((seconds * 1e3).round() as u64))
}

/// The same as a label of ours has it.
pub(super) fn label(duration: Duration) -> String {
    Span(duration).to_string()
}
