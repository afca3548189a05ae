//! The JSON of old and new engines, from files: what was recorded from a real one, and what was written after the schema
//! (`testdata/README.md` says which is which).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::convert::{Container, container};
use super::event::{self, What};
use super::listed::{self, Listed};
use crate::inventory::{Health, Placement, State, Workload, WorkloadId};

const ENGINES: [&str; 3] = ["api-1.41-recorded", "api-1.47-after-the-schema", "api-1.52-after-the-schema"];
const RECORDED: &str = ENGINES[0];

fn path(engine: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docker/testdata").join(engine).join(file)
}

fn text(engine: &str, file: &str) -> String {
    let path = path(engine, file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json<T: DeserializeOwned>(engine: &str, file: &str) -> T {
    serde_json::from_str(&text(engine, file)).unwrap_or_else(|error| panic!("{engine}/{file}: {error}"))
}

fn list(engine: &str, file: &str) -> BTreeMap<WorkloadId, Listed> {
    let list: Vec<bollard::models::ContainerSummary> = json(engine, file);
    list.iter().filter_map(listed::read).collect()
}

fn inspect(engine: &str, name: &str) -> Option<Container> {
    container(json(engine, &format!("inspect-{name}.json"))).unwrap()
}

fn workload(name: &str) -> Workload {
    inspect(RECORDED, name).unwrap().workload
}

/// Network and addresses, in order.
fn networks(workload: &Workload) -> Vec<(&str, Vec<String>)> {
    let Placement::Networks(on) = &workload.placement else { panic!("{workload:?}") };
    on.iter()
        .map(|on| (on.network.as_str(), on.addresses.iter().map(ToString::to_string).collect()))
        .collect()
}

#[test]
fn every_engine_says_what_it_is() {
    for engine in ENGINES {
        let version: bollard::models::SystemVersion = json(engine, "version.json");
        let api = version.api_version.unwrap();
        assert!(engine.contains(&api), "{engine} says {api}");
    }
}

#[test]
fn a_replica_is_read_alike_from_every_engine() {
    for engine in ENGINES {
        let Container { workload, stop_signal, stop_timeout, started_at } = inspect(engine, "web-1").unwrap();
        assert_eq!(workload.name, "harbour-web-1", "{engine}");
        assert_eq!(
            (workload.project.as_deref(), workload.service.as_deref()),
            (Some("harbour"), Some("web"))
        );
        assert_eq!(
            (workload.number, workload.state, workload.health),
            (Some(1), State::Running, Health::Healthy)
        );
        assert_eq!(workload.exposed_ports.iter().collect::<Vec<_>>(), [&8080], "{engine}");
        assert_eq!(workload.labels["portolan.host"], "web.localhost");
        let names: Vec<_> =
            networks(&workload).iter().map(|(name, on)| ((*name).to_owned(), on.len())).collect();
        assert_eq!(names, [("harbour_app".to_owned(), 1), ("harbour_front".to_owned(), 1)], "{engine}");
        assert_eq!((stop_signal.as_str(), stop_timeout.as_secs()), ("TERM", 15));
        assert!(started_at > 0 && workload.created > 0);
    }
}

#[test]
fn the_list_of_every_engine_agrees_with_its_inspects() {
    for engine in ENGINES {
        let list = list(engine, "list.json");
        let folder = std::fs::read_dir(path(engine, "")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut compared = 0;
        for name in names.filter(|name| name.starts_with("inspect-") && !name.contains("stopped")) {
            let Some(Container { workload, .. }) = container(json(engine, &name)).unwrap() else { continue };
            assert!(list[&workload.id].agrees_with(&workload), "{engine}/{name}: {:?}", list[&workload.id]);
            compared += 1;
        }
        assert_eq!(compared, list.len(), "{engine}: every container that counts, and no other");
    }
}

#[test]
fn a_stop_and_a_pause_show_in_the_list() {
    let before = workload("web-2");
    let stopped = inspect(RECORDED, "web-2-stopped").unwrap().workload;
    assert_eq!((stopped.state, networks(&stopped)[0].1.len()), (State::Stopped, 0));
    let after = list(RECORDED, "list-stopped.json");
    assert!(!after[&before.id].agrees_with(&before));
    assert!(after[&before.id].agrees_with(&stopped));
    let paused = list(RECORDED, "list-paused.json");
    assert!(!paused[&before.id].agrees_with(&before));
    let paused_workload = Workload { state: State::Paused, ..before };
    assert!(paused[&paused_workload.id].agrees_with(&paused_workload), "the list tells no health meanwhile");
}

#[test]
fn placements_are_told_apart() {
    assert_eq!(workload("hosted-1").placement, Placement::Host);
    assert_eq!(workload("side-1").placement, Placement::SharedWith(workload("cache-1").id));
    assert!(networks(&workload("alone-1")).is_empty());
    assert_eq!(networks(&workload("created")), [("harbour_front", vec![])]);
    let both = vec!["192.168.32.2".to_owned(), "fd00:beef::2".to_owned()];
    assert_eq!(networks(&workload("six-1")), [("harbour_dual", both)]);
}

#[test]
fn the_stop_signal_is_the_container_s_own() {
    assert_eq!(inspect(RECORDED, "cache-1").unwrap().stop_signal, "INT");
}

#[test]
fn a_container_of_docker_compose_run_is_no_replica() {
    assert!(inspect(RECORDED, "web-run").is_none());
}

#[test]
fn an_image_that_compose_built_makes_no_replica() {
    // `docker create` of such an image: it inherits the labels of the project and service that the image is of.
    let created = workload("created");
    assert!(text(RECORDED, "inspect-created.json").contains("com.docker.compose.service"));
    assert_eq!((created.project, created.service), (None, None));
}

#[test]
fn the_environment_never_gets_in() {
    for engine in ENGINES {
        assert!(text(engine, "inspect-web-1.json").contains("SECRET_TOKEN"));
        let container = inspect(engine, "web-1").unwrap();
        assert!(!format!("{container:?}").contains("SECRET_TOKEN"));
    }
}

/// What the events of a life mean, in order; repetitions and what means nothing left out.
fn life(engine: &str, id: &str) -> Vec<String> {
    let text = text(engine, "events.jsonl");
    let messages = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let events = messages.filter_map(|message| event::read(&message)).filter(|event| *event.id.0 == *id);
    let mut life: Vec<String> = events
        .inspect(|event| assert!(event.at > 0 && event.at < i64::MAX))
        .map(|event| match event.what {
            What::Kill(signal) => format!("kill {signal}"),
            What::Leave(network) => format!("leave {network}"),
            other => format!("{other:?}").to_lowercase(),
        })
        .collect();
    life.dedup();
    life
}

#[test]
fn the_events_of_a_recorded_life_are_read() {
    let id = text(RECORDED, "events.jsonl").lines().find_map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        (value["Action"] == "start").then(|| value["Actor"]["ID"].as_str().unwrap().to_owned())
    });
    assert_eq!(
        life(RECORDED, &id.unwrap()),
        [
            "look",
            "join",
            "look",
            "health(healthy)",
            "kill HUP",
            "pause",
            "unpause",
            "leave harbour_app",
            "join",
            "look",
            "kill TERM",
            "die",
            "leave harbour_app",
            "leave harbour_front",
            "join",
            "look",
            "health(healthy)",
            "kill KILL",
            "die",
            "leave harbour_app",
            "leave harbour_front",
            "destroy",
        ]
    );
}

#[test]
fn the_events_of_newer_engines_are_read() {
    for engine in &ENGINES[1..] {
        let id = inspect(engine, "web-1").unwrap().workload.id;
        assert_eq!(
            life(engine, &id.0),
            [
                "look",
                "join",
                "look",
                "health(healthy)",
                "kill HUP",
                "pause",
                "unpause",
                "look",
                "kill TERM",
                "die",
                "leave harbour_app",
                "leave harbour_front",
                "destroy",
            ],
            "{engine}"
        );
    }
}
