//! From the engine's answers to our own types. Every field of the API may be missing: what has no sensible default is
//! a named error, and only for the container it is about.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, EndpointSettings, HealthStatusEnum,
};

use serde::{Deserialize, Serialize};

use crate::inventory::{Attachment, Health, Placement, State, Workload, WorkloadId};

const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const NUMBER: &str = "com.docker.compose.container-number";
/// What Compose writes for itself begins so: a dozen labels a container, of which nothing but what is above is of use here.
const OF_COMPOSE: &str = "com.docker.compose.";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// How long the engine waits between the stop signal and SIGKILL where the container does not say.
const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A container, with what only this provider needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Container {
    pub(super) workload: Workload,
    /// The signal that asks it to stop, without `SIG`.
    pub(super) stop_signal: String,
    pub(super) stop_timeout: Duration,
    /// When it was started last, in nanoseconds since the Unix epoch by the engine's clock; 0 if never.
    pub(super) started_at: i64,
}

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the engine's answer on a container has no {0}")]
pub(super) struct Missing(&'static str);

/// Whether it is one of `docker compose run`: such a container is for one person, and no replica.
pub(super) fn is_one_off(labels: &HashMap<String, String>) -> bool {
    labels.get(ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// A container, from the answer to an inspect; nothing for the one-off containers of `docker compose run`.
pub(super) fn container(inspect: ContainerInspectResponse) -> Result<Option<Container>, Missing> {
    let id = WorkloadId(inspect.id.ok_or(Missing("id"))?.into());
    let config = inspect.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    if is_one_off(&labels) {
        return Ok(None);
    }
    let host = inspect.host_config.unwrap_or_default();
    let state = inspect.state.unwrap_or_default();
    let networks = inspect.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let name = inspect.name.ok_or(Missing("name"))?;
    // An image that Compose built is labelled with a project and a service too; that makes no container a replica.
    let of_compose = |label: &str| labels.get(label).filter(|_| labels.contains_key(NUMBER)).cloned();
    let stop_timeout = config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok());
    Ok(Some(Container {
        workload: Workload {
            id,
            name: name.trim_start_matches('/').to_owned(),
            project: of_compose(PROJECT),
            service: of_compose(SERVICE),
            number: labels.get(NUMBER).and_then(|number| number.parse().ok()),
            labels: labels.into_iter().filter(|(label, _)| !label.starts_with(OF_COMPOSE)).collect(),
            placement: placement(host.network_mode.as_deref().unwrap_or_default(), &networks),
            exposed_ports: config
                .exposed_ports
                .unwrap_or_default()
                .iter()
                .filter_map(|port| tcp(port))
                .collect(),
            state: life(&state),
            health: health(&state),
            created: nanoseconds(inspect.created.as_deref()) / 1_000_000_000,
        },
        stop_signal: signal_name(config.stop_signal.as_deref().unwrap_or("TERM")),
        stop_timeout: stop_timeout.map_or(DEFAULT_STOP_TIMEOUT, Duration::from_secs),
        started_at: nanoseconds(state.started_at.as_deref()),
    }))
}

/// `8080/tcp`, or `8080`.
fn tcp(port: &str) -> Option<u16> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    (protocol == "tcp").then(|| number.parse().ok()).flatten()
}

fn placement(mode: &str, networks: &HashMap<String, EndpointSettings>) -> Placement {
    if mode == "host" {
        return Placement::Host;
    }
    if let Some(owner) = mode.strip_prefix("container:") {
        return Placement::SharedWith(WorkloadId(owner.into()));
    }
    Placement::Networks(attachments(networks))
}

/// The networks a container is on, in order of their names.
pub(super) fn attachments<'a>(
    networks: impl IntoIterator<Item = (&'a String, &'a EndpointSettings)>,
) -> Vec<Attachment> {
    let mut attachments: Vec<Attachment> = networks
        .into_iter()
        .filter(|(name, _)| *name != "none")
        .map(|(network, on)| Attachment { network: network.clone(), addresses: addresses(on) })
        .collect();
    attachments.sort();
    attachments.shrink_to_fit();
    attachments
}

fn addresses(on: &EndpointSettings) -> Vec<IpAddr> {
    let both = [on.ip_address.as_deref(), on.global_ipv6_address.as_deref()];
    let mut addresses: Vec<IpAddr> =
        both.into_iter().flatten().filter_map(|address| address.parse().ok()).collect();
    // Most have one, and an iterator of unknown length makes room for four.
    addresses.shrink_to_fit();
    addresses
}

fn life(state: &ContainerState) -> State {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => State::Created,
        Some(Status::PAUSED) => State::Paused,
        Some(Status::RUNNING) => State::Running,
        Some(Status::STOPPING) => State::Stopping,
        // Between two lives: it comes back with a start event.
        Some(Status::RESTARTING | Status::REMOVING | Status::EXITED | Status::DEAD) => State::Stopped,
        Some(Status::EMPTY) | None if state.paused == Some(true) => State::Paused,
        Some(Status::EMPTY) | None if state.running == Some(true) => State::Running,
        Some(Status::EMPTY) | None => State::Stopped,
    }
}

fn health(state: &ContainerState) -> Health {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::None,
    }
}

/// `SIGTERM`, `term` and `15` are one signal.
pub(super) fn signal_name(signal: &str) -> String {
    let name = signal.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    match name {
        "1" => "HUP",
        "2" => "INT",
        "3" => "QUIT",
        "9" => "KILL",
        "10" => "USR1",
        "12" => "USR2",
        "15" => "TERM",
        other => other,
    }
    .to_owned()
}

/// Nanoseconds since the Unix epoch; 0 for no time, and for the year 1 that the engine writes for "never".
fn nanoseconds(time: Option<&str>) -> i64 {
    time.and_then(|time| humantime::parse_rfc3339_weak(&in_utc(time)).ok())
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// The engine writes UTC as `Z`; its list of older versions as `+00:00`.
fn in_utc(time: &str) -> String {
    time.strip_suffix("+00:00").map_or_else(|| time.to_owned(), |time| format!("{time}Z"))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What an engine says of a running container; the fields are those of API 1.41 and of 1.51.
    pub(in super::super) fn inspected(id: &str, change: impl FnOnce(&mut Value)) -> ContainerInspectResponse {
        let mut value = json!({
            "Id": id,
            "Created": "2026-11-24T13:18:46.123456789Z",
            "Name": format!("/shop-{id}-1"),
            "State": {
                "Status": "running", "Running": true, "Paused": false, "Restarting": false, "Dead": false,
                "StartedAt": "2026-11-24T13:18:47.5Z", "FinishedAt": "0001-01-01T00:00:00Z",
                "Health": {"Status": "healthy", "FailingStreak": 0, "Log": []}
            },
            "HostConfig": {"NetworkMode": "shop_frontends"},
            "Config": {
                "ExposedPorts": {"8080/tcp": {}, "53/udp": {}},
                "StopSignal": "SIGQUIT",
                "StopTimeout": 30,
                "Labels": {
                    "com.docker.compose.project": "shop",
                    "com.docker.compose.service": "frontend",
                    "com.docker.compose.container-number": "1",
                    "portolan.host": "shop.localhost"
                }
            },
            "NetworkSettings": {"Networks": {
                "shop_frontends": {"IPAddress": "172.20.0.3", "GlobalIPv6Address": "fd00::3"},
                "shop_app": {"IPAddress": "172.21.0.3", "GlobalIPv6Address": ""}
            }}
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn read(inspect: ContainerInspectResponse) -> Container {
        container(inspect).unwrap().unwrap()
    }

    #[test]
    fn a_running_container_is_read_in_full() {
        let container = read(inspected("a", |_| ()));
        let workload = &container.workload;
        assert_eq!(workload.name, "shop-a-1");
        assert_eq!(
            (workload.project.as_deref(), workload.service.as_deref()),
            (Some("shop"), Some("frontend"))
        );
        assert_eq!(workload.number, Some(1));
        assert_eq!((workload.state, workload.health), (State::Running, Health::Healthy));
        assert_eq!(workload.exposed_ports.iter().copied().collect::<Vec<_>>(), [8080]);
        assert_eq!(workload.created, 1_795_526_326);
        let Placement::Networks(on) = &workload.placement else { panic!("{workload:?}") };
        assert_eq!(on[0].network, "shop_app");
        assert_eq!(on[1].addresses, ["172.20.0.3".parse::<IpAddr>().unwrap(), "fd00::3".parse().unwrap()]);
        assert_eq!((container.stop_signal.as_str(), container.stop_timeout.as_secs()), ("QUIT", 30));
        assert_eq!(container.started_at, 1_795_526_327_500_000_000);
    }

    #[test]
    fn network_modes_are_told_apart() {
        let host = inspected("a", |value| value["HostConfig"]["NetworkMode"] = json!("host"));
        assert_eq!(read(host).workload.placement, Placement::Host);
        let shared = inspected("a", |value| value["HostConfig"]["NetworkMode"] = json!("container:b"));
        let shared = read(shared).workload.placement;
        assert_eq!(shared, Placement::SharedWith(WorkloadId("b".into())));
    }

    #[test]
    fn an_almost_empty_answer_has_defaults_and_an_empty_one_is_named() {
        let bare: ContainerInspectResponse =
            serde_json::from_value(json!({"Id": "a", "Name": "/x"})).unwrap();
        let bare = read(bare);
        assert_eq!((bare.workload.state, bare.workload.health), (State::Stopped, Health::None));
        assert_eq!((bare.stop_signal.as_str(), bare.started_at), ("TERM", 0));
        let none: ContainerInspectResponse = serde_json::from_value(json!({})).unwrap();
        assert!(container(none).unwrap_err().to_string().contains("id"));
    }

    #[test]
    fn a_signal_has_one_name() {
        for name in ["SIGTERM", "term", "15", "TERM"] {
            assert_eq!(signal_name(name), "TERM");
        }
        assert_eq!(signal_name("SIGRTMIN+3"), "RTMIN+3");
    }
}
