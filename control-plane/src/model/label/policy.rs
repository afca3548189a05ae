//! Names of what an administrator allows: entry points, certificates, ways to prove who one is. Labels name them, and
//! never say what they are.

use std::fmt;
use std::sync::Arc;

use super::Mistake;
use super::value::{Value, one_of};
use crate::model::topology::{Host, Site};
use crate::policies::{EntryName, Policies};

const OFF: &str = "off";

/// What the labels of a route name.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub(super) listen: Option<Vec<String>>,
    pub(super) tls: Option<String>,
    pub(super) auth: Option<String>,
}

impl Named {
    /// Key and mistake for each name that nothing has.
    pub(super) fn unknown(&self, policies: &Policies) -> Vec<(&'static str, Mistake)> {
        let entries: Vec<&str> = policies.entry_points.keys().map(AsRef::as_ref).collect();
        let listen = self.listen.iter().flatten().map(|name| ("listen", name, &entries[..], "entry point"));
        let tls = self.tls.iter().map(|name| ("tls", name, &[OFF][..], "certificate"));
        let auth = self.auth.iter().map(|name| ("auth", name, &[OFF][..], "policy"));
        let all = listen.chain(tls).chain(auth);
        let unknown = all.filter(|(_, name, known, _)| !known.contains(&name.as_str()));
        unknown.map(|(key, name, known, what)| (key, missing(name, known, what))).collect()
    }

    /// Where the route is, for each of its hosts.
    pub(super) fn sites(&self, hosts: &[Host], policies: &Policies) -> Vec<Site> {
        let home = [policies.home().to_owned()];
        let entries = self.listen.as_deref().unwrap_or(&home);
        let at = |entry: &String| {
            let entry: EntryName = entry.as_str().into();
            hosts.iter().map(move |host| Site { entry: Arc::clone(&entry), host: host.clone() })
        };
        entries.iter().flat_map(at).collect()
    }
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
