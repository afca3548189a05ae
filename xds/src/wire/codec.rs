//! How a stream's messages get into and out of gRPC frames.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::response::Encoded;

/// What a stream keeps to read and write in, in bytes, for as long as it lasts. Most messages of a settled client are
/// this small, and larger ones grow it; tonic's own 8 KiB each way would be a third of what a client costs.
const BUFFER: usize = 512;
/// From how many bytes on what is ready is passed on before more is asked for (tonic's default).
const ENOUGH: usize = 32 * 1024;

/// Reads requests of type `R`, writes responses that are encoded already.
#[derive(Debug)]
pub(crate) struct Codec<R>(PhantomData<fn() -> R>);

impl<R> Default for Codec<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R: Message + Default + 'static> tonic::codec::Codec for Codec<R> {
    type Encode = Encoded;
    type Decode = R;
    type Encoder = Writer;
    type Decoder = Self;

    fn encoder(&mut self) -> Writer {
        Writer
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<R: Message + Default + 'static> Decoder for Codec<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        let request = R::decode(buffer);
        request
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("not a discovery request: {error}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, ENOUGH)
    }
}

/// The writing half of a [`Codec`].
#[derive(Debug)]
pub(crate) struct Writer;

impl Encoder for Writer {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, response: Encoded, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(response.len());
        response.put(buffer);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, ENOUGH)
    }
}
