//! A Docker Engine that a test holds in its hands: its API over HTTP/1.1 on pipes in memory, so that the clock may be
//! paused. Everything of ours is the real thing: bollard, the filters, the JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use bollard::errors::Error;
use bollard::{BollardRequest, ClientVersion, Docker};
use futures::FutureExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::engine::Engine;
use super::list::Pipe;

type Body = BoxBody<Bytes, Infallible>;
type Line = Result<Frame<Bytes>, Infallible>;

/// What the engine is, and how it behaves.
#[derive(Default)]
pub(super) struct World {
    /// What an inspect of each container shows.
    pub(super) containers: BTreeMap<String, Value>,
    /// What the list shows, where that is not what the containers are.
    pub(super) list: Option<Value>,
    /// Containers that are in the list and cannot be inspected any more.
    pub(super) ghosts: BTreeSet<String>,
    /// Connections that are still refused.
    pub(super) refusals: usize,
    /// Lists that still fail.
    pub(super) failing_lists: usize,
    /// The sending end of the events of the newest stream.
    pub(super) events: Option<mpsc::UnboundedSender<Line>>,
    /// Every request, without the version in its path.
    pub(super) requests: Vec<String>,
    /// How it answers `/version`; API 1.41 where this is null.
    pub(super) version: Value,
}

/// The handle.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) world: Arc<Mutex<World>>,
    /// Requests whose path holds this wait.
    pub(super) held: Arc<watch::Sender<Option<&'static str>>>,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Script {
    pub(super) fn new() -> Self {
        Self { world: Arc::default(), held: Arc::new(watch::channel(None).0), connections: Arc::default() }
    }

    /// The engine as the watcher sees it.
    pub(super) fn engine(&self) -> Engine {
        let (script, dialled) = (self.clone(), self.clone());
        let connect = move || {
            let script = script.clone();
            let transport = move |request: BollardRequest| script.clone().ask(request).boxed();
            Docker::connect_with_custom_transport(
                transport,
                Some("http://script"),
                120,
                &ClientVersion { major_version: 1, minor_version: 53 },
            )
        };
        let dial = move || {
            let script = dialled.clone();
            let refused = || std::io::Error::from(std::io::ErrorKind::NotFound);
            async move { Ok(Box::new(script.dial().await.ok_or_else(refused)?) as Box<dyn Pipe>) }.boxed()
        };
        Engine::with("script", connect, dial)
    }

    /// A connection, or nothing where it is refused.
    async fn dial(self) -> Option<DuplexStream> {
        {
            let mut world = self.world.lock().await;
            if world.refusals > 0 {
                world.refusals -= 1;
                return None;
            }
        }
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let script = self.clone();
        let service = hyper::service::service_fn(move |request| script.clone().answer(request));
        self.connections.lock().await.spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(theirs), service)
                .map(drop),
        );
        Some(ours)
    }

    /// One request on a connection of its own, as bollard makes them on a socket.
    async fn ask(self, request: BollardRequest) -> Result<Response<Incoming>, Error> {
        let refused = || Error::SocketNotFoundError("script".to_owned());
        let pipe = self.clone().dial().await.ok_or_else(refused)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(pipe)).await?;
        self.connections.lock().await.spawn(connection.map(drop));
        // Behind a server that tells requests apart by their host.
        let (mut parts, body) = request.into_parts();
        let host = hyper::header::HeaderValue::from_static("script");
        parts.headers.insert(hyper::header::HOST, host);
        Ok(sender.send_request(Request::from_parts(parts, body)).await?)
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        self.world.lock().await.requests.push(format!("{path}?{query}"));
        let is_held = |held: &Option<&'static str>| held.is_some_and(|held| path.contains(held));
        let _ = self.held.subscribe().wait_for(|held| !is_held(held)).await;
        let mut world = self.world.lock().await;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        Ok(match parts.as_slice() {
            ["version"] if world.version.is_null() => respond(
                StatusCode::OK,
                &json!({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}),
            ),
            ["version"] => respond(StatusCode::OK, &world.version),
            ["events"] => {
                let (sender, receiver) = mpsc::unbounded_channel();
                world.events = Some(sender);
                Response::new(BodyExt::boxed(StreamBody::new(UnboundedReceiverStream::new(receiver))))
            }
            ["containers", "json"] if world.failing_lists > 0 => {
                world.failing_lists -= 1;
                respond(StatusCode::INTERNAL_SERVER_ERROR, &json!({"message": "no list today"}))
            }
            ["containers", "json"] => respond(StatusCode::OK, &world.list()),
            ["containers", id, "json"] => match world.containers.get(*id) {
                Some(container) if !world.ghosts.contains(*id) => respond(StatusCode::OK, container),
                _ => respond(StatusCode::NOT_FOUND, &json!({"message": format!("No such container: {id}")})),
            },
            _ => respond(StatusCode::NOT_FOUND, &json!({"message": "page not found"})),
        })
    }
}

impl World {
    fn list(&self) -> Value {
        self.list.clone().unwrap_or_else(|| self.containers.values().map(summary).collect())
    }
}

/// What the list of an engine of API 1.41 says of a container that an inspect shows so.
fn summary(inspect: &Value) -> Value {
    let (state, health) = (&inspect["State"]["Status"], inspect["State"]["Health"]["Status"].as_str());
    let mark = match health {
        Some("starting") => " (health: starting)".to_owned(),
        Some(word) => format!(" ({word})"),
        None => String::new(),
    };
    let status = if state == "running" { format!("Up 3 minutes{mark}") } else { "Exited (0)".to_owned() };
    json!({
        "Id": inspect["Id"], "Names": [inspect["Name"]], "State": state, "Status": status,
        "Labels": inspect["Config"]["Labels"], "NetworkSettings": {"Networks": inspect["NetworkSettings"]["Networks"]},
    })
}

fn respond(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(value.to_string()).boxed());
    *response.status_mut() = status;
    response
}
