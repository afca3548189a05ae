//! What is asked, and what is answered to it.

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

/// The bodies of answers, and of what is sent.
const SMALL_BYTES: usize = 1_024;
const LARGE_BYTES: usize = 64 * 1_024;
const FORM_BYTES: usize = 4 * 1_024;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Request {
    /// GET, answered by 1 KiB.
    Small,
    /// GET, answered by 64 KiB.
    Large,
    /// POST with 4 KiB, answered by 1 KiB.
    Post,
}

impl Request {
    /// For the head of a table.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Small => "GET, an answer of 1 KiB",
            Self::Large => "GET, an answer of 64 KiB",
            Self::Post => "POST of 4 KiB, an answer of 1 KiB",
        }
    }

    /// As it is written on the command line.
    pub(super) fn word(self) -> anyhow::Result<String> {
        let value = self.to_possible_value().context("a request without a name")?;
        Ok(value.get_name().to_owned())
    }

    /// The length of the body of its answer.
    pub(super) const fn answer_bytes(self) -> usize {
        match self {
            Self::Small | Self::Post => SMALL_BYTES,
            Self::Large => LARGE_BYTES,
        }
    }

    /// As it goes over the wire, with headers as a browser's script has them.
    pub(super) fn bytes(self, host: &str) -> Vec<u8> {
        let (method, path, body) = match self {
            Self::Small => ("GET", "/small", 0),
            Self::Large => ("GET", "/large", 0),
            Self::Post => ("POST", "/form", FORM_BYTES),
        };
        let length = if body > 0 {
            format!("content-length: {body}\r\ncontent-type: text/plain\r\n")
        } else {
            String::new()
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: bench/1\r\naccept: */*\r\n{length}\r\n"
        );
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + body, b'x');
        bytes
    }

    /// The answer to what begins with `request`, whole.
    pub(super) fn answer(self) -> Vec<u8> {
        let length = self.answer_bytes();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n");
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + length, b'x');
        bytes
    }
}
