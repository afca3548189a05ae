//! What a rollout decides, from what is known. Pure.

use std::time::Duration;

use crate::admin::pb;
use crate::cli::missing::unacknowledged;
use pb::endpoint::State;

use super::compose::Container;
use crate::model::options::DRAIN;

/// How far a rollout came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    /// Nothing was changed yet.
    Nothing,
    /// New containers were asked for; some may be there.
    Scaled,
    /// All new ones take requests.
    Ready,
    /// The old ones were told to take no more.
    Draining,
    /// The first old one may be gone.
    Removing,
}

/// What to do where a rollout failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Remedy {
    /// Put the old ones back into rotation.
    pub(super) undrain_old: bool,
    /// Remove the new ones.
    pub(super) remove_new: bool,
    /// How things are after that.
    pub(super) then: &'static str,
}

/// The old ones serve on; new ones that never were ready go.
pub(super) const fn remedy(reached: Reached) -> Remedy {
    let (undrain_old, remove_new, then) = match reached {
        Reached::Nothing => (false, false, "nothing was changed"),
        Reached::Scaled => (false, true, "the old containers serve as before"),
        Reached::Ready => (false, false, "the old containers serve, and the new ones beside them"),
        Reached::Draining => (true, false, "the old containers serve again, and the new ones beside them"),
        Reached::Removing => {
            (false, false, "the new containers serve; remove what is left of the old ones by hand")
        }
    };
    Remedy { undrain_old, remove_new, then }
}

/// How long containers may finish their requests: as was asked for, else as the service's label says.
pub(super) fn patience(asked: Option<Duration>, status: &pb::WatchServiceResponse) -> Duration {
    let label = status.service.as_ref().and_then(|service| service.drain);
    let label = label.and_then(|drain| drain.try_into().ok());
    asked.or(label).unwrap_or(DRAIN)
}

/// Those that are there now and were not before.
pub(super) fn fresh(before: &[Container], now: &[Container]) -> Vec<Container> {
    now.iter().filter(|container| before.iter().all(|old| old.id != container.id)).cloned().collect()
}

/// The service that has one of `containers`, by its name in the view.
pub(super) fn service_of(view: &pb::GetViewResponse, containers: &[Container]) -> Option<String> {
    let is_one = |id: &str| containers.iter().any(|container| container.id == id);
    let has_one = |service: &&pb::Service| {
        service.endpoints.iter().any(|endpoint| is_one(&endpoint.id))
            || service.absent.iter().any(|absent| is_one(&absent.id))
    };
    view.services.iter().find(has_one).map(|service| service.name.clone())
}

/// What keeps the new containers from taking requests of every Envoy.
pub(super) fn unready(status: &pb::WatchServiceResponse, new: &[Container]) -> Vec<String> {
    let mut missing: Vec<String> = new.iter().filter_map(|container| lacks(status, container)).collect();
    if missing.is_empty() {
        missing = unacknowledged(status, false);
    }
    missing
}

fn lacks(status: &pb::WatchServiceResponse, container: &Container) -> Option<String> {
    let name = &container.name;
    if let Some(endpoint) = endpoint(status, container) {
        return (endpoint.state() != State::Ready).then(|| format!("{name} is stopping"));
    }
    let absent = status.service.iter().flat_map(|service| &service.absent);
    let absent = absent.into_iter().find(|absent| absent.id == container.id);
    Some(match absent {
        Some(absent) => format!("{name} {}", absent.message),
        None => {
            format!("{name} is no container of this service to the control plane; are its labels others now?")
        }
    })
}

/// What keeps the old containers from being out of every Envoy's rotation.
pub(super) fn undrained(status: &pb::WatchServiceResponse, old: &[Container]) -> Vec<String> {
    let takes = |container: &&Container| {
        endpoint(status, container).is_some_and(|endpoint| endpoint.state() == State::Ready)
    };
    let mut missing: Vec<String> =
        old.iter().filter(takes).map(|each| format!("{} is in rotation still", each.name)).collect();
    if missing.is_empty() {
        missing = unacknowledged(status, false);
    }
    missing
}

/// The addresses of `containers`, for those that have one.
pub(super) fn addresses(status: &pb::WatchServiceResponse, containers: &[Container]) -> Vec<String> {
    let found = containers.iter().filter_map(|container| endpoint(status, container));
    found.map(|endpoint| endpoint.address.clone()).collect()
}

fn endpoint<'a>(status: &'a pb::WatchServiceResponse, container: &Container) -> Option<&'a pb::Endpoint> {
    status.service.as_ref()?.endpoints.iter().find(|endpoint| endpoint.id == container.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::missing::tests::{absent, client, endpoint, status};
    use pb::absent::Reason;

    fn containers(ids: &[&str]) -> Vec<Container> {
        ids.iter().map(|id| Container { id: (*id).to_owned(), name: format!("shop-{id}") }).collect()
    }

    #[test]
    fn requests_are_finished_for_as_long_as_was_asked_for_else_as_the_label_says() {
        let second = Duration::from_secs;
        let status = |drain: Option<u64>| {
            let drain = drain.map(|seconds| second(seconds).try_into().unwrap());
            let service = pb::Service { drain, ..Default::default() };
            pb::WatchServiceResponse { service: Some(service), ..Default::default() }
        };
        assert_eq!(patience(Some(second(3)), &status(Some(30))), second(3));
        assert_eq!(patience(None, &status(Some(30))), second(30));
        assert_eq!(patience(None, &status(None)), DRAIN);
        assert_eq!(patience(None, &pb::WatchServiceResponse::default()), DRAIN);
    }

    #[test]
    fn new_ones_are_those_that_were_not_there_before() {
        let new = fresh(&containers(&["a", "b"]), &containers(&["b", "c", "a", "d"]));
        assert_eq!(new, containers(&["c", "d"]));
    }

    #[test]
    fn the_service_is_found_by_any_of_its_containers_ready_or_not() {
        let services = [
            status(&[endpoint("a", State::Ready)], &[], &[]),
            status(&[], &[absent("b", Reason::Stopped)], &[]),
        ];
        let services = services
            .into_iter()
            .enumerate()
            .map(|(n, status)| pb::Service { name: format!("service-{n}"), ..status.service.unwrap() });
        let view = pb::GetViewResponse { services: services.collect(), ..Default::default() };
        assert_eq!(service_of(&view, &containers(&["x", "a"])).as_deref(), Some("service-0"));
        assert_eq!(service_of(&view, &containers(&["b"])).as_deref(), Some("service-1"));
        assert_eq!(service_of(&view, &containers(&["x"])), None);
    }

    #[test]
    fn new_ones_are_awaited_until_all_are_ready_and_every_client_knows() {
        let new = containers(&["c", "d"]);
        let (c, d) = (endpoint("c", State::Ready), endpoint("d", State::Ready));
        let both = [c.clone(), d.clone()];
        assert_eq!(unready(&status(&both, &[], &[client(true, true)]), &new), [""; 0]);
        // Somebody else's refused route does not keep a fix from being rolled out.
        assert_eq!(unready(&status(&both, &[], &[client(true, false)]), &new), [""; 0]);
        for (status, word) in [
            (status(&both, &[], &[client(true, true), client(false, true)]), "acknowledged"),
            (status(&both, &[], &[]), "no Envoy"),
            (status(&both[..1], &[absent("d", Reason::Starting)], &[client(true, true)]), "shop-d is absent"),
            (status(&both[..1], &[], &[client(true, true)]), "shop-d is no container of this service"),
            (status(&[c, endpoint("d", State::Draining)], &[], &[client(true, true)]), "shop-d is stopping"),
        ] {
            let missing = unready(&status, &new);
            assert!(missing.len() == 1 && missing[0].contains(word), "{missing:?}, not {word}");
        }
    }

    #[test]
    fn old_ones_are_out_when_none_is_ready_and_every_client_knows() {
        let old = containers(&["a", "b"]);
        let out = [endpoint("a", State::Draining), endpoint("new", State::Ready)];
        let stopped = [absent("b", Reason::Stopped)];
        assert_eq!(undrained(&status(&out, &stopped, &[client(true, true)]), &old), [""; 0]);
        assert_eq!(undrained(&status(&out, &[], &[client(false, true)]), &old).len(), 1);
        let in_still = [endpoint("a", State::Ready), endpoint("b", State::Ready)];
        assert_eq!(undrained(&status(&in_still, &[], &[client(true, true)]), &old).len(), 2);
        assert_eq!(addresses(&status(&out, &[], &[]), &old), ["10.0.0.1:80"]);
    }

    #[test]
    fn a_failure_leaves_the_old_ones_serving_and_none_that_never_was_ready() {
        for (reached, undrain_old, remove_new) in [
            (Reached::Nothing, false, false),
            (Reached::Scaled, false, true),
            (Reached::Ready, false, false),
            (Reached::Draining, true, false),
            // What was stopped cannot be put back.
            (Reached::Removing, false, false),
        ] {
            let found = remedy(reached);
            assert_eq!((found.undrain_old, found.remove_new), (undrain_old, remove_new), "{reached:?}");
        }
    }
}
