//! A server that is told to stop, over real sockets.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use lifecycle::http::{Options, serve, text};
use reqwest::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No step of a test takes this long, unless it hangs.
const LIMIT: Duration = Duration::from_secs(30);
/// As good as never.
const LONG: Duration = Duration::from_secs(3_600);

/// A server whose `/slow` tells that it has begun, and answers when it is let go.
struct Server {
    url: String,
    stop: CancellationToken,
    begun: Arc<Notify>,
    go: Arc<Notify>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    async fn start(drain_delay: Duration, stop_timeout: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let options = Options {
            listen: listener.local_addr().unwrap(),
            replica: Some("tested".to_owned()),
            drain_delay,
            stop_timeout,
        };
        let stop = CancellationToken::new();
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begin, wait, token) = (Arc::clone(&begun), Arc::clone(&go), stop.clone());
        // The handle is kept, and awaited by the test.
        #[allow(clippy::disallowed_methods)]
        let task = tokio::spawn(async move {
            serve(listener, &options, token, move |call| {
                let (begin, wait) = (Arc::clone(&begin), Arc::clone(&wait));
                async move {
                    if call.path == "/slow" {
                        begin.notify_one();
                        wait.notified().await;
                    }
                    text(StatusCode::OK, "served\n")
                }
            })
            .await
        });
        Self { url, stop, begun, go, task }
    }

    async fn status(&self, path: &str) -> StatusCode {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap().status()
    }

    #[allow(clippy::disallowed_methods)]
    async fn slow_request(&self) -> JoinHandle<reqwest::Result<StatusCode>> {
        let url = format!("{}/slow", self.url);
        let request = tokio::spawn(async move { reqwest::get(url).await.map(|answer| answer.status()) });
        tokio::time::timeout(LIMIT, self.begun.notified()).await.unwrap();
        request
    }

    async fn ended(self) {
        tokio::time::timeout(LIMIT, self.task).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn while_it_leaves_its_health_says_no_and_requests_are_served() {
    let server = Server::start(LONG, LONG).await;
    assert_eq!(server.status("/health").await, StatusCode::OK);
    server.stop.cancel();
    assert_eq!(server.status("/health").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.status("/page").await, StatusCode::OK);
    assert!(!server.task.is_finished());
    server.task.abort();
}

#[tokio::test]
async fn what_is_in_flight_is_finished_before_it_ends() {
    let server = Server::start(Duration::ZERO, LONG).await;
    let request = server.slow_request().await;
    server.stop.cancel();
    let refused = async {
        while reqwest::get(format!("{}/page", server.url)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, refused).await.unwrap();
    assert!(!server.task.is_finished(), "it waits for the request");
    server.go.notify_one();
    assert_eq!(request.await.unwrap().unwrap(), StatusCode::OK);
    server.ended().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_does_not_hold_up_the_end() {
    let server = Server::start(Duration::ZERO, Duration::from_millis(10)).await;
    let request = server.slow_request().await;
    server.stop.cancel();
    server.ended().await;
    assert!(!request.is_finished(), "nobody answered it");
    request.abort();
}

#[tokio::test]
async fn every_answer_says_who_served_it_and_which_request_it_was() {
    let server = Server::start(LONG, LONG).await;
    let request = reqwest::Client::new().get(format!("{}/page", server.url));
    let answer = request.try_clone().unwrap().header("x-request-id", "abc").send().await.unwrap();
    assert_eq!(answer.headers()["x-served-by"], "tested");
    assert_eq!(answer.headers()["x-request-id"], "abc");
    let own = request.header("x-request-id", "x".repeat(129)).send().await.unwrap();
    assert_eq!(own.headers()["x-request-id"].len(), 36, "one that is too long is replaced");
    server.task.abort();
}
