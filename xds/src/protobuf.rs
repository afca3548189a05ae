//! The few lines of the protobuf wire format that put encoded parts together without encoding them again
//! ([Encoding](https://protobuf.dev/programming-guides/encoding/)).

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// Bytes that a length-delimited field with `len` bytes of content takes, its header included.
pub(crate) fn field_len(tag: u32, len: usize) -> usize {
    key_len(tag) + encoded_len_varint(len as u64) + len
}

/// The header of a length-delimited field, whose `len` bytes of content follow.
pub(crate) fn put_header(buffer: &mut impl BufMut, tag: u32, len: usize) {
    encode_key(tag, WireType::LengthDelimited, buffer);
    encode_varint(len as u64, buffer);
}

/// A length-delimited field: a string, bytes, or an encoded message.
pub(crate) fn put_field(buffer: &mut impl BufMut, tag: u32, content: &[u8]) {
    put_header(buffer, tag, content.len());
    buffer.put_slice(content);
}
