use std::sync::Arc;
use std::time::{Duration, SystemTime};

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use xds_server::{Resource, Snapshot};

use super::*;
use crate::file;
use crate::model::{self, Options};
use crate::progress::tests::progress;

const TWO: &str =
    r#"services: {web: {labels: {portolan.host: web.localhost}, endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}}"#;
const ONE: &str = r#"services: {web: {labels: {portolan.host: web.localhost}, endpoints: ["127.0.0.1:1"]}}"#;
const WRONG: &str = r#"services: {web: {labels: {portolan.host: web.localhost, portolan.paht: /x}, endpoints: ["127.0.0.1:1"]}}"#;

/// What a recorder writes that sees these services files one after another; of the last one.
fn after(files: &[&str]) -> Vec<String> {
    let timeline = Timeline::default();
    let mut recorder = Recorder::new(timeline.clone());
    let options = Options {
        label_prefix: "portolan".to_owned(),
        reserved_host: "d".to_owned(),
        policies: Default::default(),
    };
    let mut last: Option<Arc<View>> = None;
    let mut before = 0;
    for text in files {
        before = timeline.entries().len();
        let inventory = Arc::new(file::parse(text).unwrap());
        let model = model::build(&inventory, &options, last.as_ref().map(|view| &view.model));
        let view = Arc::new(View::of(model, Snapshot::default()));
        recorder.see_containers(&inventory, SystemTime::UNIX_EPOCH);
        recorder.see_view(&view, SystemTime::UNIX_EPOCH);
        last = Some(view);
    }
    let mut entries = timeline.entries();
    entries.reverse();
    let said = entries.iter().skip(before);
    said.map(|entry| format!("{}: {} {}", entry.kind, entry.subject, entry.text)).collect()
}

#[test]
fn a_container_that_comes_or_goes_is_told_with_its_place_in_the_rotation() {
    assert_eq!(
        after(&[ONE, TWO]),
        [
            "container: web-2 appeared, running and healthy",
            "rotation: web-2 is in rotation of web at 127.0.0.1:2"
        ]
    );
    assert_eq!(after(&[TWO, ONE]), ["container: web-2 is gone", "rotation: web-2 left the rotation of web"]);
    assert!(after(&[TWO, TWO]).is_empty(), "nothing changed");
}

#[test]
fn a_change_of_health_is_told() {
    let ill = ONE.replace("\"127.0.0.1:1\"", "{address: \"127.0.0.1:1\", health: unhealthy}");
    assert_eq!(
        after(&[ONE, &ill]),
        ["container: web-1 is running and unhealthy", "rotation: web-1 left the rotation of web"]
    );
}

#[test]
fn a_problem_is_told_when_it_comes_and_when_it_is_solved() {
    let came = after(&[ONE, WRONG]);
    assert!(came.contains(&"problem: web-1 has a problem: there is no key \"paht\"".to_owned()), "{came:?}");
    let solved = after(&[WRONG, ONE]);
    assert!(solved.iter().any(|entry| entry.starts_with("solved: web-1")), "{solved:?}");
}

#[test]
fn a_client_is_told_when_it_comes_refuses_acknowledges_and_goes() {
    let timeline = Timeline::default();
    let mut recorder = Recorder::new(timeline.clone());
    let refusing = Progress { node: Some(Node { id: "edge".to_owned(), ..Node::default() }), ..progress() };
    let content = Progress { refusals: Vec::new(), ..refusing.clone() };
    let having = |snapshot: &Snapshot, after: u64| {
        let since = snapshot.born() + Duration::from_millis(after);
        Progress { settled: Some((snapshot.version(), since)), ..content.clone() }
    };
    let first = Snapshot::default();
    let second =
        first.next([Resource::from(&Cluster { name: "web".to_owned(), ..Cluster::default() })]).unwrap();
    let mut see = |clients: &[Progress], snapshot: &Snapshot| {
        let before = timeline.entries().len();
        recorder.see_clients(clients, snapshot, SystemTime::UNIX_EPOCH);
        let mut said: Vec<String> =
            timeline.entries().iter().map(|entry| format!("{} {}", entry.subject, entry.text)).collect();
        said.truncate(said.len() - before);
        said.reverse();
        said
    };
    assert_eq!(
        see(std::slice::from_ref(&refusing), &first),
        ["edge connected from 10.0.0.1:1234", "edge refused cluster shop: it has <no> name"]
    );
    assert!(see(&[refusing], &first).is_empty(), "once");
    assert_eq!(see(&[having(&first, 0)], &first).len(), 1, "it has all of the first");
    assert!(timeline.lags().is_empty(), "nobody knows since when");
    assert!(see(&[having(&first, 0)], &second).is_empty(), "it has not all of the second");
    let said = see(&[having(&second, 7)], &second);
    assert!(said.len() == 1 && said[0].ends_with(", 7 ms after it was made"), "{said:?}");
    assert_eq!(timeline.lags().into_values().collect::<Vec<_>>(), [Duration::from_millis(7)]);
    assert_eq!(see(&[], &second), ["edge disconnected"]);
    assert!(timeline.lags().is_empty());
}

#[test]
fn the_oldest_entries_make_room() {
    let timeline = Timeline::default();
    let recorder = Recorder::new(timeline.clone());
    for number in 0..ENTRIES + 3 {
        recorder.write(SystemTime::UNIX_EPOCH, Kind::Container, "web", number.to_string());
    }
    let entries = timeline.entries();
    assert_eq!((entries.len(), entries[0].text.as_str()), (ENTRIES, "502"));
    assert_eq!(entries.last().unwrap().text, "3");
    // Whoever follows sees by the numbers whether any is missing.
    assert_eq!((entries[0].number, timeline.newest()), (503, 503));
    let after = |number| timeline.after(number).iter().map(|entry| entry.number).collect::<Vec<_>>();
    assert_eq!(after(500), [501, 502, 503]);
    assert_eq!((after(503), after(0).len(), after(0)[0]), (vec![], ENTRIES, 4));
}

#[test]
fn a_route_is_told_when_it_comes_changes_and_goes() {
    let longer = ONE.replace("web.localhost", "web.localhost, portolan.path: /a");
    let slower = ONE.replace("web.localhost", "web.localhost, portolan.timeout: 3s");
    let only_routes = |files: &[&str]| -> Vec<String> {
        after(files).into_iter().filter(|entry| entry.starts_with("route")).collect()
    };
    let nothing = "services: {}";
    assert_eq!(only_routes(&[nothing, ONE]), ["route: web.localhost / leads to web"]);
    assert_eq!(only_routes(&[ONE, &slower]), ["route: web.localhost / leads to web, changed"]);
    assert_eq!(only_routes(&[ONE, &longer]), ["route: web.localhost /a leads to web, changed"]);
    assert_eq!(only_routes(&[ONE, nothing]), ["route: web.localhost / is no route any more: web"]);
    assert!(only_routes(&[ONE, TWO]).is_empty(), "a container more is no other route");
}
