//! Ways to prove who one is, which a label names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::jwt::Jwt;
use super::secret::{Hidden, read};
use super::watch::beside;
use crate::translate::HostPort;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// A name and a password (RFC 7617).
    Basic {
        /// The file of names and hashes.
        file: PathBuf,
        /// What it says; nothing while it cannot be read.
        users: Option<Hidden>,
    },
    /// Another service is asked, and says.
    Forward {
        /// Where it is, as seen from Envoy.
        at: HostPort,
        /// What stands before the path of the request that it is asked about.
        path: String,
        /// Headers of its answer that the application gets.
        headers: Vec<String>,
    },
    /// A token that somebody else has signed.
    Jwt(Jwt),
}

impl Auth {
    /// Whether it can be asked: else what it guards is closed.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        match self {
            Self::Jwt(jwt) => jwt.is_ready(),
            Self::Basic { users, .. } => users.is_some(),
            Self::Forward { .. } => true,
        }
    }

    /// The file that it names.
    pub(super) const fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Basic { file, .. } => Some(file),
            Self::Jwt(jwt) => jwt.file(),
            Self::Forward { .. } => None,
        }
    }

    /// Its file, as one beside the policies file `policies`.
    pub(super) fn beside(&mut self, policies: &Path) {
        let file = match self {
            Self::Basic { file, .. } => Some(file),
            Self::Jwt(jwt) => jwt.file_mut(),
            Self::Forward { .. } => None,
        };
        if let Some(file) = file {
            *file = beside(policies, file);
        }
    }

    /// Takes in what its file says; where that is at fault, what `last` had of it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, whether something stands from before, and what to do about it.
    pub(super) fn fill(&mut self, last: Option<&Self>) -> Result<(), (String, bool, String)> {
        match self {
            Self::Basic { file, users } => match read(file).and_then(|text| hashes(&text)) {
                Ok(read) => *users = Some(Hidden::new(&read)),
                Err((reason, fix)) => {
                    *users = last.and_then(|last| match last {
                        Self::Basic { users, .. } => users.clone(),
                        Self::Forward { .. } | Self::Jwt(_) => None,
                    });
                    return Err((format!("{reason} ({})", file.display()), users.is_some(), fix));
                }
            },
            Self::Forward { .. } => {}
            Self::Jwt(jwt) => {
                return jwt.fill(last.and_then(|last| match last {
                    Self::Jwt(last) => Some(last),
                    Self::Basic { .. } | Self::Forward { .. } => None,
                }));
            }
        }
        Ok(())
    }
}

/// The lines of an htpasswd file that Envoy understands, which is none but those of SHA-1. What is said of a faulty one names its number
/// and nothing of it.
fn hashes(text: &str) -> Result<String, (String, String)> {
    const FIX: &str = "write it with htpasswd -s, which makes NAME:{SHA}... of a name and a password";
    let mut names = BTreeSet::new();
    let mut all = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let told = |reason: &str| Err((format!("line {number} of the users {reason}"), FIX.to_owned()));
        let Some((name, hash)) = line.split_once(':').filter(|(name, _)| !name.is_empty()) else {
            return told("has no name and hash");
        };
        // 20 bytes in base64.
        let is_sha = hash.strip_prefix("{SHA}").is_some_and(|hash| hash.len() == 28 && hash.ends_with('='));
        if !is_sha {
            return told("has a hash that is not of SHA-1, the only one that Envoy knows");
        }
        if !names.insert(name) {
            return told("has a name that a line before has too");
        }
        all.push_str(line);
        all.push('\n');
    }
    if names.is_empty() { Err(("the users' file names nobody".to_owned(), FIX.to_owned())) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_those_whose_hashes_envoy_knows_and_no_hash_is_told() {
        let right = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
        assert_eq!(
            hashes(&format!("# staff\n\n a:{right}\nb:{right}")).unwrap(),
            format!("a:{right}\nb:{right}\n")
        );
        for (text, word) in [
            (format!("a:{right}\nb:$2y$05$secret"), "line 2 of the users has a hash that is not of SHA-1"),
            (format!("a:{right}\na:{right}"), "line 2 of the users has a name that a line before has too"),
            ("secret".to_owned(), "line 1 of the users has no name and hash"),
            ("a:secret".to_owned(), "not of SHA-1"),
            (":x".to_owned(), "no name"),
            ("# nobody\n".to_owned(), "names nobody"),
        ] {
            let (reason, fix) = hashes(&text).unwrap_err();
            assert!(
                reason.contains(word) && !reason.contains("secret") && fix.contains("htpasswd -s"),
                "{reason}"
            );
        }
    }
}
