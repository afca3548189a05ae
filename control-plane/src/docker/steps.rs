//! What the engine said, step by step, as it was taken in: what a recording of it holds, and how that is played again.
//!
//! These are the watcher's own types and not the engine's JSON: what nobody asks for, such as the environment of a container, its
//! command and its mounts, never got this far.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::inventory::{Workload, WorkloadId};
use crate::provider::Outlet;
use crate::recording::{Hide, Recorder};

use super::convert::Container;
use super::event::{Event, Heard};
use super::listed::Listed;
use super::looks::Answer;
use super::watcher::round::{Follower, Known};

/// What the list of all containers says.
pub(super) type List = BTreeMap<WorkloadId, Listed>;

/// What an engine says of itself when it is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// Of the engine.
    pub(super) engine: Option<String>,
    /// The newest version of the API that it speaks.
    pub(super) api: Option<String>,
    /// The one that is spoken with it.
    pub(super) agreed: String,
}

/// One thing that was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// A new connection.
    Connected(Version),
    /// A list was asked for.
    Listing,
    /// It came.
    Listed(List),
    /// It came, and says what the last one over this connection said.
    ListedAsBefore,
    /// An event came.
    Event(Event),
    /// A look at a container was answered: nothing where it is gone.
    Look {
        /// The container.
        id: WorkloadId,
        /// What it shows.
        shows: Option<Container>,
    },
    /// A time had come for which the watcher waited.
    Due,
    /// The connection ended.
    Lost,
}

impl Step {
    /// The answer to a look, without what `hide` takes out.
    pub(super) fn look(id: &WorkloadId, shows: Option<&Container>, hide: &Hide) -> Self {
        let shows = shows.map(|container| Container {
            workload: hide.workload(&container.workload),
            stop_signal: container.stop_signal.clone(),
            ..*container
        });
        Self::Look { id: id.clone(), shows }
    }

    /// It in a few words, for a person.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Connected(version) => format!(
                "connected to engine {}, API {}",
                version.engine.as_deref().unwrap_or("unknown"),
                version.agreed
            ),
            Self::Listing => "a list is asked for".to_owned(),
            Self::Listed(list) => format!("the list: {} containers", list.len()),
            Self::ListedAsBefore => "the list: as before".to_owned(),
            Self::Event(event) => format!("event of {}: {}", short(&event.id), event.what.told()),
            Self::Look { id, shows: None } => format!("container {}: gone", short(id)),
            Self::Look { id, shows: Some(Container { workload, .. }) } => {
                let Workload { name, state, health, .. } = workload;
                format!("container {} {name}: {state:?}, health {health:?}", short(id)).to_lowercase()
            }
            Self::Due => "a time had come".to_owned(),
            Self::Lost => "the connection is lost".to_owned(),
        }
    }
}

/// As much of an id as Docker prints.
fn short(id: &WorkloadId) -> &str {
    id.0.get(..12).unwrap_or(&id.0)
}

/// Asks no engine: what it would say is in the recording.
type Look = fn(WorkloadId) -> BoxFuture<'static, Answer>;

/// Plays what was recorded: the same watcher, with the answers and the times that it had.
pub(crate) struct Player {
    outlet: Outlet,
    known: Known,
    follower: Option<Follower<'static, Look>>,
    list: Option<List>,
    /// Whether what was taken in last is still to be published. Nothing is of a step that leads to the end of the connection.
    is_owing: bool,
}

impl Player {
    /// One that publishes on `outlet`.
    pub(crate) fn new(outlet: Outlet) -> Self {
        Self { outlet, known: Known::default(), follower: None, list: None, is_owing: false }
    }

    /// Takes in the next step, at the time at which it was taken in.
    ///
    /// # Errors
    ///
    /// The watcher of this version would not have come to this step.
    pub(crate) fn play(&mut self, step: Step, now: Instant) -> anyhow::Result<()> {
        if !matches!(step, Step::Lost) {
            self.settle();
        }
        self.is_owing = false;
        let follower = match step {
            Step::Connected(_) => {
                let known = self
                    .follower
                    .take()
                    .map_or_else(|| std::mem::take(&mut self.known), Follower::into_known);
                let look: Look = |_| futures::future::pending().boxed();
                self.list = None;
                self.follower = Some(Follower::new(look, known, self.outlet.clone(), Recorder::default()));
                return Ok(());
            }
            Step::Lost => {
                self.known = self.follower.take().map(Follower::into_known).unwrap_or_default();
                return Ok(());
            }
            _ => self.follower.as_mut(),
        };
        let Some(follower) = follower else { bail!("there is no connection over which it could have come") };
        match step {
            Step::Listing => follower.begin(now),
            Step::Listed(list) => {
                follower.compare(&list, now);
                self.list = Some(list);
            }
            Step::ListedAsBefore => {
                let Some(list) = &self.list else { bail!("there is no list before it") };
                follower.compare(list, now);
            }
            Step::Event(event) => follower.hear(&Heard { event, at: now }, now),
            Step::Look { id, shows } => {
                ensure!(follower.looks.is_under_way(&id), "this version would not have looked at {}", id.0);
                let seen = follower.looks.answered(id, Ok(shows));
                follower.see(seen, now)?;
            }
            // What it finds out is that the connection is no good; then the recording says that it was lost.
            Step::Due => drop(follower.do_what_is_due(now)),
            Step::Connected(_) | Step::Lost => {}
        }
        self.is_owing = true;
        Ok(())
    }

    /// Publishes what the last step led to.
    pub(crate) fn settle(&mut self) {
        if let Some(follower) = self.follower.as_mut().filter(|_| self.is_owing) {
            follower.settle();
        }
        self.is_owing = false;
    }
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player").field("known", &self.known).finish_non_exhaustive()
    }
}
