//! Small web servers that say what they were asked, and behave as the path tells them.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// One web server on loopback, until this is dropped. It speaks HTTP/1.1 and, to those who begin so, HTTP/2.
#[derive(Debug)]
pub struct Upstream {
    pub port: u16,
    pub state: Arc<State>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
pub struct State {
    name: String,
    requests: AtomicUsize,
    /// The status of `/health` and of every path below `/status`.
    status: AtomicU16,
    /// How many requests are under way.
    busy: AtomicUsize,
    /// Whether requests of `/gate` are answered.
    gate: watch::Sender<bool>,
    /// The answer to `/said`.
    text: String,
}

impl State {
    fn new(name: &str) -> Arc<Self> {
        Self::saying(name, "")
    }

    fn saying(name: &str, text: &str) -> Arc<Self> {
        Arc::new(Self {
            text: text.to_owned(),
            name: name.to_owned(),
            requests: AtomicUsize::new(0),
            status: AtomicU16::new(200),
            busy: AtomicUsize::new(0),
            gate: watch::Sender::new(false),
        })
    }

    /// How many requests have come, those of health checks aside.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::SeqCst)
    }

    /// Lets those go who wait at the gate.
    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }

    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

impl Upstream {
    pub fn start(runtime: &Handle, name: &str) -> Result<Self> {
        Self::start_saying(runtime, name, "")
    }

    /// The same, with this text at `/said`.
    pub fn start_saying(runtime: &Handle, name: &str, text: &str) -> Result<Self> {
        let state = State::saying(name, text);
        let shared = Arc::clone(&state);
        let (port, server) = listen(runtime, move |stream| connection(stream, Arc::clone(&shared)))?;
        Ok(Self { port, state, _server: server })
    }

    /// One that takes each request and closes the connection without a word.
    pub fn start_resetting(runtime: &Handle, name: &str) -> Result<Self> {
        let state = State::new(name);
        let shared = Arc::clone(&state);
        let (port, server) = listen(runtime, move |mut stream| {
            let state = Arc::clone(&shared);
            async move {
                if stream.read(&mut [0; 1_024]).await.is_ok_and(|n| n > 0) {
                    state.requests.fetch_add(1, Ordering::SeqCst);
                }
            }
        })?;
        Ok(Self { port, state, _server: server })
    }

    /// One that takes TCP: it says its name and a line feed, and sends back what comes.
    pub fn start_echo(runtime: &Handle, name: &str) -> Result<Self> {
        let state = State::new(name);
        let shared = Arc::clone(&state);
        let (port, server) = listen(runtime, move |mut stream| {
            let state = Arc::clone(&shared);
            async move {
                state.requests.fetch_add(1, Ordering::SeqCst);
                let _busy = Busy::new(&state);
                if stream.write_all(format!("{}\n", state.name).as_bytes()).await.is_ok() {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                }
            }
        })?;
        Ok(Self { port, state, _server: server })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn listen<F>(
    runtime: &Handle,
    serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> Result<(u16, JoinSet<()>)>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    let mut server = JoinSet::new();
    let accept = async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream));
        }
    };
    server.spawn_on(accept, runtime);
    Ok((port, server))
}

async fn connection(stream: tokio::net::TcpStream, state: Arc<State>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
    let builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn answer(
    mut request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let status = StatusCode::from_u16(state.status.load(Ordering::SeqCst)).unwrap_or_default();
    if path == "/health" {
        return Ok(reply(status, Bytes::new()));
    }
    if path == "/said" {
        return Ok(reply(StatusCode::OK, state.text.clone().into()));
    }
    state.requests.fetch_add(1, Ordering::SeqCst);
    if request.headers().get(UPGRADE).is_some_and(|protocol| protocol == "websocket") {
        return Ok(upgraded(&mut request));
    }
    let busy = Busy::new(&state);
    let headers: serde_json::Map<String, serde_json::Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap_or_default())))
        .collect();
    let about = json!({
        "server": state.name,
        "method": request.method().as_str(),
        "path": request.uri().path_and_query().map(ToString::to_string),
        "version": format!("{:?}", request.version()),
        "authority": request.uri().authority().map(ToString::to_string),
        "headers": headers,
    });
    let body = request.body_mut().collect().await.map(|body| body.to_bytes().len()).unwrap_or_default();
    if let Some(millis) = path.strip_prefix("/slow/").and_then(|millis| millis.parse().ok()) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    if path == "/gate" {
        // It ends with the server where nobody opens it.
        let _ = state.gate.subscribe().wait_for(|open| *open).await;
    }
    drop(busy);
    let mut about = about;
    about["body"] = json!(body);
    let status = if path.starts_with("/status") { status } else { StatusCode::OK };
    let text = if path == "/big" { "all work and no play ".repeat(2_000) } else { about.to_string() };
    let mut response = reply(status, text.into());
    if let Ok(name) = HeaderValue::from_str(&state.name) {
        response.headers_mut().insert("x-server", name);
    }
    Ok(response)
}

/// Counts a request for as long as it is under way.
struct Busy<'a>(&'a State);

impl<'a> Busy<'a> {
    fn new(state: &'a State) -> Self {
        state.busy.fetch_add(1, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert("x-powered-by", HeaderValue::from_static("tests"));
    response.headers_mut().insert("etag", HeaderValue::from_static("\"1\""));
    response
}

/// Says 101, and sends back what comes.
fn upgraded(request: &mut Request<Incoming>) -> Response<Full<Bytes>> {
    let upgrade = hyper::upgrade::on(request);
    // The connection lives as long as its server, and ends with it.
    drop(Handle::current().spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    }));
    let mut response = reply(StatusCode::SWITCHING_PROTOCOLS, Bytes::new());
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}
