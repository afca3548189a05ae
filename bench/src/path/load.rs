//! The clients: connections that are kept busy, those of each proxy in turn, or asked over at a steady rate, by one thread in a
//! process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::Request;
use super::connection::Connection;
use crate::probe::PATIENCE;
use crate::stats::Summary;
use crate::usage::process_cpu;

/// What is asked of whom, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// The proxies.
    #[arg(long, value_delimiter = ',', required = true)]
    pub(super) to: Vec<SocketAddr>,
    #[arg(long, value_enum)]
    pub(super) request: Request,
    /// To each proxy.
    #[arg(long)]
    pub(super) connections: u32,
    /// How long a proxy is asked until it is the next one's turn.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) turn: Duration,
    /// Turns of each proxy that count. One more comes before, in which connections are used for the first time.
    #[arg(long)]
    pub(super) turns: u32,
    /// Requests a second over all connections; without it each connection asks again as soon as it is answered.
    #[arg(long)]
    pub(super) rate: Option<u32>,
}

/// What came of it for one proxy.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Loaded {
    /// All that were answered, those of the first turn as well.
    pub(super) answers: u64,
    /// Answered within the turns that count, a second.
    pub(super) per_second: f64,
    /// Answers but 200 with the body that was expected.
    pub(super) failures: u64,
    /// Of those that count, in milliseconds.
    pub(super) latency: Option<Summary>,
}

/// What this process says at its end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said {
    /// One for each proxy, in their order.
    pub(super) of: Vec<Loaded>,
    /// What this process has used.
    pub(super) cpu: Duration,
}

impl Load {
    /// The words with which this program does it in another process.
    pub(super) fn words(&self) -> anyhow::Result<Vec<String>> {
        let to: Vec<String> = self.to.iter().map(SocketAddr::to_string).collect();
        let turn = humantime::format_duration(self.turn).to_string().replace(' ', "");
        let mut words = vec!["load".to_owned(), format!("--to={}", to.join(","))];
        words.push(format!("--request={}", self.request.word()?));
        words.push(format!("--connections={}", self.connections));
        words.push(format!("--turn={turn}"));
        words.push(format!("--turns={}", self.turns));
        words.extend(self.rate.map(|rate| format!("--rate={rate}")));
        Ok(words)
    }

    /// Does it, and prints what came of it as JSON.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let of = spawn_blocking(move || on_one_thread(self.load())).await??;
        println!("{}", serde_json::to_string(&Said { of, cpu: process_cpu() })?);
        Ok(())
    }

    async fn load(self) -> anyhow::Result<Vec<Loaded>> {
        ensure!(self.connections > 0 && self.turns > 0, "no connections or no turns, no requests");
        let mut proxies = Vec::new();
        for to in &self.to {
            proxies.push(Asked { tally: Tally::default(), clients: self.clients(*to).await? });
        }
        for round in 0..=self.turns {
            for n in turns(round, proxies.len()) {
                proxies[n].turn(self.turn, round > 0).await?;
            }
        }
        let counted = self.turn.as_secs_f64() * f64::from(self.turns);
        Ok(proxies.into_iter().map(|asked| asked.tally.loaded(counted)).collect())
    }

    async fn clients(&self, to: SocketAddr) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::new();
        for number in 0..self.connections {
            let connection = Connection::open(to, self.request, PATIENCE).await?;
            clients.push(Client { connection, pace: self.pace(number) });
        }
        Ok(clients)
    }

    /// When a connection asks first in a turn, and how long after that again: all of them together keep the rate.
    fn pace(&self, number: u32) -> Option<(Duration, Duration)> {
        let rate = self.rate.filter(|rate| *rate > 0)?;
        let between = Duration::from_secs(1) / rate;
        Some((between * number, between * self.connections))
    }
}

/// Who comes after whom: there, and back in the next round, as whoever comes first may have it warmer, or colder.
fn turns(round: u32, proxies: usize) -> impl Iterator<Item = usize> {
    (0..proxies).map(move |turn| if round.is_multiple_of(2) { turn } else { proxies - 1 - turn })
}

/// A runtime that moves no work between threads: two would wake each other for every answer.
pub(super) fn on_one_thread<T>(what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(what)
}

#[derive(Debug, Default)]
struct Tally {
    answers: u64,
    failures: u64,
    /// Of those that count.
    latencies: Vec<Duration>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.failures += other.failures;
        self.latencies.extend(other.latencies);
    }

    /// `counted` are the seconds in which they came.
    fn loaded(self, counted: f64) -> Loaded {
        Loaded {
            answers: self.answers,
            per_second: self.latencies.len() as f64 / counted,
            failures: self.failures,
            latency: Summary::of(self.latencies.iter().map(|time| time.as_secs_f64() * 1e3)),
        }
    }
}

/// A proxy, with its clients and what they have got so far.
#[derive(Debug)]
struct Asked {
    clients: Vec<Client>,
    tally: Tally,
}

impl Asked {
    /// All clients ask for `time`; it ends when the last of them has its answer.
    async fn turn(&mut self, time: Duration, counts: bool) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut asking = JoinSet::new();
        for client in self.clients.drain(..) {
            asking.spawn(client.turn(begin, begin + time));
        }
        while let Some(asked) = asking.join_next().await {
            let (client, mut tally) = asked??;
            if !counts {
                tally.latencies.clear();
            }
            self.tally.add(tally);
            self.clients.push(client);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Client {
    connection: Connection,
    pace: Option<(Duration, Duration)>,
}

impl Client {
    /// Asks until `end`. What is answered later is an answer, and does not count.
    async fn turn(mut self, begin: Instant, end: Instant) -> anyhow::Result<(Self, Tally)> {
        let mut tally = Tally::default();
        let mut next = self.pace.map(|(first, _)| begin + first);
        loop {
            if let (Some(at), Some((_, between))) = (&mut next, self.pace) {
                sleep_until(end.min(*at)).await;
                *at += between;
            }
            let asked = Instant::now();
            if asked >= end {
                return Ok((self, tally));
            }
            let is_right = self.connection.ask().await?;
            let now = Instant::now();
            tally.answers += 1;
            tally.failures += u64::from(!is_right);
            if now < end {
                tally.latencies.push(now - asked);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_turns_at_a_rate() {
        let load = Load {
            to: vec![([127, 0, 0, 1], 80).into()],
            request: Request::Small,
            connections: 4,
            turn: Duration::from_secs(1),
            turns: 1,
            rate: Some(100),
        };
        let pace = |number| load.pace(number).unwrap();
        assert_eq!(pace(0), (Duration::ZERO, Duration::from_millis(40)));
        assert_eq!(pace(3), (Duration::from_millis(30), Duration::from_millis(40)));
    }

    #[test]
    fn proxies_take_turns_there_and_back() {
        let order: Vec<usize> = (0..3).flat_map(|round| turns(round, 3)).collect();
        assert_eq!(order, [0, 1, 2, 2, 1, 0, 0, 1, 2]);
    }
}
