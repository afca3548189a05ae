//! The clients: some connections that are kept busy, or asked over at a steady rate, by one thread in a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};

use super::{HOST, Request};
use crate::stats::Summary;
use crate::usage::process_cpu;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Until every connection is there and has been used, nothing counts.
const WARM: Duration = Duration::from_millis(300);
/// Longer than any answer, so that one is mostly read at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// What is asked of whom, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    #[arg(long)]
    pub(super) to: SocketAddr,
    #[arg(long, value_enum)]
    pub(super) request: Request,
    #[arg(long)]
    pub(super) connections: u32,
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(super) time: Duration,
    /// Requests a second over all connections; without it each connection asks again as soon as it is answered.
    #[arg(long)]
    pub(super) rate: Option<u32>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Loaded {
    /// All that were answered, those before the measured time as well.
    pub(super) answers: u64,
    /// Answered in the measured time, a second.
    pub(super) per_second: f64,
    /// Answers but 200 with the body that was expected.
    pub(super) failures: u64,
    /// In milliseconds.
    pub(super) latency: Option<Summary>,
    /// What this process has used.
    pub(super) cpu: Duration,
}

impl Load {
    /// The words with which this program does it in another process.
    pub(super) fn words(&self) -> anyhow::Result<Vec<String>> {
        let mut words = vec!["load".to_owned()];
        let time = humantime::format_duration(self.time);
        let rate = self.rate.map(|rate| format!("--rate={rate}"));
        words.push(format!("--to={}", self.to));
        words.push(format!("--request={}", self.request.word()?));
        words.push(format!("--connections={}", self.connections));
        words.push(format!("--time={}", time.to_string().replace(' ', "")));
        words.extend(rate);
        Ok(words)
    }

    /// Does it, and prints what came of it as JSON.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let loaded = spawn_blocking(move || on_one_thread(self.load())).await??;
        println!("{}", serde_json::to_string(&loaded)?);
        Ok(())
    }

    async fn load(self) -> anyhow::Result<Loaded> {
        ensure!(self.connections > 0, "no connections, no requests");
        let begin = Instant::now() + WARM;
        let mut clients = JoinSet::new();
        for number in 0..self.connections {
            let client =
                Client { pace: self.pace(number), load: self.clone(), begin, end: begin + self.time };
            clients.spawn(client.run());
        }
        let mut all = Tally::default();
        while let Some(tally) = clients.join_next().await {
            let Tally { answers, failures, latencies } = tally??;
            all.answers += answers;
            all.failures += failures;
            all.latencies.extend(latencies);
        }
        let measured = all.latencies.len() as f64;
        Ok(Loaded {
            answers: all.answers,
            per_second: measured / self.time.as_secs_f64(),
            failures: all.failures,
            latency: Summary::of(all.latencies.iter().map(|time| time.as_secs_f64() * 1e3)),
            cpu: process_cpu(),
        })
    }

    /// When a connection asks first, and how long after that again: all of them together keep the rate.
    fn pace(&self, number: u32) -> Option<(Duration, Duration)> {
        let rate = self.rate.filter(|rate| *rate > 0)?;
        let between = Duration::from_secs(1) / rate;
        Some((between * number, between * self.connections))
    }
}

/// A runtime that moves no work between threads: two would wake each other for every answer.
pub(super) fn on_one_thread<T>(what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(what)
}

#[derive(Debug, Default)]
struct Tally {
    answers: u64,
    failures: u64,
    /// Of the measured time.
    latencies: Vec<Duration>,
}

#[derive(Debug)]
struct Client {
    load: Load,
    pace: Option<(Duration, Duration)>,
    begin: Instant,
    end: Instant,
}

impl Client {
    async fn run(self) -> anyhow::Result<Tally> {
        let request = self.load.request.bytes(HOST);
        let expected = self.load.request.answer_bytes();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut socket = self.connect().await?;
        let mut tally = Tally::default();
        let mut next = self.pace.map(|(first, _)| self.begin - WARM + first);
        loop {
            if let (Some(at), Some((_, between))) = (&mut next, self.pace) {
                sleep_until(*at).await;
                *at += between;
            }
            let asked = Instant::now();
            if asked >= self.end {
                return Ok(tally);
            }
            let answer = timeout(PATIENCE, ask(&mut socket, &request, &mut buffer));
            let answer = answer.await.context("no answer within 10 s")??;
            let now = Instant::now();
            tally.answers += 1;
            tally.failures += u64::from(answer.status != 200 || answer.length != expected);
            if asked >= self.begin && now < self.end {
                tally.latencies.push(now - asked);
            }
            if answer.closes {
                socket = self.connect().await?;
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let socket = TcpStream::connect(self.load.to).await.context("the proxy takes no connection")?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

async fn ask(socket: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> anyhow::Result<Head> {
    socket.write_all(request).await?;
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the proxy closed the connection before it had answered");
        filled += read;
        if let Some(head) = Head::read(&buffer[..filled])? {
            let mut missing = (head.bytes + head.length).saturating_sub(filled);
            while missing > 0 {
                let read = socket.read(buffer).await?;
                ensure!(read > 0, "the proxy closed the connection within an answer");
                missing = missing.saturating_sub(read);
            }
            return Ok(head);
        }
    }
}

/// How an answer begins.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// Its own length, with the empty line.
    bytes: usize,
    status: u16,
    /// The length of the body.
    length: usize,
    /// The connection cannot be used again.
    closes: bool,
}

impl Head {
    /// The head that `bytes` begin with, or nothing where it is not whole yet.
    fn read(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(bytes.len() < BUFFER_BYTES, "an answer whose head does not end");
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end]).context("an answer whose head is not text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let (mut length, mut closes) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            }
        }
        let (Some(status), Some(length)) = (status, length) else {
            bail!("an answer without a status or a length:\n{head}");
        };
        Ok(Some(Self { bytes: end + 4, status, length, closes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_up_to_its_body() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";
        let head = Head::read(whole).unwrap().unwrap();
        assert_eq!(head, Head { bytes: whole.len() - 3, status: 200, length: 3, closes: false });
    }

    #[test]
    fn a_head_that_is_not_whole_is_waited_for() {
        assert_eq!(Head::read(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n").unwrap(), None);
    }

    #[test]
    fn a_connection_that_closes_is_known() {
        let bytes = b"HTTP/1.1 503 No\r\nConnection: close\r\ncontent-length:0\r\n\r\n";
        let head = Head::read(bytes).unwrap().unwrap();
        assert_eq!(head, Head { bytes: bytes.len(), status: 503, length: 0, closes: true });
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        let error = Head::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("without a status or a length"), "{error}");
    }

    #[test]
    fn connections_take_turns_at_a_rate() {
        let load = Load {
            to: ([127, 0, 0, 1], 80).into(),
            request: Request::Small,
            connections: 4,
            time: Duration::from_secs(1),
            rate: Some(100),
        };
        let pace = |number| load.pace(number).unwrap();
        assert_eq!(pace(0), (Duration::ZERO, Duration::from_millis(40)));
        assert_eq!(pace(3), (Duration::from_millis(30), Duration::from_millis(40)));
    }
}
