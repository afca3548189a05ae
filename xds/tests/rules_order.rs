//! The rules on order, reconnects and what is in flight, one test each, on the pure session.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::*;
use xds_server::Kind::{Cluster, Endpoint, Listener, Route, Secret};
use xds_server::{Resource, Snapshot};

fn world(clusters: &[&str]) -> Vec<Resource> {
    let mut all = vec![listener("http", "http"), routes("http", clusters)];
    all.extend(clusters.iter().flat_map(|name| [cluster(name, 1), endpoints(name, 1)]));
    all
}

/// A delta stream that has taken in everything of `first`, as Envoy does.
fn settled(first: &std::sync::Arc<Snapshot>, clusters: &[&str]) -> Stream {
    let mut stream = Stream::delta();
    stream.publish(first);
    for (kind, names) in [(Cluster, &[][..]), (Endpoint, clusters), (Listener, &[]), (Route, &["http"])] {
        let responses = stream.update(kind, names, &[]);
        stream.settle(responses);
    }
    stream
}

#[test]
fn r19_a_route_waits_for_the_ack_of_its_new_cluster() {
    let one = snapshot(world(&["a"]));
    let mut stream = settled(&one, &["a"]);
    let responses = stream.publish(&after(&one, world(&["a", "b"])));
    assert_eq!(kinds(&responses), [Cluster]);
    let assignment = stream.update(Endpoint, &["b"], &[]);
    assert_eq!(kinds(&assignment), [Endpoint], "endpoints are never held for the clusters' ACK");
    let after_ack = stream.ack(&responses[0]);
    assert_eq!(kinds(&after_ack), [Route]);
}

#[test]
fn r19_a_route_waits_for_nobody_for_ever() {
    let one = snapshot(world(&["a"]));
    let mut stream = settled(&one, &["a"]);
    stream.publish(&after(&one, world(&["a", "b"])));
    let deadline = stream.session.next_deadline().unwrap();
    stream.now = deadline - Duration::from_millis(1);
    assert!(stream.session.flush(stream.now).is_empty());
    stream.now = deadline;
    assert_eq!(kinds(&stream.session.flush(deadline)), [Route]);
    assert_eq!(stream.session.next_deadline(), None, "nothing is left to wait for");
}

#[test]
fn r19_a_refused_cluster_holds_up_no_route() {
    let one = snapshot(world(&["a"]));
    let mut stream = settled(&one, &["a"]);
    let responses = stream.publish(&after(&one, world(&["a", "b"])));
    assert_eq!(kinds(&stream.nack(&responses[0], "bad")), [Route]);
}

#[test]
fn r20_a_cluster_goes_after_the_route_that_named_it() {
    let one = snapshot(world(&["a", "b"]));
    let mut stream = settled(&one, &["a", "b"]);
    let responses = stream.publish(&after(&one, world(&["a"])));
    assert_eq!(kinds(&responses), [Route], "the cluster and its endpoints stay for now");
    let after_ack = stream.ack(&responses[0]);
    assert_eq!(kinds(&after_ack), [Cluster]);
    assert_eq!(removed(&after_ack[0]), ["b"]);
    let last = stream.ack(&after_ack[0]);
    assert_eq!(kinds(&last), [Endpoint]);
    assert_eq!(removed(&last[0]), ["b"]);
}

#[test]
fn r20_in_sotw_the_union_goes_first_and_the_trimmed_set_after() {
    let one = snapshot(world(&["a"]));
    let mut stream = Stream::sotw();
    stream.publish(&one);
    for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a"]), (Listener, &[]), (Route, &["http"])] {
        let first = stream.want(kind, names);
        stream.ack_wanting(&first[0], names);
    }
    let union = stream.publish(&after(&one, world(&["b"])));
    assert_eq!(kinds(&union), [Cluster]);
    assert_eq!(listed(&union[0]), ["a", "b"]);
    let route = stream.ack_wanting(&union[0], &[]);
    assert_eq!(kinds(&route), [Route]);
    let trimmed = stream.ack_wanting(&route[0], &["http"]);
    assert_eq!(kinds(&trimmed), [Cluster]);
    assert_eq!(listed(&trimmed[0]), ["b"]);
}

#[test]
fn r21_a_changed_cluster_is_owed_its_endpoints_again() {
    let one = snapshot(world(&["a", "b"]));
    let mut stream = settled(&one, &["a", "b"]);
    let mut changed = world(&["a", "b"]);
    changed[2] = cluster("a", 2);
    let responses = stream.publish(&after(&one, changed));
    assert_eq!(kinds(&responses), [Cluster, Endpoint]);
    assert_eq!(listed(&responses[1]), ["a"]);
}

#[test]
fn r22_every_eds_cluster_has_an_assignment() {
    let one = snapshot([cluster("a", 1)]);
    assert!(one.get(Endpoint, "a").is_some());
}

#[test]
fn r23_a_reconnecting_client_is_sent_what_differs_and_told_what_is_gone() {
    let one = snapshot(world(&["a", "b"]));
    let mut stream = Stream::delta();
    stream.publish(&one);
    let old = [("a", version(&one, Cluster, "a")), ("b", "of another time".into()), ("gone", "x".into())];
    let responses = stream.send(reconnect_request(Cluster, &[], &old));
    assert_eq!(listed(&responses[0]), ["b"]);
    assert_eq!(removed(&responses[0]), Vec::<&str>::new(), "its routes may still name what is gone");
    stream.ack(&responses[0]);
    let kept = [("http", version(&one, Listener, "http"))];
    assert!(stream.send(reconnect_request(Listener, &[], &kept)).is_empty());
    let kept = [("http", "old".to_owned())];
    let route = stream.send(reconnect_request(Route, &["http"], &kept));
    assert_eq!(kinds(&route), [Route]);
    let rest = stream.ack(&route[0]);
    assert_eq!(kinds(&rest), [Cluster]);
    assert_eq!(removed(&rest[0]), ["gone"]);
}

#[test]
fn r23_a_reconnecting_client_that_is_up_to_date_hears_nothing_of_its_clusters() {
    let one = snapshot(world(&["a"]));
    let mut stream = Stream::delta();
    stream.publish(&one);
    assert!(stream.send(reconnect_request(Cluster, &[], &[("a", version(&one, Cluster, "a"))])).is_empty());
}

#[test]
fn r21_endpoints_are_always_sent_again_on_a_reconnect() {
    let one = snapshot(world(&["a"]));
    let mut stream = Stream::delta();
    stream.publish(&one);
    let kept = [("a", version(&one, Endpoint, "a"))];
    assert_eq!(listed(&stream.send(reconnect_request(Endpoint, &["a"], &kept))[0]), ["a"]);
}

#[test]
fn r24_one_response_a_type_is_in_flight_and_the_newest_snapshot_wins() {
    let one = snapshot([endpoints("a", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Endpoint, &["a"], &[]);
    let two = after(&one, [endpoints("a", 2)]);
    let three = after(&two, [endpoints("a", 3)]);
    assert!(stream.publish(&two).is_empty());
    assert!(stream.publish(&three).is_empty());
    let second = stream.ack(&first[0]);
    assert_eq!(second[0].resources[0].version(), three.get(Endpoint, "a").unwrap().version());
    assert!(stream.ack(&second[0]).is_empty());
}

#[test]
fn r24_a_change_that_is_undone_while_in_flight_is_not_lost() {
    let one = snapshot([endpoints("a", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Endpoint, &["a"], &[]);
    stream.ack(&first[0]);
    let two = after(&one, [endpoints("a", 2)]);
    let second = stream.publish(&two);
    let back = after(&two, [endpoints("a", 1)]);
    assert!(stream.publish(&back).is_empty());
    let third = stream.ack(&second[0]);
    assert_eq!(third[0].resources[0].version(), one.get(Endpoint, "a").unwrap().version());
}

#[test]
fn r19_a_snapshot_with_a_dangling_route_is_refused() {
    let error = Snapshot::default().next([routes("http", &["nowhere"])]).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn r01_a_name_that_occurs_twice_is_refused() {
    assert!(Snapshot::default().next([cluster("a", 1), cluster("a", 2)]).is_err());
}

#[test]
fn r25_an_endpoint_that_goes_is_sent_though_routes_wait() {
    let one = snapshot(world(&["a"]));
    let mut stream = settled(&one, &["a"]);
    let mut next = world(&["a", "b"]);
    next[3] = endpoints("a", 0);
    let responses = stream.publish(&after(&one, next));
    assert_eq!(kinds(&responses), [Cluster, Endpoint], "the route waits for its new cluster");
    assert_eq!(listed(&responses[1]), ["a"]);
}

#[test]
fn r25_clusters_that_did_not_change_are_not_sent_again() {
    let one = snapshot(world(&["a", "b"]));
    let mut stream = settled(&one, &["a", "b"]);
    let mut changed = world(&["a", "b"]);
    changed[2] = cluster("a", 2);
    assert_eq!(listed(&stream.publish(&after(&one, changed))[0]), ["a"]);
}

#[test]
fn r20_a_secret_goes_when_no_listener_asks_for_it_any_more() {
    let one = snapshot([tls_listener("tls", "site"), secret("site", "first")]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Listener, &["*"], &[]);
    stream.settle(first);
    let secrets = stream.update(Secret, &["site"], &[]);
    assert_eq!(listed(&secrets[0]), ["site"]);
    stream.settle(secrets);
    let gone = stream.publish(&after(&one, []));
    assert_eq!(kinds(&gone), [Listener], "the secret waits for the listener");
    let then = stream.ack(&gone[0]);
    assert_eq!(removed(&then[0]), ["site"]);
    // A listener that asks for another one lets go as well.
    let two = snapshot([tls_listener("tls", "site"), secret("site", "first"), secret("other", "first")]);
    let other = after(&two, [tls_listener("tls", "other"), secret("other", "first")]);
    let mut stream = Stream::delta();
    stream.publish(&two);
    let first = stream.update(Listener, &["*"], &[]);
    stream.settle(first);
    let secrets = stream.update(Secret, &["site", "other"], &[]);
    stream.settle(secrets);
    let changed = stream.publish(&other);
    assert_eq!(kinds(&changed), [Listener]);
    assert_eq!(removed(&stream.ack(&changed[0])[0]), ["site"]);
}
