//! A Docker Engine on a Unix socket, with containers that do not change.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

/// An engine with containers that look like this when they are inspected, until it is dropped.
pub(crate) fn engine(socket: &Path, containers: Vec<Value>) -> JoinSet<()> {
    let containers: Arc<[Value]> = containers.into();
    serve(socket, move |request| answer(request, Arc::clone(&containers)))
}

/// Answers on a socket, in the place of the one that may be there, until it is dropped.
pub(crate) fn serve<A, F, B>(socket: &Path, answer: A) -> JoinSet<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = hyper::service::service_fn(answer.clone());
            connections.spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    tasks
}

/// A running container of a Compose project, on the network `shop_default` and with port 8080.
pub(crate) fn container(service: &str, address: &str, labels: &[(&str, &str)]) -> Value {
    let mut container = json!({
        "Id": format!("id-of-{service}"), "Name": format!("/shop-{service}-1"), "Created": "2026-11-24T22:12:00Z",
        "State": {"Status": "running", "StartedAt": "2026-11-24T22:12:01Z"},
        "HostConfig": {"NetworkMode": "shop_default"},
        "Config": {"ExposedPorts": {"8080/tcp": {}}, "Labels": {
            "com.docker.compose.project": "shop", "com.docker.compose.service": service,
            "com.docker.compose.container-number": "1",
        }},
        "NetworkSettings": {"Networks": {"shop_default": {"IPAddress": address}}},
    });
    for (label, value) in labels {
        container["Config"]["Labels"][label] = json!(value);
    }
    container
}

async fn answer(
    request: Request<Incoming>,
    containers: Arc<[Value]>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let respond = |value: Value| Response::new(Full::from(value.to_string()));
    let parts: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let found = match parts.as_slice() {
        ["version"] => Some(json!({"Version": "20.10.24", "ApiVersion": "1.41"})),
        // The head of the answer comes with the first event, and there is none.
        ["events"] => std::future::pending().await,
        ["containers", "json"] => Some(containers.iter().map(summary).collect()),
        ["containers", id, "json"] => containers.iter().find(|container| container["Id"] == **id).cloned(),
        _ => None,
    };
    Ok(found.map(respond).unwrap_or_else(|| {
        let mut response = respond(json!({"message": "not found"}));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    }))
}

pub(super) fn summary(container: &Value) -> Value {
    json!({
        "Id": container["Id"], "Names": [container["Name"]], "State": container["State"]["Status"], "Status": "Up",
        "Labels": container["Config"]["Labels"], "NetworkSettings": container["NetworkSettings"],
    })
}
