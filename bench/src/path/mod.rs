//! `bench path`: what a request costs on its way through Envoy as Portolan configures it, beside Envoy with a file written by
//! hand, and beside other proxies.
//!
//! ```text
//!            one core                  another one
//!   the proxy whose turn it is  <---  clients: some connections, kept busy
//!   (the others run, and rest)  --->  app: answers at once
//! ```

mod app;
mod bed;
mod config;
mod connection;
mod count;
mod load;
mod parts;
mod proxy;
mod request;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use tokio::time::Instant;

pub(crate) use app::App;
use bed::{Bed, START};
pub(crate) use load::Load;
use proxy::{Contestant, Proxy, Seat};
use request::Request;
use table::{Series, Table};

use crate::report::write_json;
use crate::usage::Others;

/// How long single requests are timed.
const LATENCY: Duration = Duration::from_secs(2);

/// The host that is asked for.
const HOST: &str = "app.localhost";

/// Measure what a request costs on its way through Envoy, beside a static Envoy and other proxies.
///
/// Each proxy has one worker and a core to itself; clients and the app have another one. The binary `portolan` is that beside
/// this one; Envoy and Traefik are fetched where they are not installed, and what else is not there is named and left out.
#[derive(Debug, Args)]
pub(crate) struct Suite {
    /// Rounds; in each of them every proxy has its turns, and is compared with the others.
    #[arg(long, value_name = "NUMBER", default_value = "5")]
    rounds: usize,

    /// Turns of each proxy in a round.
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    turns: u32,

    /// How long a turn is: short, so that what the machine does meanwhile falls on all proxies.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = humantime::parse_duration)]
    turn: Duration,

    /// Connections that are kept busy.
    #[arg(long, value_name = "NUMBER", default_value = "32")]
    connections: u32,

    /// What to ask, in a list with commas.
    #[arg(long, value_name = "KINDS", value_enum, value_delimiter = ',', default_value = "small,large,post")]
    requests: Vec<Request>,

    /// Requests a second at which single ones are timed, far from what a proxy can do.
    #[arg(long, value_name = "NUMBER", default_value = "2000")]
    rate: u32,

    /// Envoy alone: by Portolan, by a file of the same features, and by the shortest file.
    #[arg(long)]
    alone: bool,

    /// Instead take Portolan's configuration apart: Envoy with all of it, and with one part changed at a time.
    #[arg(long, conflicts_with = "alone")]
    take_apart: bool,

    /// Of those only the ones whose names have one of these in them, in a list with commas.
    #[arg(long, value_name = "TEXTS", value_delimiter = ',', requires = "take_apart")]
    parts: Vec<String>,

    /// Instead count the instructions that Envoy executes for a request (needs valgrind; takes minutes).
    #[arg(long, conflicts_with_all = ["alone", "take_apart"])]
    count: bool,

    /// The core of the proxies.
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    core: usize,

    /// The core of clients and app.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    client_core: usize,

    /// The control plane to measure [default: the binary portolan beside this one].
    #[arg(long, value_name = "FILE")]
    portolan: Option<PathBuf>,

    /// Write the figures to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Suite {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(self.core != self.client_core, "--core and --client-core are to be two");
        ensure!(
            self.rounds > 0 && self.turns > 0 && !self.turn.is_zero() && self.rate > 0,
            "--rounds, --turns, --turn and --rate cannot be 0"
        );
        let began = Instant::now();
        let mut bed = Bed::start(self.client_core).await?;
        if self.count {
            let counts = self.counts(&mut bed).await?;
            println!("{counts}");
            return write_json(self.json.as_deref(), &counts);
        }
        let (names, mut proxies) =
            if self.take_apart { self.pieces(&mut bed).await? } else { self.contestants(&mut bed).await? };
        let others = Others::from_now(bed.used(&mut proxies)?)?;
        let mut tables = Vec::new();
        for request in &self.requests {
            eprintln!("==> {}", request.title());
            tables.push(self.table(*request, &names, &mut bed, &mut proxies).await?);
        }
        let share = others.percent(bed.used(&mut proxies)?)?;
        for table in &tables {
            println!("{table}");
        }
        println!(
            "Other programs meanwhile: {share:.1} % of a core. All of it took {} s.",
            began.elapsed().as_secs()
        );
        write_json(self.json.as_deref(), &tables)
    }

    /// Every proxy there is, running.
    async fn contestants(&self, bed: &mut Bed) -> anyhow::Result<(Vec<String>, Vec<Proxy>)> {
        let (mut names, mut proxies) = (Vec::new(), Vec::new());
        let seat = self.seat();
        for contestant in Contestant::ALL {
            let is_envoy = contestant.kind.is_envoy();
            if self.alone && !is_envoy {
                continue;
            }
            let name = contestant.name();
            let version = match contestant.kind.version() {
                Ok(version) => version,
                Err(error) if is_envoy => return Err(error),
                Err(error) => {
                    eprintln!("    {name} is left out: {error:#}");
                    continue;
                }
            };
            eprintln!("    {name}: {version}");
            let places = bed.places()?;
            let proxy = Proxy::start(contestant, &places, &seat, self.portolan.as_deref()).await;
            proxies.push(proxy.with_context(|| format!("{name} does not start"))?);
            names.push(name);
        }
        Ok((names, proxies))
    }

    /// Envoy with all of Portolan's configuration, and with one part changed at a time.
    async fn pieces(&self, bed: &mut Bed) -> anyhow::Result<(Vec<String>, Vec<Proxy>)> {
        let (mut names, mut proxies) = (Vec::new(), Vec::new());
        let seat = self.seat();
        for (number, part) in parts::ALL.iter().enumerate() {
            let is_asked = self.parts.is_empty() || self.parts.iter().any(|text| part.name.contains(text));
            if number > 0 && !is_asked {
                continue;
            }
            let places = bed.places()?;
            let words = part.write(&places)?;
            let proxy = Proxy::envoy(words, &places, &seat).await;
            proxies.push(proxy.with_context(|| format!("{} does not start", part.name))?);
            names.push(part.name.to_owned());
        }
        Ok((names, proxies))
    }

    /// Everything that is measured with one kind of request.
    async fn table(
        &self,
        request: Request,
        names: &[String],
        bed: &mut Bed,
        proxies: &mut [Proxy],
    ) -> anyhow::Result<Table> {
        let mut series: Vec<Series> = names.iter().map(|name| Series::new(name)).collect();
        let all = self.load_of(request, proxies.iter().map(|proxy| proxy.address).collect());
        for _ in 0..self.rounds {
            let round = bed.round(proxies, &all).await?;
            for (series, measured) in series.iter_mut().zip(round) {
                series.rounds.push(measured);
            }
        }
        for (proxy, series) in proxies.iter_mut().zip(&mut series) {
            if !self.take_apart {
                let timed = Load {
                    turn: LATENCY,
                    turns: 1,
                    rate: Some(self.rate),
                    ..self.load_of(request, vec![proxy.address])
                };
                series.latency = bed.load(&timed).await?.first().and_then(|loaded| loaded.latency);
                proxy.forget_log()?;
            }
            series.mib = proxy.usage()?.resident_kib as f64 / 1_024.0;
        }
        let title = format!(
            "{}; rounds: {}, of {} turns of {} each; connections: {}",
            request.title(),
            self.rounds,
            self.turns,
            humantime::format_duration(self.turn),
            self.connections
        );
        // What all are compared with: all parts, or the file of the same features.
        Ok(Table {
            title,
            base: usize::from(!self.take_apart),
            goal: !self.take_apart,
            rate: self.rate,
            series,
        })
    }

    fn seat(&self) -> Seat {
        Seat { core: self.core, under: Vec::new(), patience: START }
    }

    /// What keeps the proxies at `to` busy, in turns.
    fn load_of(&self, request: Request, to: Vec<SocketAddr>) -> Load {
        Load { to, request, connections: self.connections, turn: self.turn, turns: self.turns, rate: None }
    }
}
