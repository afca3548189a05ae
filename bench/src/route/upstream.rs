//! The app of every container: one server that answers at once, on every loopback address, and knows when each was asked.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n";

/// How often an address was asked, and when last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) times: u64,
    pub(super) last: Instant,
}

type Book = Arc<Mutex<HashMap<IpAddr, Asked>>>;

/// It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) port: u16,
    book: Book,
    _server: JoinSet<()>,
}

impl Upstream {
    pub(super) async fn listen() -> anyhow::Result<Self> {
        // All of 127.0.0.0/8 can only be had with everything else; whoever is not on loopback is turned away.
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.context("no port for the app")?;
        let port = listener.local_addr()?.port();
        let book = Book::default();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&book)));
        Ok(Self { port, book, _server: server })
    }

    /// How the container at `address` was asked so far.
    pub(super) fn asked(&self, address: Ipv4Addr) -> Option<Asked> {
        self.book.lock().get(&IpAddr::V4(address)).copied()
    }
}

async fn serve(listener: TcpListener, book: Book) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, peer)) = accepted else { return };
                if peer.ip().is_loopback() {
                    // A proxy that closes its connection is no failure.
                    let book = Arc::clone(&book);
                    connections.spawn(async move { drop(converse(socket, &book).await) });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers requests without a body until the other end closes.
async fn converse(mut socket: TcpStream, book: &Mutex<HashMap<IpAddr, Asked>>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let own = socket.local_addr()?.ip();
    let mut buffer = Vec::with_capacity(4_096);
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            if socket.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        {
            let mut book = book.lock();
            let asked = book.entry(own).or_insert(Asked { times: 0, last: Instant::now() });
            *asked = Asked { times: asked.times + 1, last: Instant::now() };
        }
        buffer.clear();
        socket.write_all(ANSWER).await?;
    }
}
