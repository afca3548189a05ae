//! The command line: one file a command.

mod access;
mod cert;
mod compose_files;
mod connection;
mod convert;
mod drain;
mod health;
mod itself;
mod lint;
mod logs;
mod manual;
mod missing;
mod plan;
mod replay;
mod rollout;
mod serve;
mod settings;
mod status;
mod terminal;
mod wait;
mod watch;
mod weight;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

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

/// Each is described where it is defined: a sentence here would stand in for all that is said there.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Health(health::Health),
    Lint(lint::Lint),
    Convert(convert::Convert),
    Rollout(rollout::Rollout),
    Wait(wait::Wait),
    Drain(drain::Drain),
    Undrain(drain::Undrain),
    Weight(weight::Weight),
    Why(why::Why),
    Completions(manual::Completions),
    Man(manual::Man),
    Logs(logs::Logs),
    Status(status::Status),
    Watch(watch::Watch),
    Plan(plan::Plan),
    Replay(replay::Replay),
    Cert(cert::Cert),
}

impl Cli {
    /// What was typed.
    ///
    /// # Errors
    ///
    /// The code to end with, where it is wrong, or asks for help; what there is to say has been said then.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            let _ = error.print();
            // To plan, 2 is an answer.
            let command = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
            let is_plan = command.is_some_and(|command| command == "plan");
            match u8::try_from(error.exit_code()) {
                Ok(0) => ExitCode::SUCCESS,
                Ok(code) if !is_plan => ExitCode::from(code),
                _ => ExitCode::FAILURE,
            }
        })
    }

    /// Does what was asked for, and says with which code the process is to end.
    ///
    /// # Errors
    ///
    /// Whatever kept the command from doing its work, in words for the person who typed it.
    pub fn run(self) -> LocalBoxFuture<'static, anyhow::Result<ExitCode>> {
        // In a box, what all commands do is compiled once: not again, several times, for whoever waits for one.
        self.carry_out().boxed_local()
    }

    async fn carry_out(self) -> anyhow::Result<ExitCode> {
        let done = match self.command {
            Command::Serve(serve) => {
                lifecycle::logging::init(&self.logging)?;
                serve.run().await
            }
            Command::Health(health) => health.run().await,
            Command::Rollout(rollout) => rollout.run().await,
            Command::Wait(wait) => wait.run().await,
            Command::Drain(drain) => drain.run().await,
            Command::Undrain(undrain) => undrain.run().await,
            Command::Weight(weight) => weight.run().await,
            Command::Logs(logs) => logs.run().await,
            Command::Cert(cert) => cert.run(),
            Command::Status(status) => status.run().await,
            Command::Watch(watch) => watch.run().await,
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
            // Their codes say more than whether it worked.
            Command::Why(why) => return why.run().await,
            Command::Lint(lint) => return lint.run().await,
            Command::Convert(convert) => return convert.run(),
            Command::Plan(plan) => return plan.run().await,
            Command::Replay(replay) => return replay.run(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_has_its_exit_codes_and_an_example() {
        for command in super::Cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command.clone().render_long_help().to_string();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            let after = help.split_once("Exit codes: ").map(|(_, after)| after);
            let after = after.unwrap_or_else(|| panic!("{name} has no exit codes: {help}"));
            assert!(after.contains(&format!("portolan {name}")), "{name} has no example: {after}");
        }
    }

    #[test]
    fn the_help_of_a_command_says_more_than_its_first_sentence() {
        let mut cli = super::Cli::command();
        for (command, words) in [
            ("serve", "services file"),
            ("rollout", "the old containers serve on"),
            ("wait", "acknowledged its"),
            ("lint", "2 where the files cannot be checked"),
            ("plan", "0 where nothing would change, 2 where something would, 1 where"),
        ] {
            let help = cli.find_subcommand_mut(command).unwrap().render_long_help().to_string();
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(help.contains(words), "{help}");
        }
    }
}
