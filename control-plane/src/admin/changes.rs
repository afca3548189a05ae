//! `InspectService.WatchChanges`: the timeline, as it is written.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::Status;

use super::pb;
use crate::publish::ViewReceiver;
use crate::sources::Sources;
use crate::timeline::{Entry, Kind, Timeline};

type Answer = Result<pb::WatchChangesResponse, Status>;

/// Follows the timeline.
struct Follower {
    timeline: Timeline,
    changes: watch::Receiver<VecDeque<Entry>>,
    /// Ends with the control plane; the timeline does not, since this holds it.
    views: ViewReceiver,
    /// The number of the last entry that was taken.
    last: u64,
    ready: VecDeque<pb::WatchChangesResponse>,
}

/// What changes from now on, after `past` changes that there are already; until the control plane stops or the caller has
/// heard enough.
pub(super) fn follow(past: u32, sources: &Sources) -> BoxStream<'static, Answer> {
    let timeline = sources.timeline.clone();
    let newest = timeline.newest();
    let past = timeline.after(newest.saturating_sub(past.into()));
    // Of a past that is longer than what is remembered nothing was missed.
    let last = past.first().map_or(newest, |oldest| oldest.number - 1);
    let follower = Follower {
        changes: timeline.changes(),
        timeline,
        views: sources.views.clone(),
        last,
        ready: VecDeque::new(),
    };
    stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        let next = follower.next().await;
        // After an error there is nothing to come.
        let rest = next.is_ok().then_some(follower);
        Some((next, rest))
    })
    .boxed()
}

impl Follower {
    async fn next(&mut self) -> Answer {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(ready);
            }
            // Marked as seen before it is read, so that what changes meanwhile is seen after.
            self.changes.mark_unchanged();
            self.take();
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                // Never an error: `timeline` holds the sending end.
                _ = self.changes.changed() => {}
                changed = self.views.changed() => changed.map_err(|_| Status::unavailable("the control plane stops"))?,
            }
        }
    }

    fn take(&mut self) {
        let entries = self.timeline.after(self.last);
        if let Some(first) = entries.first() {
            let missed = first.number - self.last - 1;
            if missed > 0 {
                self.ready.push_back(pb::WatchChangesResponse { change: None, missed });
            }
        }
        for entry in entries {
            self.last = entry.number;
            self.ready.push_back(pb::WatchChangesResponse { change: Some(to_change(entry)), missed: 0 });
        }
    }
}

fn to_change(entry: Entry) -> pb::Change {
    use pb::change::Kind as PbKind;
    let kind = match entry.kind {
        Kind::Container => PbKind::Container,
        Kind::Rotation => PbKind::Rotation,
        Kind::Weight => PbKind::Weight,
        Kind::Published => PbKind::Published,
        Kind::Acknowledged => PbKind::Acknowledged,
        Kind::Refused => PbKind::Refused,
        Kind::Client => PbKind::Client,
        Kind::Problem => PbKind::Problem,
        Kind::Solved => PbKind::Solved,
        Kind::Route => PbKind::Route,
    };
    pb::Change {
        number: entry.number,
        at: Some(entry.at.into()),
        kind: kind.into(),
        subject: entry.subject,
        text: entry.text,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use xds_server::Clients;

    use super::*;
    use crate::file;
    use crate::overrides::Overrides;
    use crate::provider::port;
    use crate::timeline::Recorder;

    fn sources(views: ViewReceiver) -> Sources {
        let (_, inventories, freshness) = port(Duration::ZERO);
        Sources {
            views,
            inventories,
            decisions: watch::channel(Overrides::default()).1,
            clients: Clients::default(),
            freshness,
            timeline: Timeline::default(),
        }
    }

    /// Sees a file of so many endpoints of one service.
    fn see(recorder: &mut Recorder, endpoints: std::ops::Range<u16>) {
        let endpoints: Vec<String> = endpoints.map(|port| format!("\"127.0.0.1:{}\"", port + 1)).collect();
        let text = format!("services: {{web: {{endpoints: [{}]}}}}", endpoints.join(", "));
        recorder.see_containers(&Arc::new(file::parse(&text).unwrap()), SystemTime::UNIX_EPOCH);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_are_told_as_they_come_the_past_first_and_what_was_missed_is_said() {
        let (view_tx, views) = watch::channel(None);
        let sources = sources(views);
        let mut recorder = Recorder::new(sources.timeline.clone());
        see(&mut recorder, 0..1);
        see(&mut recorder, 0..2);
        see(&mut recorder, 0..3);
        let (mut all, mut one, mut now) = (follow(9_999, &sources), follow(1, &sources), follow(0, &sources));
        let next = async |stream: &mut BoxStream<'static, Answer>| {
            let next = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
            let answer = next.ok()??.map_err(|status| status.code());
            Some(answer.map(|answer| match answer.change {
                Some(change) => format!("{} {} {}", change.number, change.subject, change.text),
                None => format!("missed {}", answer.missed),
            }))
        };
        for words in [
            "1 portolan sees 1 containers",
            "2 web-2 appeared, running and healthy",
            "3 web-3 appeared, running and healthy",
        ] {
            assert_eq!(next(&mut all).await, Some(Ok(words.to_owned())));
        }
        assert_eq!(next(&mut one).await, Some(Ok("3 web-3 appeared, running and healthy".to_owned())));
        assert_eq!(next(&mut now).await, None, "nothing happens");
        see(&mut recorder, 0..2);
        assert_eq!(next(&mut now).await, Some(Ok("4 web-3 is gone".to_owned())));
        see(&mut recorder, 0..900);
        assert_eq!(next(&mut now).await, Some(Ok("missed 398".to_owned())));
        assert!(next(&mut now).await.unwrap().unwrap().starts_with("403 web-"));
        drop(view_tx);
        let mut last = next(&mut one).await;
        while last.as_ref().is_some_and(Result::is_ok) {
            last = next(&mut one).await;
        }
        assert_eq!(last, Some(Err(tonic::Code::Unavailable)));
        assert_eq!(next(&mut one).await, None, "it is over");
    }
}
