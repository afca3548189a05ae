//! The command line: one file a command.

mod connection;
mod drain;
mod health;
mod missing;
mod rollout;
mod serve;
mod wait;

use clap::{Parser, Subcommand};

/// Envoy for Docker Compose: turns labels and health of containers into Envoy's configuration.
#[derive(Debug, Parser)]
#[command(
    name = "portolan",
    version,
    about,
    arg_required_else_help = true,
    after_help = "Four lines make a container reachable through Envoy:\n\n    \
                  services:\n      hello:\n        image: my/hello\n        \
                  labels: { portolan.host: hello.localhost }\n\n\
                  The labels are described in docs/labels.md."
)]
pub struct Cli {
    #[command(flatten)]
    logging: lifecycle::logging::Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch the containers and serve Envoy.
    Serve(serve::Serve),
    /// Ask a running control plane, or any HTTP address, whether it is well; exit code 0 or 1.
    Health(health::Health),
    /// Replace the containers of a Compose service without losing a request.
    Rollout(rollout::Rollout),
    /// Wait until requests for a service reach all its replicas; exit code 0, or 1 with what is missing.
    Wait(wait::Wait),
    /// Take a container out of rotation: it finishes the requests it has, and new ones go elsewhere.
    Drain(drain::Drain),
    /// Put a container that was drained back into rotation.
    Undrain(drain::Undrain),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    ///
    /// Whatever kept the command from doing its work, in words for the person who typed it.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(serve) => {
                lifecycle::logging::init(&self.logging)?;
                serve.run().await
            }
            Command::Health(health) => health.run().await,
            Command::Rollout(rollout) => rollout.run().await,
            Command::Wait(wait) => wait.run().await,
            Command::Drain(drain) => drain.run().await,
            Command::Undrain(undrain) => undrain.run().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
