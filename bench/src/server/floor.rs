//! HTTP/2 without xDS: on a change each stream is sent one message, and answers with one.

use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::framing::Counter;
use crate::gauge::Gauge;

use super::Subject;

/// The way to make every stream send its message.
#[derive(Debug)]
pub(super) struct Bell(watch::Sender<u64>);

/// The server, ready to be polled; its messages have `bytes` bytes with their prefix.
pub(super) fn start(
    listener: TcpListener,
    gauge: &Arc<Gauge>,
    bytes: usize,
) -> (Bell, impl Future<Output = anyhow::Result<()>> + use<>) {
    let (bell, rung) = watch::channel(0);
    let gauge = Arc::clone(gauge);
    let message = message(bytes);
    let serving = async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            connections.spawn(serve(socket, rung.clone(), message.clone(), Arc::clone(&gauge)));
            // Those that have ended.
            while connections.try_join_next().is_some() {}
        }
    };
    (Bell(bell), serving)
}

/// A message in gRPC's framing that has `bytes` bytes altogether.
fn message(bytes: usize) -> Bytes {
    let body = bytes.saturating_sub(5);
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(body).unwrap_or(0).to_be_bytes());
    framed.resize(5 + body, b'x');
    framed.into()
}

/// One connection with one stream, in one task.
async fn serve(
    socket: TcpStream,
    mut rung: watch::Receiver<u64>,
    message: Bytes,
    gauge: Arc<Gauge>,
) -> anyhow::Result<()> {
    let mut connection = h2::server::handshake(socket).await?;
    let (request, mut respond) = connection.accept().await.context("closed before a request")??;
    let mut send = respond.send_response(http::Response::new(()), false)?;
    let mut requests = request.into_body();
    let mut counter = Counter::default();
    rung.mark_unchanged();
    loop {
        tokio::select! {
            biased;
            closed = connection.accept() => match closed {
                Some(second) => drop(second?),
                None => return Ok(()),
            },
            data = requests.data() => {
                let Some(data) = data else { return Ok(()) };
                let data = data?;
                requests.flow_control().release_capacity(data.len())?;
                gauge.took_in(counter.push(&data));
            }
            changed = rung.changed() => {
                changed?;
                gauge.sent(1, message.len());
                send.send_data(message.clone(), false)?;
            }
        }
    }
}

impl Subject for Bell {
    type Prepared = ();

    fn prepare(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn publish(&mut self, (): ()) {
        self.0.send_modify(|round| *round += 1);
    }

    fn republish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}
