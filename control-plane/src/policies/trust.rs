//! Whose word counts for who a server is that Envoy asks by HTTPS.

use std::path::PathBuf;
use std::sync::Arc;

use super::secret::read;
use super::{Auth, Jwt, Keys, Policies};

/// The authorities that a server's certificate may be signed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those that browsers trust (Mozilla's list, as of this build).
    Web,
    /// Those of a file, which the control plane reads.
    File {
        /// The file.
        path: PathBuf,
        /// What it says, in PEM; nothing while it cannot be read.
        authorities: Option<Arc<str>>,
    },
}

impl Policies {
    /// Whether a server is to be known by authorities of a file.
    #[must_use]
    pub fn has_own_authorities(&self) -> bool {
        let is_own = |auth: &Auth| match auth {
            Auth::Jwt(Jwt { keys: Keys::At { trust, .. }, .. }) => matches!(trust, Some(Trust::File { .. })),
            Auth::Jwt(_) | Auth::Basic { .. } | Auth::Forward { .. } => false,
        };
        self.auth.values().any(is_own)
    }
}

impl Trust {
    /// Whether there is anybody to trust.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        !matches!(self, Self::File { authorities: None, .. })
    }

    /// Takes in what its file says; where that is at fault, what `last` had of it.
    ///
    /// # Errors
    ///
    /// What is wrong with it, whether something stands from before, and what to do about it.
    pub(super) fn fill(&mut self, last: Option<&Self>) -> Result<(), (String, bool, String)> {
        let Self::File { path, authorities } = self else { return Ok(()) };
        match read(path).and_then(|text| certificates(&text)) {
            Ok(text) => *authorities = Some(text.into()),
            Err((reason, fix)) => {
                *authorities = match last {
                    Some(Self::File { authorities, .. }) => authorities.clone(),
                    Some(Self::Web) | None => None,
                };
                return Err((format!("{reason} ({})", path.display()), authorities.is_some(), fix));
            }
        }
        Ok(())
    }
}

/// The certificates in a text, and nothing else of it: a key that may stand beside them is nobody's business.
fn certificates(text: &str) -> Result<String, (String, String)> {
    let all = pem::parse_many(text).unwrap_or_default();
    let all: Vec<pem::Pem> = all.into_iter().filter(|part| part.tag() == "CERTIFICATE").collect();
    if all.is_empty() {
        let reason = "the file of ca holds no certificate in PEM".to_owned();
        return Err((reason, "it begins with -----BEGIN CERTIFICATE-----".to_owned()));
    }
    Ok(pem::encode_many_config(&all, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_taken_and_nothing_else() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let taken = certificates(&format!("# ours\n{key}{certificate}{certificate}")).unwrap();
        assert_eq!(taken.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(!taken.contains("KEY"), "{taken}");
        for text in ["", "text", &key] {
            assert!(certificates(text).unwrap_err().0.contains("holds no certificate"), "{text}");
        }
    }
}
