//! What nobody may read in a log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A text that is written nowhere: `Debug` says that there is one.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hidden(Arc<str>);

impl Hidden {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text itself, for Envoy alone, and for who takes secrets out of it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A certificate and its key, each in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, and those that it was signed by, in PEM.
    pub chain: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// What the files say; nothing while that is no certificate with its key.
    pub pair: Option<Pair>,
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The chain.
    pub chain: Arc<str>,
    /// The key.
    pub key: Hidden,
}

impl Certificate {
    /// What the files say now.
    ///
    /// # Errors
    ///
    /// What is wrong with them, and what to do about it.
    pub(super) fn read(&self) -> Result<Pair, (String, String)> {
        let (chain, key) = (read(&self.chain)?, read(&self.key)?);
        let chain_name = self.chain.display();
        let first = pem::parse_many(&chain).ok().and_then(|all| all.into_iter().next());
        let Some(first) = first.filter(|first| first.tag() == "CERTIFICATE") else {
            let reason = format!("{chain_name} holds no certificate in PEM");
            return Err((reason, "it begins with -----BEGIN CERTIFICATE-----".to_owned()));
        };
        let key_name = self.key.display();
        let parsed = pem::parse(&key).ok().filter(|key| key.tag().ends_with("PRIVATE KEY"));
        if parsed.is_none() {
            let reason = format!("{key_name} holds no private key in PEM");
            return Err((reason, "it begins with -----BEGIN PRIVATE KEY-----".to_owned()));
        }
        // A key of a kind that is not known here is for Envoy to judge.
        if let Ok(pair) = rcgen::KeyPair::from_pem(&key) {
            // A certificate holds the public key as it is.
            let public = rcgen::PublicKeyData::der_bytes(&pair);
            if !first.contents().windows(public.len()).any(|window| window == public) {
                let reason = format!("the key {key_name} is not that of the certificate {chain_name}");
                return Err((
                    reason,
                    "replace both; while one is new and the other old, what was served goes on".to_owned(),
                ));
            }
        }
        Ok(Pair { chain: chain.into(), key: Hidden::new(&key) })
    }
}

/// The text of a file that the policies name.
pub(super) fn read(path: &Path) -> Result<String, (String, String)> {
    std::fs::read_to_string(path).map_err(|error| {
        let reason = format!("cannot read {}: {error}", path.display());
        (reason, "the control plane reads it, so it must see the file: mount its folder there".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_not_printed() {
        assert_eq!(format!("{:?}", Hidden::new("password")), "(hidden)");
    }

    #[test]
    fn a_certificate_is_read_with_its_own_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        std::fs::write(path("crt"), made.cert.pem()).unwrap();
        std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("other"), other.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("text"), "text").unwrap();
        let read = |chain: &str, key: &str| {
            Certificate { chain: path(chain), key: path(key), pair: None }
                .read()
                .map_err(|(reason, _)| reason)
        };
        assert_eq!(read("crt", "key").unwrap().key.reveal(), made.signing_key.serialize_pem());
        for (chain, key, word) in [
            ("crt", "other", "is not that of the certificate"),
            ("text", "key", "holds no certificate"),
            ("key", "key", "holds no certificate"),
            ("crt", "text", "holds no private key"),
            ("crt", "none", "cannot read"),
        ] {
            let told = read(chain, key).unwrap_err();
            assert!(told.contains(word), "{chain} {key}: {told}");
        }
    }
}
