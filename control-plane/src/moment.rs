//! Points in time, as they are written.

use std::time::{Duration, SystemTime};

use serde::Serializer;

/// A time of the inventory; nothing where it has none, as in a services file.
pub(crate) fn since_epoch(seconds: i64) -> Option<SystemTime> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// `2026-11-25T02:22:27Z` (RFC 3339).
pub(crate) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The same to the millisecond.
pub(crate) fn exact_time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Writes `time` as [`time`] does, for serde.
pub(crate) fn written<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time(*at))
}

/// Writes `time` as [`exact_time`] does, for serde.
pub(crate) fn exactly_written<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&exact_time(*at))
}
