use serde_json::json;

use super::super::convert::{container, tests::inspected};
use super::super::listed;
use super::*;
use crate::inventory::Health;

fn id() -> WorkloadId {
    WorkloadId("a".into())
}

fn looked_at(change: impl FnOnce(&mut serde_json::Value)) -> Container {
    container(inspected("a", change)).unwrap().unwrap()
}

fn running() -> View {
    let mut view = View::default();
    view.replace(looked_at(|_| ()), Instant::now());
    view
}

fn event(what: What) -> Event {
    Event { id: id(), at: i64::MAX, what }
}

fn known(view: &View) -> &Workload {
    &view.inventory().workloads[&id()]
}

fn has_address(view: &View) -> bool {
    let Placement::Networks(on) = &known(view).placement else { return false };
    on.iter().any(|on| !on.addresses.is_empty())
}

/// The list as an engine tells it when nothing is new.
fn list(change: impl FnOnce(&mut serde_json::Value)) -> BTreeMap<WorkloadId, Listed> {
    let mut value = json!({
        "Id": "a", "Names": ["/shop-a-1"], "State": "running", "Status": "Up 3 minutes (healthy)", "Labels": {},
        "NetworkSettings": {"Networks": {
            "shop_frontends": {"IPAddress": "172.20.0.3", "GlobalIPv6Address": "fd00::3"},
            "shop_app": {"IPAddress": "172.21.0.3", "GlobalIPv6Address": ""}
        }}
    });
    change(&mut value);
    BTreeMap::from([listed::read(&serde_json::from_value(value).unwrap()).unwrap()])
}

fn nobody() -> BTreeSet<WorkloadId> {
    BTreeSet::new()
}

#[test]
fn a_terminating_signal_drains_and_another_does_not() {
    for (signal, expected) in [
        ("TERM", State::Stopping),
        ("INT", State::Stopping),
        ("KILL", State::Stopping),
        ("QUIT", State::Stopping),
        ("HUP", State::Running),
        ("USR1", State::Running),
    ] {
        let mut view = running();
        assert_eq!(view.apply(&event(What::Kill(signal.into())), Instant::now()), Effect::Done);
        assert_eq!(known(&view).state, expected, "{signal}");
    }
}

#[test]
fn the_stop_signal_of_the_container_drains_it_whatever_it_is() {
    let mut view = View::default();
    view.replace(looked_at(|value| value["Config"]["StopSignal"] = json!("SIGUSR1")), Instant::now());
    view.apply(&event(What::Kill("USR1".into())), Instant::now());
    assert_eq!(known(&view).state, State::Stopping);
}

#[test]
fn draining_is_undone_when_the_container_does_not_end() {
    let mut view = running();
    let now = Instant::now();
    view.apply(&event(What::Kill("TERM".into())), now);
    view.replace(looked_at(|_| ()), now);
    assert_eq!(known(&view).state, State::Stopping, "a look in between does not undo it");
    let due = view.next_deadline().unwrap();
    assert_eq!(due, now + Duration::from_secs(32), "its own stop time-out, and a little more");
    assert_eq!(view.due(due), [id()]);
    assert_eq!(view.next_deadline(), None, "named once");
    view.replace(looked_at(|_| ()), due);
    assert_eq!(known(&view).state, State::Running);
    assert_eq!(view.next_deadline(), None);
}

#[test]
fn a_restart_ends_the_draining_at_once() {
    let mut view = running();
    let now = Instant::now();
    view.apply(&event(What::Kill("TERM".into())), now);
    view.replace(looked_at(|value| value["State"]["StartedAt"] = json!("2026-11-24T14:00:00Z")), now);
    assert_eq!(known(&view).state, State::Running);
    assert_eq!(view.next_deadline(), None);
}

#[test]
fn die_stops_and_destroy_removes_without_a_look() {
    let mut view = running();
    assert_eq!(view.apply(&event(What::Die), Instant::now()), Effect::Done);
    assert_eq!(known(&view).state, State::Stopped);
    assert!(!has_address(&view), "the address may be another's soon");
    assert_eq!(view.apply(&event(What::Destroy), Instant::now()), Effect::Done);
    assert_eq!(known(&view).state, State::Stopped, "until nobody is looked at who may take its place");
    view.let_go();
    assert!(view.inventory().workloads.is_empty());
}

#[test]
fn what_nobody_knows_dies_without_a_look_too() {
    for what in [What::Kill("TERM".into()), What::Die, What::Destroy, What::Leave("n".into()), What::Join] {
        assert_eq!(View::default().apply(&event(what), Instant::now()), Effect::Done);
    }
    assert_eq!(View::default().apply(&event(What::Look), Instant::now()), Effect::Look);
    assert_eq!(View::default().apply(&event(What::Health(Health::Healthy)), Instant::now()), Effect::Look);
}

#[test]
fn an_event_from_an_earlier_life_is_ignored() {
    for what in [What::Die, What::Kill("KILL".into()), What::Leave("shop_app".into()), What::Destroy] {
        let mut view = running();
        let before = Arc::clone(view.inventory());
        view.apply(&Event { at: 5, ..event(what) }, Instant::now());
        assert_eq!(*view.inventory(), before);
    }
}

#[test]
fn health_and_pause_follow_the_events() {
    let mut view = running();
    view.apply(&event(What::Health(Health::Unhealthy)), Instant::now());
    assert_eq!(known(&view).health, Health::Unhealthy);
    view.apply(&event(What::Pause), Instant::now());
    assert_eq!(known(&view).state, State::Paused);
    view.apply(&event(What::Unpause), Instant::now());
    assert_eq!(known(&view).state, State::Running);
}

#[test]
fn a_container_that_is_paused_while_it_stops_still_stops_afterwards() {
    let mut view = running();
    let now = Instant::now();
    view.apply(&event(What::Kill("TERM".into())), now);
    view.apply(&event(What::Pause), now);
    view.apply(&event(What::Unpause), now);
    assert_eq!(known(&view).state, State::Stopping);
}

#[test]
fn leaving_a_network_and_joining_one_need_a_look_while_it_runs() {
    let mut view = running();
    assert_eq!(view.apply(&event(What::Leave("shop_app".into())), Instant::now()), Effect::DoneAndLook);
    let Placement::Networks(on) = &known(&view).placement else { panic!() };
    assert!(on[0].addresses.is_empty() && !on[1].addresses.is_empty(), "{on:?}");
    assert_eq!(view.apply(&event(What::Join), Instant::now()), Effect::Look);
    view.apply(&event(What::Kill("TERM".into())), Instant::now());
    let left = event(What::Leave("shop_frontends".into()));
    assert_eq!(view.apply(&left, Instant::now()), Effect::Done, "its end follows");
    assert!(!has_address(&view));
    view.apply(&event(What::Die), Instant::now());
    assert_eq!(view.apply(&left, Instant::now()), Effect::Done);
    assert_eq!(view.apply(&event(What::Join), Instant::now()), Effect::Done, "its start follows");
}

#[test]
fn a_container_without_an_address_is_looked_at_again_soon_and_not_for_ever() {
    let mut view = View::default();
    let bare = || looked_at(|value| value["NetworkSettings"] = json!({"Networks": {"n": {"IPAddress": ""}}}));
    let began = Instant::now();
    let mut now = began;
    view.replace(bare(), now);
    assert_eq!(view.next_deadline(), Some(now + ADDRESS_DELAY));
    let mut looks = 0;
    while let Some(at) = view.next_deadline() {
        now = at;
        assert_eq!(view.due(now), [id()]);
        view.replace(bare(), now);
        looks += 1;
    }
    assert_eq!((looks, now.duration_since(began)), (5, Duration::from_millis(6_200)));
    // Its next start begins anew.
    view.replace(
        looked_at(|value| {
            value["NetworkSettings"] = json!({"Networks": {"n": {"IPAddress": ""}}});
            value["State"]["StartedAt"] = json!("2026-11-24T14:00:00Z");
        }),
        now,
    );
    assert_eq!(view.next_deadline(), Some(now + ADDRESS_DELAY));
}

#[test]
fn the_list_removes_what_is_gone_and_names_what_is_new() {
    let mut view = running();
    let other = list(|value| value["Id"] = json!("b"));
    let difference = view.reconcile(&other, &nobody());
    assert_eq!(difference.looks, [WorkloadId("b".into())]);
    assert_eq!(difference.gone[0].name, "shop-a-1");
    assert_eq!(view.reconcile(&BTreeMap::new(), &nobody()).gone, [], "that is no news");
    assert!(!has_address(&view));
    view.let_go();
    assert!(view.inventory().workloads.is_empty());
}

#[test]
fn what_was_told_about_while_the_list_was_made_is_looked_at_and_not_dropped() {
    let mut view = running();
    let difference = view.reconcile(&BTreeMap::new(), &BTreeSet::from([id()]));
    assert_eq!(difference, Difference { looks: vec![id()], gone: vec![] });
    assert_eq!(view.inventory().workloads.len(), 1);
}

#[test]
fn what_the_list_shows_unchanged_is_not_looked_at() {
    let mut view = running();
    assert_eq!(view.reconcile(&list(|_| ()), &nobody()), Difference::default());
}

#[test]
fn whatever_the_list_tells_otherwise_is_looked_at() {
    type Change = fn(&mut serde_json::Value);
    let changes: [(&str, Change); 5] = [
        ("name", |value| value["Names"] = json!(["/other"])),
        ("state", |value| value["State"] = json!("paused")),
        ("health", |value| value["Status"] = json!("Up 3 minutes (unhealthy)")),
        ("address", |value| {
            value["NetworkSettings"]["Networks"]["shop_app"]["IPAddress"] = json!("172.21.0.9")
        }),
        ("network", |value| value["NetworkSettings"]["Networks"] = json!({})),
    ];
    for (what, change) in changes {
        assert_eq!(running().reconcile(&list(change), &nobody()).looks, [id()], "{what}");
    }
}

#[test]
fn a_start_that_no_event_told_of_is_found_in_the_list() {
    let mut view = running();
    view.apply(&event(What::Die), Instant::now());
    assert_eq!(view.reconcile(&list(|_| ()), &nobody()).looks, [id()], "it is Up, and we saw it die");
    let mut view = running();
    view.apply(&event(What::Kill("TERM".into())), Instant::now());
    assert_eq!(view.reconcile(&list(|_| ()), &nobody()).looks, [id()], "it may have started again");
}

#[test]
fn while_nothing_changes_the_inventory_is_the_same_allocation() {
    let mut view = running();
    let before = Arc::clone(view.inventory());
    assert!(!view.replace(looked_at(|_| ()), Instant::now()));
    view.apply(&event(What::Health(Health::Healthy)), Instant::now());
    view.apply(&event(What::Kill("HUP".into())), Instant::now());
    assert!(Arc::ptr_eq(&before, view.inventory()));
    view.apply(&event(What::Health(Health::Unhealthy)), Instant::now());
    assert!(!Arc::ptr_eq(&before, view.inventory()));
}
