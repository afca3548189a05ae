//! What the measuring process and the measured one say to each other: lines of JSON over a socket on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::usage::Usage;

/// What the measured process is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Change one endpoint and wait until this many clients have answered. Answered by [`Reply::Round`].
    Change { clients: u64 },
    /// Publish what is published already, made anew. Answered by [`Reply::Totals`].
    Republish,
    /// Answered by [`Reply::Totals`].
    Totals,
    /// Answered by [`Reply::Usage`].
    Usage,
}

/// What it says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The first line: where it serves.
    Listening(SocketAddr),
    Round(Round),
    Totals(Totals),
    Usage(Usage),
}

/// One change, from its publication to the last answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Round {
    /// From the moment before the snapshot is handed to the streams until the last client's answer is taken in.
    pub(crate) latency: Duration,
    /// CPU time it took to make the snapshot before that.
    pub(crate) build_cpu: Duration,
}

/// What all streams of a server together took in and gave out since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) responses: u64,
    /// Bytes of the responses with gRPC's prefix, without HTTP/2's frame headers.
    pub(crate) response_bytes: u64,
}

/// One end of the conversation.
#[derive(Debug)]
pub(crate) struct Line(BufReader<TcpStream>);

impl Line {
    pub(crate) fn new(socket: TcpStream) -> anyhow::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self(BufReader::new(socket)))
    }

    pub(crate) async fn say(&mut self, message: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.0.write_all(&line).await.context("the other process is gone")
    }

    /// What the other end says next, or nothing once it is gone.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }
}
