//! Who may use a route: what is not carried over whole takes its router out.

use std::net::IpAddr;

use super::Work;
use crate::compat::note::{Note, Refusal};
use crate::compat::traefik::labels::{Fields, Said};
use crate::compat::traefik::service::by_hand;

/// `basicauth`: the users are secrets, and no label of ours has any.
pub(super) fn basic(work: &mut Work<'_>, name: &str, fields: &mut Fields) -> Result<(), Note> {
    policy(
        work,
        name,
        fields,
        "basicauth.",
        "the users and their passwords are secrets, which no label of ours has",
        "a policy of basic authentication with the users in a file",
    )
}

/// `forwardauth`.
pub(super) fn forward(work: &mut Work<'_>, name: &str, fields: &mut Fields) -> Result<(), Note> {
    policy(
        work,
        name,
        fields,
        "forwardauth.",
        "the address that is asked is for the administrator to say",
        "a policy of forward authentication with that address",
    )
}

/// The route names a policy; until somebody has written it the route is refused, which is the safe side.
fn policy(
    work: &mut Work<'_>,
    name: &str,
    fields: &mut Fields,
    prefix: &str,
    reason: &str,
    what: &str,
) -> Result<(), Note> {
    let all = fields.take_all(prefix);
    let Some((_, first)) = all.first() else { return Ok(()) };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let policy: String = name.chars().map(plain).collect();
    if work.drafts.iter().any(|draft| draft.keys.get("auth").is_some_and(|other| *other != policy)) {
        return Err(first
            .lost(Refusal::new("a route of ours has one way to say who one is", "choose one of the two")));
    }
    work.set("auth", &policy);
    for (_, said) in &all {
        let fix = format!("write {policy} into the policies file as {what}; until then the route is refused");
        work.notes.push(by_hand(said, reason, fix));
    }
    Ok(())
}

/// `digestauth`.
pub(super) fn digest(_: &mut Work<'_>, name: &str, fields: &mut Fields) -> Result<(), Note> {
    refuse(
        fields,
        format!("Envoy does not know digest authentication, and without {name} anybody could use the route"),
    )
}

/// `plugin`.
pub(super) fn plugin(_: &mut Work<'_>, name: &str, fields: &mut Fields) -> Result<(), Note> {
    refuse(fields, format!("Envoy has no plugins of Traefik, and {name} may keep somebody out"))
}

/// `passtlsclientcert`.
pub(super) fn client_certificate(_: &mut Work<'_>, name: &str, fields: &mut Fields) -> Result<(), Note> {
    refuse(
        fields,
        format!(
            "there is no TLS with certificates of clients yet, and without {name} the application knows nobody"
        ),
    )
}

fn refuse(fields: &Fields, reason: String) -> Result<(), Note> {
    let fix = "say in our labels who may use the route";
    fields.first().map_or(Ok(()), |first| Err(first.lost(Refusal::new(reason, fix))))
}

/// `ipallowlist`, which was `ipwhitelist`.
pub(super) fn allow(work: &mut Work<'_>, _: &str, fields: &mut Fields) -> Result<(), Note> {
    let prefix = if fields.kinds() == ["ipwhitelist"] { "ipwhitelist." } else { "ipallowlist." };
    let mut ranges: Option<Said> = None;
    for (field, said) in fields.take_all(prefix) {
        match field.as_str() {
            "sourcerange" => ranges = Some(said),
            "rejectstatuscode" if said.value != "403" => work.notes.push(said.differs("the answer is 403")),
            "rejectstatuscode" => {}
            _ => {
                return Err(said.lost(Refusal::new(
                    "the client's address is that of its connection, and no header is believed",
                    "let whatever stands before Envoy check the addresses",
                )));
            }
        }
    }
    let Some(ranges) = ranges else { return Ok(()) };
    let mut all = Vec::new();
    for range in ranges.list() {
        all.push(first_of(range).ok_or_else(|| {
            ranges.lost(Refusal::new(format!("{range} is no range of addresses"), "correct it"))
        })?);
    }
    if work.drafts.iter().any(|draft| draft.keys.contains_key("allow")) {
        return Err(
            ranges.lost(Refusal::new("a route of ours has one list of addresses", "make one list of both"))
        );
    }
    work.set("allow", &all.join(", "));
    Ok(())
}

/// The range as we write it: by its first address.
fn first_of(range: &str) -> Option<String> {
    let (address, bits) =
        range.split_once('/').map_or((range, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let Some(bits) = bits else { return Some(address.to_string()) };
    let bits: u32 = bits.parse().ok()?;
    let first: IpAddr = match address {
        IpAddr::V4(ip) if bits <= 32 => {
            (u32::from(ip) & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).to_be_bytes().into()
        }
        IpAddr::V6(ip) if bits <= 128 => {
            (u128::from(ip) & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).to_be_bytes().into()
        }
        _ => return None,
    };
    Some(format!("{first}/{bits}"))
}
