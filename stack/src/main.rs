//! The binary `stack`, run as `cargo stack`: parse, run, exit code.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use stack::binaries::Binaries;
use stack::system::{Options, System};
use stack::{ports, tools};

/// The whole system without Docker: Envoy, Redis, control plane, backend and frontends as processes on loopback.
///
/// Builds what is ours and fetches what is not (ENVOY_BIN, REDIS_SERVER or PATH are looked at first). Ctrl-C ends
/// everything that was started. Data, logs and configuration are under target/stack.
#[derive(Debug, Parser)]
#[command(name = "cargo stack", bin_name = "cargo stack")]
struct Cli {
    /// Envoy's port [default: 80 where it may be bound, else 8080].
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// The control plane's port, for grpcurl.
    #[arg(long, value_name = "PORT", default_value = "18000")]
    grpc_port: u16,

    /// Where traces go: OTLP over gRPC, such as http://127.0.0.1:4317.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// How many frontends.
    #[arg(long, value_name = "NUMBER", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=50))]
    frontends: u16,
}

/// How often the children are looked at.
const LOOK: Duration = Duration::from_millis(300);

fn run(cli: &Cli) -> anyhow::Result<()> {
    let edge_port = cli.port.unwrap_or(if ports::is_free(80) { 80 } else { 8080 });
    eprintln!("==> Looking for Envoy and Redis");
    eprintln!("    {}\n    {}", tools::ENVOY.find()?.display(), tools::REDIS.find()?.display());
    eprintln!("==> Building the control plane, the backend and the frontend");
    let binaries = Binaries::build()?;
    let folder = stack::workspace().join("target/stack");
    let frontends = usize::from(cli.frontends);
    eprintln!("==> Starting everything on port {edge_port}");
    let options = Options {
        edge_port,
        grpc_port: cli.grpc_port,
        frontends,
        folder,
        otlp_endpoint: cli.otlp_endpoint.clone(),
    };
    let mut system = System::start(options, binaries)?;
    print_addresses(&system);
    let ended =
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(watch(&mut system));
    eprintln!("==> Stopping everything");
    system.stop();
    ended
}

/// Until Ctrl-C, or until a child ends by itself.
async fn watch(system: &mut System) -> anyhow::Result<()> {
    let stop = lifecycle::shutdown::signal().context("cannot listen for Ctrl-C")?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK) => system.check()?,
        }
    }
}

fn print_addresses(system: &System) {
    let options = system.options();
    let port = if options.edge_port == 80 { String::new() } else { format!(":{}", options.edge_port) };
    let grpc = options.grpc_port;
    println!(
        "
    http://frontend.localhost{port}            the page; each load may be served by another replica
    http://backend.localhost{port}/messages    what is stored, as JSON
    http://dashboard.localhost{port}           what is routed where, what is wrong, what just changed
    localhost:{grpc}                      gRPC: grpcurl -plaintext localhost:{grpc} list

    {}    edit it, and the routes follow
    {}    the access log
    Ctrl-C ends everything.",
        system.services_file().display(),
        system.folder().join("logs/envoy.log").display(),
    );
}

// The main thread starts all children: the kernel ends them when it ends.
fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stack: {error:#}");
            ExitCode::FAILURE
        }
    }
}
