//! Retries, mirrors, and which container is asked.

use std::collections::BTreeSet;
use std::fmt;

use super::Mistake;
use super::header::{self, HeaderName};
use super::value::{self, Service, Value};
use crate::model::ServiceName;
use crate::model::options::{Balance, HashKey, Mirror, Retries, RetryOn, Sticky};

/// Each try may take a connection's time-out; more would outlast the patience of any client.
const MOST_RETRIES: u32 = 10;
/// The cookie of a sticky session, where no label names one.
const COOKIE: &str = "portolan";

impl Value for Retries {
    fn parse(text: &str) -> Result<Self, Mistake> {
        const FIX: &str = "write a number such as 2, 0 for none, or a number and cases such as 2:5xx,reset";
        let (number, cases) = text.split_once(':').map_or((text, None), |(number, on)| (number, Some(on)));
        let Some(attempts) = value::digits::<u32>(number).filter(|attempts| *attempts <= MOST_RETRIES) else {
            return Err(Mistake::new(
                format!("it does not begin with a number from 0 to {MOST_RETRIES}"),
                FIX,
            ));
        };
        let mut on = BTreeSet::new();
        if let Some(cases) = cases {
            let mut at = number.len() + 1;
            for case in cases.split(',') {
                let trimmed = case.trim();
                let place = at + (case.len() - case.trim_start().len());
                on.insert(value::one_of(trimmed, &RetryOn::WORDS).map_err(|mistake| mistake.shifted(place))?);
                at += case.len() + 1;
            }
            if attempts == 0 {
                return Err(Mistake::new(
                    "none is tried again, in no case",
                    "write 0 alone, or a number of tries",
                ));
            }
        }
        Ok(Self { attempts, on })
    }
}

impl Value for Mirror {
    fn parse(text: &str) -> Result<Self, Mistake> {
        let (name, share) = text.split_once(':').map_or((text, None), |(name, share)| (name, Some(share)));
        let Service(service) = Service::parse(name)?;
        let percent = match share {
            None => 100,
            Some(share) => {
                let number = share.strip_suffix('%').and_then(value::digits::<u8>);
                number.filter(|percent| (1..=100).contains(percent)).ok_or_else(|| {
                    Mistake::new(
                        "the share of requests is not a whole number of percent from 1% to 100%",
                        format!("write for example {name}:25%"),
                    )
                    .at(name.len() + 1)
                })?
            }
        };
        Ok(Self { service: ServiceName(service.into()), percent })
    }
}

impl Value for Balance {
    fn parse(text: &str) -> Result<Self, Mistake> {
        let (word, key) = text.split_once(':').map_or((text, None), |(word, key)| (word, Some(key)));
        let with_key: fn(HashKey) -> Self = match (word, key) {
            ("ring-hash", _) => Self::RingHash,
            ("maglev", _) => Self::Maglev,
            (_, Some(_)) if ["round-robin", "least-request", "random"].contains(&word) => {
                return Err(
                    Mistake::new(format!("{word} has no key"), format!("write {word} alone")).at(word.len())
                );
            }
            _ => {
                let plain = [
                    ("round-robin", Some(Self::RoundRobin)),
                    ("least-request", Some(Self::LeastRequest)),
                    ("random", Some(Self::Random)),
                    ("ring-hash:...", None),
                    ("maglev:...", None),
                ];
                let words = plain.clone().map(|(word, _)| (word, word));
                let word = value::one_of(text, &words)?;
                let found =
                    plain.into_iter().find(|(each, _)| *each == word).and_then(|(_, balance)| balance);
                return found.ok_or_else(|| missing_key("ring-hash"));
            }
        };
        let key = key.ok_or_else(|| missing_key(word))?;
        HashKey::parse(key).map(with_key).map_err(|mistake| mistake.shifted(word.len() + 1))
    }
}

fn missing_key(word: &str) -> Mistake {
    Mistake::new(
        format!("{word} spreads requests by something, and nothing is said"),
        format!("write {word}:header:x-user, {word}:cookie:session or {word}:ip"),
    )
}

impl Value for HashKey {
    fn parse(text: &str) -> Result<Self, Mistake> {
        match text.split_once(':') {
            Some(("header", name)) => {
                let name = header::to_match(name).map_err(|mistake| mistake.at("header:".len()))?;
                Ok(Self::Header(name))
            }
            Some(("cookie", name)) => {
                cookie(name).map(Self::Cookie).map_err(|mistake| mistake.shifted("cookie:".len()))
            }
            None if text == "ip" => Ok(Self::Ip),
            _ => Err(Mistake::new(
                "it is not something to spread requests by",
                "write header:<name>, cookie:<name> or ip",
            )),
        }
    }
}

/// The name of a cookie (RFC 6265, 4.1.1).
fn cookie(name: &str) -> Result<String, Mistake> {
    match HeaderName::parse(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(mistake) => {
            let place = mistake.place.unwrap_or(0);
            Err(Mistake::new(format!("{name:?} is not the name of a cookie"), "write one such as session")
                .at(place))
        }
    }
}

/// `off`, `cookie` or `cookie:<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session(pub(super) Option<Sticky>);

impl Value for Session {
    fn parse(text: &str) -> Result<Self, Mistake> {
        match text.split_once(':') {
            Some(("cookie", name)) => cookie(name)
                .map(|cookie| Self(Some(Sticky { cookie })))
                .map_err(|mistake| mistake.shifted("cookie:".len())),
            Some(_) => Err(Mistake::new(
                "a session is kept by a cookie, and by nothing else",
                "write cookie, or cookie:<name>",
            )),
            None => value::one_of(text, &[("cookie", true), ("off", false)])
                .map(|on| Self(on.then(|| Sticky { cookie: COOKIE.to_owned() }))),
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(sticky) => sticky.fmt(f),
            None => f.write_str("off"),
        }
    }
}
