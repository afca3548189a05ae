//! The Docker provider on a real Unix socket: one that is not there yet, goes away, and comes back as another file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use portolan::docker::DockerProvider;
use portolan::provider::{InventoryReceiver, Provider, port};
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Far longer than any step takes; only a step that never comes waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine with one container of this name and no events, until it is dropped.
fn engine(socket: &Path, name: &'static str) -> JoinSet<()> {
    let listener = UnixListener::bind(socket).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let service = hyper::service::service_fn(move |request| answer(request, name));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    tasks
}

async fn answer(request: Request<Incoming>, name: &str) -> Result<Response<Full<Bytes>>, Infallible> {
    let respond = |value: Value| Response::new(Full::from(value.to_string()));
    Ok(match request.uri().path() {
        "/version" => respond(json!({"Version": "20.10.24", "ApiVersion": "1.41"})),
        // The head of the answer comes with the first event, and there is none.
        "/events" => std::future::pending().await,
        "/containers/json" => {
            respond(json!([{"Id": name, "Names": [format!("/{name}")], "State": "created"}]))
        }
        "/containers/first/json" | "/containers/second/json" => {
            respond(json!({"Id": name, "Name": format!("/{name}"), "State": {"Status": "created"}}))
        }
        _ => {
            let mut response = respond(json!({"message": "page not found"}));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

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

    let first = engine(&socket, "first");
    until_there(&mut views, "first").await;
    assert!(!freshness.is_stale());

    drop(first);
    std::fs::remove_file(&socket).unwrap();
    let _second = engine(&socket, "second");
    until_there(&mut views, "second").await;

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
