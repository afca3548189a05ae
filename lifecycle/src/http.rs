//! An HTTP server that stops gracefully, and the request as its handler sees it.
//!
//! Every answer carries `x-served-by` (which replica) and `x-request-id` (the caller's, or one of our own), and
//! `/health` says whether the replica wants more requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Buf;
use futures::{Stream, StreamExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use warp::Filter;
use warp::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::shutdown::Stages;
use crate::trace::Origin;

/// The body of an answer.
pub type Body = warp::reply::Response;

/// A client that sends its body more slowly than this is cut off.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A request id that is longer than this is replaced: it would only fill logs.
const MAX_REQUEST_ID: usize = 128;

const REQUEST_ID: &str = "x-request-id";
const SERVED_BY: &str = "x-served-by";
const HEALTH: &str = "/health";

/// How a server runs and stops.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "http")]
pub struct Options {
    /// Where to listen.
    #[arg(long, env = "LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080", global = true)]
    pub listen: SocketAddr,
    /// The name of this replica, as it stands in the header x-served-by [default: the host's name].
    #[arg(long, env = "REPLICA", value_name = "NAME")]
    pub replica: Option<String>,
    /// How long requests are served after SIGTERM while the health check says no.
    #[arg(long, env = "DRAIN_DELAY", value_name = "DURATION", default_value = "1s", value_parser = crate::duration::parse)]
    pub drain_delay: Duration,
    /// How long requests in flight may take after that.
    #[arg(long, env = "STOP_TIMEOUT", value_name = "DURATION", default_value = "8s", value_parser = crate::duration::parse)]
    pub stop_timeout: Duration,
}

impl Options {
    /// Binds the port.
    ///
    /// # Errors
    ///
    /// It is taken, or may not be bound.
    pub async fn bind(&self) -> anyhow::Result<TcpListener> {
        TcpListener::bind(self.listen).await.with_context(|| {
            format!(
                "cannot listen on {}; is something else running there? (--listen chooses another)",
                self.listen
            )
        })
    }

    /// The replica's name.
    #[must_use]
    pub fn replica(&self) -> String {
        let named = self.replica.clone().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
        named
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "unnamed".into())
    }

    /// Asks the server that runs with these options how it is.
    ///
    /// # Errors
    ///
    /// It does not answer, or is stopping.
    pub async fn check_health(&self) -> anyhow::Result<()> {
        let host = if self.listen.is_ipv4() { "127.0.0.1" } else { "[::1]" };
        let url = format!("http://{host}:{}/health", self.listen.port());
        crate::health::check(&url, Duration::from_secs(2)).await
    }
}

type Chunks = std::pin::Pin<Box<dyn Stream<Item = Result<bytes::Bytes, warp::Error>> + Send>>;
/// What is left of a request's body. The handler reads it, and what it leaves is taken off the connection after it.
type Rest = Arc<tokio::sync::Mutex<Chunks>>;

/// Most that is read of a body nobody wants, and for how long: enough for a browser or a proxy to hear what was wrong.
const MAX_UNWANTED: usize = 1024 * 1024;
const UNWANTED_TIMEOUT: Duration = Duration::from_secs(1);

/// A request.
pub struct Call {
    /// Its method; HEAD is answered as GET, and the server leaves the body out.
    pub method: Method,
    /// Its path, as sent.
    pub path: String,
    /// Its query, as sent, without the question mark.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Where it comes from: what goes on with all that is asked for its sake.
    pub origin: Origin,
    body: Rest,
}

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    /// There is none, and nothing that says how long it would be.
    Missing,
    /// It is longer than allowed.
    TooLarge,
    /// It broke off, or came too slowly.
    Broken,
}

impl Call {
    /// The method, with HEAD read as GET.
    #[must_use]
    pub fn verb(&self) -> Method {
        if self.method == Method::HEAD { Method::GET } else { self.method.clone() }
    }

    /// The media type of the body, in lower case and without parameters.
    #[must_use]
    pub fn media_type(&self) -> String {
        let value =
            self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The whole body, if it has at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// See [`BodyError`].
    pub async fn body(self, limit: usize) -> Result<Vec<u8>, BodyError> {
        if !has_body(&self.headers) {
            return Err(BodyError::Missing);
        }
        if announced(&self.headers).is_some_and(|announced| announced > limit) {
            return Err(BodyError::TooLarge);
        }
        let mut chunks = self.body.lock().await;
        let read = async {
            let mut body = Vec::new();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(|_| BodyError::Broken)?;
                if body.len() + chunk.len() > limit {
                    return Err(BodyError::TooLarge);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        tokio::time::timeout(BODY_TIMEOUT, read).await.unwrap_or(Err(BodyError::Broken))
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

/// Serves `handler` on `listener` until `stop` is cancelled, then stops in the stages of [`Stages`].
/// SIGUSR1 and SIGUSR2 make its health check say no and yes.
///
/// # Errors
///
/// The process cannot listen to signals.
pub async fn serve<H, F>(
    listener: TcpListener,
    options: &Options,
    stop: CancellationToken,
    handler: H,
) -> anyhow::Result<()>
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Body> + Send,
{
    let address = listener.local_addr()?;
    let replica: Arc<str> = options.replica().into();
    info!(%address, %replica, "serving");
    let (stages, driver) = Stages::new(stop, options.drain_delay);
    let health = stages.clone();
    let route = warp::method()
        .and(warp::path::full())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, query, headers: HeaderMap, body| {
            let (handler, replica, health) = (handler.clone(), Arc::clone(&replica), health.clone());
            let request_id = request_id(&headers);
            let (method, path): (Method, _) = (method, path.as_str().to_owned());
            // What only asks how it is would fill the traces.
            let origin = match path.as_str() {
                HEALTH => Origin::none(request_id),
                path => Origin::of(&headers, request_id, method.as_str(), path),
            };
            let rest: Rest = Arc::new(tokio::sync::Mutex::new(chunks(body)));
            let takes_off = is_worth_reading(&headers);
            let call = Call { method, path, query, headers, origin, body: Arc::clone(&rest) };
            async move {
                let answer = answer(call, &replica, &health, &handler).await;
                if takes_off {
                    take_off(&rest).await;
                }
                answer
            }
        });
    let closed = stages.clone();
    let server = warp::serve(route).incoming(listener).graceful(async move { closed.closed().await }).run();
    let finished = stages.finish(server, options.stop_timeout);
    tokio::select! {
        _ = async { tokio::join!(finished, driver) } => info!("stopped"),
        Err(error) = stages.obey() => return Err(error.into()),
    }
    Ok(())
}

fn chunks(body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static) -> Chunks {
    Box::pin(body.map(|chunk| chunk.map(|mut chunk| chunk.copy_to_bytes(chunk.remaining()))).fuse())
}

/// Whether what a handler leaves of a body can be read in reasonable time, and has been sent without being asked for.
fn is_worth_reading(headers: &HeaderMap) -> bool {
    let fits = announced(headers).is_none_or(|announced| announced <= MAX_UNWANTED);
    has_body(headers) && fits && !headers.contains_key(header::EXPECT)
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING)
}

/// How many bytes a body is said to have.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what a handler has left of a body. A connection that is closed with something unread is reset, and whoever still
/// sends may lose the answer that came before.
async fn take_off(rest: &Rest) {
    let mut chunks = rest.lock().await;
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes += chunk.len();
            if bytes > MAX_UNWANTED {
                break;
            }
        }
    };
    // Whoever is slower hears the answer, or not.
    let _ = tokio::time::timeout(UNWANTED_TIMEOUT, read).await;
}

async fn answer<H, F>(call: Call, replica: &str, stages: &Stages, handler: &H) -> Body
where
    H: Fn(Call) -> F,
    F: Future<Output = Body>,
{
    let origin = call.origin.clone();
    let what = format!("{} {}", call.method, call.path);
    let is_check = call.path == HEALTH;
    let mut response = if is_check { health(&call, stages) } else { handler(call).await };
    let status = response.status().as_u16();
    origin.answered(status);
    let (request_id, trace_id) = (&*origin.request_id, origin.trace_id());
    // A replica that stops says so once, not at every check.
    if status >= 500 && !is_check {
        warn!(request = what, status, request_id, trace_id, "answered");
    } else {
        debug!(request = what, status, request_id, trace_id, "answered");
    }
    for (name, value) in [(SERVED_BY, replica), (REQUEST_ID, request_id)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let fits = |id: &&str| !id.is_empty() && id.len() <= MAX_REQUEST_ID;
    given.filter(fits).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn health(call: &Call, stages: &Stages) -> Body {
    if call.verb() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD only\n");
    }
    if stages.is_leaving() {
        text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if stages.is_unwell() {
        text(StatusCode::SERVICE_UNAVAILABLE, "told to say no, by SIGUSR1\n")
    } else {
        text(StatusCode::OK, "ok\n")
    }
}

/// A plain answer.
#[must_use]
pub fn text(status: StatusCode, body: &'static str) -> Body {
    with_type(status, "text/plain; charset=utf-8", body)
}

/// An answer with a media type.
#[must_use]
pub fn with_type(status: StatusCode, media_type: &'static str, body: impl Into<String>) -> Body {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
