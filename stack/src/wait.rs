//! Waiting for a condition, and never longer than is reasonable.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Looks at `condition` until it holds.
///
/// # Errors
///
/// It does not within `limit`: says what was waited for, and what `condition` said last.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(last) if Instant::now() >= end => bail!("{what}: not within {} s: {last:#}", limit.as_secs()),
            Err(_) => pause(),
        }
    }
}

// The one place that sleeps: between two looks at a condition.
#[allow(clippy::disallowed_methods)]
fn pause() {
    std::thread::sleep(LOOK);
}
