//! `portolan.v1.AdminService`: containers taken out of rotation by hand and put back, and shares of requests.

use std::time::Duration;

use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Request, Response, Status};
use tracing::info;

use super::access::Access;
use super::inspect::versions;
use super::pb;
use super::pb::admin_service_server::{AdminService, AdminServiceServer};
use super::refusal::{invalid, no_view, not_found, refused};
use crate::inventory::WorkloadId;
use crate::naming;
use crate::overrides::{End, LONGEST, MAX_WEIGHT, Overrides, OverridesSender, Weight};
use crate::provider::InventoryReceiver;
use crate::publish::ViewReceiver;

/// Changes the decisions that the publisher follows.
#[derive(Debug)]
pub struct Control {
    inventories: InventoryReceiver,
    views: ViewReceiver,
    overrides: OverridesSender,
}

impl Control {
    /// The service for those whom `access` lets in, ready for a tonic router.
    #[must_use]
    pub fn service(
        inventories: InventoryReceiver,
        views: ViewReceiver,
        overrides: OverridesSender,
        access: Access,
    ) -> InterceptedService<AdminServiceServer<Self>, Access> {
        AdminServiceServer::with_interceptor(Self { inventories, views, overrides }, access)
    }

    /// Name and id of the container that is meant.
    fn container(&self, text: &str) -> Result<(String, WorkloadId), Status> {
        let inventory = self.inventories.borrow().clone().ok_or_else(no_view)?;
        let workload = naming::workload(&inventory, text).map_err(|error| not_found(&error))?;
        Ok((workload.name.clone(), workload.id.clone()))
    }

    /// Name of the service that is meant, after a look at its version.
    fn service_with(&self, service: &str, version: Option<&str>) -> Result<String, Status> {
        let view = self.views.borrow().clone().ok_or_else(no_view)?;
        let service = naming::service(&view.model.topology, service).map_err(|error| not_found(&error))?;
        match version.filter(|version| !service.variants.contains_key(*version)) {
            None => Ok(service.name.to_string()),
            Some(version) => {
                let names: Vec<String> = service.variants.keys().map(|name| format!("{name:?}")).collect();
                let names = if names.is_empty() { "no container".to_owned() } else { names.join(", ") };
                let message = format!(
                    "{} has no version {version:?}; it has {names}, as the label version of its containers says",
                    service.name
                );
                Err(refused(Code::NotFound, "NO_SUCH_VERSION", message))
            }
        }
    }

    /// The versions of a service as `decisions` will have it: the view that follows is made a moment later.
    fn versions(&self, service: &str, decisions: &Overrides) -> Vec<pb::Version> {
        let view = self.views.borrow().clone();
        let service = view.as_ref().and_then(|view| naming::service(&view.model.topology, service).ok());
        service.map(|service| versions(service, decisions)).unwrap_or_default()
    }
}

#[tonic::async_trait]
impl AdminService for Control {
    async fn drain(&self, request: Request<pb::DrainRequest>) -> Result<Response<pb::DrainResponse>, Status> {
        let (name, id) = self.container(&request.into_inner().container)?;
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
        let (name, id) = self.container(&request.into_inner().container)?;
        let changed = self.overrides.send_if_modified(|overrides| overrides.drained.remove(&id));
        if changed {
            info!(container = name, "put back into rotation by hand");
        }
        Ok(Response::new(pb::UndrainResponse { name, id: id.into(), changed }))
    }

    async fn set_weight(
        &self,
        request: Request<pb::SetWeightRequest>,
    ) -> Result<Response<pb::SetWeightResponse>, Status> {
        let pb::SetWeightRequest { service, version, weight: share, lasting } = request.into_inner();
        if share > MAX_WEIGHT {
            return Err(invalid("weight", format!("{share} is no weight; write 0 to {MAX_WEIGHT}")));
        }
        let end = lasting.map(read_lasting).transpose()?;
        let service = self.service_with(&service, Some(&version))?;
        let weight = Weight { share, end };
        let changed =
            self.overrides.send_if_modified(|overrides| overrides.set_weight(&service, &version, weight));
        if changed {
            let until = end.map(|end| humantime::format_rfc3339_seconds(end.wall).to_string());
            info!(service, version, weight = share, until, "a weight was set by hand");
        }
        let versions = self.versions(&service, &self.overrides.borrow());
        Ok(Response::new(pb::SetWeightResponse { service, changed, versions }))
    }

    async fn reset_weight(
        &self,
        request: Request<pb::ResetWeightRequest>,
    ) -> Result<Response<pb::ResetWeightResponse>, Status> {
        let pb::ResetWeightRequest { service, version } = request.into_inner();
        let service = self.service_with(&service, version.as_deref())?;
        let changed = self
            .overrides
            .send_if_modified(|overrides| overrides.reset_weights(&service, version.as_deref()));
        if changed {
            info!(service, version, "the labels' weights count again, by hand");
        }
        let versions = self.versions(&service, &self.overrides.borrow());
        Ok(Response::new(pb::ResetWeightResponse { service, changed, versions }))
    }
}

/// The end of a decision that lasts so long from now.
fn read_lasting(lasting: prost_types::Duration) -> Result<End, Status> {
    let days = LONGEST.as_secs() / 86_400;
    let time = Duration::try_from(lasting).ok().filter(|time| !time.is_zero() && *time <= LONGEST);
    let time = time.ok_or_else(|| {
        invalid(
            "lasting",
            format!("a weight lasts longer than nothing and {days} days at most; say it by a label"),
        )
    })?;
    Ok(End::after(time))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::watch;
    use tonic_types::StatusExt;
    use xds_server::Snapshot;

    use super::*;
    use crate::file;
    use crate::model::{self, Options};
    use crate::publish::View;

    fn control() -> Control {
        let text = r#"services:
            one: {labels: {portolan.host: w, portolan.service: web, portolan.version: v1, portolan.weight: "90"}, endpoints: ["127.0.0.1:1"]}
            two: {labels: {portolan.host: w, portolan.service: web, portolan.version: v2, portolan.weight: "10"}, endpoints: ["127.0.0.1:2"]}"#;
        let options = Options {
            label_prefix: "portolan".to_owned(),
            reserved_host: "d".to_owned(),
            policies: Default::default(),
        };
        let inventory = Arc::new(file::parse(text).unwrap());
        let model = model::build(&inventory, &options, None);
        let view = View::of(model, Snapshot::default());
        Control {
            inventories: watch::channel(Some(inventory)).1,
            views: watch::channel(Some(Arc::new(view))).1,
            overrides: OverridesSender::new(Overrides::default()),
        }
    }

    fn set(service: &str, version: &str, weight: u32, seconds: Option<i64>) -> Request<pb::SetWeightRequest> {
        let lasting = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        let (service, version) = (service.to_owned(), version.to_owned());
        Request::new(pb::SetWeightRequest { service, version, weight, lasting })
    }

    #[tokio::test(start_paused = true)]
    async fn a_weight_set_by_hand_wins_over_the_label_until_it_is_reset() {
        let control = control();
        let answer = control.set_weight(set("web", "v2", 50, Some(60))).await.unwrap().into_inner();
        assert!(answer.changed);
        let told: Vec<_> = answer
            .versions
            .iter()
            .map(|version| (version.name.as_str(), version.weight, version.label_weight, version.by_hand))
            .collect();
        assert_eq!(told, [("v1", 90, 90, false), ("v2", 50, 10, true)]);
        assert!(answer.versions[1].until.is_some());
        let reset = pb::ResetWeightRequest { service: "web".to_owned(), version: None };
        let answer = control.reset_weight(Request::new(reset.clone())).await.unwrap().into_inner();
        assert!(answer.changed && answer.versions.iter().all(|version| !version.by_hand), "{answer:?}");
        assert!(!control.reset_weight(Request::new(reset)).await.unwrap().into_inner().changed);
    }

    #[tokio::test]
    async fn what_cannot_be_is_told_with_a_reason_for_programs() {
        let control = control();
        for (request, code, reason, words) in [
            (set("shop", "v2", 1, None), Code::NotFound, "NO_SUCH_SERVICE", "there are web"),
            (set("web", "v3", 1, None), Code::NotFound, "NO_SUCH_VERSION", "it has \"v1\", \"v2\""),
            (set("web", "v2", 10_001, None), Code::InvalidArgument, "weight", "0 to 10000"),
            (set("web", "v2", 1, Some(0)), Code::InvalidArgument, "lasting", "366 days"),
            (set("web", "v2", 1, Some(-1)), Code::InvalidArgument, "lasting", "366 days"),
        ] {
            let error = control.set_weight(request).await.unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert!(error.message().contains(words), "{error}");
            let details = error.get_error_details();
            let found = match (details.error_info(), details.bad_request()) {
                (Some(info), _) => info.reason.clone(),
                (None, Some(bad)) => bad.field_violations[0].field.clone(),
                (None, None) => panic!("no details: {error:?}"),
            };
            assert_eq!(found, reason);
        }
        assert_eq!(control.overrides.borrow().weights().count(), 0, "nothing was changed");
    }
}
