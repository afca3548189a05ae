//! Requests out of the body of a stream's HTTP/2 request.
//!
//! It keeps no buffer between messages. A client speaks at length once, in its first requests (an Envoy's node alone has
//! 60 KB), and in a few dozen bytes ever after; tonic's own reader keeps for good what the longest message took.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use prost::Message;
use tonic::body::Body;
use tonic::{Code, Status};

use super::PREFIX_BYTES;

/// Largest request that is read, in bytes. A reconnecting client lists everything it has: room for some 100,000 names.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// The requests of type `R` in a body.
#[derive(Debug)]
pub(crate) struct Requests<R> {
    body: Body,
    /// What has come of the requests that are not read yet.
    read: BytesMut,
    request: PhantomData<fn() -> R>,
}

impl<R: Message + Default> Requests<R> {
    pub(crate) fn new(body: Body) -> Self {
        Self { body, read: BytesMut::new(), request: PhantomData }
    }

    /// The next request, or `None` when the client has closed the stream. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    ///
    /// The connection broke, or what came is not a request; there is no next one then.
    pub(crate) async fn next(&mut self) -> Option<Result<R, Status>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<R, Status>>> {
        loop {
            match take(&mut self.read) {
                Ok(Some(message)) => return Poll::Ready(Some(decode(message))),
                Ok(None) => {}
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(status)) if status.code() == Code::Cancelled => return Poll::Ready(None),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None if self.read.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(Status::internal("the stream ends within a request")))),
            }
        }
    }
}

/// The first message in `read`, once it is whole. With the last one goes the memory.
fn take(read: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some((prefix, rest)) = read.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let [compressed, length @ ..] = *prefix;
    let (length, have) = (u32::from_be_bytes(length) as usize, rest.len());
    if compressed != 0 {
        return Err(Status::unimplemented("requests must not be compressed"));
    }
    if length > MAX_REQUEST_BYTES {
        let limit = MAX_REQUEST_BYTES;
        return Err(Status::resource_exhausted(format!(
            "a request has {length} bytes; at most {limit} are read"
        )));
    }
    if have < length {
        read.reserve(length - have);
        return Ok(None);
    }
    read.advance(PREFIX_BYTES);
    Ok(Some(if have == length { std::mem::take(read) } else { read.split_to(length) }.freeze()))
}

fn decode<R: Message + Default>(message: Bytes) -> Result<R, Status> {
    R::decode(message).map_err(|error| Status::invalid_argument(format!("not a discovery request: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
    use http_body::Frame;

    use super::*;

    struct Pieces(VecDeque<Bytes>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn framed(flag: u8, length: usize, message: &[u8]) -> Vec<u8> {
        [&[flag], u32::try_from(length).unwrap().to_be_bytes().as_slice(), message].concat()
    }

    fn request(names: usize) -> DiscoveryRequest {
        DiscoveryRequest { resource_names: vec!["a name".into(); names], ..Default::default() }
    }

    fn requests(stream: &[u8], piece: usize) -> Requests<DiscoveryRequest> {
        let pieces = stream.chunks(piece).map(Bytes::copy_from_slice).collect();
        Requests::new(Body::new(Pieces(pieces)))
    }

    #[tokio::test]
    async fn requests_are_read_however_they_are_cut() {
        let sent = [request(1), request(0), request(30)];
        let stream: Vec<u8> = sent
            .iter()
            .flat_map(|request| framed(0, request.encoded_len(), &request.encode_to_vec()))
            .collect();
        for piece in 1..=stream.len() {
            let mut requests = requests(&stream, piece);
            for sent in &sent {
                assert_eq!(requests.next().await.unwrap().unwrap(), *sent, "in pieces of {piece}");
            }
            assert!(requests.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn nothing_is_kept_between_requests() {
        let large = request(1_000);
        let mut requests = requests(&framed(0, large.encoded_len(), &large.encode_to_vec()), 1_000);
        requests.next().await.unwrap().unwrap();
        assert_eq!(requests.read.capacity(), 0);
    }

    #[tokio::test]
    async fn what_is_no_request_ends_the_stream_with_its_reason() {
        let cases = [
            (framed(0, 4, &[0xff; 4]), Code::InvalidArgument),
            (framed(0, 9, &[0; 4]), Code::Internal),
            (framed(1, 4, &[0; 4]), Code::Unimplemented),
            (framed(0, MAX_REQUEST_BYTES + 1, &[0; 4]), Code::ResourceExhausted),
        ];
        for (stream, code) in cases {
            let status = requests(&stream, 3).next().await.unwrap().unwrap_err();
            assert_eq!(status.code(), code, "{status}");
        }
    }
}
