//! All containers of the engine, and who listens to what happens to them.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use tokio::time::Instant;

use super::Api;
use super::container::{Container, Health, State};
use super::event::{Event, Filter};

/// How many events a listener that comes later can still get.
const MEMORY: usize = 256;
/// How many events a listener may be behind.
const PATIENCE: usize = 1_024;

#[derive(Debug)]
struct Listener {
    filter: Filter,
    lines: mpsc::Sender<Bytes>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) api: Api,
    containers: Vec<Container>,
    by_id: HashMap<String, usize>,
    listeners: Vec<Listener>,
    memory: VecDeque<Event>,
    told: u64,
}

impl World {
    pub(super) fn new(api: Api, containers: Vec<Container>) -> Self {
        let by_id = containers.iter().enumerate().map(|(n, container)| (container.id.clone(), n)).collect();
        Self {
            api,
            containers,
            by_id,
            listeners: Vec::new(),
            memory: VecDeque::with_capacity(MEMORY),
            told: 0,
        }
    }

    /// Whether the list tells health in a field of its own.
    fn has_health(&self) -> bool {
        let minor = self.api.newest.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        minor.is_some_and(|minor| minor >= 52)
    }

    /// Those that run, or all.
    pub(super) fn list(&self, all: bool) -> Value {
        let listed = self.containers.iter().filter(|container| all || container.state == State::Running);
        listed.map(|container| container.summary(self.has_health())).collect()
    }

    pub(super) fn inspect(&self, id: &str) -> Option<Value> {
        self.by_id.get(id).map(|n| self.containers[*n].inspect())
    }

    /// A new listener gets what it missed, as far as that is remembered, and then what comes.
    pub(super) fn listen(&mut self, filter: Filter, since: Option<u64>) -> mpsc::Receiver<Bytes> {
        let (lines, receiver) = mpsc::channel(PATIENCE);
        let missed = self.memory.iter().filter(|event| since.is_some_and(|since| event.at >= since));
        for event in missed.filter(|event| filter.wants(event)) {
            let _ = lines.try_send(event.line.clone());
        }
        self.listeners.push(Listener { filter, lines });
        receiver
    }

    fn tell(&mut self, event: Event) {
        // One that does not keep up, or has gone, is dropped.
        self.listeners.retain(|listener| {
            !listener.filter.wants(&event) || {
                self.told += 1;
                listener.lines.try_send(event.line.clone()).is_ok()
            }
        });
        if self.memory.len() == MEMORY {
            self.memory.pop_front();
        }
        self.memory.push_back(event);
    }

    fn tell_of(&mut self, n: usize, action: &str, more: &[(&str, String)]) {
        self.tell(Event::of_container(&self.containers[n], action, more));
    }

    pub(super) const fn told(&self) -> u64 {
        self.told
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.containers.iter().position(|container| container.name() == name)
    }

    /// There is one more, which was never started; its place is returned.
    pub(super) fn create(&mut self, mut container: Container) -> usize {
        let n = self.containers.len();
        container.state = State::Created;
        self.by_id.insert(container.id.clone(), n);
        self.containers.push(container);
        self.tell_of(n, "create", &[]);
        n
    }

    pub(super) fn probe_all(&mut self) {
        for n in 0..self.containers.len() {
            if self.containers[n].state == State::Running {
                for action in ["exec_create: frontend health", "exec_start: frontend health", "exec_die"] {
                    self.tell_of(n, action, &[("execID", format!("{n:064x}"))]);
                }
            }
        }
    }

    pub(super) fn turn(&mut self, n: usize, health: Health) {
        if self.containers[n].health != health {
            self.containers[n].health = health;
            self.tell_of(n, &format!("health_status: {}", health.word()), &[]);
        }
    }

    /// When it was told.
    pub(super) fn kill(&mut self, n: usize, signal: u8) -> Instant {
        let now = Instant::now();
        self.tell_of(n, "kill", &[("signal", signal.to_string())]);
        now
    }

    pub(super) fn die(&mut self, n: usize) {
        self.containers[n].state = State::Exited;
        self.tell_of(n, "die", &[("exitCode", json!(0).to_string())]);
        self.tell(Event::of_network(&self.containers[n], "disconnect"));
    }

    /// When it was told.
    pub(super) fn start(&mut self, n: usize) -> Instant {
        let container = &mut self.containers[n];
        container.state = State::Running;
        if container.health != Health::None {
            container.health = Health::Starting;
        }
        container.started = SystemTime::now();
        self.tell(Event::of_network(&self.containers[n], "connect"));
        let now = Instant::now();
        self.tell_of(n, "start", &[]);
        now
    }
}
