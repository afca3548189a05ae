//! What the engine's events mean.

use bollard::models::{EventMessage, EventMessageTypeEnum};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::inventory::{Health, WorkloadId};

use super::convert::signal_name;

/// The events to ask the engine for: every health probe emits three exec events that nobody needs.
pub(super) const ACTIONS: [&str; 13] = [
    "start",
    "die",
    "kill",
    "stop",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "health_status",
    "connect",
    "disconnect",
    "create",
];

/// An event, and when it came in.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) event: Event,
    pub(super) at: Instant,
}

/// An event about one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(super) id: WorkloadId,
    /// When, in nanoseconds since the Unix epoch by the engine's clock.
    pub(super) at: i64,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// A signal was delivered, any signal: by its name, without `SIG`.
    Kill(String),
    /// The process ended.
    Die,
    /// The container is gone.
    Destroy,
    /// Its processes are frozen.
    Pause,
    /// Its processes go on.
    Unpause,
    /// Its health check changed its mind.
    Health(Health),
    /// It joined a network; its address there is not told.
    Join,
    /// It left the network of this name, by itself or because it ended.
    Leave(String),
    /// Something that only a look at the container can tell.
    Look,
}

impl What {
    /// It in a few words, for a person.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Kill(signal) => format!("it was sent {signal}"),
            Self::Die => "it ended".to_owned(),
            Self::Destroy => "it was removed".to_owned(),
            Self::Pause => "it was paused".to_owned(),
            Self::Unpause => "it goes on".to_owned(),
            Self::Health(health) => format!("its health is {health:?}").to_lowercase(),
            Self::Join => "it joined a network".to_owned(),
            Self::Leave(network) => format!("it left {network}"),
            Self::Look => "it was created, started, renamed or updated".to_owned(),
        }
    }
}

/// The meaning of a message, or nothing where it is not about a container or not of interest.
pub(super) fn read(message: &EventMessage) -> Option<Event> {
    let actor = message.actor.as_ref()?;
    let attribute = |key: &str| actor.attributes.as_ref().and_then(|attributes| attributes.get(key)).cloned();
    let action = message.action.as_deref()?;
    let (id, what) = match message.typ? {
        EventMessageTypeEnum::NETWORK => (attribute("container")?, of_network(action, attribute("name")?)?),
        EventMessageTypeEnum::CONTAINER => (actor.id.clone()?, of_container(action, &attribute)?),
        _ => return None,
    };
    Some(Event { id: WorkloadId(id.into()), at: message.time_nano.unwrap_or(i64::MAX), what })
}

fn of_network(action: &str, network: String) -> Option<What> {
    match action {
        "connect" => Some(What::Join),
        "disconnect" => Some(What::Leave(network)),
        _ => None,
    }
}

fn of_container(action: &str, attribute: &dyn Fn(&str) -> Option<String>) -> Option<What> {
    // `health_status: healthy`
    if let Some(status) = action.strip_prefix("health_status") {
        return Some(match status.trim_start_matches([':', ' ']) {
            "healthy" => What::Health(Health::Healthy),
            "unhealthy" => What::Health(Health::Unhealthy),
            "starting" => What::Health(Health::Starting),
            _ => What::Look,
        });
    }
    Some(match action {
        "kill" => What::Kill(signal_name(&attribute("signal").unwrap_or_default())),
        "die" => What::Die,
        "destroy" => What::Destroy,
        "pause" => What::Pause,
        "unpause" => What::Unpause,
        "create" | "start" | "rename" | "update" => What::Look,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn message(value: &Value) -> EventMessage {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn of(action: &str, attributes: &Value) -> Option<What> {
        let value = json!({"Type": "container", "Action": action, "Actor": {"ID": "a", "Attributes": attributes}, "timeNano": 7});
        read(&message(&value)).map(|event| event.what)
    }

    #[test]
    fn actions_have_their_meaning() {
        assert_eq!(of("kill", &json!({"signal": "15"})), Some(What::Kill("TERM".into())));
        assert_eq!(of("kill", &json!({"signal": "1"})), Some(What::Kill("HUP".into())));
        assert_eq!(of("die", &json!({})), Some(What::Die));
        assert_eq!(of("start", &json!({})), Some(What::Look));
        assert_eq!(of("health_status: healthy", &json!({})), Some(What::Health(Health::Healthy)));
        assert_eq!(of("health_status: unhealthy", &json!({})), Some(What::Health(Health::Unhealthy)));
        assert_eq!(of("exec_create: /bin/true", &json!({})), None);
        assert_eq!(of("stop", &json!({})), None);
    }

    #[test]
    fn a_network_event_is_about_its_container() {
        for (action, what) in [("connect", What::Join), ("disconnect", What::Leave("shop_app".into()))] {
            let attributes = json!({"container": "c", "name": "shop_app", "type": "bridge"});
            let value = json!({"Type": "network", "Action": action, "Actor": {"ID": "net", "Attributes": attributes}});
            let event = read(&message(&value)).unwrap();
            assert_eq!((event.id, event.what), (WorkloadId("c".into()), what));
        }
    }

    #[test]
    fn a_message_with_holes_is_passed_over() {
        for value in [
            json!({}),
            json!({"Type": "container"}),
            json!({"Type": "container", "Action": "die", "Actor": {}}),
        ] {
            assert_eq!(read(&message(&value)), None);
        }
    }
}
