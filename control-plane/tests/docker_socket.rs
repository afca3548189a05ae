//! The Docker provider on a real Unix socket: one that is not there yet, goes away, and comes back as another file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::time::Duration;

use portolan::docker::DockerProvider;
use portolan::provider::{InventoryReceiver, Provider, port};
use support::engine::{container, engine};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Far longer than any step takes; only a step that never comes waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

async fn until_there(views: &mut InventoryReceiver, name: &str) {
    let there = views.wait_for(|view| {
        view.as_ref().is_some_and(|view| view.workloads.values().map(|it| &*it.name).eq([name]))
    });
    tokio::time::timeout(PATIENCE, there).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_socket_that_appears_later_and_comes_back_as_another_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let (outlet, mut views, freshness) = port(Duration::ZERO);
    let provider = DockerProvider::new(&format!("unix://{}", socket.display())).unwrap();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(provider.run(outlet, stop.clone()));
    tokio::task::yield_now().await;
    assert!(views.borrow().is_none() && freshness.is_stale());

    let first = engine(&socket, vec![container("first", "10.0.0.2", &[])]);
    until_there(&mut views, "shop-first-1").await;
    assert!(!freshness.is_stale());

    drop(first);
    let _second = engine(&socket, vec![container("second", "10.0.0.3", &[])]);
    until_there(&mut views, "shop-second-1").await;

    stop.cancel();
    tokio::time::timeout(PATIENCE, tasks.join_next()).await.unwrap().unwrap().unwrap().unwrap();
}

#[test]
fn an_address_of_no_engine_is_refused_with_what_would_be_right() {
    for wrong in ["ftp://host", "docker.sock", ""] {
        let error = format!("{:#}", DockerProvider::new(wrong).unwrap_err());
        assert!(error.contains(wrong) && error.contains("unix:///path or tcp://host:port"), "{error}");
    }
    assert!(DockerProvider::new("tcp://127.0.0.1:1").is_ok());
}
