//! A collector of traces: OTLP over gRPC, as little of it as exporters need.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// What gRPC puts before a message that is empty and not compressed.
const EMPTY: &[u8] = &[0; 5];

/// Takes what it is sent for as long as it is there.
pub(crate) struct Collector {
    port: u16,
    received: Received,
    _runtime: Runtime,
}

/// One export each: the bytes of `ExportTraceServiceRequest`.
type Received = Arc<Mutex<Vec<Bytes>>>;

impl Collector {
    pub(crate) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let (port, received) = (listener.local_addr()?.port(), Received::default());
        runtime.spawn(accept(listener, Arc::clone(&received)));
        Ok(Self { port, received, _runtime: runtime })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whether `service` has sent a span of this trace.
    pub(crate) fn has(&self, service: &str, trace: u128) -> bool {
        let within = |bytes: &Bytes, what: &[u8]| bytes.windows(what.len()).any(|found| found == what);
        self.received
            .blocking_lock()
            .iter()
            .any(|export| within(export, service.as_bytes()) && within(export, &trace.to_be_bytes()))
    }
}

async fn accept(listener: TcpListener, received: Received) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        let received = Arc::clone(&received);
        connections.spawn(async move {
            let service = service_fn(|request| take(request, Arc::clone(&received)));
            let builder = Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

type Body = StreamBody<stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, Infallible>, 2>>>;

async fn take(request: Request<Incoming>, received: Received) -> Result<Response<Body>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    received.lock().await.push(body);
    let trailers: HeaderMap =
        [(hyper::header::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]
            .into_iter()
            .collect();
    let frames = [Ok(Frame::data(Bytes::from_static(EMPTY))), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(stream::iter(frames)));
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
