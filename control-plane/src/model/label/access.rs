//! Who may use a route, and how much of it.

use std::fmt;
use std::net::IpAddr;

use super::value::{self, Value};
use super::{Mistake, answer, regex};
use crate::model::options::{Cidr, Origin, Per, Rate};

/// The largest size a label may say: 1 TiB.
const LARGEST: u64 = 1 << 40;

impl Value for Origin {
    fn parse(text: &str) -> Result<Self, Mistake> {
        const FIX: &str = "write the scheme and the host, such as https://shop.example.com, https://*.example.com, or * for every one";
        if text == "*" {
            return Ok(Self::Any);
        }
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Err(Mistake::new(format!("{text:?} is not the origin of a page"), FIX));
        };
        let offset = scheme.len() + "://".len();
        if let Some(place) = rest.find(['/', '?', '#']) {
            return Err(Mistake::new(
                "an origin ends with the host and port",
                format!("write {}", &text[..offset + place]),
            )
            .at(offset + place));
        }
        let (below, name) = rest.strip_prefix("*.").map_or((false, rest), |name| (true, name));
        let authority = answer::authority(name)
            .map_err(|mistake| Mistake { fix: FIX.to_owned(), ..mistake.shifted(text.len() - name.len()) })?;
        let scheme = scheme.to_owned();
        if !below {
            return Ok(Self::Exact(format!("{scheme}://{authority}")));
        }
        let origin = Self::Below(scheme, authority);
        // Envoy matches it by a regular expression.
        origin.pattern().map_or(Ok(()), |pattern| regex::check(&pattern)).map_err(|_| {
            Mistake::new("the name is too long to be matched by Envoy", "name the origins one by one")
        })?;
        Ok(origin)
    }
}

fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.'))
}

impl Value for Rate {
    fn parse(text: &str) -> Result<Self, Mistake> {
        const FIX: &str = "write a number and s, m or h, such as 100/s or 1000/m";
        let Some((number, per)) = text.split_once('/') else {
            return Err(Mistake::new("a rate is so many requests in a unit of time", FIX));
        };
        let Some(count) = value::digits::<u32>(number).filter(|count| (1..=1_000_000).contains(count)) else {
            return Err(Mistake::new("the number of requests is not one from 1 to 1000000", FIX));
        };
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => {
                return Err(
                    Mistake::new(format!("{per:?} is no unit of time here"), FIX).at(number.len() + 1)
                );
            }
        };
        Ok(Self { count, per })
    }
}

/// Whether each client's address has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LimitBy(pub(super) bool);

value::words!(LimitBy, "ip" => Self(true), "route" => Self(false));

impl Value for Cidr {
    fn parse(text: &str) -> Result<Self, Mistake> {
        const FIX: &str =
            "write an address such as 192.0.2.7, or a range such as 10.0.0.0/8 or 2001:db8::/32";
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let Ok(ip) = address.parse::<IpAddr>() else {
            return Err(Mistake::new(format!("{address:?} is not an IP address"), FIX));
        };
        let all: u8 = if ip.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) => value::digits::<u8>(bits).filter(|bits| *bits <= all).ok_or_else(|| {
                let reason = format!("the size of the range is not a number from 0 to {all}");
                Mistake::new(reason, FIX).at(address.len() + 1)
            })?,
        };
        let first = first_of(ip, bits);
        if first != ip {
            return Err(Mistake::new(
                format!("{address} is not the first address of a range of {bits} bits"),
                format!("write {first}/{bits}, or {address} for the one address"),
            ));
        }
        Ok(Self { address: ip, bits })
    }
}

/// The first address of the range of `bits` that `ip` is in.
fn first_of(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Value for Size {
    fn parse(text: &str) -> Result<Self, Mistake> {
        const FIX: &str = "write a whole number and a unit, such as 512KiB, 1MiB or 10MB";
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(Mistake::new("it is not a size", FIX));
        }
        let Some((_, factor)) = UNITS.iter().find(|(word, _)| *word == unit) else {
            let reason = match unit {
                "" => "a size has a unit".to_owned(),
                unit => format!("{unit:?} is no unit of size"),
            };
            return Err(Mistake::new(reason, FIX).at(digits));
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        match bytes.filter(|bytes| (1..=LARGEST).contains(bytes)) {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(Mistake::new("a size is from 1B to 1024GiB", FIX)),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS.iter().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let (word, unit) = whole.unwrap_or(&("B", 1));
        write!(f, "{}{word}", self.0 / unit)
    }
}
