//! `portolan.v1.InspectService`: the view, as it is, and how far the clients are with it.

use std::sync::Arc;

use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use super::container;
use super::pb;
use super::pb::inspect_service_server::{InspectService, InspectServiceServer};
use super::refusal::{invalid, no_view, not_found};
use super::watch::Follower;
use super::{changes, lists, policies};
use crate::explain::{self, workloads::Facts};
use crate::model::{Absence, EndpointState, Service, Share};
use crate::naming;
use crate::overrides::Overrides;
use crate::provider::Freshness;
use crate::publish::View;
use crate::recording::Hide;
use crate::sources::Sources;

/// Answers from the newest view.
#[derive(Debug)]
pub struct Inspect {
    sources: Sources,
    dashboard_host: String,
    /// One for all answers, so that two of them can be compared.
    hide: Hide,
}

impl Inspect {
    /// The service over all that `sources` see; ready for a tonic router.
    #[must_use]
    pub fn service(sources: Sources, dashboard_host: String) -> InspectServiceServer<Self> {
        InspectServiceServer::new(Self { sources, dashboard_host, hide: Hide::new("") })
    }

    fn view(&self) -> Result<Arc<View>, Status> {
        self.sources.views.borrow().clone().ok_or_else(no_view)
    }
}

#[tonic::async_trait]
impl InspectService for Inspect {
    async fn get_view(
        &self,
        request: Request<pb::GetViewRequest>,
    ) -> Result<Response<pb::GetViewResponse>, Status> {
        let (view, Sources { decisions, freshness, .. }) = (self.view()?, &self.sources);
        let mut response = to_response(&view, &decisions.borrow(), freshness);
        response.dashboard_host.clone_from(&self.dashboard_host);
        if let Some((inventory, options)) = view.model.made_of() {
            response.label_prefix.clone_from(&options.label_prefix);
            let all = inventory.workloads.values().filter(|_| request.get_ref().containers);
            response.containers = all.map(|it| container::to_message(it, &options.label_prefix)).collect();
        }
        Ok(Response::new(response))
    }

    type WatchServiceStream = BoxStream<'static, Result<pb::WatchServiceResponse, Status>>;

    async fn watch_service(
        &self,
        request: Request<pb::WatchServiceRequest>,
    ) -> Result<Response<Self::WatchServiceStream>, Status> {
        let asked = request.into_inner().service;
        Ok(Response::new(Follower::new(asked, &self.sources).stream()))
    }

    async fn explain(
        &self,
        request: Request<pb::ExplainRequest>,
    ) -> Result<Response<pb::ExplainResponse>, Status> {
        let view = self.view()?;
        let decisions = self.sources.decisions.borrow().clone();
        let answer = explained(request.into_inner(), &view, &decisions, &self.dashboard_host);
        answer.map(Response::new).map_err(|error| invalid("url", error))
    }

    async fn list_workloads(
        &self,
        request: Request<pb::ListWorkloadsRequest>,
    ) -> Result<Response<pb::ListWorkloadsResponse>, Status> {
        let view = self.view()?;
        let inventory = self.sources.inventories.borrow().clone().unwrap_or_default();
        let decisions = self.sources.decisions.borrow().clone();
        let facts = Facts { inventory: &inventory, decisions: &decisions, view: &view };
        let workloads = lists::workloads(&facts, &request.into_inner().name, &self.sources.clients.list());
        let workloads = workloads.map_err(|error| not_found(&error))?;
        Ok(Response::new(pb::ListWorkloadsResponse { workloads }))
    }

    async fn list_clients(
        &self,
        _: Request<pb::ListClientsRequest>,
    ) -> Result<Response<pb::ListClientsResponse>, Status> {
        let view = self.view()?;
        let clients = lists::clients(&view, &self.sources);
        Ok(Response::new(pb::ListClientsResponse { clients }))
    }

    type WatchChangesStream = BoxStream<'static, Result<pb::WatchChangesResponse, Status>>;

    async fn watch_changes(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        Ok(Response::new(changes::follow(request.into_inner().past, &self.sources)))
    }

    async fn get_policies(
        &self,
        _: Request<pb::GetPoliciesRequest>,
    ) -> Result<Response<pb::GetPoliciesResponse>, Status> {
        let view = self.view()?;
        Ok(Response::new(policies::to_message(&view.model.topology.policies, &self.hide)))
    }
}

/// The answer to `request` from `view`.
///
/// # Errors
///
/// It cannot be asked, and why.
pub(crate) fn explained(
    request: pb::ExplainRequest,
    view: &View,
    decisions: &Overrides,
    dashboard_host: &str,
) -> Result<pb::ExplainResponse, String> {
    let pb::ExplainRequest { url, method, headers } = request;
    let method = if method.is_empty() { "GET" } else { &method };
    let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let topology = &view.model.topology;
    let verdict = explain::of(&url, method, headers, &view.model, dashboard_host);
    if let Some(error) = verdict.error {
        return Err(error);
    }
    let service = verdict.service.and_then(|name| naming::service(topology, &name).ok());
    Ok(pb::ExplainResponse {
        outcome: verdict.outcome.map(to_outcome).unwrap_or_default().into(),
        sentence: verdict.sentence,
        host: verdict.host.unwrap_or_default(),
        path: verdict.path.unwrap_or_default(),
        route: verdict.route.unwrap_or_default(),
        service: service.map(|service| to_service(service, decisions)),
        asked: verdict.asked.into_iter().map(to_asked).collect(),
        entry_point: verdict.entry_point.unwrap_or_default(),
        lost: verdict.lost.into_iter().map(to_lost).collect(),
    })
}

fn to_outcome(outcome: explain::Outcome) -> pb::explain_response::Outcome {
    use pb::explain_response::Outcome;
    match outcome {
        explain::Outcome::Route => Outcome::Route,
        explain::Outcome::Dashboard => Outcome::Dashboard,
        explain::Outcome::Redirect => Outcome::Redirect,
        explain::Outcome::UnknownHost => Outcome::UnknownHost,
        explain::Outcome::UnknownPath => Outcome::UnknownPath,
        explain::Outcome::Closed => Outcome::Closed,
        explain::Outcome::NotOpen => Outcome::NotOpen,
    }
}

fn to_asked(asked: explain::Asked) -> pb::AskedRoute {
    use pb::asked_route::Answer;
    let answer = match asked.answer {
        explain::Answer::Wins => Answer::Wins,
        explain::Answer::No => Answer::No,
        explain::Answer::NotAsked => Answer::NotAsked,
    };
    let explain::Asked { route, path, priority, why, .. } = asked;
    pb::AskedRoute { route, path, priority, answer: answer.into(), why }
}

fn to_lost(lost: explain::Lost) -> pb::LostRoute {
    let explain::Lost { workload, route, why, fix } = lost;
    pb::LostRoute { workload, route, why, fix }
}

fn to_response(view: &View, decisions: &Overrides, freshness: &Freshness) -> pb::GetViewResponse {
    let services = view.model.topology.services.values().map(|service| to_service(service, decisions));
    let routes = view.model.topology.routes_in_order().map(|(site, route)| pb::Route {
        name: route.name.clone(),
        host: site.host.to_string(),
        path: route.matches.to_string(),
        service: route.service.to_string(),
        entry_point: site.entry.to_string(),
    });
    let problems = view.model.problems.iter().map(|problem| pb::Problem {
        workload: problem.workload.clone(),
        label: problem.label.clone().unwrap_or_default(),
        message: problem.to_string(),
    });
    pb::GetViewResponse {
        snapshot_version: view.snapshot.version().to_string(),
        services: services.collect(),
        routes: routes.collect(),
        problems: problems.collect(),
        age: freshness.age().and_then(|age| age.try_into().ok()),
        stale: freshness.is_stale(),
        ..pb::GetViewResponse::default()
    }
}

/// The versions of a service with their shares, as `decisions` have it.
pub(super) fn versions(service: &Service, decisions: &Overrides) -> Vec<pb::Version> {
    let version = |(name, share): (&String, &Share)| {
        let by_hand = decisions.weight(&service.name.0, name);
        pb::Version {
            name: name.clone(),
            weight: by_hand.map_or(share.label, |weight| weight.share),
            label_weight: share.label,
            by_hand: by_hand.is_some(),
            until: by_hand.and_then(|weight| weight.end).map(|end| end.wall.into()),
        }
    };
    service.variants.iter().map(version).collect()
}

pub(super) fn to_service(service: &Service, decisions: &Overrides) -> pb::Service {
    let endpoints = service.endpoints.iter().map(|endpoint| pb::Endpoint {
        address: endpoint.address.to_string(),
        workload: endpoint.workload.clone(),
        network: endpoint.network.clone().unwrap_or_default(),
        state: match endpoint.state {
            EndpointState::Ready => pb::endpoint::State::Ready,
            EndpointState::Draining => pb::endpoint::State::Draining,
        }
        .into(),
        id: endpoint.id.clone().into(),
        drained: decisions.drained.contains(&endpoint.id),
    });
    let absent = service.absent.iter().map(|absent| pb::Absent {
        workload: absent.workload.clone(),
        id: absent.id.clone().into(),
        reason: match absent.why {
            Absence::Created => pb::absent::Reason::Created,
            Absence::Starting => pb::absent::Reason::Starting,
            Absence::Unhealthy => pb::absent::Reason::Unhealthy,
            Absence::Paused => pb::absent::Reason::Paused,
            Absence::Stopped => pb::absent::Reason::Stopped,
            Absence::Unreachable => pb::absent::Reason::Unreachable,
        }
        .into(),
        message: absent.why.to_string(),
    });
    pb::Service {
        name: service.name.to_string(),
        endpoints: endpoints.collect(),
        absent: absent.collect(),
        drain: service.options.drain.try_into().ok(),
        versions: versions(service, decisions),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;
    use tokio::time::Instant;
    use xds_server::Clients;

    use super::*;
    use crate::model::Model;
    use crate::provider::port;
    use crate::timeline::Timeline;

    #[tokio::test(start_paused = true)]
    async fn the_view_says_how_old_it_is_and_whether_that_is_too_old() {
        let view = View::of(Model::default(), xds_server::Snapshot::default());
        let (views, receiver) = watch::channel(None);
        let (outlet, inventories, freshness) = port(Duration::from_secs(60));
        let decisions = watch::channel(Overrides::default()).1;
        let sources = Sources {
            views: receiver,
            inventories,
            decisions,
            clients: Clients::default(),
            freshness,
            timeline: Timeline::default(),
        };
        let inspect = Inspect { sources, dashboard_host: "d".to_owned(), hide: Hide::new("") };
        let ask = async || {
            inspect.get_view(Request::new(pb::GetViewRequest::default())).await.map(Response::into_inner)
        };
        assert_eq!(ask().await.unwrap_err().code(), tonic::Code::Unavailable);

        views.send_replace(Some(Arc::new(view)));
        let saved = ask().await.unwrap();
        assert!(saved.stale && saved.age.is_none(), "nobody has confirmed it yet: {saved:?}");

        outlet.confirm(Instant::now());
        tokio::time::advance(Duration::from_secs(59)).await;
        let fresh = ask().await.unwrap();
        assert_eq!((fresh.stale, fresh.age.unwrap().seconds), (false, 59));

        tokio::time::advance(Duration::from_secs(2)).await;
        let old = ask().await.unwrap();
        assert_eq!((old.stale, old.age.unwrap().seconds), (true, 61));
    }
}
