//! A client's connection: one request after the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{HOST, Request};

/// Longer than any answer, so that one is mostly read at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// A connection to a proxy, which is opened again where the proxy closes it.
#[derive(Debug)]
pub(super) struct Connection {
    to: SocketAddr,
    socket: TcpStream,
    request: Vec<u8>,
    /// The length of the body of the right answer.
    expected: usize,
    /// No answer takes longer.
    patience: Duration,
    buffer: Vec<u8>,
}

impl Connection {
    /// One to `to`, on which `request` will be asked, and answered within `patience`.
    pub(super) async fn open(to: SocketAddr, request: Request, patience: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            to,
            socket: connect(to).await?,
            request: request.bytes(HOST),
            expected: request.answer_bytes(),
            patience,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Asks once, and says whether the answer was the right one.
    pub(super) async fn ask(&mut self) -> anyhow::Result<bool> {
        let answer = timeout(self.patience, exchange(&mut self.socket, &self.request, &mut self.buffer));
        let answer =
            answer.await.with_context(|| format!("no answer within {} s", self.patience.as_secs()))??;
        if answer.closes {
            self.socket = connect(self.to).await?;
        }
        Ok(answer.status == 200 && answer.length == self.expected)
    }
}

async fn connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpStream::connect(to).await.context("the proxy takes no connection")?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn exchange(socket: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> anyhow::Result<Head> {
    socket.write_all(request).await?;
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the proxy closed the connection before it had answered");
        filled += read;
        if let Some(head) = Head::read(&buffer[..filled])? {
            let mut missing = (head.bytes + head.length).saturating_sub(filled);
            while missing > 0 {
                let read = socket.read(buffer).await?;
                ensure!(read > 0, "the proxy closed the connection within an answer");
                missing = missing.saturating_sub(read);
            }
            return Ok(head);
        }
    }
}

/// How an answer begins.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// Its own length, with the empty line.
    bytes: usize,
    status: u16,
    /// The length of the body.
    length: usize,
    /// The connection cannot be used again.
    closes: bool,
}

impl Head {
    /// The head that `bytes` begin with, or nothing where it is not whole yet.
    fn read(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(bytes.len() < BUFFER_BYTES, "an answer whose head does not end");
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end]).context("an answer whose head is not text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let (mut length, mut closes) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            }
        }
        let (Some(status), Some(length)) = (status, length) else {
            bail!("an answer without a status or a length:\n{head}");
        };
        Ok(Some(Self { bytes: end + 4, status, length, closes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_up_to_its_body() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";
        let head = Head::read(whole).unwrap().unwrap();
        assert_eq!(head, Head { bytes: whole.len() - 3, status: 200, length: 3, closes: false });
    }

    #[test]
    fn a_head_that_is_not_whole_is_waited_for() {
        assert_eq!(Head::read(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n").unwrap(), None);
    }

    #[test]
    fn a_connection_that_closes_is_known() {
        let bytes = b"HTTP/1.1 503 No\r\nConnection: close\r\ncontent-length:0\r\n\r\n";
        let head = Head::read(bytes).unwrap().unwrap();
        assert_eq!(head, Head { bytes: bytes.len(), status: 503, length: 0, closes: true });
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        let error = Head::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("without a status or a length"), "{error}");
    }
}
