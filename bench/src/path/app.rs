//! The app behind the proxies: answers at once, by one thread in a process of its own.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_blocking};

use super::Request;
use super::load::on_one_thread;

/// More than a request has.
const BUFFER_BYTES: usize = 16 * 1024;

/// Where it listens.
#[derive(Debug, Args)]
pub(crate) struct App {
    #[arg(long, value_delimiter = ',')]
    at: Vec<SocketAddr>,
}

impl App {
    /// The words with which this program is one, in another process.
    pub(super) fn words(at: &[SocketAddr]) -> Vec<String> {
        let at: Vec<String> = at.iter().map(SocketAddr::to_string).collect();
        vec!["app".to_owned(), format!("--at={}", at.join(","))]
    }

    /// Answers until the process is ended.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        spawn_blocking(move || on_one_thread(self.serve())).await?
    }

    async fn serve(self) -> anyhow::Result<()> {
        let mut servers = JoinSet::new();
        for at in self.at {
            let listener = TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at}"))?;
            servers.spawn(accept(listener));
        }
        while let Some(ended) = servers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A proxy that closes its connection is no failure.
                connections.spawn(converse(accepted?.0));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(mut socket: TcpStream) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let (small, large) = (Request::Small.answer(), Request::Large.answer());
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    loop {
        let Some(whole) = length(&buffer[..filled]) else {
            let read = socket.read(&mut buffer[filled..]).await?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
            continue;
        };
        let is_large = buffer.starts_with(b"GET /large ");
        // What is left of a body has no place in the buffer, and is of no interest.
        while filled < whole {
            let read = socket.read(&mut buffer[..]).await?;
            ensure!(read > 0, "the proxy closed the connection within a request");
            filled += read;
        }
        socket.write_all(if is_large { &large } else { &small }).await?;
        filled = 0;
    }
}

/// The length of the request that `bytes` begin with, with its body; nothing where the head is not whole.
fn length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let lines = bytes[..end].split(|byte| *byte == b'\n');
    let body = lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'));
    let mut body = body.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = body.next().and_then(|(_, value)| value.trim().parse::<usize>().ok());
    Some(end + body.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_its_head_and_body() {
        for request in [Request::Small, Request::Large, Request::Post] {
            let bytes = request.bytes("app.localhost");
            assert_eq!(length(&bytes), Some(bytes.len()), "{request:?}");
        }
        assert_eq!(length(b"GET / HTTP/1.1\r\nhost: a\r\n"), None);
    }
}
