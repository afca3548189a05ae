//! What an engine tells its listeners, and which listener wants what.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use super::container::Container;

/// One event, encoded once for all who listen.
#[derive(Debug, Clone)]
pub(super) struct Event {
    kind: &'static str,
    action: String,
    /// Seconds since the Unix epoch.
    pub(super) at: u64,
    pub(super) line: Bytes,
}

impl Event {
    pub(super) fn of_container(container: &Container, action: &str, more: &[(&str, String)]) -> Self {
        let mut attributes = json!({
            "com.docker.compose.project": container.project,
            "com.docker.compose.service": container.service,
            "image": "portolan-frontend",
            "name": container.name(),
        });
        for (key, value) in more {
            attributes[key] = json!(value);
        }
        Self::new("container", action, &container.id, &attributes)
    }

    pub(super) fn of_network(container: &Container, action: &str) -> Self {
        let attributes = json!({"container": container.id, "name": container.network, "type": "bridge"});
        Self::new("network", action, &format!("{:064x}", 1), &attributes)
    }

    fn new(kind: &'static str, action: &str, id: &str, attributes: &Value) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let message = json!({
            "Type": kind, "Action": action, "Actor": {"ID": id, "Attributes": attributes}, "scope": "local",
            "time": now.as_secs(), "timeNano": u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        });
        let line = Bytes::from(format!("{message}\n"));
        Self { kind, action: action.to_owned(), at: now.as_secs(), line }
    }
}

/// What a listener asked for: `filters={"type":["container"],"event":["start","health_status"]}`.
#[derive(Debug, Default)]
pub(super) struct Filter {
    kinds: Vec<String>,
    actions: Vec<String>,
}

impl Filter {
    /// Reads the parameter, in the form of a list of values a key, or of a map of values a key (older clients).
    pub(super) fn parse(text: &str) -> serde_json::Result<Self> {
        let mut fields: HashMap<String, Value> = serde_json::from_str(text)?;
        let mut values = |field: &str| match fields.remove(field) {
            Some(Value::Array(values)) => {
                values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
            }
            Some(Value::Object(values)) => values.into_iter().map(|(value, _)| value).collect(),
            _ => Vec::new(),
        };
        Ok(Self { kinds: values("type"), actions: values("event") })
    }

    /// Whether the daemon would send it. Once one of three actions with a colon is asked for, every action is matched by
    /// its beginning; else by the whole of it.
    pub(super) fn wants(&self, event: &Event) -> bool {
        let by_beginning = ["health_status", "exec_create", "exec_start"]
            .iter()
            .any(|word| self.actions.iter().any(|a| a == word));
        let named = self.actions.iter().any(|action| {
            if by_beginning { event.action.starts_with(action.as_str()) } else { event.action == *action }
        });
        (self.actions.is_empty() || named)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == event.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(filter: &str, action: &str) -> bool {
        let container = Container::new(1, "shop", "web", 1);
        Filter::parse(filter).unwrap().wants(&Event::of_container(&container, action, &[]))
    }

    #[test]
    fn a_filter_with_health_status_matches_beginnings_and_no_probe() {
        let filter = r#"{"type":["container"],"event":["start","health_status"]}"#;
        assert!(wants(filter, "health_status: healthy"));
        assert!(wants(filter, "start"));
        assert!(!wants(filter, "exec_start: /bin/true"));
        assert!(!wants(filter, "die"));
    }

    #[test]
    fn another_filter_matches_the_whole_action_and_none_matches_all() {
        assert!(!wants(r#"{"event":{"health":true}}"#, "health_status: healthy"));
        assert!(!wants(r#"{"type":["network"]}"#, "start"));
        assert!(wants("{}", "exec_die"));
    }
}
