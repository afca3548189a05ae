//! The calls to `docker` and `docker compose`.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, bail};
use clap::Args;
use serde::Deserialize;
use tokio::process::Command;

/// Compose marks what `docker compose run` made.
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// Which project, as `docker compose` takes it. Without options it is that of this folder.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Compose {
    /// Compose project, passed on to docker compose.
    #[arg(short, long, value_name = "NAME")]
    project: Option<String>,

    /// Compose file, passed on to docker compose; may be given several times.
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// One container of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    config: Config,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

impl Compose {
    pub(in crate::cli) fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["compose", "--ansi", "never", "--progress", "quiet"]);
        if let Some(project) = &self.project {
            command.args(["-p", project]);
        }
        for file in &self.files {
            command.arg("-f").arg(file);
        }
        command
    }

    /// The service's containers, running or not, by name; none that `docker compose run` made.
    pub(super) async fn containers(&self, service: &str) -> anyhow::Result<Vec<Container>> {
        let ids = run(self.command().args(["ps", "--all", "--quiet", service])).await?;
        if ids.trim().is_empty() {
            return Ok(Vec::new());
        }
        let inspected = run(Command::new("docker").arg("inspect").args(ids.split_whitespace())).await?;
        containers(&inspected)
    }

    /// Makes it `replicas` containers and leaves every one that is there as it is, those of other services too.
    pub(super) async fn scale(&self, service: &str, replicas: usize) -> anyhow::Result<()> {
        let scale = format!("{service}={replicas}");
        let mut command = self.command();
        // Not with --no-deps: containers made so have other labels, and the next plain `up` would make all of them anew.
        command.args(["up", "--detach", "--no-recreate", "--scale", &scale, service]);
        run(&mut command).await.map(drop)
    }
}

/// Stops containers, each within the time its `stop_grace_period` allows, and removes them.
pub(super) async fn remove(containers: &[Container]) -> anyhow::Result<()> {
    if containers.is_empty() {
        return Ok(());
    }
    let ids = || containers.iter().map(|container| container.id.as_str());
    run(Command::new("docker").arg("stop").args(ids())).await?;
    run(Command::new("docker").arg("rm").args(ids())).await.map(drop)
}

fn containers(inspected: &str) -> anyhow::Result<Vec<Container>> {
    let all: Vec<Inspected> = serde_json::from_str(inspected).context("docker inspect is not understood")?;
    let is_one_off = |container: &Inspected| {
        let labels = container.config.labels.as_ref();
        labels.and_then(|labels| labels.get(ONE_OFF)).is_some_and(|value| value == "True")
    };
    let kept = all.into_iter().filter(|container| !is_one_off(container));
    let mut kept: Vec<Container> = kept
        .map(|Inspected { id, name, .. }| Container { id, name: name.trim_start_matches('/').to_owned() })
        .collect();
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kept)
}

/// Runs to the end, and returns what it printed. It is killed where this is dropped.
async fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.context("cannot run docker; is it installed here?")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let shown = command.as_std().get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>();
        bail!("docker {} failed:\n{}", shown.join(" "), words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_named_as_people_name_them_and_one_off_ones_are_left_out() {
        let found = containers(
            r#"[
                {"Id": "2", "Name": "/shop-web-2", "Config": {"Labels": {"com.docker.compose.oneoff": "False"}}},
                {"Id": "9", "Name": "/shop-web-run-1", "Config": {"Labels": {"com.docker.compose.oneoff": "True"}}},
                {"Id": "1", "Name": "/shop-web-1", "Config": {"Labels": null}}
            ]"#,
        )
        .unwrap();
        let named: Vec<_> = found.iter().map(|each| (each.id.as_str(), each.name.as_str())).collect();
        assert_eq!(named, [("1", "shop-web-1"), ("2", "shop-web-2")]);
        assert!(containers("{").is_err());
    }
}
