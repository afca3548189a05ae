//! One server, many clients, many changes: what each change costs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::child::Server;
use crate::client::{self, Board, Role};
use crate::server::Kind;
use crate::usage::process_cpu;

/// Changes before the first that counts.
const WARM_UP: usize = 20;
/// Snapshots equal to the last one, to see that nothing is sent.
const REPUBLISHED: usize = 10;
/// How often it is looked whether everything has been answered.
const LOOK: Duration = Duration::from_millis(20);
/// Clients that do not come to rest within this time never will.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Campaign {
    pub(crate) kind: Kind,
    pub(crate) role: Role,
    /// Size of the floor's messages.
    pub(crate) message_bytes: usize,
    pub(crate) clients: usize,
    pub(crate) rounds: usize,
    /// How many clients connect at a time.
    pub(crate) arriving: usize,
}

/// What it came to.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// From the first connection until every client had and had acknowledged everything.
    pub(crate) arrival: Duration,
    /// The server's CPU time for that.
    pub(crate) arrival_cpu: Duration,
    /// Growth of the server's resident memory a client.
    pub(crate) kib_per_client: f64,
    /// Snapshot to last ACK.
    pub(crate) latencies: Vec<Duration>,
    /// CPU time to make each snapshot, before that.
    pub(crate) builds: Vec<Duration>,
    /// The server's CPU time a client and change, without that of making the snapshot.
    pub(crate) cpu_per_client: Duration,
    /// The same of all clients' process.
    pub(crate) client_cpu: Duration,
    /// Data frames a client and change, server to client, headers included.
    pub(crate) bytes_to_client: f64,
    /// The other way.
    pub(crate) bytes_to_server: f64,
    /// The message in those frames.
    pub(crate) message_bytes: usize,
    /// Responses that snapshots equal to the last one caused, to all clients together.
    pub(crate) unchanged: u64,
}

impl Campaign {
    pub(crate) async fn run(&self) -> anyhow::Result<Measured> {
        let mut server = Server::start(self.kind, self.message_bytes).await?;
        let board = Arc::new(Board::default());
        let mut clients = JoinSet::new();
        let measured = self.measure(&mut server, &board, &mut clients).await;
        // The first client that broke is the reason, where there is one.
        while let Some(ended) = clients.try_join_next() {
            ended.context("a client panicked")?.context("a client broke")?;
        }
        measured
    }

    async fn measure(
        &self,
        server: &mut Server,
        board: &Arc<Board>,
        clients: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<Measured> {
        let count = self.clients as u64;
        let empty = server.usage().await?;
        let start = Instant::now();
        self.arrive(server, board, clients).await?;
        let arrival = start.elapsed();
        self.come_to_rest(server, board).await?;
        let settled = server.usage().await?;

        for _ in 0..WARM_UP {
            server.change(count).await?;
        }
        let before = (server.totals().await?, server.usage().await?, process_cpu(), bytes(board));
        let mut rounds = Vec::with_capacity(self.rounds);
        for _ in 0..self.rounds {
            rounds.push(server.change(count).await?);
        }
        let after = (server.totals().await?, server.usage().await?, process_cpu(), bytes(board));

        let exchanges = count * self.rounds as u64;
        let responses = after.0.responses - before.0.responses;
        ensure!(responses == exchanges, "{responses} responses for {exchanges} changes and clients");
        let build: Duration = rounds.iter().map(|round| round.build_cpu).sum();
        let serving = after.1.cpu.saturating_sub(before.1.cpu).saturating_sub(build);
        let each = |total: u64| total as f64 / exchanges as f64;
        let resident = settled.resident_kib.saturating_sub(empty.resident_kib);
        Ok(Measured {
            arrival,
            arrival_cpu: settled.cpu.saturating_sub(empty.cpu),
            kib_per_client: resident as f64 / count as f64,
            latencies: rounds.iter().map(|round| round.latency).collect(),
            builds: rounds.iter().map(|round| round.build_cpu).collect(),
            cpu_per_client: serving.div_f64(exchanges as f64),
            client_cpu: after.2.saturating_sub(before.2).div_f64(exchanges as f64),
            bytes_to_client: each(after.3.0 - before.3.0),
            bytes_to_server: each(after.3.1 - before.3.1),
            message_bytes: each(after.0.response_bytes - before.0.response_bytes) as usize,
            unchanged: self.unchanged(server).await?,
        })
    }

    /// Connects all clients, some at a time, and waits until each has what it asked for.
    async fn arrive(
        &self,
        server: &Server,
        board: &Arc<Board>,
        clients: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let mut settled = board.settled.subscribe();
        for number in 0..self.clients {
            let enough = (number + 1).saturating_sub(self.arriving) as u64;
            wait(clients, settled.wait_for(|settled| *settled >= enough)).await?;
            clients.spawn(client::run(server.address, number, self.role.clone(), Arc::clone(board)));
        }
        wait(clients, settled.wait_for(|settled| *settled >= self.clients as u64)).await
    }

    /// Waits until all that was said on either side has been heard on the other, so that no later count is off.
    async fn come_to_rest(&self, server: &mut Server, board: &Board) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            let totals = server.totals().await?;
            let said = (board.sent.load(Ordering::Relaxed), board.heard.load(Ordering::Relaxed));
            let at_rest = said == (totals.requests, totals.responses);
            if at_rest && last == Some(said) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no rest: {totals:?} in the server, {said:?} in the clients");
            last = at_rest.then_some(said);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Publishes equal snapshots, then one that differs: what the equal ones caused would be sent before its responses.
    async fn unchanged(&self, server: &mut Server) -> anyhow::Result<u64> {
        let before = server.totals().await?;
        for _ in 0..REPUBLISHED {
            server.republish().await?;
        }
        server.change(self.clients as u64).await?;
        let after = server.totals().await?;
        Ok((after.responses - before.responses).saturating_sub(self.clients as u64))
    }
}

fn bytes(board: &Board) -> (u64, u64) {
    (board.bytes_in.load(Ordering::Relaxed), board.bytes_out.load(Ordering::Relaxed))
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
