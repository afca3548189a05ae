//! The value of `host`: `a.example.com, *.example.org`, or `*`.

use super::Mistake;
use super::value::Value;
use crate::model::topology::Host;

/// Limits of DNS (RFC 1035, 2.3.4).
const LABEL_BYTES: usize = 63;
const NAME_BYTES: usize = 253;

const EXAMPLE: &str =
    "write a name such as shop.localhost, *.example.com for all names below one, or * for every host";

impl Value for Host {
    fn parse(text: &str) -> Result<Self, Mistake> {
        one(text)
    }
}

fn one(text: &str) -> Result<Host, Mistake> {
    if text == "*" {
        return Ok(Host::Any);
    }
    if text.is_empty() {
        return Err(Mistake::new("a host is empty", EXAMPLE));
    }
    if let Some(place) = text.find('/') {
        let name = text.rsplit("://").next().and_then(|rest| rest.split('/').next()).unwrap_or_default();
        return Err(Mistake::new(
            format!("{text:?} is a URL or has a path"),
            format!("write the host {name:?} alone; a path has a label of its own"),
        )
        .at(place));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(Mistake::new("a host matches on every port, and has none", format!("write {name:?}"))
            .at(name.len()));
    }
    let (wildcard, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
    let offset = text.len() - name.len();
    check(name).map_err(|mistake| mistake.shifted(offset))?;
    let name = name.to_ascii_lowercase();
    Ok(if wildcard { Host::Suffix(format!(".{name}")) } else { Host::Exact(name) })
}

/// Whether `name` is the name of a host, without any wildcard.
pub(super) fn check(name: &str) -> Result<(), Mistake> {
    if name.contains('*') {
        let place = name.find('*').unwrap_or(0);
        return Err(Mistake::new("a * stands alone or before the first dot, nowhere else", EXAMPLE).at(place));
    }
    if !name.is_ascii() {
        let place = name.find(|c: char| !c.is_ascii()).unwrap_or(0);
        return Err(Mistake::new(
            "browsers send such a name in its ASCII form",
            "write it as xn--..., as a whois or IDN page shows it",
        )
        .at(place));
    }
    if name.len() > NAME_BYTES {
        return Err(Mistake::new(format!("a host name has at most {NAME_BYTES} characters"), EXAMPLE));
    }
    let mut start = 0;
    for label in name.split('.') {
        let bad = label.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
        let edge = label.starts_with('-') || label.ends_with('-');
        let size = !(1..=LABEL_BYTES).contains(&label.len());
        if bad.is_some() || edge || size {
            return Err(
                Mistake::new(format!("{name:?} is not a host name"), EXAMPLE).at(start + bad.unwrap_or(0))
            );
        }
        start += label.len() + 1;
    }
    Ok(())
}
