//! gRPC's framing: a flag, a length of four bytes, the message (gRPC over HTTP/2, "Requests").

use bytes::{Buf, BufMut, Bytes, BytesMut};

const PREFIX_BYTES: usize = 5;

/// `message` with its prefix.
pub(crate) fn frame(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    framed.put_slice(&message.encode_to_vec());
    framed.freeze()
}

/// Puts messages together from the pieces in which they come.
#[derive(Debug, Default)]
pub(crate) struct Reader(BytesMut);

impl Reader {
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next message that is whole, without its prefix.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let length = length(self.0.get(..PREFIX_BYTES)?.try_into().ok()?);
        if self.0.len() < PREFIX_BYTES + length {
            return None;
        }
        self.0.advance(PREFIX_BYTES);
        Some(self.0.split_to(length).freeze())
    }
}

/// Counts messages without keeping them.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// What is still to come of the message that has begun.
    missing: usize,
}

impl Counter {
    /// How many messages end in `piece`.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> u64 {
        let mut ended = 0;
        while !piece.is_empty() {
            if self.prefix_bytes < PREFIX_BYTES {
                self.prefix[self.prefix_bytes] = piece[0];
                piece.advance(1);
                self.prefix_bytes += 1;
                if self.prefix_bytes == PREFIX_BYTES {
                    self.missing = length(self.prefix);
                }
            } else {
                let taken = self.missing.min(piece.len());
                piece.advance(taken);
                self.missing -= taken;
            }
            if self.prefix_bytes == PREFIX_BYTES && self.missing == 0 {
                self.prefix_bytes = 0;
                ended += 1;
            }
        }
        ended
    }
}

fn length(prefix: [u8; PREFIX_BYTES]) -> usize {
    let [_, length @ ..] = prefix;
    u32::from_be_bytes(length) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Vec<u8> {
        let mut framed = vec![0];
        framed.extend_from_slice(&u32::try_from(bytes).unwrap().to_be_bytes());
        framed.extend(std::iter::repeat_n(7, bytes));
        framed
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let stream = [message(3), message(0), message(700)].concat();
        for size in 1..=stream.len() {
            let mut counter = Counter::default();
            let counted: u64 = stream.chunks(size).map(|piece| counter.push(piece)).sum();
            assert_eq!(counted, 3, "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_that_has_not_ended_does_not_count() {
        let mut counter = Counter::default();
        assert_eq!(counter.push(&message(3)[..7]), 0);
        assert_eq!(counter.push(&[7]), 1);
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let stream = [message(3), message(0), message(700)].concat();
        for size in 1..=stream.len() {
            let mut reader = Reader::default();
            let mut lengths = Vec::new();
            for piece in stream.chunks(size) {
                reader.push(piece);
                while let Some(message) = reader.pop() {
                    lengths.push(message.len());
                }
            }
            assert_eq!(lengths, [3, 0, 700], "in pieces of {size}");
        }
    }
}
