//! What a change costs before any stream hears of it: CPU time of one thread, nothing else in the process.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use xds_server::{Kind, Resource, Snapshot};

use crate::sessions;
use crate::usage::thread_cpu;
use crate::world::{self, World};

/// Times to do the large things, those of many milliseconds.
const REPEAT: usize = 50;

/// CPU time of each repetition of each thing.
#[derive(Debug)]
pub(crate) struct Micro {
    /// Typed messages of everything to the first snapshot.
    pub(crate) build: Vec<Duration>,
    /// The same from an inventory: labels, topology, messages, snapshot.
    pub(crate) pipeline: Vec<Duration>,
    /// Typed messages of everything to the next snapshot, one endpoint changed.
    pub(crate) next: Vec<Duration>,
    /// One message that changed to its bytes, and the next snapshot of it and of all resources that stay.
    pub(crate) change: Vec<Duration>,
    /// The changed message to its bytes alone.
    pub(crate) encode: Vec<Duration>,
    /// An inventory in which one workload changed to the next snapshot.
    pub(crate) pipeline_next: Vec<Duration>,
    /// A client's session, from a snapshot in which one endpoint changed to the ACK of it.
    pub(crate) session: Vec<Duration>,
}

pub(crate) fn measure() -> anyhow::Result<Micro> {
    let mut world = World::new();
    let empty = Snapshot::default();
    let build = repeat(|_| world.snapshot(&empty))?;

    let mut last = world.snapshot(&empty)?;
    let mut next = Vec::new();
    let mut change = Vec::new();
    let mut encode = Vec::new();
    for round in 0..REPEAT {
        let (changed, encoding) = timed(|| world.change(round).map(Arc::new));
        let changed = changed.context("the world is empty")?;
        let others = others(&last, &changed);
        let (by_change, taken) = timed(|| last.next(others.into_iter().chain([changed])));
        let (by_all, whole) = timed(|| world.snapshot(&last));
        let by_all = by_all?;
        anyhow::ensure!(by_change?.version() == by_all.version(), "two ways to the same snapshot differ");
        encode.push(encoding);
        change.push(encoding + taken);
        next.push(whole);
        last = by_all;
    }
    let (pipeline, pipeline_next) = pipeline()?;
    Ok(Micro { build, pipeline, next, change, encode, pipeline_next, session: sessions::measure()? })
}

/// All of `snapshot` but what `changed` replaces.
fn others(snapshot: &Snapshot, changed: &Resource) -> Vec<Arc<Resource>> {
    let all = Kind::ALL.into_iter().flat_map(|kind| snapshot.section(kind).values());
    let others = all.filter(|old| (old.kind(), old.name()) != (changed.kind(), changed.name()));
    others.cloned().collect()
}

fn pipeline() -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let publisher = world::publisher();
    let mut inventory = world::inventory();
    let first = repeat(|_| publisher.next(&inventory, None))?;
    let mut last = publisher.next(&inventory, None)?;
    let mut next = Vec::new();
    for round in 0..REPEAT {
        world::toggle(&mut inventory, round);
        let (view, taken) = timed(|| publisher.next(&inventory, Some(&last)));
        last = view?;
        next.push(taken);
    }
    Ok((first, next))
}

fn repeat<T>(mut what: impl FnMut(usize) -> anyhow::Result<T>) -> anyhow::Result<Vec<Duration>> {
    (0..REPEAT)
        .map(|round| {
            let (made, taken) = timed(|| what(round));
            // What it takes to let go of it is not part of it.
            black_box(made?);
            Ok(taken)
        })
        .collect()
}

pub(crate) fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let before = thread_cpu();
    let made = black_box(what());
    (made, thread_cpu().saturating_sub(before))
}
