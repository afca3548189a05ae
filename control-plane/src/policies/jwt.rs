//! Tokens that somebody else signs (JSON Web Tokens, RFC 7519), and the keys by which one knows that they did.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::secret::read;
use super::trust::Trust;
use crate::translate::HostPort;

/// The ports of a URL that says none.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// What a token must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// Who signs it (`iss`).
    pub issuer: String,
    /// Whom it is for (`aud`): one of these.
    pub audiences: Vec<String>,
    /// Headers that the application gets, each with the claim that it says.
    pub headers: BTreeMap<String, String>,
    /// By what it is signed.
    pub keys: Keys,
}

/// Where the signer's public keys are (JSON Web Key Set, RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// In a file, which the control plane reads, and hands to Envoy when it asks.
    File {
        /// The file.
        path: PathBuf,
        /// What it says; nothing while it cannot be read.
        set: Option<Arc<str>>,
    },
    /// At the signer's, whom Envoy asks by HTTP or HTTPS.
    At {
        /// Where that is, as seen from Envoy.
        at: HostPort,
        /// The path there.
        path: String,
        /// By whom the signer's certificate is to be signed; nothing where it is asked without TLS.
        trust: Option<Trust>,
    },
}

impl Keys {
    /// A file's path, or `https://HOST[:PORT]/PATH`, or the same with `http`; `ca` is a file of those who may sign for the host.
    ///
    /// # Errors
    ///
    /// It is none of these: why, and what to write instead.
    pub(super) fn parse(text: &str, ca: Option<PathBuf>) -> Result<Self, (String, &'static str)> {
        let url = text.split_once("://");
        let is_https = url.is_some_and(|(scheme, _)| scheme == "https");
        if ca.is_some() && !is_https {
            return Err((
                "ca: nobody shows a certificate but who is asked for keys by https".to_owned(),
                "remove ca, or write keys: https://...",
            ));
        }
        let Some((scheme, rest)) = url else {
            return Ok(Self::File { path: text.into(), set: None });
        };
        if !is_https && scheme != "http" {
            let reason = format!("keys: Envoy cannot ask by {scheme}");
            return Err((
                reason,
                "write https:// or http:// of a service that Envoy reaches, or a file into which the keys are fetched",
            ));
        }
        let trust = ca.map_or(Trust::Web, |path| Trust::File { path, authorities: None });
        let trust = is_https.then_some(trust);
        let port = if is_https { HTTPS } else { HTTP };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let at = authority
            .parse()
            .map_err(|reason| (format!("keys: {reason}"), "it is a service that Envoy reaches"))?;
        if path.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
            return Err((format!("keys: {path:?} is not a path"), "write one such as /keys"));
        }
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        Ok(Self::At { at, path, trust })
    }
}

impl Jwt {
    /// Whether it can be asked.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        match &self.keys {
            Keys::File { set, .. } => set.is_some(),
            Keys::At { trust: Some(trust), .. } => trust.is_ready(),
            Keys::At { trust: None, .. } => true,
        }
    }

    /// The file that it names: of keys, or of those who may sign for whom has them.
    pub(super) const fn file(&self) -> Option<&PathBuf> {
        match &self.keys {
            Keys::File { path, .. } | Keys::At { trust: Some(Trust::File { path, .. }), .. } => Some(path),
            Keys::At { .. } => None,
        }
    }

    /// The same, to be named otherwise.
    pub(super) const fn file_mut(&mut self) -> Option<&mut PathBuf> {
        match &mut self.keys {
            Keys::File { path, .. } | Keys::At { trust: Some(Trust::File { path, .. }), .. } => Some(path),
            Keys::At { .. } => None,
        }
    }

    /// A name for what a token must be, apart from its keys. What asks for another one is asked for something else.
    #[must_use]
    pub fn rules(&self) -> String {
        let mut hash = Xxh3::new();
        let headers = self.headers.iter().flat_map(|(header, claim)| [header, claim]);
        let lists: [Vec<&String>; 3] =
            [vec![&self.issuer], self.audiences.iter().collect(), headers.collect()];
        for list in lists {
            for word in list {
                hash.update(word.as_bytes());
                hash.update(&[0]);
            }
            hash.update(&[1]);
        }
        format!("{:016x}", hash.digest())
    }

    /// Takes in what its file says, as [`Auth::fill`](super::Auth).
    pub(super) fn fill(&mut self, last: Option<&Self>) -> Result<(), (String, bool, String)> {
        let (path, set) = match &mut self.keys {
            Keys::File { path, set } => (path, set),
            Keys::At { trust, .. } => {
                let before = last.and_then(|last| match &last.keys {
                    Keys::At { trust, .. } => trust.as_ref(),
                    Keys::File { .. } => None,
                });
                return trust.as_mut().map_or(Ok(()), |trust| trust.fill(before));
            }
        };
        match read(path).and_then(|text| checked(&text).map(|()| text)) {
            Ok(text) => *set = Some(text.into()),
            Err((reason, fix)) => {
                *set = match last.map(|last| &last.keys) {
                    Some(Keys::File { set, .. }) => set.clone(),
                    Some(Keys::At { .. }) | None => None,
                };
                return Err((format!("{reason} ({})", path.display()), set.is_some(), fix));
            }
        }
        Ok(())
    }
}

/// Whether these are public keys of kinds that Envoy knows. What is said of others names their numbers and nothing of them.
fn checked(text: &str) -> Result<(), (String, String)> {
    const FIX: &str = "write a JSON Web Key Set as the signer publishes it: {\"keys\": [{\"kty\": \"RSA\", \"n\": ..., \"e\": ...}]}";
    let wrong = |reason: String, fix: &str| Err((reason, fix.to_owned()));
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    let keys = parsed.as_ref().and_then(|set| set["keys"].as_array());
    let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
        return wrong("the file holds no set of keys".to_owned(), FIX);
    };
    for (number, key) in (1..).zip(keys) {
        let parts: &[&str] = match key["kty"].as_str() {
            Some("RSA") => &["n", "e"],
            Some("EC") => &["crv", "x", "y"],
            Some("OKP") => &["crv", "x"],
            Some("oct") => {
                return wrong(
                    format!("key {number} is a secret that signs as well as it checks"),
                    "let the signer use a pair of keys, such as those of RS256 or ES256",
                );
            }
            _ => return wrong(format!("key {number} is of no kind that Envoy knows: RSA, EC, OKP"), FIX),
        };
        if key.get("d").is_some() {
            return wrong(
                format!("key {number} is a private one, and so the signer's alone"),
                "take its private parts out (d, p, q, dp, dq, qi), and let the signer make a new one",
            );
        }
        if let Some(part) = parts.iter().find(|part| key[**part].as_str().is_none_or(str::is_empty)) {
            return wrong(format!("key {number} has no {part}"), FIX);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_public_ones_and_nothing_of_others_is_told() {
        let good = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "a"}, {"kty": "RSA", "n": "a", "e": "AQAB", "use": "sig"}]}"#;
        assert_eq!(checked(good), Ok(()));
        for (text, wanted) in [
            ("secret", "holds no set of keys"),
            (r#"{"keys": []}"#, "holds no set of keys"),
            (r#"{"keys": [{"kty": "oct", "k": "secret"}]}"#, "key 1 is a secret that signs"),
            (
                r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "secret"}]}"#,
                "key 1 is a private one",
            ),
            (r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "secret"}]}"#, "key 1 has no y"),
            (r#"{"keys": [{"kty": "RSA", "n": "a", "e": "b"}, {"kty": "secret"}]}"#, "key 2 is of no kind"),
        ] {
            let (reason, fix) = checked(text).unwrap_err();
            assert!(
                reason.contains(wanted) && !reason.contains("\"secret") && !fix.contains("\"secret"),
                "{reason}"
            );
        }
    }

    #[test]
    fn keys_are_in_a_file_or_at_a_service() {
        let at = |text: &str| match Keys::parse(text, None) {
            Ok(Keys::File { path, .. }) => path.display().to_string(),
            Ok(Keys::At { at, path, trust }) => {
                format!("{} {} {path}{}", at.host, at.port, if trust.is_some() { " by TLS" } else { "" })
            }
            Err((reason, _)) => reason,
        };
        for (text, wanted) in [
            ("keys/id.json", "keys/id.json"),
            ("http://id:8080/realms/a/certs?x=1", "id 8080 /realms/a/certs?x=1"),
            ("http://id", "id 80 /"),
            ("https://id/keys", "id 443 /keys by TLS"),
            ("https://id:8443", "id 8443 / by TLS"),
            ("ftp://id/keys", "keys: Envoy cannot ask by ftp"),
            (
                "http:///keys",
                "keys: \":80\" is not HOST:PORT; write a name or an address, and a port: control-plane:18001",
            ),
            ("http://id/a b", "keys: \"/a b\" is not a path"),
        ] {
            assert_eq!(at(text), wanted);
        }
    }

    #[test]
    fn other_rules_have_another_name_and_other_keys_have_not() {
        let keys = || Keys::File { path: "a".into(), set: None };
        let jwt = |issuer: &str, audiences: &[&str], header: &str| Jwt {
            issuer: issuer.to_owned(),
            audiences: audiences.iter().map(|word| (*word).to_owned()).collect(),
            headers: [(header.to_owned(), "sub".to_owned())].into(),
            keys: keys(),
        };
        let first = jwt("a", &["b"], "x");
        for other in
            [jwt("b", &["b"], "x"), jwt("a", &["b", "c"], "x"), jwt("a", &["bc"], "x"), jwt("a", &["b"], "y")]
        {
            assert_ne!(first.rules(), other.rules(), "{other:?}");
        }
        let newer = Jwt { keys: Keys::File { path: "a".into(), set: Some("{}".into()) }, ..first.clone() };
        assert_eq!(first.rules(), newer.rules());
    }
}
