//! Names of what an administrator allows: entry points, certificates, ways to prove who one is. Labels name them, and
//! never say what they are.

use std::fmt;

use super::Mistake;
use super::value::Value;

/// The entry point that every edge has.
const WEB: &str = "web";
const OFF: &str = "off";

/// What the labels of a route name.
#[derive(Debug, Clone, Default)]
pub(super) struct Policies {
    pub(super) listen: Option<String>,
    pub(super) tls: Option<String>,
    pub(super) auth: Option<String>,
}

impl Policies {
    /// Key and mistake for each name that nothing has. Nothing but `web` and `off` has one yet.
    pub(super) fn unknown(&self) -> impl Iterator<Item = (&'static str, Mistake)> {
        let names = [
            ("listen", &self.listen, WEB, "entry point"),
            ("tls", &self.tls, OFF, "certificate"),
            ("auth", &self.auth, OFF, "policy"),
        ];
        names.into_iter().filter_map(|(key, name, known, what)| {
            let name = name.as_deref().filter(|name| *name != known)?;
            let reason = format!("there is no {what} {name:?}");
            Some((
                key,
                Mistake::new(reason, format!("write {known}, the only one so far, or remove the label")),
            ))
        })
    }
}

macro_rules! names {
    ($($type:ident, $what:literal);+) => {$(
        #[doc = concat!("The name of ", $what, ".")]
        #[derive(Debug, Clone)]
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

fn named(text: &str, what: &str) -> Result<String, Mistake> {
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
