//! What the model client found: messages that cross, and worlds that change under them. One test for each.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use support::*;
use xds_server::Kind::{Cluster, Endpoint, Listener, Route};

#[test]
fn a_route_waits_for_a_cluster_that_comes_back_while_its_removal_is_in_flight() {
    let one = snapshot([cluster("a", 1), endpoints("a", 1), routes("http", &[])]);
    let with_route = || [cluster("a", 1), endpoints("a", 1), routes("http", &["a"])];
    let mut stream = Stream::delta();
    stream.publish(&one);
    for (kind, names) in [(Cluster, &[][..]), (Endpoint, &["a"]), (Listener, &[]), (Route, &["http"])] {
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
