//! The binary `portolan`: parse, run, exit code.

use std::process::ExitCode;

// One thread does: a change is some hundred microseconds of work, and waking up another thread for its next step would make it
// later, not sooner. Each thread that allocates also keeps memory of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = match portolan::cli::Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("portolan: {error:#}");
            ExitCode::FAILURE
        }
    }
}
