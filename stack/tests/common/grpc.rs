//! The control plane's gRPC, through the real grpcurl.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use stack::wait::until;

use super::LIMIT;

/// Runs grpcurl; what it printed.
pub fn grpcurl(arguments: &[&str]) -> Result<String> {
    let program = stack::tools::GRPCURL.find()?;
    let output = Command::new(program).args(["-plaintext", "-max-time", "20"]).args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() && text.is_empty() {
        bail!("grpcurl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

pub fn grpcurl_lists_describes_and_prints_in_full(address: &str) -> Result<()> {
    let list = grpcurl(&[address, "list"])?;
    for service in [
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "envoy.service.cluster.v3.ClusterDiscoveryService",
        "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
        "envoy.service.secret.v3.SecretDiscoveryService",
        "envoy.service.status.v3.ClientStatusDiscoveryService",
        "grpc.health.v1.Health",
        "portolan.v1.AdminService",
        "portolan.v1.InspectService",
    ] {
        ensure!(list.lines().any(|line| line == service), "{service} is not in:\n{list}");
    }
    let service = "envoy.service.discovery.v3.AggregatedDiscoveryService";
    let described = grpcurl(&[address, "describe", service])?;
    ensure!(
        described.contains("DeltaAggregatedResources") && described.contains("StreamAggregatedResources"),
        "{described}"
    );
    let health = grpcurl(&[address, "grpc.health.v1.Health/Check"])?;
    ensure!(health.contains("SERVING"), "{health}");
    let view = grpcurl(&[address, "portolan.v1.InspectService/GetView"])?;
    ensure!(view.contains("snapshotVersion") && view.contains("frontend"), "{view}");
    for (kind, word) in [
        ("envoy.config.cluster.v3.Cluster", "\"consecutive5xx\""),
        ("envoy.config.listener.v3.Listener", "\"jsonFormat\""),
    ] {
        let request =
            json!({ "node": { "id": "grpcurl" }, "typeUrl": format!("type.googleapis.com/{kind}") })
                .to_string();
        for method in ["DeltaAggregatedResources", "StreamAggregatedResources"] {
            // It ends when grpcurl has sent its one request: the answer to it comes first.
            let answer = grpcurl(&["-d", &request, address, &format!("{service}/{method}")])?;
            ensure!(
                answer.contains(&format!("type.googleapis.com/{kind}")) && answer.contains(word),
                "{method} of {kind}: {answer}"
            );
        }
    }
    Ok(())
}

/// Client status: Envoy is listed, with all it has, and everything it was sent is acknowledged.
pub fn grpcurl_shows_how_far_envoy_is(address: &str) -> Result<()> {
    let method = "envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus";
    let ask = |id: &str| -> Result<Value> {
        let request = json!({ "node_matchers": [{ "node_id": { "exact": id } }] }).to_string();
        Ok(serde_json::from_str(&grpcurl(&["-d", &request, address, method])?)?)
    };
    ensure!(ask("nobody")?["config"].is_null(), "nobody is connected under that name");
    until("Envoy has acknowledged everything", LIMIT, || {
        let answer = ask("edge")?;
        let clients = answer["config"].as_array().cloned().unwrap_or_default();
        ensure!(clients.len() == 1 && clients[0]["node"]["id"] == "edge", "one Envoy: {answer}");
        let resources = clients[0]["genericXdsConfigs"].as_array().cloned().unwrap_or_default();
        for kind in ["Cluster", "ClusterLoadAssignment", "Listener", "RouteConfiguration"] {
            let end = format!(".{kind}");
            let mut urls = resources.iter().filter_map(|resource| resource["typeUrl"].as_str());
            ensure!(urls.any(|url| url.ends_with(&end)), "no {kind} in {answer}");
        }
        for resource in &resources {
            let acked = resource["configStatus"] == "SYNCED" && resource["clientStatus"] == "ACKED";
            let version = resource["versionInfo"].as_str().is_some_and(|version| version.len() == 16);
            ensure!(acked && version && resource["xdsConfig"].is_object(), "{resource}");
        }
        Ok(())
    })
}
