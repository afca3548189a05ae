//! What the list of all containers says of each: enough to see that what is known of it still holds.

use bollard::models::{ContainerSummary, ContainerSummaryHealthStatusEnum, ContainerSummaryStateEnum};

use serde::{Deserialize, Serialize};

use crate::inventory::{Attachment, Health, Placement, State, Workload, WorkloadId};

use super::convert::{attachments, is_one_off};

/// One container in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    names: Vec<String>,
    state: State,
    /// Nothing where the list does not tell, as for a container that is paused or stopped.
    health: Option<Health>,
    attachments: Vec<Attachment>,
}

/// A container in the list, with its id; nothing for the one-off containers of `docker compose run`.
pub(super) fn read(summary: &ContainerSummary) -> Option<(WorkloadId, Listed)> {
    let id = summary.id.clone()?;
    if summary.labels.as_ref().is_some_and(is_one_off) {
        return None;
    }
    let networks = summary.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let state = state(summary.state);
    let listed = Listed {
        names: summary.names.clone().unwrap_or_default(),
        state,
        health: health(summary).filter(|_| state == State::Running),
        attachments: attachments(networks.into_iter().flatten()),
    };
    Some((WorkloadId(id.into()), listed))
}

fn state(state: Option<ContainerSummaryStateEnum>) -> State {
    use ContainerSummaryStateEnum as Word;
    match state {
        Some(Word::CREATED) => State::Created,
        Some(Word::RUNNING) => State::Running,
        Some(Word::PAUSED) => State::Paused,
        Some(Word::STOPPING) => State::Stopping,
        Some(Word::RESTARTING | Word::EXITED | Word::REMOVING | Word::DEAD | Word::EMPTY) | None => {
            State::Stopped
        }
    }
}

/// In a field of its own since API 1.52; before, in brackets at the end of the status: `Up 3 minutes (healthy)`.
fn health(summary: &ContainerSummary) -> Option<Health> {
    use ContainerSummaryHealthStatusEnum as Word;
    if let Some(word) = summary.health.as_ref().and_then(|health| health.status) {
        return Some(match word {
            Word::NONE | Word::EMPTY => Health::None,
            Word::STARTING => Health::Starting,
            Word::HEALTHY => Health::Healthy,
            Word::UNHEALTHY => Health::Unhealthy,
        });
    }
    let status = summary.status.as_deref()?;
    let marks = [
        ("(healthy)", Health::Healthy),
        ("(unhealthy)", Health::Unhealthy),
        ("(health: starting)", Health::Starting),
    ];
    let told = marks.into_iter().find(|(mark, _)| status.ends_with(mark));
    Some(told.map_or(Health::None, |(_, health)| health))
}

impl Listed {
    /// Whether what is known of a container is what the list says of it. One that was told to stop never agrees: only a
    /// look tells whether it is in the same life still.
    pub(super) fn agrees_with(&self, known: &Workload) -> bool {
        let named = self.names.iter().any(|name| name.trim_start_matches('/') == known.name);
        let placed = match &known.placement {
            // It has no address anywhere, and is looked at when it starts.
            Placement::Networks(_) if matches!(self.state, State::Created | State::Stopped) => true,
            Placement::Networks(attachments) => *attachments == self.attachments,
            // Where it is does not change in its life.
            Placement::Host | Placement::SharedWith(_) | Placement::Direct(_) => true,
        };
        named
            && placed
            && self.state == known.state
            && self.state != State::Stopping
            && self.health.is_none_or(|health| health == known.health)
    }
}
