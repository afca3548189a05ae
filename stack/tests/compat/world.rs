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
use tokio::sync::watch;
use tokio::task::JoinSet;

type Body = BoxBody<Bytes, Infallible>;

/// A service's name and its labels.
pub(crate) type Service = (String, Vec<(String, String)>);

/// The containers, until this is dropped.
#[derive(Debug)]
pub(crate) struct World {
    /// Whether what is held is answered.
    released: watch::Sender<bool>,
    /// How many requests are held.
    held: watch::Sender<usize>,
    _runtime: Runtime,
}

/// One container of a service.
#[derive(Debug, Clone)]
struct Replica {
    service: Arc<str>,
    number: usize,
    released: watch::Receiver<bool>,
    held: watch::Sender<usize>,
}

impl World {
    /// One container for each of `services`, told of on `socket`: a service that stands there twice has two. To the router `NAME`
    /// of a service `NAME` belongs its port.
    pub(crate) fn start(socket: &Path, services: &[Service]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        // Envoy's own: what is on a network with it can be reached.
        let mut containers =
            vec![container(0, "edge", 1, 1, &[("portolan.proxy".to_owned(), "true".to_owned())])];
        let released = watch::Sender::new(false);
        let held = watch::Sender::new(0);
        for (index, (name, labels)) in services.iter().enumerate() {
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
            let number = 1 + services[..index].iter().filter(|(other, _)| other == name).count();
            containers.push(container(index + 1, name, number, listener.local_addr()?.port(), labels));
            let replica = Replica {
                service: name.as_str().into(),
                number,
                released: released.subscribe(),
                held: held.clone(),
            };
            runtime.spawn(web_server(listener, replica));
        }
        let listener = runtime.block_on(async { UnixListener::bind(socket) })?;
        runtime.spawn(engine(listener, containers.into()));
        Ok(Self { released, held, _runtime: runtime })
    }

    /// How many requests are held.
    pub(crate) fn held(&self) -> usize {
        *self.held.borrow()
    }

    /// Lets what is held be answered.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

fn container(index: usize, service: &str, number: usize, port: u16, labels: &[(String, String)]) -> Value {
    let mut all = json!({
        "com.docker.compose.project": "shop", "com.docker.compose.service": service,
        "com.docker.compose.container-number": number.to_string(),
    });
    for (label, value) in labels {
        all[label] = json!(value);
    }
    json!({
        "Id": format!("{index:064x}"), "Name": format!("/shop-{service}-{number}"), "Created": "2026-11-24T22:12:00Z",
        "State": {"Status": "running", "Running": true, "StartedAt": "2026-11-24T22:12:01Z"},
        "HostConfig": {"NetworkMode": "shop_default"},
        "Config": {"ExposedPorts": {format!("{port}/tcp"): {}}, "Labels": all},
        "NetworkSettings": {
            "Ports": {format!("{port}/tcp"): null},
            "Networks": {"shop_default": {"IPAddress": "127.0.0.1", "NetworkID": format!("{:064x}", 1)}},
        },
    })
}

/// Says what it was asked, and who it is. The second container of a service is not well, and what is asked for `/held` is answered when
/// it is released.
async fn web_server(listener: TcpListener, replica: Replica) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let replica = replica.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let headers: Value = request
                    .headers()
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into()))
                    .collect::<serde_json::Map<String, Value>>()
                    .into();
                let Replica { service, number, mut released, held } = replica.clone();
                let path = request.uri().path().to_owned();
                async move {
                    if path == "/held" {
                        held.send_modify(|held| *held += 1);
                        // It is released for ever, or the test is over.
                        let _ = released.wait_for(|released| *released).await;
                    }
                    let said =
                        json!({"service": *service, "number": number, "path": path, "headers": headers});
                    let mut response = Response::new(Full::new(Bytes::from(said.to_string())));
                    if path == "/health" && number == 2 {
                        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    Ok::<_, Infallible>(response)
                }
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
