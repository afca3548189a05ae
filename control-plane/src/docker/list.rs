//! The list of all containers, read as it comes. With thousands of containers the engine's answer is many megabytes, of which
//! little is of use, and what has once been allocated seldom goes back to the system: so none of it is kept.

use std::pin::pin;

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::elements::Elements;
use super::listed;
use super::steps::List;

/// What is read of an answer that is no list, for its reason.
const REASON: usize = 4 * 1024;

/// A connection to an engine.
pub(super) trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// Asks for all containers, also those that do not run, over a connection of its own.
///
/// # Errors
///
/// The connection broke, or the answer is no list of containers.
pub(super) async fn all(pipe: Box<dyn Pipe>) -> anyhow::Result<List> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(pipe)).await?;
    // Without a version of the API in the path, as bollard asks everything else: the answers are of the same one.
    let request = Request::get("/containers/json?all=true")
        .header(header::HOST, "docker")
        .body(Empty::<Bytes>::new())?;
    let mut answer = pin!(async { read(sender.send_request(request).await?).await });
    let mut connection = pin!(connection);
    tokio::select! {
        answer = &mut answer => return answer,
        ended = &mut connection => ended?,
    }
    // What came before the end of the connection may not be read yet.
    answer.await
}

async fn read(response: Response<Incoming>) -> anyhow::Result<List> {
    let status = response.status();
    let mut body = response.into_body();
    if status != StatusCode::OK {
        bail!("the engine answers {status}: {}", reason(body).await);
    }
    let (mut list, mut elements) = (List::new(), Elements::default());
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame?.into_data() else { continue };
        elements.push(&bytes, |element| {
            let summary =
                serde_json::from_slice(element).context("a container in the list cannot be read")?;
            list.extend(listed::read(&summary));
            anyhow::Ok(())
        })?;
    }
    ensure!(elements.is_complete(), "the answer is no list, or not all of it came");
    Ok(list)
}

/// What the engine says of an error: `{"message": "..."}`.
async fn reason(mut body: Incoming) -> String {
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        text.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        if text.len() > REASON {
            break;
        }
    }
    let told = serde_json::from_slice::<serde_json::Value>(&text).ok();
    match told.as_ref().and_then(|told| told["message"].as_str()) {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(&text).trim().to_owned(),
    }
}
