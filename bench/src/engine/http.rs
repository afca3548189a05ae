//! The API over HTTP/1.1.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::Counters;
use super::event::Filter;
use super::world::World;

type Body = BoxBody<Bytes, Infallible>;

/// Serves until it is dropped; connections end with it.
pub(super) async fn serve(listener: UnixListener, world: Arc<Mutex<World>>, counters: Arc<Counters>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { return };
                let (world, counters) = (Arc::clone(&world), Arc::clone(&counters));
                connections.spawn(async move {
                    let service = hyper::service::service_fn(|request| answer(request, &world, &counters));
                    // A client that goes away is no failure.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    world: &Mutex<World>,
    counters: &Counters,
) -> Result<Response<Body>, Infallible> {
    let path = without_version(request.uri().path());
    let count = |counter: &std::sync::atomic::AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    if request.method() != Method::GET && request.method() != Method::HEAD {
        count(&counters.other);
        return Ok(json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"message": "reading only"})));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Ok(match parts.as_slice() {
        ["_ping"] => {
            count(&counters.hello);
            let mut response = Response::new(Full::from("OK").boxed());
            // Clients agree on a version of the API by this.
            let newest = hyper::header::HeaderValue::from_static(world.lock().await.api.newest);
            response.headers_mut().insert("api-version", newest);
            response
        }
        ["version"] => {
            count(&counters.hello);
            let api = world.lock().await.api;
            let version = json!({"Version": api.engine, "ApiVersion": api.newest, "MinAPIVersion": api.oldest, "Os": "linux"});
            json_answer(StatusCode::OK, &version)
        }
        ["events"] => {
            count(&counters.events);
            events(&request, world).await
        }
        ["containers", "json"] => {
            count(&counters.list);
            let query = request.uri().query().unwrap_or_default();
            let all = form_urlencoded::parse(query.as_bytes())
                .any(|(key, value)| key == "all" && matches!(&*value, "1" | "true"));
            json_answer(StatusCode::OK, &world.lock().await.list(all))
        }
        ["containers", id, "json"] => {
            count(&counters.inspect);
            match world.lock().await.inspect(id) {
                Some(container) => json_answer(StatusCode::OK, &container),
                None => json_answer(
                    StatusCode::NOT_FOUND,
                    &json!({"message": format!("No such container: {id}")}),
                ),
            }
        }
        _ => {
            count(&counters.other);
            json_answer(StatusCode::NOT_FOUND, &json!({"message": "page not found"}))
        }
    })
}

/// `/v1.41/version` and `/version` are one question.
fn without_version(path: &str) -> &str {
    let Some((version, rest)) = path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) else {
        return path;
    };
    if version.bytes().all(|b| b.is_ascii_digit()) { &path[path.len() - rest.len() - 1..] } else { path }
}

fn json_answer(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(value.to_string()).boxed());
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    response
}

async fn events(request: &Request<Incoming>, world: &Mutex<World>) -> Response<Body> {
    let query: Vec<(String, String)> =
        form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect();
    let parameter = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let filter = match parameter("filters").map(Filter::parse).transpose() {
        Ok(filter) => filter.unwrap_or_default(),
        Err(error) => return json_answer(StatusCode::BAD_REQUEST, &json!({"message": error.to_string()})),
    };
    let since = parameter("since").and_then(|since| since.split('.').next()?.parse().ok());
    let lines = world.lock().await.listen(filter, since);
    let frames = ReceiverStream::new(lines).map(|line| Ok(Frame::data(line)));
    Response::new(BodyExt::boxed(StreamBody::new(frames)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_in_a_path_does_not_matter() {
        assert_eq!(without_version("/v1.41/containers/json"), "/containers/json");
        assert_eq!(without_version("/containers/json"), "/containers/json");
        assert_eq!(without_version("/version"), "/version");
    }
}
