//! What a server counts while it is measured: messages and bytes at the border of its HTTP/2.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

use crate::control::Totals;
use crate::framing::Counter;

/// Counters of one server, over all of its streams.
#[derive(Debug)]
pub(crate) struct Gauge {
    requests: AtomicU64,
    responses: AtomicU64,
    response_bytes: AtomicU64,
    /// The number of requests somebody waits for.
    awaited: AtomicU64,
    reached: watch::Sender<Option<Instant>>,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            requests: AtomicU64::new(0),
            responses: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            reached: watch::Sender::new(None),
        }
    }
}

impl Gauge {
    /// Notes requests that a stream has taken in.
    pub(crate) fn took_in(&self, requests: u64) {
        let before = self.requests.fetch_add(requests, Ordering::SeqCst);
        let awaited = self.awaited.load(Ordering::SeqCst);
        if before < awaited && awaited <= before + requests {
            self.reached.send_replace(Some(Instant::now()));
        }
    }

    /// Notes what a stream has handed to HTTP/2.
    pub(crate) fn sent(&self, responses: u64, bytes: usize) {
        self.responses.fetch_add(responses, Ordering::Relaxed);
        self.response_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            requests: self.requests.load(Ordering::SeqCst),
            responses: self.responses.load(Ordering::Relaxed),
            response_bytes: self.response_bytes.load(Ordering::Relaxed),
        }
    }

    /// Makes ready for `count` more requests; [`Self::reached`] says when the last of them was taken in.
    pub(crate) fn expect(&self, count: u64) {
        self.reached.send_replace(None);
        let awaited = self.requests.load(Ordering::SeqCst) + count;
        self.awaited.store(awaited, Ordering::SeqCst);
    }

    /// When the last request that was expected came in. Waits for it.
    pub(crate) async fn reached(&self) -> Option<Instant> {
        let mut reached = self.reached.subscribe();
        let at = reached.wait_for(Option::is_some).await.ok()?;
        *at
    }
}

/// The aggregated discovery service, with a gauge on what goes in and out.
#[derive(Debug, Clone)]
pub(crate) struct Gauged<S> {
    pub(crate) service: S,
    pub(crate) gauge: Arc<Gauge>,
}

impl<S> NamedService for Gauged<S> {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl<S> Service<http::Request<Body>> for Gauged<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let gauge = Arc::clone(&self.gauge);
        let request = request.map(|body| Counted::body(body, Direction::In, Arc::clone(&gauge)));
        let response = self.service.call(request);
        Box::pin(async move { Ok(response.await?.map(|body| Counted::body(body, Direction::Out, gauge))) })
    }
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    In,
    Out,
}

/// A body whose messages are counted as they pass.
struct Counted {
    body: Body,
    counter: Counter,
    direction: Direction,
    gauge: Arc<Gauge>,
}

impl Counted {
    fn body(body: Body, direction: Direction, gauge: Arc<Gauge>) -> Body {
        Body::new(Self { body, counter: Counter::default(), direction, gauge })
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let messages = self.counter.push(data);
            match self.direction {
                Direction::In => self.gauge.took_in(messages),
                Direction::Out => self.gauge.sent(messages, data.len()),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_request_that_was_expected_ends_the_wait() {
        let gauge = Gauge::default();
        gauge.took_in(5);
        gauge.expect(3);
        gauge.took_in(2);
        assert!(gauge.reached.borrow().is_none());
        gauge.took_in(1);
        assert!(gauge.reached().await.is_some());
        assert_eq!(gauge.totals().requests, 8);
    }

    #[tokio::test]
    async fn requests_that_come_together_end_the_wait_as_well() {
        let gauge = Gauge::default();
        gauge.expect(3);
        gauge.took_in(4);
        assert!(gauge.reached().await.is_some());
    }
}
