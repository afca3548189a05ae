//! What the model client found: messages that cross, and worlds that change under them. One test for each.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use support::*;
use xds_server::Kind::{self, Cluster, Endpoint, Route};
use xds_server::Resource;
use xds_server::session::{Protocol, Request, Response, Sync};

#[test]
fn a_cluster_that_goes_while_it_warms_is_not_left_waiting_for_its_endpoints() {
    let one = snapshot([cluster("a", 1), endpoints("a", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    stream.update(Cluster, &[], &[]);
    stream.publish(&after(&one, []));
    let answer = stream.update(Endpoint, &["a"], &[]);
    assert_eq!(kinds(&answer), [Endpoint], "the cluster is in flight and warms on this answer");
    assert_eq!(listed(&answer[0]), ["a"]);
}

#[test]
fn a_route_waits_for_a_cluster_that_comes_back_while_its_removal_is_in_flight() {
    let one = snapshot([cluster("a", 1), endpoints("a", 1), routes("http", &[])]);
    let with_route = || [cluster("a", 1), endpoints("a", 1), routes("http", &["a"])];
    let mut stream = Stream::delta();
    stream.publish(&one);
    for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a"]), (Kind::Listener, &[]), (Route, &["http"])] {
        let first = stream.update(kind, names, &[]);
        stream.settle(first);
    }
    let two = after(&one, [routes("http", &[])]);
    let removal = stream.publish(&two);
    assert_eq!(removed(&removal[0]), ["a"]);
    assert_eq!(kinds(&stream.publish(&after(&two, with_route()))), [], "the route would name what is gone");
    let back = stream.ack(&removal[0]);
    assert_eq!((kinds(&back), listed(&back[0])), (vec![Cluster, Endpoint], vec!["a"]));
    assert_eq!(kinds(&stream.ack(&back[0])), [Route]);
}

#[test]
fn a_changed_cluster_that_goes_while_it_warms_hears_its_endpoints_once_more() {
    for protocol in [Protocol::Delta, Protocol::StateOfTheWorld] {
        let request = |kind, names: &[&str], nonce: &str| match protocol {
            Protocol::Delta => Request { nonce: nonce.into(), ..update_request(kind, names, &[]) },
            Protocol::StateOfTheWorld => names_request(kind, names, nonce),
        };
        let one = snapshot([cluster("a", 1), endpoints("a", 1)]);
        let mut stream = Stream::new(protocol);
        stream.publish(&one);
        let clusters = stream.send(request(Cluster, &[], ""));
        let first = stream.send(request(Endpoint, &["a"], ""));
        stream.send(request(Cluster, &[], &clusters[0].nonce));
        // The client has not answered these endpoints when the cluster changes, and then goes.
        let two = after(&one, [cluster("a", 2), endpoints("a", 1)]);
        assert_eq!(kinds(&stream.publish(&two)), [Cluster]);
        assert_eq!(kinds(&stream.publish(&after(&two, []))), []);
        let names: &[&str] = if protocol == Protocol::Delta { &[] } else { &["a"] };
        let again = stream.send(request(Endpoint, names, &first[0].nonce));
        assert_eq!(kinds(&again), [Endpoint], "{protocol:?}");
        assert_eq!(again[0].resources, [one.get(Endpoint, "a").unwrap().clone()], "{protocol:?}");
    }
}

#[test]
fn a_cluster_that_went_while_the_client_was_away_goes_as_soon_as_its_routes_are_known() {
    let one =
        snapshot([cluster("a", 1), endpoints("a", 1), listener("http", "http"), routes("http", &["a"])]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let kept = [("a", version(&one, Cluster, "a")), ("gone", "x".to_owned())];
    assert!(stream.send(reconnect_request(Cluster, &[], &kept)).is_empty());
    let kept = [("http", version(&one, Kind::Listener, "http"))];
    assert!(stream.send(reconnect_request(Kind::Listener, &[], &kept)).is_empty());
    let kept = [("http", version(&one, Route, "http"))];
    // The subscription is answered with what the client has: that does not name the cluster either.
    let responses = stream.send(reconnect_request(Route, &["http"], &kept));
    assert_eq!(kinds(&responses), [Route, Cluster]);
    assert_eq!(removed(&responses[1]), ["gone"]);
    assert_eq!(stream.session.next_deadline(), None);
}

/// A listener that passes connections on to a cluster, without routes.
fn tcp_listener(name: &str, cluster: &str) -> Resource {
    let proxy =
        TcpProxy { cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.into())), ..Default::default() };
    let type_url = format!("type.googleapis.com/{}", TcpProxy::full_name());
    let config = ConfigType::TypedConfig(Any { type_url, value: proxy.encode_to_vec() });
    let filter = Filter { name: "tcp".into(), config_type: Some(config) };
    Resource::from(&Listener {
        name: name.into(),
        filter_chains: vec![FilterChain { filters: vec![filter], ..Default::default() }],
        ..Default::default()
    })
}

#[test]
fn a_first_answer_is_not_held_back_for_ever_where_one_wait_follows_another() {
    let one = snapshot([cluster("a", 1), tcp_listener("a", "a")]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    stream.update(Cluster, &[], &[]);
    assert!(
        stream.update(Kind::Listener, &[], &[]).is_empty(),
        "it waits for the cluster's ACK, which never comes"
    );
    stream.now += Duration::from_secs(3);
    let both = [cluster("a", 1), cluster("b", 1), tcp_listener("a", "a"), tcp_listener("b", "b")];
    assert!(stream.publish(&after(&one, both)).is_empty());
    stream.now = stream.session.next_deadline().unwrap();
    let first = stream.session.flush(stream.now);
    assert_eq!(listed(&first[0]), ["a"], "its wait is over, whatever else began to wait meanwhile");
    assert!(stream.ack(&first[0]).is_empty());
    stream.now = stream.session.next_deadline().unwrap();
    assert_eq!(listed(&stream.session.flush(stream.now)[0]), ["b"]);
}

#[test]
fn a_question_about_routes_is_not_held_back_by_one_that_has_to_wait() {
    let one = snapshot([cluster("a", 1), routes("new", &["a"]), routes("other", &[])]);
    let mut stream = Stream::sotw();
    stream.publish(&one);
    stream.want(Cluster, &[]);
    assert!(
        stream.want(Route, &["new"]).is_empty(),
        "and it is not answered with nothing: Envoy would serve 404"
    );
    assert_eq!(listed(&stream.want(Route, &["new", "other"])[0]), ["other"]);
}

#[test]
fn in_sotw_a_cluster_waits_for_the_listener_whose_routes_named_it() {
    let world = [cluster("a", 1), endpoints("a", 1), listener("http", "http"), routes("http", &["a"])];
    let one = snapshot(world);
    let mut stream = Stream::sotw();
    stream.publish(&one);
    for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a"]), (Kind::Listener, &[]), (Route, &["http"])] {
        let first = stream.want(kind, names);
        stream.ack_wanting(&first[0], names);
    }
    let listeners = stream.publish(&after(&one, []));
    assert_eq!(kinds(&listeners), [Kind::Listener], "no response can say that a route is gone");
    assert!(
        stream.session.flush(stream.now).is_empty(),
        "the client still holds the listener and its routes"
    );
    let clusters = stream.ack_wanting(&listeners[0], &[]);
    assert_eq!((kinds(&clusters), listed(&clusters[0])), (vec![Cluster], vec![]));
}

/// Lets a delta client refuse `response` for its resource `bad`, and answer all that follows likewise.
fn refuse_whatever_holds(stream: &mut Stream, bad: &str, response: Response) -> Vec<Response> {
    let mut all = vec![response];
    let mut answered = 0;
    while let Some(response) = all.get(answered).cloned() {
        let refused = listed(&response).contains(&bad);
        all.extend(if refused { stream.nack(&response, "no") } else { stream.ack(&response) });
        answered += 1;
        assert!(answered < 1_000, "there is no end to the responses");
    }
    all
}

#[test]
fn what_was_refused_with_others_may_have_been_taken_in_and_is_taken_back() {
    let one = snapshot([cluster("bad", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Cluster, &[], &[]);
    stream.settle(first);
    let two = after(&one, [cluster("bad", 2), cluster("new", 1)]);
    let refused = stream.publish(&two);
    // The newcomer goes again before anybody knows who was at fault; Envoy has it by now.
    assert!(stream.publish(&after(&two, [cluster("bad", 2)])).is_empty());
    let all = refuse_whatever_holds(&mut stream, "bad", refused[0].clone());
    let told: Vec<&str> = all.iter().flat_map(|response| removed(response)).collect();
    assert_eq!(told, ["new"]);
}

#[test]
fn a_removal_that_was_refused_with_others_is_no_reason_to_believe_the_client_still_has_it() {
    let one = snapshot([cluster("a", 1), cluster("bad", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Cluster, &[], &[]);
    stream.settle(first);
    let two = after(&one, [cluster("bad", 2)]);
    let refused = stream.publish(&two);
    assert_eq!(removed(&refused[0]), ["a"]);
    // It comes back before anybody knows who was at fault; Envoy has let go of it by now.
    assert!(stream.publish(&after(&two, [cluster("a", 1), cluster("bad", 2)])).is_empty());
    let all = refuse_whatever_holds(&mut stream, "bad", refused[0].clone());
    assert!(all.iter().skip(1).any(|response| listed(response) == ["a"]), "{all:?}");
}

#[test]
fn a_changed_cluster_whose_endpoints_are_refused_hears_the_last_ones_that_were_not() {
    let one = snapshot([cluster("a", 1), endpoints("a", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a"])] {
        let first = stream.update(kind, names, &[]);
        stream.settle(first);
    }
    let two = after(&one, [cluster("a", 1), endpoints("a", 2)]);
    let refused = stream.publish(&two);
    assert!(stream.nack(&refused[0], "no").is_empty());
    let changed = stream.publish(&after(&two, [cluster("a", 2), endpoints("a", 2)]));
    assert_eq!(
        kinds(&changed),
        [Cluster, Endpoint],
        "Envoy acknowledges the cluster when it heard endpoints"
    );
    assert_eq!(changed[1].resources, [one.get(Endpoint, "a").unwrap().clone()]);
    assert!(stream.ack(&changed[1]).is_empty(), "the refused ones stay parked");
}

#[test]
fn a_refusal_that_comes_late_says_nothing_about_the_newer_content() {
    let one = snapshot([routes("http", &[])]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let clusters = stream.update(Cluster, &[], &[]);
    stream.settle(clusters);
    let first = stream.update(Route, &["http"], &[]);
    stream.settle(first);
    let two = after(&one, [cluster("a", 1), routes("http", &[])]);
    let bad = stream.publish(&two);
    assert!(stream.publish(&after(&two, [cluster("a", 2), routes("http", &["a"])])).is_empty());
    let fixed = stream.nack(&bad[0], "no");
    assert_eq!(
        kinds(&fixed),
        [Cluster],
        "the route waits for the cluster, which is not the one that was refused"
    );
}

#[test]
fn what_is_left_of_a_refused_response_is_not_at_fault_for_what_the_client_let_go_of() {
    let one = snapshot([routes("good", &[]), routes("bad", &[])]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Route, &["bad", "good"], &[]);
    assert!(stream.update(Route, &[], &["bad"]).is_empty());
    let again = stream.nack(&first[0], "no");
    assert_eq!(listed(&again[0]), ["good"]);
    assert!(stream.nack(&again[0], "no").is_empty(), "alone, and refused again: now it is");
}

#[test]
fn a_wildcard_that_is_let_go_of_while_its_answer_is_in_flight_leaves_nothing_behind() {
    let one = snapshot([cluster("a", 1), cluster("b", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Cluster, &["*", "a"], &[]);
    stream.update(Cluster, &[], &["*"]);
    assert!(stream.ack(&first[0]).is_empty(), "nobody wants to know that b is gone");
    assert!(stream.publish(&after(&one, [cluster("a", 1)])).is_empty());
}

#[test]
fn in_sotw_a_client_whose_first_answer_was_refused_hears_that_there_is_nothing_any_more() {
    let one = snapshot([cluster("bad", 1)]);
    let mut stream = Stream::sotw();
    stream.publish(&one);
    let first = stream.want(Cluster, &[]);
    let refused = Request { refused: Some("no".into()), ..names_request(Cluster, &[], &first[0].nonce) };
    assert!(stream.send(refused).is_empty(), "what it has from an earlier stream is better than nothing");
    let nothing = stream.publish(&after(&one, []));
    assert_eq!((kinds(&nothing), listed(&nothing[0])), (vec![Cluster], vec![]));
}

#[test]
fn in_sotw_a_cluster_that_is_taken_back_hears_its_endpoints() {
    let one = snapshot([cluster("a", 1), endpoints("a", 1)]);
    let mut stream = Stream::sotw();
    stream.publish(&one);
    for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a"])] {
        let first = stream.want(kind, names);
        stream.ack_wanting(&first[0], names);
    }
    let refused = stream.publish(&after(&one, [cluster("a", 2), cluster("bad", 1), endpoints("a", 1)]));
    assert_eq!(kinds(&refused), [Cluster, Endpoint]);
    stream.ack_wanting(&refused[1], &["a"]);
    // Envoy has taken in the good half; now it hears what it had before, and warms that.
    let reason = Some("a is innocent".to_owned());
    let nack = Request { refused: reason, ..names_request(Cluster, &[], &refused[0].nonce) };
    let trial = stream.send(nack);
    assert_eq!(listed(&trial[0]), ["a", "bad"]);
    assert_eq!(trial[0].resources[0], *one.get(Cluster, "a").unwrap());
    assert_eq!((kinds(&trial), listed(&trial[1])), (vec![Cluster, Endpoint], vec!["a"]));
}

#[test]
fn a_reconnecting_client_keeps_a_cluster_that_goes_before_it_spoke_of_its_routes() {
    let one = snapshot([cluster("a", 1), listener("http", "http"), routes("http", &["a"])]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let kept = [("a", version(&one, Cluster, "a"))];
    assert!(stream.send(reconnect_request(Cluster, &[], &kept)).is_empty());
    let two = after(&one, [listener("http", "http"), routes("http", &[])]);
    assert!(stream.publish(&two).is_empty(), "its routes may still name this one");
    let kept = [("http", version(&one, Kind::Listener, "http"))];
    assert!(stream.send(reconnect_request(Kind::Listener, &[], &kept)).is_empty());
    let kept = [("http", version(&one, Route, "http"))];
    let route = stream.send(reconnect_request(Route, &["http"], &kept));
    assert_eq!(kinds(&route), [Route]);
    assert_eq!(removed(&stream.ack(&route[0])[0]), ["a"]);
}

#[test]
fn what_a_client_may_have_taken_in_is_doubted_until_that_very_version_is_at_fault() {
    let one = snapshot([cluster("a", 1), cluster("bad", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Cluster, &[], &[]);
    stream.settle(first);
    let two = after(&one, [cluster("a", 2), cluster("bad", 2)]);
    let refused = stream.publish(&two);
    // The client may have the second version of `a` by now. The third one is refused alone, and the first one is back.
    let three = after(&two, [cluster("a", 3), cluster("bad", 1)]);
    assert!(stream.publish(&three).is_empty());
    let nack = stream.nack(&refused[0], "no");
    assert_eq!(listed(&nack[0]), ["a", "bad"]);
    let again = stream.nack(&nack[0], "a: no");
    assert_eq!(listed(&again[0]), ["bad"]);
    let alone = stream.ack(&again[0]);
    assert!(alone.is_empty(), "`a` is at fault, beyond doubt");
    assert_eq!(listed(&stream.publish(&after(&three, [cluster("a", 1), cluster("bad", 1)]))[0]), ["a"]);
}

#[test]
fn a_reconnecting_client_is_told_that_its_endpoints_are_gone_even_if_it_refused_newer_ones() {
    let one = snapshot([endpoints("a", 1)]);
    let two = after(&one, [endpoints("a", 2)]);
    let mut stream = Stream::delta();
    stream.publish(&two);
    let kept = [("a", version(&one, Endpoint, "a"))];
    let newer = stream.send(reconnect_request(Endpoint, &["a"], &kept));
    assert!(stream.nack(&newer[0], "no").is_empty());
    assert_eq!(removed(&stream.publish(&after(&two, []))[0]), ["a"]);
}

#[test]
fn a_removal_is_not_suspected_of_what_was_refused_with_it() {
    let one = snapshot([cluster("a", 1), cluster("gone", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Cluster, &[], &[]);
    stream.settle(first);
    let refused = stream.publish(&after(&one, [cluster("a", 2)]));
    assert_eq!((listed(&refused[0]), removed(&refused[0])), (vec!["a"], vec!["gone"]));
    let removal = stream.nack(&refused[0], "no");
    assert_eq!((listed(&removal[0]), removed(&removal[0])), (vec![], vec!["gone"]));
    assert!(stream.ack(&removal[0]).is_empty(), "the other one is at fault, beyond doubt");
}

#[test]
fn in_sotw_a_name_that_is_asked_for_is_answered_by_any_list() {
    let one = snapshot([cluster("a", 1), cluster("gone", 1)]);
    let mut stream = Stream::sotw();
    stream.publish(&one);
    let first = stream.want(Cluster, &[]);
    stream.ack_wanting(&first[0], &[]);
    let refused = stream.publish(&after(&one, [cluster("a", 1), cluster("bad", 1)]));
    let wants = names_request(Cluster, &["*", "a"], &refused[0].nonce);
    let list = stream.send(Request { refused: Some("bad: no".into()), ..wants });
    assert_eq!(listed(&list[0]), ["a"], "without what is gone");
    assert!(stream.ack_wanting(&list[0], &["*", "a"]).is_empty());
}

#[test]
fn in_sotw_a_client_that_lets_go_of_what_it_refused_hears_that_there_is_nothing_else() {
    use Kind::Listener;
    for lets_go_first in [true, false] {
        let one = snapshot([api_listener("bad", "http")]);
        let mut stream = Stream::sotw();
        stream.publish(&one);
        let first = stream.want(Listener, &["bad", "kept"]);
        assert_eq!(listed(&first[0]), ["bad"], "and what it may have from an earlier stream is gone");
        let nonce = &first[0].nonce;
        let refuses =
            |names: &[&str]| Request { refused: Some("no".into()), ..names_request(Listener, names, nonce) };
        let nothing = if lets_go_first {
            assert!(stream.want(Listener, &["kept"]).is_empty(), "one response at a time");
            stream.send(refuses(&["kept"]))
        } else {
            assert!(stream.send(refuses(&["bad", "kept"])).is_empty(), "it still asks for what it refused");
            stream.send(names_request(Listener, &["kept"], nonce))
        };
        assert_eq!((kinds(&nothing), listed(&nothing[0])), (vec![Listener], vec![]));
        assert!(stream.ack_wanting(&nothing[0], &["kept"]).is_empty());
    }
}

#[test]
fn refusing_what_stands_in_for_refused_endpoints_does_not_make_those_accepted() {
    let one = snapshot([cluster("a", 1), endpoints("a", 1)]);
    let mut stream = Stream::delta();
    stream.publish(&one);
    let first = stream.update(Cluster, &[], &[]);
    let refused = stream.update(Endpoint, &["a"], &[]);
    stream.nack(&refused[0], "no");
    stream.ack(&first[0]);
    let again = stream.publish(&after(&one, [cluster("a", 2), endpoints("a", 1)]));
    assert_eq!((kinds(&again), listed(&again[1])), (vec![Cluster, Endpoint], vec!["a"]));
    assert_ne!(again[1].resources[0], *one.get(Endpoint, "a").unwrap(), "it stands in");
    stream.nack(&again[1], "nor this");
    assert!(stream.ack(&again[0]).is_empty());
    let status = stream.session.status();
    let endpoints = status.iter().find(|status| status.kind == Endpoint).unwrap();
    let of_a = &endpoints.resources[0];
    assert!(matches!(of_a.sync, Sync::Refused(_)), "{of_a:?}");
    assert_eq!(of_a.acknowledged, None);
}

#[test]
fn in_sotw_a_cluster_stays_while_listeners_of_an_earlier_stream_may_use_its_route() {
    let one = snapshot([cluster("a", 1), routes("http", &["a"]), listener("bad", "http")]);
    let mut stream = Stream::sotw();
    stream.publish(&one);
    let first = stream.want(Cluster, &[]);
    stream.ack_wanting(&first[0], &[]);
    let listeners = stream.want(Kind::Listener, &[]);
    let route = stream.want(Route, &["http"]);
    stream.ack_wanting(&route[0], &["http"]);
    // It goes on with the listener that it has, and the route of that one.
    let refused = names_request(Kind::Listener, &[], &listeners[0].nonce);
    assert!(stream.send(Request { refused: Some("no".into()), ..refused }).is_empty());
    let gone = stream.publish(&after(&one, []));
    assert_eq!((kinds(&gone), listed(&gone[0])), (vec![Kind::Listener], vec![]));
    let gone = stream.ack_wanting(&gone[0], &[]);
    assert_eq!((kinds(&gone), listed(&gone[0])), (vec![Cluster], vec![]));
}

#[test]
fn in_sotw_a_route_that_is_let_go_of_and_asked_for_again_in_flight_keeps_its_cluster() {
    let one = snapshot([cluster("a", 1), routes("http", &["a"]), listener("http", "http")]);
    let mut stream = Stream::sotw();
    stream.publish(&one);
    for kind in [Cluster, Kind::Listener] {
        let first = stream.want(kind, &[]);
        stream.ack_wanting(&first[0], &[]);
    }
    let sent = stream.want(Route, &["http"]);
    // Written before the client read the response: it reads that with the name among those it wants.
    assert!(stream.want(Route, &[]).is_empty());
    assert!(stream.want(Route, &["http"]).is_empty(), "one response at a time");
    let gone = stream.publish(&after(&one, []));
    assert_eq!((kinds(&gone), listed(&gone[0])), (vec![Kind::Listener], vec![]), "the cluster has to wait");
    assert!(stream.ack_wanting(&gone[0], &[]).is_empty(), "for the route in flight as well");
    let gone = stream.ack_wanting(&sent[0], &["http"]);
    assert!(gone.iter().any(|gone| (gone.kind, listed(gone)) == (Cluster, vec![])), "{gone:?}");
}
