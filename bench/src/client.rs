//! Clients that cost little: one HTTP/2 connection each, as Envoys have, and of what they hear they read the nonce.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use h2::{RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::sync::watch;
use xds_server::Kind;

use crate::framing::{Reader, frame};

/// Envoy's own windows are of this size; with a small one the client would have to grant more all the time.
const WINDOW: u32 = 16 * 1024 * 1024;
/// What HTTP/2 puts before each piece of data.
const FRAME_HEADER_BYTES: usize = 9;
const METHOD: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// What all clients together sent and heard.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) sent: AtomicU64,
    pub(crate) heard: AtomicU64,
    /// Bytes of all data frames, with their headers.
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    /// Clients that have heard all they asked for.
    pub(crate) settled: watch::Sender<u64>,
}

/// What a client says first, and how it answers.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// A delta client for everything there is.
    Xds(Arc<Subscriptions>),
    /// Answers each message with this one.
    Floor(Bytes),
}

/// What a delta client asks for, framed; the same for all but the node.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    node: Node,
    rest: Vec<Bytes>,
}

impl Subscriptions {
    /// Clusters and listeners as a wildcard, assignments and routes by name.
    pub(crate) fn new(node: Node, assignments: Vec<String>, routes: Vec<String>) -> Self {
        let rest = [(Kind::Endpoint, assignments), (Kind::Listener, Vec::new()), (Kind::Route, routes)];
        Self { node, rest: rest.into_iter().map(|(kind, names)| frame(&subscribe(kind, names))).collect() }
    }

    fn of_client(&self, number: usize) -> Vec<Bytes> {
        let node = Node { id: format!("envoy-{number}"), ..self.node.clone() };
        let first = DeltaDiscoveryRequest { node: Some(node), ..subscribe(Kind::Cluster, Vec::new()) };
        [frame(&first)].into_iter().chain(self.rest.iter().cloned()).collect()
    }
}

fn subscribe(kind: Kind, names: Vec<String>) -> DeltaDiscoveryRequest {
    let type_url = kind.type_url().to_owned();
    DeltaDiscoveryRequest { type_url, resource_names_subscribe: names, ..Default::default() }
}

/// Of a `DeltaDiscoveryResponse`, what must be known to acknowledge it.
#[derive(Clone, PartialEq, prost::Message)]
struct Heard {
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, tag = "5")]
    nonce: String,
}

/// Of a `DeltaDiscoveryRequest`, what an ACK has.
#[derive(Clone, PartialEq, prost::Message)]
struct Ack {
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(string, tag = "6")]
    nonce: String,
}

/// An ACK as it looks after some hundred changes.
pub(crate) fn typical_ack() -> Bytes {
    frame(&Ack { type_url: Kind::Endpoint.type_url().to_owned(), nonce: "100".to_owned() })
}

/// Connects, subscribes, and answers everything until the server closes the stream.
pub(crate) async fn run(
    server: SocketAddr,
    number: usize,
    role: Role,
    board: Arc<Board>,
) -> anyhow::Result<()> {
    let socket = TcpStream::connect(server).await.context("cannot connect")?;
    socket.set_nodelay(true)?;
    let (mut requests, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(socket)
        .await?;
    let request = http::Request::post(format!("http://{server}/{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, send) = requests.send_request(request, false)?;
    let mut conversation = Conversation { send, role, board, asked: 0, settled: false };
    let converse = async {
        conversation.open(number)?;
        let response = response.await?;
        anyhow::ensure!(response.status().is_success(), "the server answers {}", response.status());
        conversation.hold(response.into_body()).await
    };
    tokio::select! {
        biased;
        closed = connection => closed.context("the connection broke"),
        ended = converse => ended,
    }
}

struct Conversation {
    send: SendStream<Bytes>,
    role: Role,
    board: Arc<Board>,
    /// Types that were asked for, as bits, of which nothing came yet.
    asked: u8,
    settled: bool,
}

impl Conversation {
    fn open(&mut self, number: usize) -> anyhow::Result<()> {
        match self.role.clone() {
            Role::Xds(subscriptions) => {
                self.asked =
                    [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route].map(bit).iter().sum();
                subscriptions.of_client(number).into_iter().try_for_each(|request| self.say(request))
            }
            Role::Floor(message) => self.say(message),
        }
    }

    async fn hold(&mut self, mut responses: RecvStream) -> anyhow::Result<()> {
        self.settle_if_answered();
        let mut reader = Reader::default();
        while let Some(data) = responses.data().await {
            let data = data?;
            responses.flow_control().release_capacity(data.len())?;
            self.board.bytes_in.fetch_add((data.len() + FRAME_HEADER_BYTES) as u64, Ordering::Relaxed);
            reader.push(&data);
            while let Some(message) = reader.pop() {
                self.answer(message)?;
            }
        }
        anyhow::bail!("the server ended the stream")
    }

    fn answer(&mut self, message: Bytes) -> anyhow::Result<()> {
        self.board.heard.fetch_add(1, Ordering::Relaxed);
        let answer = match &self.role {
            Role::Xds(_) => {
                let Heard { type_url, nonce } = prost::Message::decode(message)?;
                let kind = Kind::from_type_url(&type_url).context("a response of a type nobody asked for")?;
                self.asked &= !bit(kind);
                frame(&Ack { type_url, nonce })
            }
            Role::Floor(answer) => answer.clone(),
        };
        self.say(answer)?;
        self.settle_if_answered();
        Ok(())
    }

    fn say(&mut self, message: Bytes) -> anyhow::Result<()> {
        self.board.sent.fetch_add(1, Ordering::Relaxed);
        self.board.bytes_out.fetch_add((message.len() + FRAME_HEADER_BYTES) as u64, Ordering::Relaxed);
        Ok(self.send.send_data(message, false)?)
    }

    fn settle_if_answered(&mut self) {
        if self.asked == 0 && !std::mem::replace(&mut self.settled, true) {
            self.board.settled.send_modify(|settled| *settled += 1);
        }
    }
}

const fn bit(kind: Kind) -> u8 {
    1 << kind as u8
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
    use prost::Message;

    use super::*;

    #[test]
    fn what_a_client_reads_of_a_response_is_what_the_server_wrote() {
        let response = DeltaDiscoveryResponse {
            system_version_info: "v".to_owned(),
            type_url: Kind::Route.type_url().to_owned(),
            nonce: "7".to_owned(),
            resources: vec![Resource { name: "http".to_owned(), ..Default::default() }],
            ..Default::default()
        };
        let heard = Heard::decode(response.encode_to_vec().as_slice()).unwrap();
        assert_eq!((heard.type_url, heard.nonce), (response.type_url, response.nonce));
    }

    #[test]
    fn an_ack_is_a_request_with_type_and_nonce() {
        let ack = Ack { type_url: Kind::Route.type_url().to_owned(), nonce: "7".to_owned() };
        let request = DeltaDiscoveryRequest::decode(ack.encode_to_vec().as_slice()).unwrap();
        let expected =
            DeltaDiscoveryRequest { type_url: ack.type_url, response_nonce: ack.nonce, ..Default::default() };
        assert_eq!(request, expected);
    }
}
