//! One server and its clients, and what they do together.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::child::Server;
use crate::client::{self, Board, Role};
use crate::usage::process_cpu;

/// Changes before the first that counts.
const WARM_UP: usize = 20;
/// Snapshots equal to the last one, to see that nothing is sent.
const REPUBLISHED: usize = 10;
/// How often it is looked whether everything has been answered.
const LOOK: Duration = Duration::from_millis(20);
/// Clients that do not come to rest within this time never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, its clients, and what they cost so far.
#[derive(Debug)]
pub(crate) struct Crowd {
    server: Server,
    board: Arc<Board>,
    clients: JoinSet<anyhow::Result<()>>,
    count: usize,
    pub(crate) arrival: Arrival,
    pub(crate) changes: Changes,
}

/// What it took until every client had what it asked for, and had acknowledged it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrival {
    /// From the first connection to the last ACK.
    pub(crate) time: Duration,
    /// The server's CPU time.
    pub(crate) cpu: Duration,
    /// What the server's resident memory has grown by since before the first client.
    pub(crate) kib: u64,
    /// The most it had grown by at any time.
    pub(crate) peak_kib: u64,
}

/// What all changes took together, where not said otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// Of each: from the moment before the snapshot is handed to the streams until the last ACK is taken in.
    pub(crate) latencies: Vec<Duration>,
    /// Of each: CPU time to make the snapshot, before that.
    pub(crate) builds: Vec<Duration>,
    /// CPU time of the server, without that of making snapshots.
    pub(crate) cpu: Duration,
    /// CPU time of the process that holds the clients.
    pub(crate) client_cpu: Duration,
    /// Bytes in data frames from the server, headers included.
    pub(crate) bytes_to_clients: u64,
    /// The other way.
    pub(crate) bytes_to_server: u64,
    /// Bytes of the messages in the frames from the server, with gRPC's prefix.
    pub(crate) message_bytes: u64,
    /// Messages.
    pub(crate) responses: u64,
}

impl Crowd {
    /// Connects `count` clients to a server, `at_a_time` at a time, and lets them come to rest.
    pub(crate) async fn gather(
        server: Server,
        role: &Role,
        count: usize,
        at_a_time: usize,
    ) -> anyhow::Result<Self> {
        let mut crowd = Self {
            server,
            board: Arc::default(),
            clients: JoinSet::new(),
            count,
            arrival: Arrival::default(),
            changes: Changes::default(),
        };
        let empty = crowd.server.usage().await?;
        let start = Instant::now();
        crowd.connect(role, at_a_time).await?;
        let time = start.elapsed();
        crowd.come_to_rest().await?;
        let settled = crowd.server.usage().await?;
        crowd.arrival = Arrival {
            time,
            cpu: settled.cpu.saturating_sub(empty.cpu),
            kib: settled.resident_kib.saturating_sub(empty.resident_kib),
            peak_kib: settled.peak_kib.saturating_sub(empty.resident_kib),
        };
        crowd.change(WARM_UP).await?;
        crowd.changes = Changes::default();
        Ok(crowd)
    }

    /// Connects all clients, and waits until each has what it asked for.
    async fn connect(&mut self, role: &Role, at_a_time: usize) -> anyhow::Result<()> {
        let mut settled = self.board.settled.subscribe();
        for number in 0..self.count {
            let enough = (number + 1).saturating_sub(at_a_time) as u64;
            wait(&mut self.clients, settled.wait_for(|settled| *settled >= enough)).await?;
            let client = client::run(self.server.address, number, role.clone(), Arc::clone(&self.board));
            self.clients.spawn(client);
        }
        let all = self.count as u64;
        wait(&mut self.clients, settled.wait_for(|settled| *settled >= all)).await
    }

    /// Waits until all that was said on either side has been heard on the other, so that no later count is off.
    async fn come_to_rest(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            let totals = self.server.totals().await?;
            let said = (self.board.sent.load(Ordering::Relaxed), self.board.heard.load(Ordering::Relaxed));
            let at_rest = said == (totals.requests, totals.responses);
            if at_rest && last == Some(said) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no rest: {totals:?} in the server, {said:?} in the clients");
            last = at_rest.then_some(said);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Changes one endpoint after the other; each change waits for the last ACK of the one before.
    pub(crate) async fn change(&mut self, rounds: usize) -> anyhow::Result<()> {
        let ended = self.rounds(rounds).await;
        // A client that broke is the reason, where there is one.
        while let Some(ended) = self.clients.try_join_next() {
            ended.context("a client panicked")?.context("a client broke")?;
        }
        ended
    }

    async fn rounds(&mut self, rounds: usize) -> anyhow::Result<()> {
        let count = self.count as u64;
        let before = (self.server.totals().await?, self.server.usage().await?, process_cpu(), self.bytes());
        let mut builds = Duration::ZERO;
        for _ in 0..rounds {
            let round = self.server.change(count).await?;
            builds += round.build_cpu;
            self.changes.latencies.push(round.latency);
            self.changes.builds.push(round.build_cpu);
        }
        let after = (self.server.totals().await?, self.server.usage().await?, process_cpu(), self.bytes());
        let responses = after.0.responses - before.0.responses;
        let due = count * rounds as u64;
        ensure!(
            responses == due,
            "{responses} responses where {rounds} changes and {count} clients make {due}"
        );
        let changes = &mut self.changes;
        changes.cpu += after.1.cpu.saturating_sub(before.1.cpu).saturating_sub(builds);
        changes.client_cpu += after.2.saturating_sub(before.2);
        changes.bytes_to_clients += after.3.0 - before.3.0;
        changes.bytes_to_server += after.3.1 - before.3.1;
        changes.message_bytes += after.0.response_bytes - before.0.response_bytes;
        changes.responses += responses;
        Ok(())
    }

    fn bytes(&self) -> (u64, u64) {
        (self.board.bytes_in.load(Ordering::Relaxed), self.board.bytes_out.load(Ordering::Relaxed))
    }

    /// Publishes snapshots equal to the last one, then one that differs: whatever the equal ones caused is sent before its
    /// responses. Returns the number of responses that the equal ones caused.
    pub(crate) async fn unchanged(&mut self) -> anyhow::Result<u64> {
        let before = self.server.totals().await?;
        for _ in 0..REPUBLISHED {
            self.server.republish().await?;
        }
        self.server.change(self.count as u64).await?;
        self.come_to_rest().await?;
        let after = self.server.totals().await?;
        Ok((after.responses - before.responses).saturating_sub(self.count as u64))
    }

    /// Ends the clients, then the server.
    pub(crate) async fn disperse(mut self) -> anyhow::Result<()> {
        self.clients.shutdown().await;
        self.server.stop().await
    }

    /// The server's CPU time so far.
    pub(crate) async fn server_cpu(&mut self) -> anyhow::Result<Duration> {
        Ok(self.server.usage().await?.cpu)
    }
}

/// Waits for `condition`, or for the first client that ends: none should.
async fn wait<T, E>(
    clients: &mut JoinSet<anyhow::Result<()>>,
    condition: impl Future<Output = Result<T, E>>,
) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        Some(ended) = clients.join_next() => {
            ended.context("a client panicked")?.context("a client broke")?;
            anyhow::bail!("a client ended");
        }
        met = tokio::time::timeout(PATIENCE, condition) => {
            met.context("the clients do not settle")?.ok().context("the board is gone")?;
            Ok(())
        }
    }
}
