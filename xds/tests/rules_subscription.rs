//! The rules on subscriptions, acknowledgements and nonces, one test each, on the pure session.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use support::*;
use xds_server::Kind::{Cluster, Endpoint, Listener, Route};
use xds_server::Snapshot;
use xds_server::session::{Event, Request, Wants};

fn two_clusters() -> Arc<Snapshot> {
    snapshot([cluster("a", 1), cluster("b", 1), endpoints("a", 1), endpoints("b", 1)])
}

#[test]
fn r12_an_empty_first_request_is_the_wildcard_in_both_protocols() {
    for mut stream in [Stream::delta(), Stream::sotw()] {
        stream.publish(&two_clusters());
        let sotw = Request { wants: Wants::Names(vec![]), ..update_request(Cluster, &[], &[]) };
        let request = if format!("{stream:?}").contains("protocol: Delta") {
            update_request(Cluster, &[], &[])
        } else {
            sotw
        };
        let responses = stream.send(request);
        assert_eq!(listed(&responses[0]), ["a", "b"]);
    }
}

#[test]
fn r12_once_a_name_was_given_an_empty_list_means_nothing() {
    let mut stream = Stream::sotw();
    stream.publish(&two_clusters());
    let first = stream.want(Cluster, &["a"]);
    assert_eq!(listed(&first[0]), ["a"]);
    assert!(stream.ack_wanting(&first[0], &[]).is_empty());
    let next = after(&two_clusters(), [cluster("a", 2), cluster("b", 2)]);
    assert!(stream.publish(&next).is_empty());
}

#[test]
fn r12_a_name_beside_the_legacy_wildcard_keeps_the_wildcard_in_delta() {
    let mut stream = Stream::delta();
    let one = two_clusters();
    stream.publish(&one);
    let first = stream.update(Cluster, &[], &[]);
    stream.settle(first);
    let named = stream.update(Cluster, &["a"], &[]);
    stream.settle(named);
    let next = stream.publish(&after(&one, [cluster("a", 1), cluster("b", 2)]));
    assert_eq!(listed(&next[0]), ["b"]);
}

#[test]
fn r12_the_wildcard_may_be_unsubscribed() {
    let mut stream = Stream::delta();
    let one = two_clusters();
    stream.publish(&one);
    let first = stream.update(Cluster, &["*", "a"], &[]);
    stream.settle(first);
    assert!(stream.update(Cluster, &[], &["*"]).is_empty());
    let next = stream.publish(&after(&one, [cluster("a", 2), cluster("b", 2)]));
    assert_eq!(listed(&next[0]), ["a"]);
}

#[test]
fn r12_endpoints_and_routes_have_no_wildcard() {
    let mut stream = Stream::sotw();
    stream.publish(&two_clusters());
    let responses = stream.want(Endpoint, &[]);
    assert_eq!(listed(&responses[0]), Vec::<&str>::new());
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    assert!(stream.update(Endpoint, &[], &[]).is_empty());
}

#[test]
fn r17_a_wildcard_on_a_type_with_nothing_is_answered_with_an_empty_response() {
    for (mut stream, request) in [
        (Stream::delta(), update_request(Listener, &[], &[])),
        (Stream::sotw(), names_request(Listener, &[], "")),
    ] {
        stream.publish(&two_clusters());
        let responses = stream.send(request);
        assert_eq!(kinds(&responses), [Listener]);
        assert!(responses[0].resources.is_empty());
    }
}

#[test]
fn r11_nothing_is_served_before_the_first_snapshot() {
    let mut stream = Stream::delta();
    assert!(stream.update(Cluster, &[], &[]).is_empty());
    assert_eq!(listed(&stream.publish(&two_clusters())[0]), ["a", "b"]);
}

#[test]
fn r07_an_ack_is_never_answered() {
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    let first = stream.update(Cluster, &[], &[]);
    assert!(stream.ack(&first[0]).is_empty());
    let mut stream = Stream::sotw();
    stream.publish(&two_clusters());
    let first = stream.want(Cluster, &[]);
    assert!(stream.ack_wanting(&first[0], &[]).is_empty());
    let repeated = stream.ack_wanting(&first[0], &[]);
    assert!(repeated.is_empty(), "the same request once more: {repeated:?}");
}

#[test]
fn r07_an_equal_snapshot_sends_nothing() {
    let mut stream = Stream::delta();
    let one = two_clusters();
    stream.publish(&one);
    let first = stream.update(Cluster, &[], &[]);
    stream.settle(first);
    let same = [cluster("a", 1), cluster("b", 1), endpoints("a", 1), endpoints("b", 1)];
    let next = after(&one, same.clone());
    assert_eq!(next.version(), one.version());
    assert!(stream.publish(&next).is_empty());
    assert!(stream.publish(&snapshot(same)).is_empty(), "equal content made by another instance");
}

#[test]
fn r06_error_detail_alone_makes_a_nack() {
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    let first = stream.update(Cluster, &["a"], &[]);
    let event = stream.event(nack_request(&first[0], ""));
    assert!(matches!(event, Event::Refused { .. }), "{event:?}");
}

#[test]
fn r08_a_refused_version_is_parked_until_its_content_differs() {
    let mut stream = Stream::delta();
    let one = two_clusters();
    stream.publish(&one);
    let first = stream.update(Cluster, &["a"], &[]);
    assert!(stream.nack(&first[0], "no").is_empty());
    let other = after(&one, [cluster("a", 1), cluster("b", 7)]);
    assert!(stream.publish(&other).is_empty(), "another resource changed, not the refused one");
    let fixed = stream.publish(&after(&other, [cluster("a", 2)]));
    assert_eq!(listed(&fixed[0]), ["a"]);
}

#[test]
fn r08_the_bad_one_among_many_is_found_and_the_rest_gets_through() {
    for protocol in ["delta", "sotw"] {
        for reason in ["c07 is bad", "words that name nobody"] {
            let names: Vec<String> = (0..20).map(|n| format!("c{n:02}")).collect();
            let one = snapshot(names.iter().map(|name| cluster(name, 1)));
            let mut stream = if protocol == "delta" { Stream::delta() } else { Stream::sotw() };
            stream.publish(&one);
            let mut queue = match protocol {
                "delta" => stream.update(Cluster, &[], &[]),
                _ => stream.want(Cluster, &[]),
            };
            let mut accepted = std::collections::BTreeSet::new();
            let mut responses = 0;
            while let Some(response) = queue.pop() {
                responses += 1;
                assert!(responses < 20, "a loop");
                let bad = listed(&response).contains(&"c07");
                if !bad {
                    accepted.extend(listed(&response).into_iter().map(str::to_owned));
                }
                let wants = match protocol {
                    "delta" => update_request(Cluster, &[], &[]).wants,
                    _ => Wants::Names(vec![]),
                };
                let refused = bad.then(|| reason.to_owned());
                let request =
                    Request { node: None, kind: Cluster, nonce: response.nonce.clone(), refused, wants };
                queue.extend(stream.send(request));
            }
            assert_eq!(accepted.len(), 19, "{protocol}, {reason}: {accepted:?}");
            let fixed = names.iter().map(|name| cluster(name, if name == "c07" { 2 } else { 1 }));
            let fixed = stream.publish(&after(&one, fixed));
            assert!(listed(&fixed[0]).contains(&"c07"), "the fixed one goes out at once");
        }
    }
}

#[test]
fn r08_names_on_a_nack_count() {
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    let first = stream.update(Cluster, &["a"], &[]);
    let wants = update_request(Cluster, &["b"], &[]).wants;
    let responses = stream.send(Request { wants, ..nack_request(&first[0], "no") });
    assert_eq!(listed(&responses[0]), ["b"]);
}

#[test]
fn r09_names_on_a_stale_nonce_do_not_starve_in_sotw() {
    let mut stream = Stream::sotw();
    stream.publish(&two_clusters());
    let first = stream.want(Endpoint, &["a"]);
    let second = stream.ack_wanting(&first[0], &["a", "b"]);
    assert_eq!(listed(&second[0]), ["b"]);
    let crossing = stream.send(names_request(Endpoint, &["b"], &first[0].nonce));
    assert!(crossing.is_empty(), "a stale nonce is not answered");
    let third = stream.ack_wanting(&second[0], &["a", "b"]);
    assert_eq!(listed(&third[0]), ["a"], "the name came back and is sent again");
}

#[test]
fn r09_the_same_nonce_with_other_names_is_answered_at_once() {
    let mut stream = Stream::sotw();
    stream.publish(&two_clusters());
    let first = stream.want(Endpoint, &["a"]);
    stream.ack_wanting(&first[0], &["a"]);
    let second = stream.send(names_request(Endpoint, &["a", "b"], &first[0].nonce));
    assert_eq!(listed(&second[0]), ["b"]);
}

#[test]
fn r10_delta_names_count_whatever_the_nonce() {
    for nonce in ["", "999", "1"] {
        let mut stream = Stream::delta();
        stream.publish(&two_clusters());
        let first = stream.update(Endpoint, &["a"], &[]);
        let request = Request { nonce: nonce.into(), ..update_request(Endpoint, &["b"], &[]) };
        let mut responses = stream.send(request);
        if nonce != "1" {
            responses = stream.ack(&first[0]);
        }
        assert_eq!(listed(&responses[0]), ["b"], "nonce {nonce:?}");
    }
}

#[test]
fn r11_a_first_request_is_answered_whatever_nonce_it_carries() {
    let mut stream = Stream::sotw();
    stream.publish(&two_clusters());
    let responses = stream.send(names_request(Cluster, &[], "41"));
    assert_eq!(listed(&responses[0]), ["a", "b"]);
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    let request = Request { nonce: "41".into(), ..update_request(Endpoint, &["a"], &[]) };
    assert_eq!(listed(&stream.send(request)[0]), ["a"]);
}

#[test]
fn r14_a_name_is_sent_again_when_it_is_subscribed_again() {
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    let first = stream.update(Endpoint, &["a"], &[]);
    stream.settle(first);
    assert!(stream.update(Endpoint, &[], &["a"]).is_empty());
    assert_eq!(listed(&stream.update(Endpoint, &["a"], &[])[0]), ["a"], "unsubscribing forgets");
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    let first = stream.update(Endpoint, &["a"], &[]);
    stream.settle(first);
    assert_eq!(listed(&stream.update(Endpoint, &["a"], &[])[0]), ["a"], "a name asked for is always sent");
}

#[test]
fn r15_unsubscribing_what_the_wildcard_covers_is_answered_with_its_state() {
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    let first = stream.update(Cluster, &["*", "a"], &[]);
    stream.settle(first);
    let responses = stream.update(Cluster, &[], &["a"]);
    assert_eq!(listed(&responses[0]), ["a"]);
}

#[test]
fn r15_an_unknown_unsubscribe_is_harmless() {
    let mut stream = Stream::delta();
    stream.publish(&two_clusters());
    let first = stream.update(Endpoint, &["a"], &[]);
    stream.settle(first);
    assert!(stream.update(Endpoint, &[], &["never-heard-of"]).is_empty());
}

#[test]
fn r16_a_name_that_does_not_exist_is_told_once_and_sent_when_it_appears() {
    let mut stream = Stream::delta();
    let one = two_clusters();
    stream.publish(&one);
    let first = stream.update(Endpoint, &["a", "later"], &[]);
    assert_eq!(listed(&first[0]), ["a"]);
    assert_eq!(removed(&first[0]), ["later"]);
    stream.settle(first);
    let next = after(&one, [endpoints("a", 1), endpoints("later", 1)]);
    assert_eq!(listed(&stream.publish(&next)[0]), ["later"]);

    let mut stream = Stream::sotw();
    stream.publish(&one);
    let first = stream.want(Endpoint, &["a", "later"]);
    assert_eq!(listed(&first[0]), ["a"], "a name that is missing never holds back the others");
    stream.ack_wanting(&first[0], &["a", "later"]);
    assert_eq!(listed(&stream.publish(&next)[0]), ["later"]);
}

#[test]
fn r13_names_on_listeners_and_clusters_are_served() {
    let one = snapshot([listener("web", "r"), listener("api", "r"), routes("r", &[])]);
    let mut stream = Stream::sotw();
    stream.publish(&one);
    assert_eq!(listed(&stream.want(Listener, &["web"])[0]), ["web"]);
    assert_eq!(listed(&stream.want(Route, &["r"])[0]), ["r"]);
}

#[test]
fn r18_sotw_lists_all_clusters_and_only_changed_endpoints() {
    let mut stream = Stream::sotw();
    let one = two_clusters();
    stream.publish(&one);
    let clusters = stream.want(Cluster, &[]);
    let assignments = stream.want(Endpoint, &["a", "b"]);
    stream.ack_wanting(&clusters[0], &[]);
    stream.ack_wanting(&assignments[0], &["a", "b"]);
    let next = after(&one, [cluster("a", 1), cluster("b", 1), endpoints("a", 2), endpoints("b", 1)]);
    let responses = stream.publish(&next);
    assert_eq!(kinds(&responses), [Endpoint]);
    assert_eq!(listed(&responses[0]), ["a"]);
    stream.ack_wanting(&responses[0], &["a", "b"]);
    let next = after(&next, [cluster("a", 2), cluster("b", 1), endpoints("a", 2), endpoints("b", 1)]);
    let responses = stream.publish(&next);
    assert_eq!(listed(&responses[0]), ["a", "b"]);
}

#[test]
fn r15_what_a_request_subscribes_to_and_unsubscribes_from_is_not_subscribed_to() {
    let mut stream = Stream::delta();
    let one = two_clusters();
    stream.publish(&one);
    assert_eq!(listed(&stream.update(Endpoint, &["a", "b"], &["a"])[0]), ["b"]);
}

#[test]
fn r30_a_listener_for_grpc_is_found_by_name_and_stands_in_the_wildcard_beside_the_others() {
    let one =
        snapshot([api_listener("backend", "r"), listener("web", "r"), routes("r", &["a"]), cluster("a", 1)]);
    let mut grpc = Stream::sotw();
    grpc.publish(&one);
    for (kind, name) in [(Listener, "backend"), (Route, "r"), (Cluster, "a"), (Endpoint, "a")] {
        let responses = grpc.want(kind, &[name]);
        assert_eq!((kinds(&responses), listed(&responses[0])), (vec![kind], vec![name]));
        assert!(grpc.ack_wanting(&responses[0], &[name]).is_empty());
    }
    let mut envoy = Stream::delta();
    envoy.publish(&one);
    assert_eq!(listed(&envoy.update(Listener, &[], &[])[0]), ["backend", "web"]);
}
