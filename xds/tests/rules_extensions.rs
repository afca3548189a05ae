//! The rules on configurations of filters (ECDS), one test each, on the pure session.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{AggregatedConfigSource, PathConfigSource};
use support::*;
use xds_server::Kind::{Cluster, Endpoint, Extension, Listener, Route};
use xds_server::session::{Protocol, Request, Response, Scope, Settings};
use xds_server::{Kind, Resource, Snapshot};

const BOTH: [Protocol; 2] = [Protocol::Delta, Protocol::StateOfTheWorld];

const fn ads() -> ConfigSourceSpecifier {
    ConfigSourceSpecifier::Ads(AggregatedConfigSource {})
}

/// A listener with a filter that asks `asked` for keys, and routes to `clusters`.
fn world(clusters: &[&str], asked: &str, revision: &str) -> Vec<Resource> {
    let mut all = vec![filtered_listener("http", "http", "tokens", ads()), routes("http", clusters)];
    all.push(extension("tokens", asked, revision));
    all.extend(clusters.iter().flat_map(|name| [cluster(name, 1), endpoints(name, 1)]));
    all
}

/// A client of either protocol that accepts what it gets.
struct Client {
    stream: Stream,
    protocol: Protocol,
}

impl Client {
    fn ask(&mut self, kind: Kind, names: &[&str]) -> Vec<Response> {
        match self.protocol {
            Protocol::Delta => self.stream.update(kind, names, &[]),
            Protocol::StateOfTheWorld => self.stream.want(kind, names),
        }
    }

    fn accept(&mut self, response: &Response) -> Vec<Response> {
        let names: &[&str] = match response.kind {
            Endpoint => &["a"],
            Extension => &["tokens"],
            Route => &["http"],
            _ => &[],
        };
        match self.protocol {
            Protocol::Delta => self.stream.ack(response),
            Protocol::StateOfTheWorld => self.stream.ack_wanting(response, names),
        }
    }

    /// One that has all of `first`, of which the cluster is `a`.
    fn settled(protocol: Protocol, first: &Arc<Snapshot>) -> Self {
        let mut client = Self { stream: Stream::new(protocol), protocol };
        client.stream.publish(first);
        for (kind, names) in [
            (Cluster, &[][..]),
            (Endpoint, &["a"]),
            (Listener, &[]),
            (Extension, &["tokens"]),
            (Route, &["http"]),
        ] {
            let responses = client.ask(kind, names);
            assert_eq!(kinds(&responses), [kind]);
            assert!(client.accept(&responses[0]).is_empty());
        }
        client
    }
}

#[test]
fn r31_the_configuration_of_a_filter_is_sent_by_name_and_never_by_wildcard() {
    let world = snapshot(world(&["a"], "a", "one"));
    for (protocol, names) in BOTH.into_iter().flat_map(|protocol| [(protocol, &[][..]), (protocol, &["*"])]) {
        let mut client = Client { stream: Stream::new(protocol), protocol };
        client.stream.publish(&world);
        let none = client.ask(Extension, names);
        assert!(none.iter().all(|response| response.resources.is_empty()), "{none:?}");
        let nonce = none.first().map(|response| response.nonce.clone()).unwrap_or_default();
        let request = match protocol {
            Protocol::Delta => Request { nonce, ..update_request(Extension, &["tokens"], &[]) },
            Protocol::StateOfTheWorld => names_request(Extension, &["tokens"], &nonce),
        };
        assert_eq!(listed(&client.stream.send(request)[0]), ["tokens"]);
    }
}

#[test]
fn r31_a_change_of_it_is_sent_alone() {
    for protocol in BOTH {
        let one = snapshot(world(&["a"], "a", "one"));
        let mut client = Client::settled(protocol, &one);
        let responses = client.stream.publish(&after(&one, world(&["a"], "a", "two")));
        assert_eq!(kinds(&responses), [Extension], "no listener changes with it");
        assert!(client.accept(&responses[0]).is_empty());
    }
}

#[test]
fn r31_it_goes_before_the_listeners_and_routes_that_change_with_it_and_they_do_not_wait_for_its_ack() {
    for protocol in BOTH {
        let one = snapshot(world(&["a"], "a", "one"));
        let mut client = Client::settled(protocol, &one);
        let mut next = world(&["a"], "a", "two");
        next[0] = filtered_listener("http", "other", "tokens", ads());
        next[1] = routes("http", &[]);
        next.push(routes("other", &["a"]));
        let responses = client.stream.publish(&after(&one, next));
        assert_eq!(kinds(&responses), [Extension, Listener, Route]);
    }
}

#[test]
fn r31_it_waits_for_the_ack_of_a_cluster_that_it_asks_and_the_routes_wait_for_it() {
    for protocol in BOTH {
        let one = snapshot(world(&["a"], "a", "one"));
        let mut client = Client::settled(protocol, &one);
        let mut next = world(&["a"], "keys", "two");
        next[1] = routes("http", &[]);
        next.push(cluster("keys", 1));
        let clusters = client.stream.publish(&after(&one, next));
        assert_eq!(kinds(&clusters), [Cluster]);
        let rest = client.accept(&clusters[0]);
        assert_eq!(kinds(&rest), [Extension, Route], "in this order");
    }
}

#[test]
fn r31_routes_wait_while_an_older_one_is_unanswered_and_for_nobody_for_ever() {
    for protocol in BOTH {
        let one = snapshot(world(&["a"], "a", "one"));
        let mut client = Client::settled(protocol, &one);
        let two = after(&one, world(&["a"], "a", "two"));
        let unanswered = client.stream.publish(&two);
        let mut next = world(&["a"], "a", "three");
        next[1] = routes("http", &[]);
        let three = after(&two, next);
        assert!(client.stream.publish(&three).is_empty(), "the routes speak of what the third one knows");
        let rest = client.accept(&unanswered[0]);
        assert_eq!(kinds(&rest), [Extension, Route]);
        // And one that never answers.
        let mut silent = Client::settled(protocol, &one);
        silent.stream.publish(&two);
        silent.stream.publish(&three);
        let deadline = silent.stream.session.next_deadline().unwrap();
        assert!(silent.stream.session.flush(deadline - Duration::from_millis(1)).is_empty());
        assert_eq!(kinds(&silent.stream.session.flush(deadline)), [Route]);
    }
}

#[test]
fn r31_one_that_was_refused_holds_up_no_route() {
    let one = snapshot(world(&["a"], "a", "one"));
    let mut client = Client::settled(Protocol::Delta, &one);
    let two = after(&one, world(&["a"], "a", "two"));
    let refused = client.stream.publish(&two);
    assert!(client.stream.nack(&refused[0], "bad").is_empty());
    let mut next = world(&["a"], "a", "two");
    next[1] = routes("http", &[]);
    assert_eq!(kinds(&client.stream.publish(&after(&two, next))), [Route]);
}

#[test]
fn r31_it_goes_when_no_listener_asks_for_it_any_more_and_its_cluster_after_it() {
    let one = snapshot(world(&["a"], "a", "one"));
    let mut client = Client::settled(Protocol::Delta, &one);
    let gone = client.stream.publish(&after(&one, [routes("http", &[]), listener("http", "http")]));
    assert_eq!(kinds(&gone), [Listener, Route]);
    assert!(
        client.stream.ack(&gone[1]).is_empty(),
        "the listener may still have the filter, which asks the cluster"
    );
    let extension = client.stream.ack(&gone[0]);
    assert_eq!((kinds(&extension), removed(&extension[0])), (vec![Extension], vec!["tokens"]));
    let cluster = client.stream.ack(&extension[0]);
    assert_eq!((kinds(&cluster), removed(&cluster[0])), (vec![Cluster], vec!["a"]));
}

#[test]
fn r31_a_client_that_comes_back_keeps_the_clusters_that_its_filters_may_ask() {
    let one = snapshot(world(&["a"], "a", "one"));
    let mut stream = Stream::delta();
    stream.publish(&one);
    let kept = [("a", version(&one, Cluster, "a")), ("gone", "x".into())];
    assert!(stream.send(reconnect_request(Cluster, &[], &kept)).is_empty());
    let kept = [("http", version(&one, Listener, "http"))];
    assert!(stream.send(reconnect_request(Listener, &[], &kept)).is_empty());
    let kept = [("http", version(&one, Route, "http"))];
    let route = stream.send(reconnect_request(Route, &["http"], &kept));
    assert_eq!(kinds(&route), [Route], "what is asked for by name is sent");
    assert!(stream.ack(&route[0]).is_empty(), "nobody knows yet whom its filter asks");
    let kept = [("tokens", "old".to_owned())];
    let extension = stream.send(reconnect_request(Extension, &["tokens"], &kept));
    assert_eq!(kinds(&extension), [Extension]);
    assert_eq!(removed(&stream.ack(&extension[0])[0]), ["gone"]);
}

#[test]
fn r31_a_client_that_comes_back_keeps_those_that_its_listeners_may_name() {
    let one = snapshot(world(&["a"], "a", "one"));
    let two = after(&one, [routes("http", &[]), listener("http", "http")]);
    let mut stream = Stream::delta();
    stream.publish(&two);
    let kept = [("tokens", version(&one, Extension, "tokens"))];
    assert!(stream.send(reconnect_request(Extension, &["tokens"], &kept)).is_empty());
    let kept = [("http", version(&one, Listener, "http"))];
    let listeners = stream.send(reconnect_request(Listener, &[], &kept));
    assert_eq!(kinds(&listeners), [Listener], "it lets go of the filter first");
    assert_eq!(removed(&stream.ack(&listeners[0])[0]), ["tokens"]);
}

#[test]
fn r31_a_listener_that_asks_for_one_that_is_not_there_is_refused() {
    let alone = || filtered_listener("http", "http", "tokens", ads());
    let error = Snapshot::default().next([alone()]).unwrap_err();
    assert!(error.to_string().contains("\"http\" refers to extension \"tokens\""), "{error}");
    let one = snapshot(world(&[], "", "one"));
    let error = one.with([cluster("a", 1)], [(Extension, "tokens".into())]).unwrap_err();
    assert!(error.to_string().contains("tokens"), "{error}");
    // What a client has in a file of its own is nobody else's business.
    let file = ConfigSourceSpecifier::PathConfigSource(PathConfigSource::default());
    assert!(Snapshot::default().next([filtered_listener("http", "http", "tokens", file)]).is_ok());
}

#[test]
fn r31_one_that_asks_a_cluster_that_is_not_there_is_refused() {
    let error = Snapshot::default().next([extension("tokens", "nowhere", "one")]).unwrap_err();
    assert!(error.to_string().contains("extension \"tokens\" refers to cluster \"nowhere\""), "{error}");
}

#[test]
fn r31_on_a_stream_of_its_own_it_waits_for_nobody() {
    for protocol in BOTH {
        let scope = Scope::Only(Extension);
        let mut client = Client { stream: Stream::with(protocol, scope, Settings::default()), protocol };
        client.stream.publish(&snapshot(world(&["a"], "a", "one")));
        assert_eq!(listed(&client.ask(Extension, &["tokens"])[0]), ["tokens"]);
    }
}
