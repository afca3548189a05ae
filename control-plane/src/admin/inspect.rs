//! `portolan.v1.InspectService`: the view, as it is.

use tonic::{Request, Response, Status};

use super::pb;
use super::pb::inspect_service_server::{InspectService, InspectServiceServer};
use crate::model::EndpointState;
use crate::publish::{View, ViewReceiver};

/// Answers from the newest view.
#[derive(Debug)]
pub struct Inspect {
    views: ViewReceiver,
}

impl Inspect {
    /// The service over `views`, ready for a tonic router.
    #[must_use]
    pub fn service(views: ViewReceiver) -> InspectServiceServer<Self> {
        InspectServiceServer::new(Self { views })
    }
}

#[tonic::async_trait]
impl InspectService for Inspect {
    async fn get_view(
        &self,
        _: Request<pb::GetViewRequest>,
    ) -> Result<Response<pb::GetViewResponse>, Status> {
        let view = self.views.borrow().clone();
        let view = view.ok_or_else(|| {
            Status::unavailable("no complete view of the containers yet; the log says what is waited for")
        })?;
        Ok(Response::new(to_response(&view)))
    }
}

fn to_response(view: &View) -> pb::GetViewResponse {
    let services = view.topology.services.values().map(|service| pb::Service {
        name: service.name.to_string(),
        endpoints: service
            .endpoints
            .iter()
            .map(|endpoint| pb::Endpoint {
                address: endpoint.address.to_string(),
                workload: endpoint.workload.clone(),
                state: match endpoint.state {
                    EndpointState::Ready => pb::endpoint::State::Ready,
                    EndpointState::Draining => pb::endpoint::State::Draining,
                }
                .into(),
            })
            .collect(),
    });
    let routes = view.topology.routes_in_order().map(|(host, route)| pb::Route {
        name: route.name.clone(),
        host: host.to_string(),
        path: route.matches.path.to_string(),
        service: route.service.to_string(),
    });
    let problems = view.problems.iter().map(|problem| pb::Problem {
        workload: problem.workload.clone(),
        label: problem.label.clone().unwrap_or_default(),
        message: problem.to_string(),
    });
    pb::GetViewResponse {
        snapshot_version: view.snapshot.version().to_string(),
        services: services.collect(),
        routes: routes.collect(),
        problems: problems.collect(),
    }
}
