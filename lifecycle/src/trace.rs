//! Traces: a request's way through the programs, by the headers of W3C Trace Context.
//!
//! What a request brings is always carried on. Spans are made and exported (OTLP over gRPC) only where an endpoint is set.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{info, warn};
use warp::http::{HeaderMap, HeaderName, HeaderValue};

const REQUEST_ID: &str = "x-request-id";
/// How long the last spans may take to be sent when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Whether and where spans go.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(id = "trace")]
pub struct Options {
    /// Where traces are exported to, by OTLP over gRPC, such as http://collector:4317; nowhere where it is empty.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL", default_value = "")]
    pub otlp_endpoint: String,
}

/// Exports until it is ended.
#[derive(Debug)]
pub struct Export(Option<SdkTracerProvider>);

impl Options {
    /// Begins to export the spans of this process, which is called `service`, if there is where to.
    ///
    /// # Errors
    ///
    /// The endpoint is no URL.
    pub fn start(&self, service: &'static str, replica: String) -> anyhow::Result<Export> {
        if self.otlp_endpoint.is_empty() {
            return Ok(Export(None));
        }
        let endpoint = &self.otlp_endpoint;
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter
            .with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT={endpoint:?} is not an endpoint"))?;
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.instance.id", replica))
            .build();
        let provider =
            SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        global::set_tracer_provider(provider.clone());
        info!(endpoint, "exporting traces");
        Ok(Export(Some(provider)))
    }
}

impl Export {
    /// Sends what is left.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH));
        if let Ok(Err(error)) = flush.await {
            warn!(%error, "the last traces are lost");
        }
    }
}

fn tracer() -> BoxedTracer {
    global::tracer("lifecycle")
}

/// Where a request comes from: what goes on with everything that is asked for its sake.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Its id: the caller's, or one of our own.
    pub request_id: Arc<str>,
    context: Context,
}

impl Origin {
    /// Of a request with these headers, which is `what` (`GET /messages`). Its span lasts until the last clone is gone.
    #[must_use]
    pub fn of(headers: &HeaderMap, request_id: String, method: &str, path: &str) -> Self {
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
        let span = tracer().span_builder(method.to_owned()).with_kind(SpanKind::Server).with_attributes([
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("url.path", path.to_owned()),
        ]);
        let span = span.start_with_context(&tracer(), &parent);
        Self { request_id: request_id.into(), context: parent.with_span(span) }
    }

    /// Of no request of anybody.
    #[must_use]
    pub fn none(request_id: String) -> Self {
        Self { request_id: request_id.into(), context: Context::new() }
    }

    /// The id of the trace, for logs; nothing where there is none.
    #[must_use]
    pub fn trace_id(&self) -> Option<String> {
        let span = self.context.span();
        let context = span.span_context();
        context.is_valid().then(|| context.trace_id().to_string())
    }

    /// Another program is asked for `what` now; until what is returned is gone.
    #[must_use]
    pub fn asks(&self, what: &'static str) -> Self {
        let span = tracer().span_builder(what).with_kind(SpanKind::Client);
        let span = span.start_with_context(&tracer(), &self.context);
        Self { request_id: Arc::clone(&self.request_id), context: self.context.with_span(span) }
    }

    /// What that program is told.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        TraceContextPropagator::new().inject_context(&self.context, &mut Told(&mut headers));
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        headers
    }

    /// What became of it.
    pub fn answered(&self, status: u16) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Told<'a>(&'a mut HeaderMap);

impl Injector for Told<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn origin(traceparent: &str) -> Origin {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_str(traceparent).unwrap());
        headers.insert("tracestate", HeaderValue::from_static("a=b"));
        Origin::of(&headers, "id-1".to_owned(), "GET", "/")
    }

    #[test]
    fn what_a_request_brings_is_carried_on_though_nothing_is_exported() {
        let origin = origin(PARENT);
        assert_eq!(origin.trace_id().as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        let told = origin.asks("GET /messages").headers();
        assert_eq!(told["traceparent"], PARENT);
        assert!(told["tracestate"] == "a=b" && told["x-request-id"] == "id-1", "{told:?}");
    }

    #[test]
    fn what_is_no_trace_is_not_carried_on() {
        for text in ["", "00-0-0-0", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            let origin = origin(text);
            assert_eq!(origin.trace_id(), None, "{text}");
            assert!(!origin.headers().contains_key("traceparent"), "{text}");
        }
        assert_eq!(Origin::none("x".to_owned()).headers().len(), 1);
    }
}
