//! The edge Envoy with the bootstrap of the images, on local addresses.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::process::Process;

/// As in the Dockerfile: quiet, no predecessor to talk to, and an access log that is a second old at most.
pub const OPTIONS: [&str; 5] =
    ["--log-level", "warning", "--disable-hot-restart", "--file-flush-interval-msec", "1000"];

/// Starts `program` with its bootstrap in `folder` and its output in `logs`, as a client of the control plane at
/// `grpc_port`.
///
/// # Errors
///
/// The bootstrap is not what this knows, or the process cannot be started.
pub fn start(
    program: &Path,
    folder: &Path,
    logs: &Path,
    grpc_port: u16,
    admin_port: u16,
) -> anyhow::Result<Process> {
    let config = folder.join("envoy.yaml");
    fs::write(&config, bootstrap(grpc_port, admin_port)?)?;
    Process::start("envoy", logs, program, |command| {
        command.arg("-c").arg(&config).args(OPTIONS);
    })
}

/// The bootstrap of the images, with these ports on loopback.
///
/// # Errors
///
/// It is not what this knows.
pub fn bootstrap(grpc_port: u16, admin_port: u16) -> anyhow::Result<String> {
    let path = crate::workspace().join("envoy/bootstrap.yaml");
    let mut text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for (theirs, ours) in [
        ("address: control-plane, port_value: 18000", grpc_port),
        ("address: 127.0.0.1, port_value: 9901", admin_port),
    ] {
        ensure!(text.matches(theirs).count() == 1, "{} does not say `{theirs}` once", path.display());
        text = text.replace(theirs, &format!("address: 127.0.0.1, port_value: {ours}"));
    }
    Ok(text)
}
