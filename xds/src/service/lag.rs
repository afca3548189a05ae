//! How far a client is behind the events that changed what it is served. Pure.

use tokio::time::Instant;

/// What one stream has still to acknowledge, and since when.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// When the oldest event came whose outcome the client does not have yet.
    since: Option<Instant>,
    acknowledged: bool,
    refused: bool,
}

impl Lag {
    /// A snapshot came that goes back to an event at `event`. The oldest stands until the client has everything.
    pub(super) fn begin(&mut self, event: Option<Instant>) {
        if self.since.is_none() {
            *self = Self { since: event, ..Self::default() };
        }
    }

    pub(super) const fn acknowledged(&mut self) {
        self.acknowledged = true;
    }

    /// Something the client refuses is not there, whatever it accepts of the rest.
    pub(super) const fn refused(&mut self) {
        self.refused = true;
    }

    /// The client has everything. Returns the event that this goes back to, if it is one whose outcome the client was
    /// sent and accepted.
    pub(super) fn end(&mut self) -> Option<Instant> {
        let Self { since, acknowledged, refused } = std::mem::take(self);
        since.filter(|_| acknowledged && !refused)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_time_is_that_since_the_oldest_event_whose_outcome_is_accepted() {
        let mut lag = Lag::default();
        let first = Instant::now();
        lag.begin(Some(first));
        lag.begin(Some(first + Duration::from_millis(3)));
        lag.begin(None);
        lag.acknowledged();
        assert_eq!(lag.end(), Some(first));
        assert_eq!(lag.end(), None, "told once");
        // What goes back to no event, such as a decision of a person, has no time.
        lag.begin(None);
        lag.acknowledged();
        assert_eq!(lag.end(), None);
        let second = Instant::now();
        lag.begin(None);
        lag.begin(Some(second));
        lag.acknowledged();
        assert_eq!(lag.end(), Some(second));
    }

    #[test]
    fn what_a_client_is_not_sent_or_refuses_has_no_time() {
        let mut lag = Lag::default();
        lag.begin(Some(Instant::now()));
        assert_eq!(lag.end(), None, "it is not concerned");
        lag.begin(Some(Instant::now()));
        lag.refused();
        lag.acknowledged();
        assert_eq!(lag.end(), None, "it refused something");
        let event = Instant::now();
        lag.begin(Some(event));
        lag.acknowledged();
        assert_eq!(lag.end(), Some(event), "and is a client like others again");
    }
}
