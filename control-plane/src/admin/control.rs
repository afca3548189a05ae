//! `portolan.v1.AdminService`: containers taken out of rotation by hand, and put back.

use tonic::{Request, Response, Status};
use tracing::info;

use super::pb;
use super::pb::admin_service_server::{AdminService, AdminServiceServer};
use crate::inventory::WorkloadId;
use crate::overrides::{self, NotFound, OverridesSender};
use crate::provider::InventoryReceiver;

/// Changes the decisions that the publisher follows.
#[derive(Debug)]
pub struct Control {
    inventories: InventoryReceiver,
    overrides: OverridesSender,
}

impl Control {
    /// The service, ready for a tonic router.
    #[must_use]
    pub fn service(inventories: InventoryReceiver, overrides: OverridesSender) -> AdminServiceServer<Self> {
        AdminServiceServer::new(Self { inventories, overrides })
    }

    /// Name and id of the container that is meant.
    fn find(&self, text: &str) -> Result<(String, WorkloadId), Status> {
        let inventory = self.inventories.borrow().clone();
        let inventory =
            inventory.ok_or_else(|| Status::unavailable("no complete view of the containers yet"))?;
        match overrides::find(&inventory, text) {
            Ok(workload) => Ok((workload.name.clone(), workload.id.clone())),
            Err(error @ NotFound::Nothing(_)) => Err(Status::not_found(error.to_string())),
            Err(error @ NotFound::Several(..)) => Err(Status::failed_precondition(error.to_string())),
        }
    }
}

#[tonic::async_trait]
impl AdminService for Control {
    async fn drain(&self, request: Request<pb::DrainRequest>) -> Result<Response<pb::DrainResponse>, Status> {
        let (name, id) = self.find(&request.into_inner().container)?;
        let changed = self.overrides.send_if_modified(|overrides| overrides.drained.insert(id.clone()));
        if changed {
            info!(container = name, "drained by hand");
        }
        Ok(Response::new(pb::DrainResponse { name, id: id.into(), changed }))
    }

    async fn undrain(
        &self,
        request: Request<pb::UndrainRequest>,
    ) -> Result<Response<pb::UndrainResponse>, Status> {
        let (name, id) = self.find(&request.into_inner().container)?;
        let changed = self.overrides.send_if_modified(|overrides| overrides.drained.remove(&id));
        if changed {
            info!(container = name, "put back into rotation by hand");
        }
        Ok(Response::new(pb::UndrainResponse { name, id: id.into(), changed }))
    }
}
