//! The command line: one file a command.

mod health;
mod serve;

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
