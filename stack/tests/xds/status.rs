//! What the server says about its clients: in this process, and over gRPC (CSDS).

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stack::wait::until;
use xds_server::session::{ResourceStatus, Sync};
use xds_server::{Kind, Name};

use super::LIMIT;
use super::server::ControlPlane;
use crate::common::grpcurl;

/// All resources of a node, over all of its streams.
pub fn of_node(plane: &ControlPlane, node: &str) -> Result<Vec<(Kind, ResourceStatus)>> {
    let streams = plane.clients()?.list().into_iter();
    let streams = streams.filter(|stream| stream.node.as_ref().is_some_and(|found| found.id == node));
    let types = streams.flat_map(|stream| stream.types);
    Ok(types.flat_map(|of| of.resources.into_iter().map(move |resource| (of.kind, resource))).collect())
}

/// Waits until the server knows that the node has acknowledged everything, but for what `refused` names.
pub fn acknowledged(plane: &ControlPlane, node: &str, refused: Option<(Kind, &str)>) -> Result<()> {
    until("everything is acknowledged", LIMIT, || {
        let resources = of_node(plane, node)?;
        ensure!(!resources.is_empty(), "{node} is not connected");
        let except = |kind: Kind, name: &Name| refused == Some((kind, name));
        let open = resources
            .iter()
            .find(|(kind, resource)| resource.sync != Sync::Acknowledged && !except(*kind, &resource.name));
        ensure!(open.is_none(), "{open:?}");
        Ok(())
    })
}

/// Waits until the server says of a resource that the node refuses it, with the node's reason: in this process, and
/// through grpcurl.
pub fn refused(plane: &ControlPlane, node: &str, kind: Kind, name: &str, reason: &str) -> Result<()> {
    until("the server knows what is refused, and why", LIMIT, || {
        let resources = of_node(plane, node)?;
        let mut found =
            resources.iter().filter(|(found, resource)| (*found, &*resource.name) == (kind, name));
        let (_, resource) = found.next().with_context(|| format!("no {kind} {name}"))?;
        let Sync::Refused(refusal) = &resource.sync else { anyhow::bail!("{resource:?}") };
        ensure!(refusal.reason.contains(reason), "{refusal:?}");
        Ok(())
    })?;
    let shown = shown(plane, node, kind, name)?;
    let details = shown["errorState"]["details"].as_str().unwrap_or_default();
    ensure!(details.contains(reason), "{shown}");
    ensure!(shown["configStatus"] == "ERROR" && shown["clientStatus"] == "NACKED", "{shown}");
    Ok(())
}

/// What grpcurl shows of one resource of a node.
pub fn shown(plane: &ControlPlane, node: &str, kind: Kind, name: &str) -> Result<Value> {
    let method = "envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus";
    let request = json!({ "node_matchers": [{ "node_id": { "exact": node } }] }).to_string();
    let address = format!("127.0.0.1:{}", plane.port());
    let answer: Value = serde_json::from_str(&grpcurl(&["-d", &request, &address, method])?)?;
    let clients = answer["config"].as_array().into_iter().flatten();
    let mut resources =
        clients.flat_map(|client| client["genericXdsConfigs"].as_array().into_iter().flatten());
    let found = resources.find(|found| found["typeUrl"] == kind.type_url() && found["name"] == name);
    found.cloned().with_context(|| format!("no {kind} {name} in {answer}"))
}
