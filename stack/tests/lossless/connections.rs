//! A connection that stays open: a WebSocket through Envoy, to a container that stays.
//!
//! The container is an Envoy that hands its connections on to a server in this process, so that the application at the other
//! end needs no image of its own.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use stack::site::Site;
use stack::wait::until;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use warp::Filter;

use crate::common::LIMIT;
use crate::compose::{Compose, PROJECT, docker};

const HOST: &str = "steady.localhost";
const CONTAINER: &str = "portolan-e2e-steady";
const PORT: u16 = 9_000;
/// Something passes over each connection so often.
const BEAT: Duration = Duration::from_millis(50);
/// Nothing for so long is a connection that hangs.
const SILENCE: Duration = Duration::from_secs(10);

/// Open connections, and what is at their other end.
#[derive(Debug)]
pub(crate) struct Connections {
    _server: JoinSet<()>,
    _container: Container,
    stop: CancellationToken,
    began: Instant,
    socket: JoinHandle<Result<u64>>,
    runtime: Runtime,
}

#[derive(Debug)]
struct Container;

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(&["rm", "-f", CONTAINER]);
    }
}

impl Connections {
    /// Starts the server and its container, and opens the connections once they are routed.
    pub(crate) fn open(system: &Compose) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let network = format!("{PROJECT}_frontends");
        let gateway = docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", &network])?;
        let gateway: Ipv4Addr = gateway.trim().parse().context("the gateway of the network")?;
        let listener = runtime.block_on(TcpListener::bind((gateway, 0)))?;
        let port = listener.local_addr()?.port();
        let mut server = JoinSet::new();
        server.spawn_on(serve(listener), runtime.handle());
        let container = Container;
        let _ = docker(&["rm", "-f", CONTAINER]);
        let (of_the_container, host) = (format!("portolan.port={PORT}"), format!("portolan.host={HOST}"));
        let config = hand_on(gateway, port);
        docker(&[
            "run",
            "-d",
            "--name",
            CONTAINER,
            "--network",
            &network,
            "--label",
            &host,
            "--label",
            &of_the_container,
            "portolan-envoy",
            "--config-yaml",
            &config,
            "--disable-hot-restart",
        ])?;
        let site = system.site()?;
        until("the container with the open connections is routed", LIMIT, || is_routed(&site))?;
        let (stop, began) = (CancellationToken::new(), Instant::now());
        let socket = runtime.spawn(talk(site.port(), stop.clone()));
        Ok(Self { _server: server, _container: container, stop, began, socket, runtime })
    }

    /// Closes the connections, if they are still the same ones, and says how much passed.
    pub(crate) fn close(self) -> Result<String> {
        self.stop.cancel();
        let after = self.began.elapsed().as_secs();
        let socket = self.runtime.block_on(self.socket)?.context("the WebSocket broke")?;
        ensure!(socket > 0, "nothing passed over it");
        Ok(format!("a WebSocket of {after} s ({socket} echoes)"))
    }
}

fn is_routed(site: &Site) -> Result<()> {
    let status = site.get(HOST, "/")?.status();
    ensure!(status == 204, "{status}");
    Ok(())
}

/// An Envoy that hands on each connection.
fn hand_on(to: Ipv4Addr, port: u16) -> String {
    let address = |address: Ipv4Addr, port: u16| serde_json::json!({ "socket_address": { "address": address.to_string(), "port_value": port } });
    let proxy = serde_json::json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "steady", "cluster": "test", "idle_timeout": "0s",
    });
    let filter = serde_json::json!({ "name": "envoy.filters.network.tcp_proxy", "typed_config": proxy });
    let endpoint = serde_json::json!({ "endpoint": { "address": address(to, port) } });
    serde_json::json!({ "static_resources": {
        "listeners": [{ "address": address(Ipv4Addr::UNSPECIFIED, PORT), "filter_chains": [{ "filters": [filter] }] }],
        "clusters": [{ "name": "test", "load_assignment": {
            "cluster_name": "test", "endpoints": [{ "lb_endpoints": [endpoint] }],
        } }],
    } })
    .to_string()
}

async fn serve(listener: TcpListener) {
    let echo = warp::path!("socket").and(warp::ws()).map(|socket: warp::ws::Ws| {
        socket.on_upgrade(|socket| async {
            let (sink, source) = socket.split();
            let _ = source.forward(sink).await;
        })
    });
    let empty = warp::any().map(|| warp::http::StatusCode::NO_CONTENT);
    warp::serve(echo.or(empty)).incoming(listener).run().await;
}

/// Sends over a WebSocket, and waits for the echo, until `stop`: how many came back.
async fn talk(port: u16, stop: CancellationToken) -> Result<u64> {
    let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let request = format!("ws://{HOST}/socket").into_client_request()?;
    let (mut socket, _) = tokio_tungstenite::client_async(request, connection).await?;
    let mut beats = interval(BEAT);
    let mut echoes = 0_u64;
    while !stop.is_cancelled() {
        beats.tick().await;
        let said = Message::text(echoes.to_string());
        socket.send(said.clone()).await.with_context(|| format!("after {echoes} echoes"))?;
        let heard = timeout(SILENCE, next(&mut socket)).await.context("silence")?;
        let heard = heard.with_context(|| format!("after {echoes} echoes"))?;
        ensure!(heard == said, "{heard} where {said} is due");
        echoes += 1;
    }
    Ok(echoes)
}

async fn next(socket: &mut tokio_tungstenite::WebSocketStream<TcpStream>) -> Result<Message> {
    match socket.next().await {
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(error.into()),
        None => bail!(tungstenite::Error::ConnectionClosed),
    }
}
