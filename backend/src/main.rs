//! The binary `backend`: parse, run, exit code.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keys and values over HTTP, kept in Redis: GET, POST, PUT, DELETE /messages. Serves when no command is given.
#[derive(Debug, Parser)]
#[command(name = "backend", version)]
struct Cli {
    #[command(flatten)]
    logging: lifecycle::logging::Options,
    #[command(flatten)]
    http: lifecycle::http::Options,
    #[command(flatten)]
    trace: lifecycle::trace::Options,
    #[command(flatten)]
    store: backend::store::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask the backend on this host how it is; exit code 0 or 1.
    Health,
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    if matches!(cli.command, Some(Command::Health)) {
        return cli.http.check_health().await;
    }
    lifecycle::logging::init(&cli.logging)?;
    let store = cli.store.open()?;
    let listener = cli.http.bind().await?;
    let export = cli.trace.start("backend", cli.http.replica())?;
    let served = backend::serve(listener, &cli.http, store, lifecycle::shutdown::signal()?).await;
    export.end().await;
    served
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backend: {error:#}");
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
