//! The binary `frontend`: parse, run, exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A page that shows and saves messages, through the backend. Serves when no command is given.
#[derive(Debug, Parser)]
#[command(name = "frontend", version)]
struct Cli {
    #[command(flatten)]
    logging: lifecycle::logging::Options,
    #[command(flatten)]
    http: lifecycle::http::Options,
    #[command(flatten)]
    trace: lifecycle::trace::Options,
    #[command(flatten)]
    backend: frontend::BackendOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask the frontend on this host how it is; exit code 0 or 1.
    Health,
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    if matches!(cli.command, Some(Command::Health)) {
        return cli.http.check_health().await;
    }
    lifecycle::logging::init(&cli.logging)?;
    let backend = cli.backend.open()?;
    let listener = cli.http.bind().await?;
    let export = cli.trace.start("frontend", cli.http.replica())?;
    let served = frontend::serve(listener, &cli.http, backend, lifecycle::shutdown::signal()?).await;
    export.end().await;
    served
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("frontend: {error:#}");
            ExitCode::FAILURE
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
