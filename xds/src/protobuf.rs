//! The few lines of the protobuf wire format that put encoded parts together without encoding them again
//! ([Encoding](https://protobuf.dev/programming-guides/encoding/)).

use std::ops::Range;

use bytes::BufMut;
use prost::encoding::{
    WireType, decode_key, decode_varint, encode_key, encode_varint, encoded_len_varint, key_len,
};

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

/// Puts the entries of a map in one order (that of their bytes), in an encoded message: `path` leads to it by the numbers of its fields.
///
/// A map has no order, and each one encodes itself in another; the bytes of equal messages would differ.
pub(crate) fn sort_map(message: &mut [u8], path: &[u32]) {
    let Some((tag, rest)) = path.split_first() else { return };
    let fields = fields(message, *tag);
    if !rest.is_empty() {
        return fields.into_iter().for_each(|field| sort_map(&mut message[field.content], rest));
    }
    let mut entries: Vec<Vec<u8>> =
        fields.iter().map(|field| message[field.whole.clone()].to_vec()).collect();
    if entries.len() < 2 {
        return;
    }
    // An encoder writes the entries one after the other, with nothing between them.
    let first = fields.first().map_or(0, |field| field.whole.start);
    entries.sort();
    let sorted = entries.concat();
    message[first..first + sorted.len()].copy_from_slice(&sorted);
}

/// Where a length-delimited field is.
struct Field {
    whole: Range<usize>,
    content: Range<usize>,
}

/// The length-delimited fields of `message` with this number. What does not decode is passed over.
fn fields(message: &[u8], tag: u32) -> Vec<Field> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Ok((number, wire)) = decode_key(&mut rest) {
        let skip = match wire {
            WireType::Varint => decode_varint(&mut rest).map(|_| 0),
            WireType::SixtyFourBit => Ok(8),
            WireType::ThirtyTwoBit => Ok(4),
            WireType::LengthDelimited => decode_varint(&mut rest),
            WireType::StartGroup | WireType::EndGroup => return found,
        };
        let Some(skip) = skip.ok().and_then(|skip| usize::try_from(skip).ok()) else { return found };
        let Some(after) = rest.get(skip..) else { return found };
        if number == tag && wire == WireType::LengthDelimited {
            let start = message.len() - rest.len();
            let header = field_len(tag, skip) - skip;
            found.push(Field { whole: start - header..start + skip, content: start..start + skip });
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8]) -> Vec<u8> {
        let mut entry = Vec::new();
        put_field(&mut entry, 1, key);
        put_field(&mut entry, 2, &[7; 200]);
        entry
    }

    fn message(keys: &[&[u8]]) -> Vec<u8> {
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        put_field(&mut inner, 1, b"before");
        keys.iter().for_each(|key| put_field(&mut inner, 13, &entry(key)));
        put_field(&mut inner, 14, b"after");
        encode_key(9, WireType::Varint, &mut outer);
        encode_varint(300, &mut outer);
        put_field(&mut outer, 2, b"not the one");
        put_field(&mut outer, 3, &inner);
        outer
    }

    #[test]
    fn the_entries_of_a_map_are_put_in_order_and_nothing_else_moves() {
        let mut shuffled = message(&[b"c", b"aaaa", b"b"]);
        sort_map(&mut shuffled, &[3, 13]);
        assert_eq!(shuffled, message(&[b"b", b"c", b"aaaa"]));
        let before = shuffled.clone();
        sort_map(&mut shuffled, &[3, 12]);
        sort_map(&mut shuffled, &[4, 13]);
        assert_eq!(shuffled, before);
    }

    #[test]
    fn what_is_no_message_is_left_alone() {
        for bytes in [&[0xff_u8; 12][..], &[0x1a, 0x7f, 1], &[0x1b], &[]] {
            let mut same = bytes.to_vec();
            sort_map(&mut same, &[3, 13]);
            assert_eq!(same, bytes);
        }
    }
}
