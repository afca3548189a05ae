//! The words of the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{AccessLog, Mistake, Policies, check};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct File {
    pub(super) entry_points: BTreeMap<String, Spanned<Entry>>,
    pub(super) certificates: BTreeMap<String, Spanned<CertificateFiles>>,
    pub(super) auth: BTreeMap<String, Spanned<AuthWord>>,
    pub(super) defaults: BTreeMap<String, Spanned<Word>>,
    pub(super) projects: BTreeMap<String, Spanned<Project>>,
    pub(super) access_log: LogWord,
    pub(super) buffers: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Entry {
    pub(super) listen: Option<SocketAddr>,
    pub(super) published: Option<u16>,
    pub(super) redirect: Option<Spanned<String>>,
    pub(super) tls: Option<Spanned<OneOrMore>>,
    pub(super) protocol: ProtocolWord,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProtocolWord {
    #[default]
    Http,
    Tcp,
}

/// A name, or several in a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    /// Whether it is this one name.
    pub(super) fn is(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::More(more) => matches!(more.as_slice(), [one] if one == name),
        }
    }

    pub(super) fn list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CertificateFiles {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AuthWord {
    Basic(BasicWord),
    Forward(ForwardWord),
    Jwt(JwtWord),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct BasicWord {
    pub(super) users: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ForwardWord {
    pub(super) to: String,
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct JwtWord {
    pub(super) issuer: String,
    pub(super) audiences: OneOrMore,
    pub(super) keys: String,
    pub(super) ca: Option<PathBuf>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Project {
    pub(super) hosts: Option<Vec<Spanned<String>>>,
    pub(super) listen: Option<Vec<Spanned<String>>>,
}

/// A value as a label has it: YAML reads `10` and `true` as something else than text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Word {
    Bool(bool),
    Int(i64),
    Text(String),
}

impl Word {
    pub(super) fn text(self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Text(value) => value,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LogWord {
    #[default]
    Json,
    Text,
    Off,
}

impl From<LogWord> for AccessLog {
    fn from(word: LogWord) -> Self {
        match word {
            LogWord::Json => Self::Json,
            LogWord::Text => Self::Text,
            LogWord::Off => Self::Off,
        }
    }
}

/// Reads a policies file.
///
/// # Errors
///
/// Everything that is wrong with it, or the first thing that keeps it from being understood at all.
pub fn parse(text: &str) -> Result<Policies, Vec<Mistake>> {
    // Nothing in it, or comments alone, says nothing: everything is as without a file.
    let is_empty = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    let file = if is_empty { Ok(File::default()) } else { serde_saphyr::from_str(text) };
    let file = file.map_err(|error| {
        let (place, reason) = crate::file::place(&error);
        vec![Mistake { place, reason, fix: "docs/policies.md has every word, with an example".to_owned() }]
    })?;
    check::meaning(file)
}
