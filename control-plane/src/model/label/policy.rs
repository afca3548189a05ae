//! Names of what an administrator allows: entry points, certificates, ways to prove who one is. Labels name them, and
//! never say what they are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::value::{Value, one_of};
use super::{Mistake, tcp};
use crate::model::topology::{Host, Site};
use crate::policies::{self, EntryName, Policies, WEB};

const OFF: &str = "off";
/// Whichever certificate is for the name.
const AUTO: &str = "auto";

/// What the labels of a route name.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub(super) listen: Option<Vec<String>>,
    pub(super) tls: Option<String>,
    pub(super) auth: Option<String>,
}

impl Named {
    /// The policy that guards the route, if one does.
    pub(super) fn guard(&self) -> Option<String> {
        self.auth.clone().filter(|name| name != OFF)
    }
}

/// Where a route is.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    /// Entry points at which it is.
    pub(super) entries: Vec<EntryName>,
    /// Those of them at which it only sends the client to the same over TLS, and the port to be named then.
    pub(super) upgrades: BTreeMap<EntryName, Option<u16>>,
}

impl Whereabouts {
    /// Each of `hosts` at each entry point.
    pub(super) fn sites(&self, hosts: &[Host]) -> Vec<Site> {
        let at = |entry: &EntryName| {
            let entry = Arc::clone(entry);
            hosts.iter().map(move |host| Site { entry: Arc::clone(&entry), host: host.clone() })
        };
        self.entries.iter().flat_map(at).collect()
    }
}

impl Named {
    /// Key and mistake for each name that nothing has, or that does not go with the others.
    pub(super) fn unknown(&self, policies: &Policies) -> Vec<(&'static str, Mistake)> {
        let known: Vec<&str> = [OFF].into_iter().chain(policies.auth.keys().map(String::as_str)).collect();
        let auth = self.auth.iter().filter(|name| !known.contains(&name.as_str()));
        let auth = auth.map(|name| ("auth", missing(name, &known, "policy")));
        self.whereabouts(policies).err().into_iter().flatten().chain(auth).collect()
    }

    /// Where the route is. One that wants TLS is where there is TLS, and sends clients of plain entry points there.
    pub(super) fn whereabouts(
        &self,
        policies: &Policies,
    ) -> Result<Whereabouts, Vec<(&'static str, Mistake)>> {
        let named = self.listen.as_deref().unwrap_or_default();
        let wrong = unknown_entries(named, policies).into_iter().chain(tcp::not_http(named, policies));
        let wrong: Vec<_> = wrong.collect();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let listen: Option<Vec<EntryName>> =
            self.listen.as_ref().map(|names| names.iter().map(|name| name.as_str().into()).collect());
        let is_secure =
            |name: &EntryName| policies.entry_points.get(name).is_some_and(policies::EntryPoint::is_secure);
        let wrong = |reason: String, fix: &str| Err(vec![("tls", Mistake::new(reason, fix))]);
        let name = match self.tls.as_deref() {
            None => {
                let entries = listen.unwrap_or_else(|| vec![policies.home().into()]);
                return Ok(Whereabouts { entries, upgrades: BTreeMap::new() });
            }
            Some(OFF) => {
                let entries = listen.unwrap_or_else(|| vec![WEB.into()]);
                return match entries.iter().find(|name| is_secure(name)) {
                    Some(name) => wrong(
                        format!("the entry point {name} speaks TLS to everybody"),
                        "name another one in listen, or remove this label",
                    ),
                    None => Ok(Whereabouts { entries, upgrades: BTreeMap::new() }),
                };
            }
            Some(AUTO) => None,
            Some(name) if policies.certificates.contains_key(name) => Some(name),
            Some(name) => {
                let known: Vec<&str> =
                    [OFF, AUTO].into_iter().chain(policies.certificates.keys().map(String::as_str)).collect();
                return Err(vec![("tls", missing(name, &known, "certificate"))]);
            }
        };
        let fitting: Vec<&EntryName> = policies.secure_entries(name).collect();
        let entries = listen.unwrap_or_else(|| {
            let web = EntryName::from(WEB);
            let all = fitting.iter().map(|name| EntryName::clone(name));
            // Where web sends everybody to TLS there is no need to say so for this route.
            let asks = policies.entry_points.get(WEB).is_some_and(|web| web.redirect.is_none());
            let web = Some(web).filter(|web| asks && !fitting.contains(&web));
            all.chain(web).collect()
        });
        // The one that browsers ask by themselves, if it is there.
        let found = entries.iter().filter(|name| fitting.contains(name));
        let Some(to) = found.min_by_key(|name| !policies.is_https(name)) else {
            let what = name.map(|name| format!(" with the certificate {name}")).unwrap_or_default();
            let where_ = if self.listen.is_some() {
                "none of the entry points of listen speaks"
            } else {
                "no entry point speaks"
            };
            return wrong(
                format!("{where_} TLS{what}"),
                "let the administrator add tls to one in the policies file, or remove this label",
            );
        };
        let plain = entries.iter().filter(|name| !fitting.contains(name));
        if let Some(other) = plain.clone().find(|name| is_secure(name)) {
            return wrong(
                format!("the entry point {other} does not have this certificate"),
                "write auto, or name another entry point in listen",
            );
        }
        let upgrades = plain.map(|from| (Arc::clone(from), policies.port_between(from, to))).collect();
        Ok(Whereabouts { entries, upgrades })
    }
}

/// Those of `named` that are no entry points, with what is to be said of them.
pub(super) fn unknown_entries(named: &[String], policies: &Policies) -> Vec<(&'static str, Mistake)> {
    let entries: Vec<&str> = policies.entry_points.keys().map(AsRef::as_ref).collect();
    let unknown = named.iter().filter(|name| !policies.has_entry(name));
    unknown.map(|name| ("listen", missing(name, &entries, "entry point"))).collect()
}

/// Nothing of that kind has that name.
fn missing(name: &str, known: &[&str], what: &str) -> Mistake {
    let reason = format!("there is no {what} {name:?}");
    let fix = match known {
        [only] => format!("write {only}, the only one so far, or remove the label"),
        _ => {
            let words: Vec<(&str, ())> = known.iter().map(|word| (*word, ())).collect();
            one_of(name, &words).map_or_else(|near| near.fix, |()| String::new())
        }
    };
    Mistake::new(reason, fix)
}

macro_rules! names {
    ($($type:ident, $what:literal);+) => {$(
        #[doc = concat!("The name of ", $what, ".")]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct $type(pub(super) String);

        impl Value for $type {
            fn parse(text: &str) -> Result<Self, Mistake> {
                named(text, $what).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

names!(EntryPoint, "an entry point"; Certificate, "a certificate"; Policy, "a policy");

pub(super) fn named(text: &str, what: &str) -> Result<String, Mistake> {
    let bad = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    let mistake = || {
        Mistake::new(
            format!("it is not the name of {what}"),
            "write the name alone: a label names it, and the administrator says what it is",
        )
    };
    match bad {
        Some(place) => Err(mistake().at(place)),
        None if text.is_empty() => Err(mistake()),
        None => Ok(text.to_owned()),
    }
}
