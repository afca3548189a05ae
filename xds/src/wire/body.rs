//! Responses into the body of a stream's HTTP/2 response.
//!
//! A response is written piece by piece, as the connection takes it, and nothing is kept of it afterwards: the one that
//! holds everything there is has a megabyte for a thousand services, and goes to every client when it comes. tonic's own
//! writer puts each response into one buffer first, and keeps the largest one for as long as the stream lasts.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use futures::Stream;
use http_body::Frame;
use tonic::Status;
use tonic::codegen::http::HeaderMap;

use super::PREFIX_BYTES;
use super::response::{Encoded, RESOURCES};
use crate::protobuf::{field_len, put_field, put_header};

/// How much is copied at a time. HTTP/2 keeps room for as many pieces as it ever had at once: few large ones cost less.
const PIECE: usize = 64 * 1024;
/// From this size on a resource is not copied: all connections send the same memory.
const LARGE: usize = 4 * 1024;

/// The body of a stream's HTTP/2 response.
pub(crate) struct Responses<S> {
    responses: S,
    writing: Option<Pieces>,
    ended: bool,
}

impl<S> Responses<S> {
    pub(crate) const fn new(responses: S) -> Self {
        Self { responses, writing: None, ended: false }
    }
}

impl<S: Stream<Item = Result<Encoded, Status>> + Unpin> http_body::Body for Responses<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(piece) = self.writing.as_mut().and_then(Pieces::next) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.writing = None;
            if self.ended {
                return Poll::Ready(None);
            }
            let status = match ready!(Pin::new(&mut self.responses).poll_next(cx)) {
                Some(Ok(response)) => {
                    self.writing = Some(Pieces::new(response)?);
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::ok(""),
            };
            self.ended = true;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// A response on its way.
struct Pieces {
    response: Encoded,
    /// What gRPC puts before a message: a flag and its length.
    prefix: Option<[u8; PREFIX_BYTES]>,
    /// The first resource that has not been written.
    next: usize,
    /// A large one, of which the header has been written.
    large: Option<Bytes>,
    /// Bytes that have not been written.
    left: usize,
}

impl Pieces {
    fn new(response: Encoded) -> Result<Self, Status> {
        let too_long = |_| Status::out_of_range("a response has more than 4 GiB");
        let [a, b, c, d] = u32::try_from(response.len()).map_err(too_long)?.to_be_bytes();
        let left = PREFIX_BYTES + response.len();
        Ok(Self { response, prefix: Some([0, a, b, c, d]), next: 0, large: None, left })
    }

    fn next(&mut self) -> Option<Bytes> {
        let piece = match self.large.take() {
            Some(large) => large,
            None => self.copy(),
        };
        self.left -= piece.len();
        (!piece.is_empty()).then_some(piece)
    }

    /// The resources up to a large one, or as many as a piece holds.
    fn copy(&mut self) -> Bytes {
        let mut piece = BytesMut::with_capacity(self.left.min(PIECE));
        if let Some(prefix) = self.prefix.take() {
            piece.put_slice(&prefix);
            piece.put_slice(self.response.own());
        }
        while let Some(resource) = self.response.resource(self.next) {
            let len = resource.len();
            if len >= LARGE {
                put_header(&mut piece, RESOURCES, len);
                self.large = self.response.share(self.next);
            } else if !piece.is_empty() && piece.len() + field_len(RESOURCES, len) > PIECE {
                break;
            } else {
                put_field(&mut piece, RESOURCES, resource);
            }
            self.next += 1;
            if self.large.is_some() {
                break;
            }
        }
        piece.freeze()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
    use http_body::Body as _;
    use prost::Message;

    use super::*;
    use crate::kind::Kind;
    use crate::resource::{Resource, Version};
    use crate::session::Response;
    use crate::wire::{StateOfTheWorld, Variant};

    fn clusters(sizes: &[usize]) -> Vec<Arc<Resource>> {
        let cluster = |(index, size): (usize, &usize)| {
            Arc::new(Resource::from(&Cluster {
                name: format!("c{index}"),
                alt_stat_name: "x".repeat(*size),
                ..Default::default()
            }))
        };
        sizes.iter().enumerate().map(cluster).collect()
    }

    fn response(resources: Vec<Arc<Resource>>) -> Encoded {
        let version = Version::of_list(&resources);
        let response =
            Response { kind: Kind::Cluster, nonce: "1".into(), version, resources, removed: Vec::new() };
        StateOfTheWorld::write(response, "me")
    }

    async fn frames(responses: Vec<Result<Encoded, Status>>) -> Vec<Frame<Bytes>> {
        let mut body = Responses::new(futures::stream::iter(responses));
        let mut frames = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            frames.push(frame.unwrap());
        }
        frames
    }

    #[tokio::test]
    async fn a_response_in_pieces_is_the_response() {
        for sizes in
            [&[][..], &[10], &[100; 700], &[LARGE], &[10, LARGE, LARGE, 3 * PIECE, 10], &[LARGE - 200; 20]]
        {
            let listed = clusters(sizes);
            let frames = frames(vec![Ok(response(listed.clone()))]).await;
            let pieces: Vec<Bytes> = frames.into_iter().filter_map(|frame| frame.into_data().ok()).collect();
            let whole = pieces.concat();
            let (prefix, message) = whole.split_first_chunk::<PREFIX_BYTES>().unwrap();
            assert_eq!(prefix[0], 0);
            assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
            let read = DiscoveryResponse::decode(message).unwrap();
            let values: Vec<&[u8]> = read.resources.iter().map(|any| any.value.as_slice()).collect();
            assert_eq!(
                values,
                listed.iter().map(|resource| resource.body()).collect::<Vec<_>>(),
                "{sizes:?}"
            );
            let copied = pieces.iter().filter(|piece| piece.len() > PIECE);
            assert!(
                copied.clone().count() <= sizes.iter().filter(|size| **size > PIECE).count(),
                "{sizes:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_large_resource_is_not_copied_for_a_client() {
        let listed = clusters(&[10, LARGE]);
        let shared = listed[1].any().as_ptr_range();
        let pieces = frames(vec![Ok(response(listed))]).await;
        let is_shared =
            |piece: &Frame<Bytes>| piece.data_ref().is_some_and(|data| data.as_ptr_range() == shared);
        assert!(pieces.iter().any(is_shared));
    }

    #[tokio::test]
    async fn the_end_of_a_stream_says_how_it_went() {
        let ends = [(Vec::new(), "0"), (vec![Err(Status::invalid_argument("no"))], "3")];
        for (responses, code) in ends {
            let frames = frames(responses).await;
            let trailers = frames.last().and_then(Frame::trailers_ref).unwrap();
            assert_eq!(trailers["grpc-status"], code);
        }
    }
}
