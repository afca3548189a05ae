//! The JSON of old and new engines, from files: what was recorded from a real one, and what was written after the schema
//! (`testdata/README.md` says which is which).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::convert::{Container, container};
use super::event::{self, What};
use super::listed::{self, Listed};
use crate::inventory::{Health, Placement, State, Workload, WorkloadId};

const ENGINES: [&str; 4] =
    ["api-1.41-recorded", "api-1.45-recorded", "api-1.51-recorded", "api-1.52-after-the-schema"];
const RECORDED: [&str; 3] = [ENGINES[0], ENGINES[1], ENGINES[2]];

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

fn workload(engine: &str, name: &str) -> Workload {
    inspect(engine, name).unwrap().workload
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
    for engine in RECORDED {
        let before = workload(engine, "web-2");
        let stopped = workload(engine, "web-2-stopped");
        assert_eq!((stopped.state, networks(&stopped)[0].1.len()), (State::Stopped, 0), "{engine}");
        let after = list(engine, "list-stopped.json");
        assert!(!after[&before.id].agrees_with(&before), "{engine}");
        assert!(after[&before.id].agrees_with(&stopped), "{engine}");
        let paused = list(engine, "list-paused.json");
        assert!(!paused[&before.id].agrees_with(&before), "{engine}");
        let paused_workload = Workload { state: State::Paused, ..before };
        let listed = &paused[&paused_workload.id];
        assert!(listed.agrees_with(&paused_workload), "{engine}: the list tells no health meanwhile");
    }
}

#[test]
fn placements_are_told_apart() {
    for engine in RECORDED {
        assert_eq!(workload(engine, "hosted-1").placement, Placement::Host, "{engine}");
        let owner = workload(engine, "cache-1").id;
        assert_eq!(workload(engine, "side-1").placement, Placement::SharedWith(owner), "{engine}");
        assert!(networks(&workload(engine, "alone-1")).is_empty(), "{engine}");
        assert_eq!(networks(&workload(engine, "created")), [("harbour_front", vec![])], "{engine}");
        let six = workload(engine, "six-1");
        let [(network, both)] = &networks(&six)[..] else { panic!("{engine}: {six:?}") };
        assert_eq!((*network, both.len(), both[1].as_str()), ("harbour_dual", 2, "fd00:beef::2"), "{engine}");
        assert!(both[0].parse::<Ipv4Addr>().is_ok(), "{engine}: {both:?}");
    }
}

#[test]
fn the_stop_signal_is_the_container_s_own() {
    for engine in RECORDED {
        assert_eq!(inspect(engine, "cache-1").unwrap().stop_signal, "INT", "{engine}");
    }
}

#[test]
fn a_container_of_docker_compose_run_is_no_replica() {
    for engine in RECORDED {
        assert!(inspect(engine, "web-run").is_none(), "{engine}");
    }
}

#[test]
fn an_image_that_compose_built_makes_no_replica() {
    // `docker create` of such an image: it inherits the labels of the project and service that the image is of.
    for engine in RECORDED {
        let created = workload(engine, "created");
        assert!(text(engine, "inspect-created.json").contains("com.docker.compose.service"), "{engine}");
        assert_eq!((created.project, created.service), (None, None), "{engine}");
    }
}

#[test]
fn the_environment_never_gets_in() {
    for engine in ENGINES {
        assert!(text(engine, "inspect-web-1.json").contains("SECRET_TOKEN"));
        let container = inspect(engine, "web-1").unwrap();
        assert!(!format!("{container:?}").contains("SECRET_TOKEN"));
    }
}

/// What the events of a life mean, in order; repetitions and what means nothing left out. In which order a container leaves
/// its networks is chance.
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
    life.chunk_by_mut(|one, next| one.starts_with("leave") && next.starts_with("leave"))
        .for_each(<[String]>::sort);
    life
}

const START: [&str; 4] = ["look", "join", "look", "health(healthy)"];

/// How a container ends: Engine 20.10 tells of its death first, later ones that it leaves its networks.
fn end(engine: &str) -> [&'static str; 3] {
    let mut end = ["die", "leave harbour_app", "leave harbour_front"];
    if engine != RECORDED[0] {
        end.rotate_left(1);
    }
    end
}

#[test]
fn the_events_of_a_recorded_life_are_read() {
    for engine in RECORDED {
        let id = text(engine, "events.jsonl").lines().find_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            (value["Action"] == "start").then(|| value["Actor"]["ID"].as_str().unwrap().to_owned())
        });
        let middle =
            ["kill HUP", "pause", "unpause", "leave harbour_app", "join", "look", "kill TERM"].as_slice();
        let again = ["join", "look", "health(healthy)", "kill KILL"].as_slice();
        let end = end(engine);
        let whole = [&START, middle, &end, again, &end, &["destroy"]].concat();
        assert_eq!(life(engine, &id.unwrap()), whole, "{engine}");
    }
}

#[test]
fn the_events_of_a_newer_engine_are_read() {
    let engine = ENGINES[3];
    let id = workload(engine, "web-1").id;
    let middle = ["kill HUP", "pause", "unpause", "look", "kill TERM"].as_slice();
    assert_eq!(life(engine, &id.0), [&START, middle, &end(engine), &["destroy"]].concat());
}
