//! How values are read, and the plain ones.

use std::fmt;

use super::Mistake;
use crate::model::options::{Limit, Protocol, Span};

/// The longest name of a service or network.
const NAME_BYTES: usize = 255;
/// The longest time a label may say: a day.
const LONGEST_MILLIS: u64 = 86_400_000;

/// The value of a label: read from text, and (by `Display`) written so that it reads as the same.
pub(super) trait Value: Sized + fmt::Display {
    /// Reads it, or says where and why not, and what to write instead.
    fn parse(text: &str) -> Result<Self, Mistake>;
}

/// A list with commas, sorted, each once.
#[derive(Debug, Clone)]
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T: Value + Ord> Value for List<T> {
    fn parse(text: &str) -> Result<Self, Mistake> {
        let mut all = items(text).map(|(at, item)| T::parse(item).map_err(|mistake| mistake.shifted(at)));
        let mut all = all.by_ref().collect::<Result<Vec<T>, Mistake>>()?;
        all.sort();
        all.dedup();
        Ok(Self(all))
    }
}

impl<T: fmt::Display> fmt::Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&items.join(", "))
    }
}

/// What stands between the commas, without the space around it, and where it begins.
fn items(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut start = 0;
    text.split(',').map(move |item| {
        let at = start + (item.len() - item.trim_start().len());
        start += item.len() + 1;
        (at, item.trim())
    })
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, Mistake> {
        one_of(text, &[("true", true), ("false", false)])
    }
}

/// One word of a few.
pub(super) fn one_of<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, Mistake> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == value) {
        return Ok(*meaning);
    }
    let list = or(words.iter().map(|(word, _)| *word));
    let lower = value.to_ascii_lowercase();
    let distance = |word: &str| strsim::damerau_levenshtein(&lower, word);
    // A third of the letters may be wrong, as with keys; of two letters one.
    let near = words.iter().map(|(word, _)| (distance(word), *word)).filter(|(distance, word)| {
        *distance <= (word.len() / 3).clamp(1, 2) || (word.len() > 3 && *distance <= 2)
    });
    let fix = near.min().map_or_else(|| format!("write {list}"), |(_, word)| format!("did you mean {word}?"));
    Err(Mistake::new(format!("it is not {list}"), fix))
}

/// `a`, `a or b`, `a, b or c`.
fn or<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Words that are values, each with what it means.
macro_rules! words {
    ($type:ty, $($word:literal => $meaning:expr),+ $(,)?) => {
        impl $crate::model::label::value::Value for $type {
            fn parse(text: &str) -> Result<Self, $crate::model::label::Mistake> {
                $crate::model::label::value::one_of(text, &[$(($word, $meaning)),+])
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let words = [$(($word, $meaning)),+];
                f.write_str(words.iter().find(|(_, each)| each == self).map_or("", |(word, _)| word))
            }
        }
    };
}
pub(super) use words;

words!(super::HealthRule, "require" => Self::Require, "ignore" => Self::Ignore);
words!(Protocol, "http" => Self::Http, "h2c" => Self::H2c, "grpc" => Self::Grpc, "https" => Self::Https, "tcp" => Self::Tcp);

impl Value for i32 {
    fn parse(text: &str) -> Result<Self, Mistake> {
        text.parse().map_err(|_| {
            Mistake::new(
                "it is not a whole number, or too large a one",
                "write one such as \"10\"; higher comes first, the default is 0",
            )
        })
    }
}

/// Digits alone: no sign, no space.
pub(super) fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A port.
impl Value for u16 {
    fn parse(text: &str) -> Result<Self, Mistake> {
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match digits::<u16>(text) {
            Some(port) if port > 0 => Ok(port),
            _ if is_number => Err(Mistake::new(
                "a port is a number from 1 to 65535",
                "write the port the container listens on",
            )),
            _ if text.contains(':') => Err(Mistake::new(
                "it is a pair of ports; Envoy reaches the container itself, not its published port",
                "write the port inside the container alone, such as \"8080\"",
            )),
            _ => Err(Mistake::new(
                "it is not a port",
                "write the number of the port the container listens on, such as \"8080\"",
            )),
        }
    }
}

/// A whole number between two others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number<const FROM: u32, const TO: u32>(pub(super) u32);

impl<const FROM: u32, const TO: u32> Value for Number<FROM, TO> {
    fn parse(text: &str) -> Result<Self, Mistake> {
        match digits::<u32>(text) {
            Some(number) if (FROM..=TO).contains(&number) => Ok(Self(number)),
            _ => Err(Mistake::new(
                format!("it is not a whole number from {FROM} to {TO}"),
                format!("write one such as \"{}\"", (FROM + 99).min(TO)),
            )),
        }
    }
}

impl<const FROM: u32, const TO: u32> fmt::Display for Number<FROM, TO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many failures in a row take a container out; 0 for `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failures(pub(super) u32);

impl Value for Failures {
    fn parse(text: &str) -> Result<Self, Mistake> {
        if text == "off" {
            return Ok(Self(0));
        }
        Number::<1, 1000>::parse(text).map(|number| Self(number.0)).map_err(|_| {
            Mistake::new(
                "it is not off, nor a whole number from 1 to 1000",
                "write off, or the number of failures in a row after which a container is left alone, such as \"5\"",
            )
        })
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("off") } else { self.0.fmt(f) }
    }
}

impl Value for Span {
    fn parse(text: &str) -> Result<Self, Mistake> {
        const FIX: &str = "write a whole number and a unit, such as 250ms, 15s or 2m";
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(Mistake::new("it is not a duration", FIX));
        }
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "" => {
                return Err(Mistake::new(
                    "a duration has a unit",
                    format!("write \"{number}s\" for seconds"),
                ));
            }
            _ => return Err(Mistake::new(format!("{unit:?} is no unit of time"), FIX).at(digits)),
        };
        let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        match millis.filter(|millis| (1..=LONGEST_MILLIS).contains(millis)) {
            Some(millis) => Ok(Self(std::time::Duration::from_millis(millis))),
            None => Err(Mistake::new("a duration is from 1ms to 24h", FIX)),
        }
    }
}

impl Value for Limit {
    fn parse(text: &str) -> Result<Self, Mistake> {
        match text {
            "off" => Ok(Self::Off),
            "0" | "0s" => Err(Mistake::new("no time at all is no limit", "write off for none")),
            _ => Span::parse(text).map(|span| Self::After(span.0)),
        }
    }
}

/// The name of a service or network. It becomes part of cluster names, route names and log lines.
fn name(value: &str, what: &str) -> Result<String, Mistake> {
    match bad_in_name(value) {
        None if !value.is_empty() && value.len() <= NAME_BYTES => Ok(value.to_owned()),
        bad => {
            let mistake = Mistake::new(
                format!("it is not the name of a {what}"),
                "write 1 to 255 letters, digits, '-', '_', '.' and '/'",
            );
            Err(match bad {
                Some(place) => mistake.at(place),
                None => mistake,
            })
        }
    }
}

/// Where the first byte is that a name cannot have.
fn bad_in_name(value: &str) -> Option<usize> {
    value.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')))
}

/// Whether a name that no label chose can be that of a service.
pub(super) fn is_name(value: &str) -> bool {
    name(value, "service").is_ok()
}

/// A name, and what it is one of.
macro_rules! names {
    ($type:ident, $what:literal) => {
        #[doc = concat!("The name of a ", $what, ".")]
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(super) struct $type(pub(super) String);

        impl Value for $type {
            fn parse(text: &str) -> Result<Self, Mistake> {
                name(text, $what).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

names!(Service, "service");
names!(Network, "network");
names!(Version, "version");
