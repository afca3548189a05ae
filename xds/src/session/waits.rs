//! What a type waits for, and never for longer than is reasonable.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::resource::Name;

/// What one type waits for, and since when.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeMap<Name, Wait>);

#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Instant,
    /// It lasted too long; it is kept as long as there is a reason to wait, lest it begin anew.
    over: bool,
}

impl Waits {
    /// When the oldest wait that is not over began.
    pub(super) fn first(&self) -> Option<Instant> {
        self.0.values().filter(|wait| !wait.over).map(|wait| wait.since).min()
    }

    pub(super) fn is_any_over(&self) -> bool {
        self.0.values().any(|wait| wait.over)
    }

    /// Notes that something waits for `blockers`, since `now` unless it is in `old`. Returns whether it still has to.
    pub(super) fn any(&mut self, blockers: Vec<Name>, old: &Self, now: Instant, limit: Duration) -> bool {
        let mut blocked = false;
        for blocker in blockers {
            let since = old.0.get(&blocker).map_or(now, |wait| wait.since);
            let over = now.duration_since(since) >= limit;
            self.0.insert(blocker, Wait { since, over });
            blocked |= !over;
        }
        blocked
    }
}
