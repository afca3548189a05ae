//! What the xDS server costs: a server in a process of its own, many light clients, and beside them the same over HTTP/2
//! with no xDS in it, so that one sees what is ours.
//!
//! ```text
//!   bench xds (clients, HTTP/2)  <---- one connection a client ---->  bench serve (xDS, or HTTP/2 alone)
//!        |                                                                 ^
//!        +------- control: change one endpoint, say what you used ---------+
//! ```
//!
//! How it is measured, and what came of it: docs/performance.md.

mod callgrind;
mod child;
mod client;
mod control;
mod crowd;
mod docker;
mod engine;
mod framing;
mod gauge;
mod lint;
mod micro;
mod node;
mod path;
mod plane;
mod probe;
mod report;
mod route;
mod server;
mod sessions;
mod stats;
mod suite;
mod usage;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks of Portolan.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Xds(suite::Suite),
    Docker(docker::Suite),
    Route(route::Suite),
    Lint(lint::Suite),
    Path(path::Suite),
    /// The clients of `path`; started by it.
    #[command(hide = true)]
    Load(path::Load),
    /// The app of `path`; started by it.
    #[command(hide = true)]
    App(path::App),
    /// The measured process; started by the others.
    #[command(hide = true)]
    Serve {
        #[arg(long, value_enum)]
        kind: server::Kind,
        #[arg(long)]
        control: SocketAddr,
        #[arg(long)]
        message_bytes: usize,
    },
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Xds(suite) => suite.run().await,
        Command::Docker(suite) => suite.run().await,
        Command::Route(suite) => suite.run().await,
        Command::Lint(suite) => suite.run().await,
        Command::Path(suite) => suite.run().await,
        Command::Load(load) => load.run().await,
        Command::App(app) => app.run().await,
        Command::Serve { kind, control, message_bytes } => server::run(kind, control, message_bytes).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
