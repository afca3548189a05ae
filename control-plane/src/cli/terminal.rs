//! What is printed for people: in colours, which `anstream` takes out where there is no terminal or NO_COLOR is set.

use std::borrow::Cow;
use std::io::{ErrorKind, Write};
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};

pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const WAIT: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints `bytes` on `out`. A reader that has seen enough is no failure.
pub(super) fn print(mut out: impl Write, bytes: &[u8]) -> anyhow::Result<()> {
    match out.write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// What others wrote may hold what a terminal obeys; here it is only shown.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// A time of the API, as [`exact_time`](crate::moment::exact_time) writes it.
pub(super) fn time(at: Option<prost_types::Timestamp>) -> String {
    let at = at.and_then(|at| SystemTime::try_from(at).ok()).unwrap_or(SystemTime::UNIX_EPOCH);
    crate::moment::exact_time(at)
}

/// The time of the day of `2026-11-30T06:43:07.123Z`.
pub(super) fn clock(time: &str) -> &str {
    time.split_once('T').map_or(time, |(_, clock)| clock.trim_end_matches('Z'))
}

/// A length of time in one unit, or in milliseconds where it is short.
pub(super) fn length(length: Duration) -> String {
    match length.as_secs() {
        0 => format!("{} ms", length.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
