//! Logs on standard error, for people or for machines.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// To warp a client that leaves in the middle of an answer is an error; to us it is a page that was closed.
const DEFAULT: &str = "info,warp::server=off";

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The flags of every binary.
#[derive(Debug, Clone, Args)]
#[group(id = "logging")]
pub struct Options {
    /// How logs look; RUST_LOG chooses how much is logged (default: info).
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: Format,
}

/// Starts logging to standard error.
///
/// # Errors
///
/// RUST_LOG is not a filter, or logging was started before.
pub fn init(options: &Options) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(&filter)
            .map_err(|error| anyhow::anyhow!("RUST_LOG={filter:?} is not a filter: {error}"))?,
        _ => EnvFilter::new(DEFAULT),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match options.log_format {
        Format::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        Format::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
