//! What a service lacks to be routed, in words. Pure.

use crate::admin::pb;
use pb::absent::Reason;
use pb::endpoint::State;

/// What keeps `service` from being in every client's rotation; nothing where it is.
///
/// All containers that are ready must be acknowledged, with the routes, and none may be starting still. There must be
/// `replicas` that are ready, or at least one.
pub(super) fn unrouted(
    asked: &str,
    status: &pb::WatchServiceResponse,
    replicas: Option<usize>,
) -> Vec<String> {
    let Some(service) = &status.service else {
        return vec![format!(
            "no container claims a route for a service {asked}; `portolan.host` is the label that does"
        )];
    };
    let mut missing = Vec::new();
    let ready = service.endpoints.iter().filter(|endpoint| endpoint.state() == State::Ready).count();
    let wanted = replicas.unwrap_or(1);
    if ready < wanted || replicas.is_some_and(|wanted| ready > wanted) {
        missing.push(format!("{ready} of {wanted} replicas of {} are ready", service.name));
    }
    let counts = |absent: &&pb::Absent| ready < wanted || absent.reason() == Reason::Starting;
    let counts = service.absent.iter().filter(counts);
    missing.extend(counts.map(|absent| format!("{} {}", absent.workload, absent.message)));
    if ready < wanted {
        let drained = service.endpoints.iter().filter(|endpoint| endpoint.state() == State::Draining);
        missing.extend(drained.map(|endpoint| format!("{} is draining", endpoint.workload)));
    }
    missing.extend(unacknowledged(status, true));
    missing
}

/// The clients that are not where the service is, or that there is none; and whether that can be known.
pub(super) fn unacknowledged(status: &pb::WatchServiceResponse, routes: bool) -> Vec<String> {
    let stale = status.stale.then(|| {
        "the control plane has lost sight of the containers (is the Docker Engine away?): what it knows may be out of date"
            .to_owned()
    });
    stale.into_iter().chain(behind(status, routes)).collect()
}

fn behind(status: &pb::WatchServiceResponse, routes: bool) -> Vec<String> {
    if status.clients.is_empty() {
        return vec!["no Envoy that asks for this service is connected to the control plane".to_owned()];
    }
    let behind = status
        .clients
        .iter()
        .filter(|client| !client.endpoints_acknowledged || (routes && !client.routes_acknowledged));
    let told = behind.map(|client| {
        let what = if client.endpoints_acknowledged { "routes" } else { "endpoints" };
        let name = if client.node.is_empty() { &client.peer } else { &client.node };
        if client.refusal.is_empty() {
            format!("{name} has not acknowledged the newest {what} yet")
        } else {
            format!("{name} refused the newest {what}: {}", client.refusal)
        }
    });
    told.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli) fn endpoint(id: &str, state: State) -> pb::Endpoint {
        let address = "10.0.0.1:80".to_owned();
        pb::Endpoint {
            address,
            workload: id.to_owned(),
            state: state.into(),
            network: String::new(),
            id: id.to_owned(),
            ..Default::default()
        }
    }

    pub(in crate::cli) fn absent(id: &str, reason: Reason) -> pb::Absent {
        let message = "is absent".to_owned();
        pb::Absent { workload: id.to_owned(), id: id.to_owned(), reason: reason.into(), message }
    }

    pub(in crate::cli) fn client(endpoints: bool, routes: bool) -> pb::ServiceClient {
        pb::ServiceClient {
            node: "edge".to_owned(),
            endpoints_acknowledged: endpoints,
            routes_acknowledged: routes,
            ..Default::default()
        }
    }

    pub(in crate::cli) fn status(
        endpoints: &[pb::Endpoint],
        absent: &[pb::Absent],
        clients: &[pb::ServiceClient],
    ) -> pb::WatchServiceResponse {
        let name = "shop/web".to_owned();
        let service = pb::Service {
            name,
            endpoints: endpoints.to_vec(),
            absent: absent.to_vec(),
            ..Default::default()
        };
        pb::WatchServiceResponse { service: Some(service), clients: clients.to_vec(), stale: false }
    }

    #[test]
    fn a_service_is_routed_when_all_of_it_is_ready_and_everyone_has_said_so() {
        let two = [endpoint("a", State::Ready), endpoint("b", State::Ready)];
        let synced = [client(true, true)];
        assert_eq!(unrouted("web", &status(&two, &[], &synced), None), [""; 0]);
        assert_eq!(unrouted("web", &status(&two, &[], &synced), Some(2)), [""; 0]);
        // One that was stopped is no replica any more; one that drains takes nothing away from those that are ready.
        let gone = [absent("c", Reason::Stopped)];
        let one = [endpoint("a", State::Ready), endpoint("b", State::Draining)];
        assert_eq!(unrouted("web", &status(&one, &gone, &synced), None), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_told_each_thing_once() {
        let one = [endpoint("a", State::Ready)];
        let none = [endpoint("a", State::Draining)];
        let (starting, stopped) = ([absent("c", Reason::Starting)], [absent("c", Reason::Stopped)]);
        let synced = [client(true, true)];
        let refusing = pb::ServiceClient { refusal: "http: bad regex".to_owned(), ..client(true, false) };
        for (status, replicas, words) in [
            (pb::WatchServiceResponse::default(), None, &["no container claims"][..]),
            (status(&one, &[], &synced), Some(2), &["1 of 2"]),
            (status(&one, &stopped, &synced), Some(2), &["1 of 2", "c is absent"]),
            (status(&[one[0].clone(), one[0].clone()], &[], &synced), Some(1), &["2 of 1"]),
            (status(&none, &[], &synced), None, &["0 of 1", "a is draining"]),
            (status(&one, &starting, &synced), None, &["c is absent"]),
            (status(&one, &[], &[]), None, &["no Envoy"]),
            (pb::WatchServiceResponse { stale: true, ..status(&one, &[], &synced) }, None, &["lost sight"]),
            (
                status(&one, &[], &[client(false, false)]),
                None,
                &["edge has not acknowledged the newest endpoints"],
            ),
            (status(&one, &[], &[client(true, true), client(true, false)]), None, &["newest routes"]),
            (status(&one, &[], &[refusing]), None, &["refused the newest routes: http: bad regex"]),
        ] {
            let found = unrouted("web", &status, replicas);
            assert_eq!(found.len(), words.len(), "{found:?}");
            assert!(
                found.iter().zip(words).all(|(found, word)| found.contains(word)),
                "{found:?}, not {words:?}"
            );
        }
    }
}
