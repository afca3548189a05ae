//! A client that asks again and again, until each host is answered by its container.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::Instant;

/// Between two questions; with the question itself that is how far apart two looks are.
const PAUSE: Duration = Duration::from_micros(200);
/// No answer takes longer, unless a program is run by another that is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The first good answer for one host.
#[derive(Debug, Clone)]
pub(crate) struct First {
    pub(crate) at: Instant,
    /// How long before it the last answer came that was none: so much later than the truth it may be.
    pub(crate) apart: Duration,
}

/// What came of asking for some hosts.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// With the host each is for.
    pub(crate) firsts: Vec<(String, First)>,
    /// Answers that were neither the container's nor "no such host" (404) nor "it has no container that is ready" (503).
    pub(crate) failures: u64,
}

/// One connection that is kept open.
#[derive(Debug)]
pub(crate) struct Probe {
    edge: SocketAddr,
    patience: Duration,
    connection: BufReader<TcpStream>,
}

impl Probe {
    /// One to `edge`, where an answer takes no longer than `patience`.
    pub(crate) fn open(edge: SocketAddr, patience: Duration) -> anyhow::Result<Self> {
        Ok(Self { edge, patience, connection: connect(edge, patience)? })
    }

    /// Asks once; returns the status.
    pub(crate) fn ask(&mut self, host: &str) -> anyhow::Result<u16> {
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        self.connection.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length, mut close) = (None, 0, false);
        loop {
            let mut line = String::new();
            ensure!(self.connection.read_line(&mut line)? > 0, "the proxy closed the connection");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                None => status = line.split(' ').nth(1).and_then(|status| status.parse().ok()),
                Some(("content-length", value)) => length = value.parse()?,
                Some(("connection", value)) => close = value == "close",
                Some(("transfer-encoding", _)) => bail!("an answer of unknown length"),
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body)?;
        if close {
            self.connection = connect(self.edge, self.patience)?;
        }
        status.context("an answer without a status")
    }

    /// Asks for all of `hosts` in turn until each was answered once by its container.
    pub(crate) fn until_answered(&mut self, hosts: &[String], limit: Duration) -> anyhow::Result<Outcome> {
        let end = Instant::now() + limit;
        let mut firsts = Vec::with_capacity(hosts.len());
        let mut pending: Vec<(&String, Instant)> = hosts.iter().map(|host| (host, Instant::now())).collect();
        let mut failures = 0;
        while !pending.is_empty() {
            let mut still = Vec::with_capacity(pending.len());
            for (host, before) in pending {
                let status = self.ask(host)?;
                let at = Instant::now();
                if status == 200 {
                    firsts.push((host.clone(), First { at, apart: at - before }));
                } else {
                    failures += u64::from(!matches!(status, 404 | 503));
                    still.push((host, at));
                }
            }
            pending = still;
            if let Some((host, _)) = pending.first() {
                ensure!(Instant::now() < end, "{host} is not answered within {} s", limit.as_secs());
                pause();
            }
        }
        Ok(Outcome { firsts, failures })
    }
}

fn connect(edge: SocketAddr, patience: Duration) -> anyhow::Result<BufReader<TcpStream>> {
    let socket = TcpStream::connect(edge)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(patience))?;
    Ok(BufReader::new(socket))
}

// The runtime's clock has steps of 1 ms, which is too coarse here; and this thread is the probe's own.
#[allow(clippy::disallowed_methods)]
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}
