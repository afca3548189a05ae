//! Requests that go on while the configuration changes, and what became of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Client;
use reqwest::header::{CONNECTION, HOST};
use stack::wait::until;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::LIMIT;
use super::resources::CLIENT_HEADER;

/// Between two requests of each of the two clients.
const PERIOD: Duration = Duration::from_millis(10);
/// So many answers in a row say who serves a host: with round robin over a few, each is among them.
const RECENT: usize = 24;
/// A request that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Two clients of one listener: one keeps its connection, one makes a new one for each request.
#[derive(Debug)]
pub struct Traffic {
    hosts: watch::Sender<Vec<&'static str>>,
    tally: watch::Receiver<Tally>,
    _clients: JoinSet<()>,
    _runtime: Runtime,
}

/// What became of the requests so far.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// How many were answered as they should be.
    pub answered: u64,
    /// What is wrong with each of the others.
    pub failures: Vec<String>,
    /// The addresses from which the client that keeps its connection has come.
    kept: BTreeSet<String>,
    recent: BTreeMap<&'static str, VecDeque<String>>,
}

struct Answer {
    name: String,
    client: String,
}

impl Traffic {
    /// Requests to `hosts`, in turn, at a listener that is there already.
    pub fn start(port: u16, hosts: &[&'static str]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (hosts, hosts_rx) = watch::channel(hosts.to_vec());
        let (tally_tx, tally) = watch::channel(Tally::default());
        let tally_tx = Arc::new(tally_tx);
        let mut clients = JoinSet::new();
        for kept in [true, false] {
            let requests = requests(client(kept)?, kept, port, hosts_rx.clone(), Arc::clone(&tally_tx));
            clients.spawn_on(requests, runtime.handle());
        }
        Ok(Self { hosts, tally, _clients: clients, _runtime: runtime })
    }

    /// Requests go to these hosts from now on.
    pub fn set_hosts(&self, hosts: &[&'static str]) {
        self.hosts.send_replace(hosts.to_vec());
    }

    /// Waits until `host` is served by exactly these.
    pub fn served_by(&self, host: &'static str, names: &[&str]) -> Result<()> {
        let expected: BTreeSet<&str> = names.iter().copied().collect();
        until(&format!("{host} is served by {expected:?}"), LIMIT, || {
            let tally = self.tally.borrow();
            let recent = tally.recent.get(host).context("there is no answer yet")?;
            let found: BTreeSet<&str> = recent.iter().map(String::as_str).collect();
            ensure!(recent.len() == RECENT && found == expected, "it is served by {found:?}");
            Ok(())
        })
    }

    /// Waits until so many more requests have been answered.
    pub fn goes_on(&self, answers: u64) -> Result<()> {
        let start = self.tally.borrow().answered;
        until("requests are answered", LIMIT, || {
            let now = self.tally.borrow().answered;
            ensure!(now >= start + answers, "{} of {answers}", now - start);
            Ok(())
        })
    }

    /// An error if a request has failed, or if the connection that shall be kept was not.
    pub fn check(&self) -> Result<()> {
        let tally = self.tally.borrow();
        if let Some(first) = tally.failures.first() {
            let (failed, answered) = (tally.failures.len(), tally.answered);
            bail!("{failed} requests failed and {answered} did not; the first failure: {first}");
        }
        ensure!(tally.kept.len() <= 1, "the kept connection was closed: {:?}", tally.kept);
        Ok(())
    }

    /// Ends it: not one request may have failed.
    pub fn finish(self) -> Result<u64> {
        self.goes_on(20)?;
        self.check()?;
        Ok(self.tally.borrow().answered)
    }
}

fn client(kept: bool) -> Result<Client> {
    Ok(Client::builder().no_proxy().timeout(TIMEOUT).pool_max_idle_per_host(usize::from(kept)).build()?)
}

async fn requests(
    client: Client,
    kept: bool,
    port: u16,
    hosts: watch::Receiver<Vec<&'static str>>,
    tally: Arc<watch::Sender<Tally>>,
) {
    let mut pace = tokio::time::interval(PERIOD);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0.. {
        pace.tick().await;
        let host = {
            let hosts = hosts.borrow();
            hosts[turn % hosts.len()]
        };
        let answer = get(&client, kept, port, host).await;
        tally.send_modify(|tally| tally.note(host, kept, answer));
    }
}

async fn get(client: &Client, kept: bool, port: u16, host: &str) -> Result<Answer> {
    let mut request = client.get(format!("http://127.0.0.1:{port}/")).header(HOST, host);
    if !kept {
        request = request.header(CONNECTION, "close");
    }
    let response = request.send().await?;
    let status = response.status();
    let client = response.headers().get(CLIENT_HEADER).and_then(|value| value.to_str().ok());
    let client = client.unwrap_or_default().to_owned();
    let name = response.text().await?;
    ensure!(status.is_success(), "{status} {name}");
    Ok(Answer { name, client })
}

impl Tally {
    fn note(&mut self, host: &'static str, kept: bool, answer: Result<Answer>) {
        match answer {
            Ok(Answer { name, client }) => {
                self.answered += 1;
                if kept {
                    self.kept.insert(client);
                }
                let recent = self.recent.entry(host).or_default();
                recent.push_back(name);
                if recent.len() > RECENT {
                    recent.pop_front();
                }
            }
            Err(error) => self.failures.push(format!(
                "{host} ({}), after {} answers: {error:#}",
                if kept { "kept connection" } else { "new connection" },
                self.answered
            )),
        }
    }
}
