//! A steady client: so many requests a second, whatever happens, and an account of each one that was lost.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use reqwest::header::HOST;
use reqwest::{Client, Method};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// A request without an answer by then is lost. Longer than any time-out of the system, so that its own words are heard.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many of the lost ones are told one by one.
const TOLD: usize = 12;
/// How long the thread beside the client sleeps at a time.
const NAP: Duration = Duration::from_millis(1);
/// Every so many requests one comes over a connection of its own.
const FRESH: u64 = 10;

/// One kind of request that the client makes.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// GET, or POST of a form with a key and a value.
    pub method: &'static str,
    /// The host it is for.
    pub host: &'static str,
    /// Its path.
    pub path: &'static str,
    /// The answer that is a success.
    pub expected: u16,
}

/// A request that was lost.
#[derive(Debug, Clone)]
pub struct Lost {
    /// What was asked.
    pub ask: Ask,
    /// When, since the client began.
    pub after: Duration,
    /// What came back instead: a status, with `x-portolan-reason` where there is one, or an error.
    pub what: String,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ask: Ask { method, host, path, .. }, after, what } = self;
        write!(f, "{:.3} s: {method} {host}{path}: {what}", after.as_secs_f64())
    }
}

/// What became of all requests.
#[derive(Debug, Default)]
pub struct Account {
    /// How many were made.
    pub made: u64,
    /// The longest that one took which was not lost.
    pub slowest: Duration,
    /// Those that were lost.
    pub lost: Vec<Lost>,
    /// The longest that a thread beside the client, which does nothing, had to wait for a processor: no request can be expected to be
    /// faster than that.
    pub processor: Duration,
}

impl Account {
    /// Nothing, if nothing was lost.
    ///
    /// # Errors
    ///
    /// Which requests were lost, and how.
    pub fn is_complete(&self) -> anyhow::Result<()> {
        let told: Vec<String> = self.lost.iter().take(TOLD).map(ToString::to_string).collect();
        ensure!(self.made > 0, "no request was made");
        ensure!(
            self.lost.is_empty(),
            "{} of {} requests are lost:\n  {}",
            self.lost.len(),
            self.made,
            told.join("\n  ")
        );
        Ok(())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { made, slowest, lost, processor } = self;
        write!(
            f,
            "{made} requests, {} lost, the slowest {:.1} ms (for a processor one waited up to {:.1} ms)",
            lost.len(),
            slowest.as_secs_f64() * 1_000.0,
            processor.as_secs_f64() * 1_000.0
        )
    }
}

/// A client at work.
#[derive(Debug)]
pub struct Load {
    runtime: Runtime,
    stop: CancellationToken,
    work: JoinHandle<Account>,
    beside: thread::JoinHandle<Duration>,
}

impl Load {
    /// Begins to make `rate` requests a second to `port` on loopback, each of `asks` in turn.
    ///
    /// # Errors
    ///
    /// There is no thread for it.
    pub fn start(port: u16, rate: u32, asks: &'static [Ask]) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let stop = CancellationToken::new();
        let clients = Clients { kept: client(usize::MAX)?, fresh: client(0)?, port };
        let work = runtime.spawn(make(clients, rate, asks, stop.clone()));
        let stopped = stop.clone();
        let beside =
            thread::Builder::new().name("beside".to_owned()).spawn(move || kept_waiting(&stopped))?;
        Ok(Self { runtime, stop, work, beside })
    }

    /// Stops making requests, waits for the answers to those that were made, and says what became of all.
    ///
    /// # Errors
    ///
    /// The client itself failed.
    pub fn stop(self) -> anyhow::Result<Account> {
        self.stop.cancel();
        let mut account = self.runtime.block_on(self.work).context("the client failed")?;
        account.processor = self.beside.join().map_err(|_| anyhow!("the thread beside the client failed"))?;
        Ok(account)
    }
}

/// Wakes up each [`NAP`] until `stop`, and returns the most by which it was late.
#[expect(clippy::disallowed_methods, reason = "how late it is woken is what it is for")]
fn kept_waiting(stop: &CancellationToken) -> Duration {
    let mut most = Duration::ZERO;
    while !stop.is_cancelled() {
        let lay_down = Instant::now();
        thread::sleep(NAP);
        most = most.max(lay_down.elapsed().saturating_sub(NAP));
    }
    most
}

fn client(idle: usize) -> anyhow::Result<Client> {
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    Ok(builder.timeout(PATIENCE).pool_max_idle_per_host(idle).build()?)
}

#[derive(Debug, Clone)]
struct Clients {
    kept: Client,
    fresh: Client,
    port: u16,
}

async fn make(clients: Clients, rate: u32, asks: &'static [Ask], stop: CancellationToken) -> Account {
    let began = Instant::now();
    let mut account = Account::default();
    let mut answers = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    // A tick that came late is made up for: the number of requests is that of the time that went by.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(answer) = answers.join_next() => take(&mut account, answer),
            _ = ticks.tick() => {
                let number = account.made;
                account.made += 1;
                let clients = clients.clone();
                let ask = asks[usize::try_from(number).unwrap_or_default() % asks.len()];
                answers.spawn(async move {
                    let sent = Instant::now();
                    let answer = clients.ask(ask, number).await;
                    (answer.map_err(|what| Lost { ask, after: sent - began, what }), sent.elapsed())
                });
            }
        }
    }
    while let Some(answer) = answers.join_next().await {
        take(&mut account, answer);
    }
    account
}

type Answer = (Result<(), Lost>, Duration);

fn take(account: &mut Account, answer: Result<Answer, tokio::task::JoinError>) {
    match answer {
        Ok((Ok(()), took)) => account.slowest = account.slowest.max(took),
        Ok((Err(lost), _)) => account.lost.push(lost),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl Clients {
    async fn ask(&self, ask: Ask, number: u64) -> Result<(), String> {
        let client = if number.is_multiple_of(FRESH) { &self.fresh } else { &self.kept };
        let url = format!("http://127.0.0.1:{}{}", self.port, ask.path);
        let mut request = client.request(Method::GET, &url).header(HOST, ask.host);
        if ask.method == "POST" {
            let form = [("key", format!("steady {}", number % 50)), ("value", number.to_string())];
            request = client.post(&url).header(HOST, ask.host).form(&form);
        }
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status();
        let reason = response.headers().get("x-portolan-reason").cloned();
        let body = response.bytes().await.map_err(|error| format!("{status}, then {error:?}"))?;
        if status.as_u16() == ask.expected {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&body).chars().take(200).collect::<String>();
        Err(format!(
            "{status} {} {body}",
            reason.as_ref().and_then(|reason| reason.to_str().ok()).unwrap_or_default()
        ))
    }
}
