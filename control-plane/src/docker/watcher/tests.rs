//! The loop against a scripted engine, on a paused clock.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, watch};

use super::super::convert::{Container, container, tests::inspected};
use super::super::event::What;
use super::*;
use crate::inventory::{Inventory, State};
use crate::provider::InventoryReceiver;

/// An engine that a test holds in its hands.
#[derive(Clone, Default)]
struct Script {
    containers: Arc<Mutex<BTreeMap<WorkloadId, Container>>>,
    /// The sending end of the events of the newest connection.
    events: Arc<Mutex<Option<mpsc::UnboundedSender<anyhow::Result<Event>>>>>,
    refusals: Arc<AtomicUsize>,
    failing_lists: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    lists: Arc<AtomicUsize>,
    looks: Arc<AtomicUsize>,
}

fn take_one(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Engine for Script {
    async fn connect(&mut self) -> anyhow::Result<()> {
        if take_one(&self.refusals) {
            bail!("refused");
        }
        self.connections.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn events(&self, _since: i64) -> BoxStream<'static, anyhow::Result<Event>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Ok(mut events) = self.events.try_lock() {
            *events = Some(sender);
        }
        Box::pin(tokio_stream::wrappers::UnboundedReceiverStream::new(receiver))
    }

    async fn list(&self) -> anyhow::Result<BTreeMap<WorkloadId, Listed>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        if take_one(&self.failing_lists) {
            bail!("no list");
        }
        Ok(self.containers.lock().await.iter().map(|(id, it)| (id.clone(), it.listed.clone())).collect())
    }

    async fn inspect(&self, id: &WorkloadId, listed: Listed) -> anyhow::Result<Option<Container>> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(self.containers.lock().await.get(id).cloned().map(|it| Container { listed, ..it }))
    }
}

impl Script {
    async fn add(&self, id: &str) {
        let it = container(inspected(id, |_| ()), Listed::default()).unwrap();
        self.containers.lock().await.insert(it.workload.id.clone(), it);
    }

    async fn say(&self, id: &str, what: What) {
        let event = Event { id: WorkloadId(id.into()), at: i64::MAX, what };
        self.events.lock().await.as_ref().unwrap().send(Ok(event)).unwrap();
    }

    async fn start(&self, id: &str) {
        self.add(id).await;
        self.say(id, What::Look).await;
    }

    fn watch(&self) -> (InventoryReceiver, JoinSet<()>) {
        let (sender, receiver) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(Watcher::new(self.clone(), sender).run());
        (receiver, tasks)
    }
}

async fn until_seen(receiver: &mut InventoryReceiver, is: impl Fn(&Inventory) -> bool) {
    let seen = receiver.wait_for(|view| view.as_ref().is_some_and(|view| is(view)));
    tokio::time::timeout(Duration::from_secs(600), seen).await.unwrap().unwrap();
}

fn count(n: usize) -> impl Fn(&Inventory) -> bool {
    move |view| view.workloads.len() == n
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_published_and_what_starts_follows() {
    let script = Script::default();
    script.add("a").await;
    let (mut views, _tasks) = script.watch();
    until_seen(&mut views, count(1)).await;
    script.start("b").await;
    until_seen(&mut views, count(2)).await;
    assert_eq!(script.lists.load(Ordering::SeqCst), 1);
    assert_eq!(script.looks.load(Ordering::SeqCst), 2, "one look a container");
}

#[tokio::test(start_paused = true)]
async fn kill_and_die_ask_the_engine_nothing() {
    let script = Script::default();
    script.add("a").await;
    let (mut views, _tasks) = script.watch();
    until_seen(&mut views, count(1)).await;
    let state = |state| move |view: &Inventory| view.workloads.values().all(|it| it.state == state);
    script.say("a", What::Kill("TERM".into())).await;
    until_seen(&mut views, state(State::Stopping)).await;
    script.say("a", What::Die).await;
    until_seen(&mut views, state(State::Stopped)).await;
    assert_eq!((script.lists.load(Ordering::SeqCst), script.looks.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_the_first_complete_list() {
    let script = Script::default();
    script.add("a").await;
    script.refusals.store(5, Ordering::SeqCst);
    script.failing_lists.store(3, Ordering::SeqCst);
    let (mut views, _tasks) = script.watch();
    assert!(views.borrow().is_none());
    until_seen(&mut views, |_| true).await;
    assert_eq!(views.borrow().as_ref().unwrap().workloads.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_stream_leads_to_a_new_list_and_the_view_stands_meanwhile() {
    let script = Script::default();
    script.add("a").await;
    let (mut views, _tasks) = script.watch();
    until_seen(&mut views, count(1)).await;
    script.add("b").await;
    script.refusals.store(3, Ordering::SeqCst);
    *script.events.lock().await = None;
    until_seen(&mut views, count(2)).await;
    assert_eq!(script.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_stream_leads_to_a_new_list() {
    let script = Script::default();
    script.add("a").await;
    let (mut views, _tasks) = script.watch();
    until_seen(&mut views, count(1)).await;
    script.add("b").await;
    script.events.lock().await.as_ref().unwrap().send(Err(anyhow::anyhow!("cut"))).unwrap();
    until_seen(&mut views, count(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_went_silent_is_found_out_by_the_resync() {
    let script = Script::default();
    script.add("a").await;
    let (mut views, _tasks) = script.watch();
    until_seen(&mut views, count(1)).await;
    script.containers.lock().await.clear();
    script.add("b").await;
    let began = Instant::now();
    until_seen(&mut views, |view| view.workloads.contains_key(&WorkloadId("b".into()))).await;
    assert!(began.elapsed() <= RESYNC, "{:?}", began.elapsed());
    assert_eq!(views.borrow().as_ref().unwrap().workloads.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_gone_when_it_is_looked_at_is_passed_over() {
    let script = Script::default();
    script.add("a").await;
    let (mut views, _tasks) = script.watch();
    until_seen(&mut views, count(1)).await;
    script.say("ghost", What::Look).await;
    script.start("b").await;
    until_seen(&mut views, count(2)).await;
    assert_eq!(script.connections.load(Ordering::SeqCst), 1);
}
