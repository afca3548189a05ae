//! Containers that are web servers on loopback, and an engine that tells of them.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use futures::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

type Body = BoxBody<Bytes, Infallible>;

/// A service's name and its labels.
pub(crate) type Service = (String, Vec<(String, String)>);

/// The containers, until this is dropped.
#[derive(Debug)]
pub(crate) struct World {
    _runtime: Runtime,
}

impl World {
    /// One container for each of `services`, told of on `socket`. To the router `NAME` of a service `NAME` belongs its port.
    pub(crate) fn start(socket: &Path, services: &[Service]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        // Envoy's own: what is on a network with it can be reached.
        let mut containers =
            vec![container(0, "edge", 1, &[("portolan.proxy".to_owned(), "true".to_owned())])];
        for (index, (name, labels)) in services.iter().enumerate() {
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
            containers.push(container(index + 1, name, listener.local_addr()?.port(), labels));
            runtime.spawn(web_server(listener, name.clone()));
        }
        let listener = runtime.block_on(async { UnixListener::bind(socket) })?;
        runtime.spawn(engine(listener, containers.into()));
        Ok(Self { _runtime: runtime })
    }
}

fn container(index: usize, service: &str, port: u16, labels: &[(String, String)]) -> Value {
    let mut all = json!({
        "com.docker.compose.project": "shop", "com.docker.compose.service": service, "com.docker.compose.container-number": "1",
    });
    for (label, value) in labels {
        all[label] = json!(value);
    }
    json!({
        "Id": format!("{index:064x}"), "Name": format!("/shop-{service}-1"), "Created": "2026-11-24T22:12:00Z",
        "State": {"Status": "running", "Running": true, "StartedAt": "2026-11-24T22:12:01Z"},
        "HostConfig": {"NetworkMode": "shop_default"},
        "Config": {"ExposedPorts": {format!("{port}/tcp"): {}}, "Labels": all},
        "NetworkSettings": {
            "Ports": {format!("{port}/tcp"): null},
            "Networks": {"shop_default": {"IPAddress": "127.0.0.1", "NetworkID": format!("{:064x}", 1)}},
        },
    })
}

/// Says what it was asked, and who it is.
async fn web_server(listener: TcpListener, name: String) {
    let name: Arc<str> = name.into();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let name = Arc::clone(&name);
        connections.spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let headers: Value = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into()))
                    .collect::<serde_json::Map<String, Value>>()
                    .into();
                let said = json!({"service": *name, "path": request.uri().path(), "headers": headers});
                async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(said.to_string())))) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

async fn engine(listener: UnixListener, containers: Arc<[Value]>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let containers = Arc::clone(&containers);
        connections.spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let containers = Arc::clone(&containers);
                async move { Ok::<_, Infallible>(answer(&request, &containers)) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

fn answer(request: &Request<Incoming>, containers: &[Value]) -> Response<Body> {
    let parts: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    // `/v1.41/version` and `/version` are one question.
    let parts = parts.strip_prefix(&["v1.41"]).unwrap_or(&parts);
    let respond = |status: StatusCode, value: Value| {
        let mut response = Response::new(Full::from(value.to_string()).boxed());
        *response.status_mut() = status;
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response.headers_mut().insert("api-version", HeaderValue::from_static("1.41"));
        response
    };
    let found = match parts {
        ["_ping"] => Some(json!("OK")),
        ["version"] => {
            Some(json!({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux"}))
        }
        // None ever comes.
        ["events"] => {
            let never = stream::pending::<Result<Frame<Bytes>, Infallible>>();
            return Response::new(BodyExt::boxed(StreamBody::new(never)));
        }
        ["containers", "json"] => Some(containers.iter().map(summary).collect()),
        ["containers", id, "json"] => containers.iter().find(|container| container["Id"] == **id).cloned(),
        _ => None,
    };
    match found {
        Some(value) => respond(StatusCode::OK, value),
        None => respond(StatusCode::NOT_FOUND, json!({"message": "not found"})),
    }
}

fn summary(container: &Value) -> Value {
    json!({
        "Id": container["Id"], "Names": [container["Name"]], "State": "running", "Status": "Up", "Created": 1_764_000_000,
        "Labels": container["Config"]["Labels"], "NetworkSettings": container["NetworkSettings"],
        "HostConfig": container["HostConfig"],
    })
}
