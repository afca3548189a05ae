//! Compiles `proto/`, cuts the descriptors that gRPC reflection serves out of those that envoy-types ships, and has the program
//! linked small where the linker can.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// What a client of ours must be able to print in full: the services, and every message that travels in an `Any`.
const ROOTS: &[&str] = &[
    "envoy.service.discovery.v3.AggregatedDiscoveryService",
    "envoy.service.cluster.v3.ClusterDiscoveryService",
    "envoy.service.endpoint.v3.EndpointDiscoveryService",
    "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
    "envoy.service.listener.v3.ListenerDiscoveryService",
    "envoy.service.route.v3.RouteDiscoveryService",
    "envoy.service.secret.v3.SecretDiscoveryService",
    "envoy.service.status.v3.ClientStatusDiscoveryService",
    "envoy.config.cluster.v3.Cluster",
    "envoy.config.core.v3.TypedExtensionConfig",
    "envoy.config.endpoint.v3.ClusterLoadAssignment",
    "envoy.config.listener.v3.Listener",
    "envoy.config.route.v3.RouteConfiguration",
    "envoy.config.trace.v3.OpenTelemetryConfig",
    "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
    "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
    "envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute",
    "envoy.extensions.compression.brotli.compressor.v3.Brotli",
    "envoy.extensions.compression.gzip.compressor.v3.Gzip",
    "envoy.extensions.compression.zstd.compressor.v3.Zstd",
    "envoy.extensions.filters.common.matcher.action.v3.SkipFilter",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute",
    "envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
    "envoy.extensions.filters.http.compressor.v3.CompressorPerRoute",
    "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    "envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
    "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.filters.network.rbac.v3.RBAC",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "envoy.extensions.transport_sockets.tls.v3.Secret",
    "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
    "google.rpc.Status",
];

/// What `serve` runs, side by side: ADR 24. An addition to the linker's own script, for GNU ld and lld.
const ORDER: &str = "often.ld";

fn main() -> Result<()> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let root = Path::new("../proto");
    println!("cargo::rerun-if-changed=../proto");
    println!("cargo::rerun-if-changed=build.rs");
    let own = protox::compile(["portolan/v1/admin.proto", "portolan/v1/inspect.proto"], [root])?;
    std::fs::write(out.join("portolan.bin"), own.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(own)?;

    let all = FileDescriptorSet::decode(std::fs::read(shipped_descriptors()?)?.as_slice())?;
    std::fs::write(out.join("envoy.bin"), needed(all)?.encode_to_vec())?;
    link_small(&out)
}

/// Has the program linked so that less of it is resident, if that can be done here.
fn link_small(out: &Path) -> Result<()> {
    println!("cargo::rerun-if-changed={ORDER}");
    if !released_here()? {
        return Ok(());
    }
    let order = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join(ORDER);
    let option = format!("-T{}", order.display());
    if links_and_runs(out, &option)? {
        println!("cargo::rustc-link-arg-bins={option}");
    }
    Ok(())
}

/// Whether this is a release for Linux with glibc, and what comes of it can be tried on this machine.
fn released_here() -> Result<bool> {
    let var = |name| std::env::var(name).with_context(|| format!("cargo does not set {name}"));
    // CARGO_CFG_TARGET_ENV is not set where it would be empty.
    let libc = std::env::var("CARGO_CFG_TARGET_ENV").unwrap_or_default();
    let linux = var("CARGO_CFG_TARGET_OS")? == "linux" && libc == "gnu";
    Ok(linux && var("PROFILE")? == "release" && var("HOST")? == var("TARGET")?)
}

/// Whether an empty program can be linked with `option` and then run: the linker may not know it.
fn links_and_runs(out: &Path, option: &str) -> Result<bool> {
    let (source, program) = (out.join("empty.rs"), out.join("empty"));
    std::fs::write(&source, "fn main() {}")?;
    let mut rustc = Command::new(std::env::var("RUSTC")?);
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    rustc.arg(format!("-Clink-arg={option}")).arg("-o").arg(&program).arg(&source);
    let linked = rustc.output().context("cannot run rustc")?.status.success();
    Ok(linked && Command::new(&program).output().is_ok_and(|run| run.status.success()))
}

/// The descriptor set inside the envoy-types package. The crate does not export it, so cargo is asked where it lies.
fn shipped_descriptors() -> Result<PathBuf> {
    let metadata = Command::new(std::env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform"])
        .arg(std::env::var("TARGET")?)
        .output()
        .context("cannot run cargo metadata")?;
    if !metadata.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&metadata.stderr));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "envoy-types")
        .and_then(|package| package["manifest_path"].as_str())
        .context("cargo metadata does not name envoy-types")?;
    let path = Path::new(manifest).with_file_name("src").join("generated/types.bin");
    if !path.is_file() {
        bail!("{} is not there; has envoy-types moved its descriptor set?", path.display());
    }
    Ok(path)
}

/// The files that define [`ROOTS`], and all that those import.
fn needed(all: FileDescriptorSet) -> Result<FileDescriptorSet> {
    let mut files: BTreeMap<String, FileDescriptorProto> =
        all.file.into_iter().map(|file| (file.name().to_owned(), file)).collect();
    let mut queue = Vec::new();
    for root in ROOTS {
        let file = files.values().find(|file| defines(file, root));
        queue.push(file.with_context(|| format!("no file defines {root}"))?.name().to_owned());
    }
    let mut wanted = BTreeSet::new();
    while let Some(name) = queue.pop() {
        if wanted.insert(name.clone()) {
            let file = files.get(&name).with_context(|| format!("{name} is imported, and not there"))?;
            queue.extend(file.dependency.iter().cloned());
        }
    }
    files.retain(|name, _| wanted.contains(name));
    let file =
        files.into_values().map(|file| FileDescriptorProto { source_code_info: None, ..file }).collect();
    Ok(FileDescriptorSet { file })
}

fn defines(file: &FileDescriptorProto, name: &str) -> bool {
    let Some(local) = name.strip_prefix(file.package()).and_then(|name| name.strip_prefix('.')) else {
        return false;
    };
    let message = |message: &DescriptorProto| message.name() == local;
    file.message_type.iter().any(message) || file.service.iter().any(|service| service.name() == local)
}
