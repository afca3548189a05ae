//! The binary `portolan`: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;

// One thread does: a change is some hundred microseconds of work, and waking up another thread for its next step would make it
// later, not sooner. Each thread that allocates also keeps memory of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match portolan::cli::Cli::parse().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("portolan: {error:#}");
            ExitCode::FAILURE
        }
    }
}
