//! The binaries of this workspace, built when they are needed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

/// Where the binaries are.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The control plane.
    pub portolan: PathBuf,
    /// The frontend.
    pub frontend: PathBuf,
    /// The backend.
    pub backend: PathBuf,
}

impl Binaries {
    /// Builds them, with cargo's own progress on the terminal.
    ///
    /// # Errors
    ///
    /// They do not compile, or cargo cannot be run.
    pub fn build() -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--locked", "--message-format=json-render-diagnostics"])
            .args(["-p", "portolan", "-p", "frontend", "-p", "backend"])
            .current_dir(crate::workspace())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        if !output.status.success() {
            bail!("the workspace does not compile");
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        let built = |name: &str| {
            let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let mut executables = messages
                .filter(|message| message["target"]["name"] == name)
                .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
            executables.next().with_context(|| format!("cargo does not say where it put {name}"))
        };
        Ok(Self { portolan: built("portolan")?, frontend: built("frontend")?, backend: built("backend")? })
    }
}
