//! `portolan rollout`: new containers first, then the old ones go.

mod compose;
mod edge;
mod steps;

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::connection::ControlPlane;
use crate::admin::pb;
pub(super) use compose::Compose;
use compose::Container;
use edge::Edge;
use steps::Reached;

/// The control plane and Envoy are near: to take a container out of rotation is a matter of milliseconds.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);

/// Replace the containers of a Compose service without losing a request.
///
/// Run it where you run `docker compose`, after a new image or a change of the Compose file. It doubles the service (the new containers have the new image, environment and labels), waits until every new one
/// is healthy and acknowledged by every Envoy, takes the old ones out of rotation, lets them finish what they have,
/// stops and removes them. Other services are not touched.
///
/// Where something fails the old containers serve on, new ones that never were ready are removed, and the exit code
/// is 1. A service that publishes a port of the host, or has a container_name, cannot be doubled and is not for this.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 where the new containers serve, 1 where the old ones serve on, and why; 2 where the command is wrong.\n\n\
                        A new image of the service frontend, and no request lost:\n\n    \
                        docker compose build frontend && portolan rollout frontend"
)]
pub(super) struct Rollout {
    /// The service, as in the Compose file.
    #[arg(value_name = "SERVICE")]
    service: String,

    /// How long the new containers may take to be healthy and in every Envoy's rotation.
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = lifecycle::duration::parse)]
    timeout: Duration,

    /// How long the old containers may take to finish their requests before they are told to stop, where it shall not be
    /// as their label `drain` says (10s without one).
    #[arg(long, value_name = "DURATION", value_parser = lifecycle::duration::parse)]
    drain: Option<Duration>,

    #[command(flatten)]
    compose: Compose,

    #[command(flatten)]
    control_plane: ControlPlane,

    #[command(flatten)]
    edge: Edge,
}

impl Rollout {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        // A second signal is taken in and passed over: `timeout` sends two, and to put things right must not be cut short.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut run =
            Run { options: self, began: Instant::now(), reached: Reached::Nothing, old: Vec::new() };
        let outcome = tokio::select! {
            outcome = run.forward() => outcome,
            _ = interrupt.recv() => Err(anyhow!("interrupted")),
            _ = terminate.recv() => Err(anyhow!("told to stop")),
        };
        let Err(error) = outcome else { return Ok(()) };
        // Said first: to put things right may take a while.
        run.tell(&format!("failed: {error:#}"));
        let then = run.undo().await?;
        Err(anyhow!("{} was not rolled out; {then}", run.options.service))
    }
}

/// A rollout under way.
struct Run {
    options: Rollout,
    began: Instant,
    reached: Reached,
    old: Vec<Container>,
}

impl Run {
    /// One line a step, with the time since the beginning.
    fn tell(&self, line: &str) {
        println!("{:6.1} s  {line}", self.began.elapsed().as_secs_f32());
    }

    async fn forward(&mut self) -> anyhow::Result<()> {
        let service = self.begin().await?;
        let new = self.double(&service).await?;
        self.retire(&service, &new).await
    }

    /// Finds what is there. Changes nothing; returns the service's name to the control plane.
    async fn begin(&mut self) -> anyhow::Result<String> {
        let Rollout { service, compose, control_plane, .. } = &self.options;
        self.old = compose.containers(service).await?;
        ensure!(
            !self.old.is_empty(),
            "{service} has no container; start it with `docker compose up -d {service}`"
        );
        let view = control_plane.inspect()?.get_view(pb::GetViewRequest::default()).await;
        let view = view.map_err(|status| control_plane.told(&status))?.into_inner();
        let name = steps::service_of(&view, &self.old).with_context(|| {
            format!("the control plane routes nothing to {service}; use `docker compose up -d {service}`, there is nothing to lose")
        })?;
        // At the beginning nobody waits for an Envoy that is not there.
        let is_known = |status: &pb::WatchServiceResponse| super::missing::unacknowledged(status, false);
        control_plane.until(&name, ACKNOWLEDGE, is_known).await?;
        self.tell(&format!("{name} has {}", named(&self.old)));
        Ok(name)
    }

    /// Starts as many new ones as there are old ones, and waits until they take requests.
    async fn double(&mut self, name: &str) -> anyhow::Result<Vec<Container>> {
        let Rollout { service, compose, control_plane, timeout, .. } = &self.options;
        self.reached = Reached::Scaled;
        compose.scale(service, self.old.len() * 2).await?;
        let new = steps::fresh(&self.old, &compose.containers(service).await?);
        ensure!(
            new.len() == self.old.len(),
            "docker compose made {} and not {} new containers",
            new.len(),
            self.old.len()
        );
        self.tell(&format!("started {}", named(&new)));
        let missing = |status: &_| steps::unready(status, &new);
        control_plane.until(name, *timeout, missing).await.context("the new containers are not ready")?;
        self.reached = Reached::Ready;
        self.tell("every new container is healthy, and in the rotation of every Envoy");
        Ok(new)
    }

    /// Takes the old ones out of rotation, lets them finish, and removes them.
    async fn retire(&mut self, name: &str, new: &[Container]) -> anyhow::Result<()> {
        let Rollout { service, compose, control_plane, .. } = &self.options;
        self.reached = Reached::Draining;
        let mut admin = control_plane.admin()?;
        for container in &self.old {
            let request = pb::DrainRequest { container: container.id.clone() };
            admin.drain(request).await.map_err(|status| control_plane.told(&status))?;
        }
        let missing = |status: &_| steps::undrained(status, &self.old);
        let status = control_plane
            .until(name, ACKNOWLEDGE, missing)
            .await
            .context("the old containers are not out")?;
        self.tell("every old container is out of the rotation of every Envoy");
        self.finish_requests(name, &status).await;
        self.reached = Reached::Removing;
        compose::remove(&self.old).await?;
        self.tell(&format!("removed {}", named(&self.old)));
        // Compose keeps no number of its own where it is told one; this shows that it is content with what is there.
        compose.scale(service, new.len()).await?;
        let left = compose.containers(service).await?;
        ensure!(
            steps::fresh(new, &left).is_empty() && left.len() == new.len(),
            "docker compose made others: {}",
            named(&left)
        );
        self.tell(&format!("done: {name} has {}", named(&left)));
        Ok(())
    }

    async fn finish_requests(&self, name: &str, status: &pb::WatchServiceResponse) {
        let limit = steps::patience(self.options.drain, status);
        let addresses = steps::addresses(status, &self.old);
        let counted = if status.clients.len() > 1 {
            Err(anyhow!("there is more than one Envoy"))
        } else {
            self.options.edge.idle(name, &addresses, limit).await
        };
        match counted {
            Ok(0) => self.tell("the old containers have finished their requests"),
            Ok(left) => self.tell(&format!(
                "{left} requests were still in flight after {} s; the old containers are told to stop all the same",
                limit.as_secs_f32()
            )),
            Err(error) => {
                self.tell(&format!("waiting {} s for requests in flight, not knowing how many there are: {error:#}", limit.as_secs_f32()));
                tokio::time::sleep(limit).await;
            }
        }
    }

    /// Puts right what can be, and says how things are then.
    async fn undo(&self) -> anyhow::Result<&'static str> {
        let Rollout { service, compose, control_plane, .. } = &self.options;
        let remedy = steps::remedy(self.reached);
        let mut admin = control_plane.admin()?;
        if remedy.undrain_old {
            for container in &self.old {
                let request = pb::UndrainRequest { container: container.id.clone() };
                let answer = admin.undrain(request).await.map_err(|status| control_plane.told(&status));
                answer.with_context(|| {
                    format!(
                        "{} may be out of rotation still; `portolan undrain` puts it back",
                        container.name
                    )
                })?;
            }
            self.tell("put the old containers back into rotation");
        }
        if remedy.remove_new {
            let new = steps::fresh(&self.old, &compose.containers(service).await?);
            for container in &new {
                // Some may take requests already. Those that the control plane does not know take none.
                let _ = admin.drain(pb::DrainRequest { container: container.id.clone() }).await;
            }
            compose::remove(&new).await?;
            self.tell(&format!("removed {}", named(&new)));
        }
        Ok(remedy.then)
    }
}

fn named(containers: &[Container]) -> String {
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    if names.is_empty() { "no container".to_owned() } else { names.join(", ") }
}
