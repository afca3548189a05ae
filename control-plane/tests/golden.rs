//! Containers in, Envoy's resources out: one folder a case under `tests/golden`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p portolan --test golden` writes what comes out; read the difference before it is kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use portolan::model::Model;
use portolan::{model, translate};
use serde_json::{Value, json};
use support::{Case, Printer};

/// The one case in which what never changes is written out as well: the listener, and what is there without containers.
const IN_FULL: &str = "a-service";

#[test]
fn containers_become_the_resources_in_the_golden_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = String::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let containers = std::fs::read_to_string(case.join("containers.yaml")).unwrap();
        let parsed = serde_saphyr::from_str(&containers).unwrap_or_else(|error| panic!("{name}: {error}"));
        let got = resources(&parsed, name == IN_FULL);
        let golden = case.join("resources.yaml");
        if update {
            std::fs::write(&golden, &got).unwrap();
        }
        let want = std::fs::read_to_string(&golden).unwrap_or_default();
        if want != got {
            let at = want.lines().zip(got.lines()).take_while(|(want, got)| want == got).count();
            let line = |text: &str| text.lines().nth(at).unwrap_or("(end)").to_owned();
            writeln!(failures, "{name}, line {}:\n  want {}\n  got  {}", at + 1, line(&want), line(&got))
                .unwrap();
        }
    }
    assert!(!cases.is_empty());
    assert!(failures.is_empty(), "{failures}\nUPDATE_GOLDEN=1 writes what comes out now");
}

fn resources(case: &Case, in_full: bool) -> String {
    let mut options = support::options();
    if let Some(text) = &case.policies {
        options.policies = Arc::new(portolan::policies::parse(text).unwrap());
    }
    let build =
        |containers, previous| model::build(&Arc::new(support::inventory(containers)), &options, previous);
    let before = case.before.as_ref().map(|containers| build(containers, None));
    let Model { topology, problems, .. } = build(&case.containers, before.as_ref());
    let resources = translate::translate(&topology, &support::edge());
    let printer = Printer::new();
    let hosts = resources.routes.iter().flat_map(|routes| &routes.virtual_hosts);
    let by_entry = resources
        .routes
        .iter()
        .map(|routes| (&routes.name, routes.virtual_hosts.iter().map(|host| &host.name).collect::<Vec<_>>()))
        .collect::<std::collections::BTreeMap<_, _>>();
    let in_detail = in_full || case.in_detail;
    let hosts: Vec<Value> = hosts
        .filter(|host| in_full || !host.name.starts_with("portolan:"))
        .map(|host| printer.value(host))
        .map(|host| if in_detail { host } else { without_policies(host) })
        .collect();
    let settled = [model::ADMIN_SERVICE, translate::DASHBOARD];
    let clusters =
        resources.clusters.iter().filter(|cluster| in_full || !settled.contains(&cluster.name.as_str()));
    let clusters: Vec<Value> = clusters
        .map(|cluster| if in_detail { printer.value(cluster) } else { json!(cluster.name) })
        .collect();
    let endpoints: Vec<Value> = if in_detail {
        resources.endpoints.iter().map(|assignment| printer.value(assignment)).collect()
    } else {
        topology.services.values().map(|service| in_short(service)).collect()
    };
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let mut all =
        json!({ "problems": problems, "endpoints": endpoints, "clusters": clusters, "hosts": hosts });
    if case.policies.is_some() {
        all["hosts by entry point"] = json!(by_entry);
    }
    // Those of HTTP are the same whatever runs; these name the services.
    let of_tcp: Vec<Value> = resources
        .listeners
        .iter()
        .filter(|listener| listener.name.starts_with("tcp:"))
        .map(|listener| printer.value(listener))
        .collect();
    if !of_tcp.is_empty() {
        all["listeners of TCP"] = of_tcp.into();
    }
    let says = |extension: &&TypedExtensionConfig| {
        extension.typed_config.as_ref().is_some_and(|config| !config.value.is_empty())
    };
    let extensions: Vec<Value> = resources
        .extensions
        .iter()
        .filter(|extension| in_full || says(extension))
        .map(|extension| printer.value(extension))
        .collect();
    if !extensions.is_empty() {
        all["extensions"] = extensions.into();
    }
    if in_full {
        all["listeners"] = resources.listeners.iter().map(|listener| printer.value(listener)).collect();
    }
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(&all, options).unwrap();
    format!("# {}\n# Written by UPDATE_GOLDEN=1 cargo test -p portolan --test golden\n{yaml}", case.shows)
}

fn in_short(service: &model::Service) -> Value {
    let endpoint = |endpoint: &model::Endpoint| {
        let over = endpoint.network.as_ref().map(|network| format!(" over {network}")).unwrap_or_default();
        format!("{} {} {:?}{over}", endpoint.workload, endpoint.address, endpoint.state)
    };
    json!({ service.name.to_string(): service.endpoints.iter().map(endpoint).collect::<Vec<_>>() })
}

/// Without what every route and host has alike; the cases in detail show it.
fn without_policies(mut host: Value) -> Value {
    host.as_object_mut().unwrap().remove("requestBodyBufferLimit");
    for route in host["routes"].as_array_mut().unwrap() {
        if let Some(action) = route.get_mut("route").and_then(Value::as_object_mut) {
            action.remove("timeout");
        }
        let Some(added) = route.get_mut("requestHeadersToAdd").and_then(Value::as_array_mut) else {
            continue;
        };
        added.retain(|added| added["header"]["key"] != "x-envoy-retry-on");
        if added.is_empty() {
            route.as_object_mut().unwrap().remove("requestHeadersToAdd");
        }
    }
    // Of an entry for what writes and its like for what reads the second one.
    host["routes"].as_array_mut().unwrap().dedup_by(|next, entry| {
        let mut writes = entry.clone();
        let is_alike = is_for_writes(&mut writes) && writes == *next;
        if is_alike {
            std::mem::swap(next, entry);
        }
        is_alike
    });
    host
}

/// Whether an entry is for other methods than those that read; it is for all of them then.
fn is_for_writes(route: &mut Value) -> bool {
    let Some(matching) = route["match"].as_object_mut() else { return false };
    let Some(headers) = matching.get_mut("headers").and_then(Value::as_array_mut) else { return false };
    let before = headers.len();
    headers.retain(|header| header["name"] != ":method" || header["invertMatch"] != true);
    let is_for_writes = headers.len() < before;
    if headers.is_empty() {
        matching.remove("headers");
    }
    is_for_writes
}
