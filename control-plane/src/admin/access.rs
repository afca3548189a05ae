//! Who may change something: the rule that stands before `portolan.v1.AdminService` (docs/adr/0018).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, ensure};
use subtle::ConstantTimeEq;
use tonic::metadata::MetadataMap;
use tonic::service::Interceptor;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Request, Status};

use super::refusal::refused;

/// Shorter ones can be guessed.
const SHORTEST: usize = 16;
/// What Envoy puts on every request that it passes on (and what any proxy may).
const PROXIED: [&str; 4] = ["x-forwarded-proto", "x-forwarded-for", "x-envoy-expected-rq-timeout-ms", "via"];

/// Who may change something.
#[derive(Debug, Clone)]
pub enum Access {
    /// Who knows the token, from wherever.
    Token(Token),
    /// Everybody who reaches the port: it is open on loopback only.
    Everyone,
    /// Who is in this network namespace: the port is open to others, and there is no token.
    Local,
}

/// A secret that is never printed.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The token in `file`, without the white space around it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no token.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read the token in {shown}"))?;
        let token = text.trim();
        ensure!(
            token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic()),
            "the token in {shown} is none: it has {SHORTEST} letters, digits or signs at least, and no space; make one with: openssl rand -hex 32"
        );
        Ok(Self(token.to_owned()))
    }

    /// What a client sends as `authorization`.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Takes as long for a wrong one as for a right one.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl Access {
    /// The rule for a port at `listen`, which others reach at `published` where that is another address.
    #[must_use]
    pub fn new(token: Option<Token>, listen: SocketAddr, published: Option<IpAddr>) -> Self {
        match token {
            Some(token) => Self::Token(token),
            None if published.unwrap_or(listen.ip()).is_loopback() => Self::Everyone,
            None => Self::Local,
        }
    }

    fn allows(&self, metadata: &MetadataMap, peer: Option<IpAddr>) -> Result<(), Status> {
        if PROXIED.iter().any(|header| metadata.contains_key(*header)) {
            let message = "changes are not accepted through a proxy; ask the control plane's own port";
            return Err(refused(Code::PermissionDenied, "THROUGH_A_PROXY", message));
        }
        match self {
            Self::Everyone => Ok(()),
            // One that came over IPv6's form of IPv4 is as local.
            Self::Local if peer.is_some_and(|peer| peer.to_canonical().is_loopback()) => Ok(()),
            Self::Local => {
                let message = "this port is open beyond loopback, and there changes need a token: start the control plane with --admin-token-file, or ask from its own machine (docker compose exec control-plane portolan ...)";
                Err(refused(Code::PermissionDenied, "NO_TOKEN_SET", message))
            }
            Self::Token(token) => {
                let given = metadata.get("authorization").and_then(|value| value.to_str().ok());
                let given = given.and_then(|value| value.strip_prefix("Bearer "));
                match given {
                    Some(given) if token.is(given) => Ok(()),
                    Some(_) => Err(refused(
                        Code::Unauthenticated,
                        "WRONG_TOKEN",
                        "that is not the control plane's token",
                    )),
                    None => {
                        let message = "changes need the control plane's token: name its file with --admin-token-file or PORTOLAN_ADMIN_TOKEN_FILE";
                        Err(refused(Code::Unauthenticated, "TOKEN_NEEDED", message))
                    }
                }
            }
        }
    }
}

impl fmt::Display for Access {
    /// The end of a sentence that begins with "changes are accepted".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "with the token",
            Self::Everyone => "from everybody who reaches the port, which is open on loopback only",
            Self::Local => "from this machine alone; --admin-token-file lets others in",
        })
    }
}

impl Interceptor for Access {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let peer = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        self.allows(request.metadata(), peer.map(|peer| peer.ip()))?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataValue;
    use tonic_types::StatusExt;

    use super::*;

    const SECRET: &str = "0123456789abcdef-secret";

    fn token() -> Token {
        Token(SECRET.to_owned())
    }

    fn reason(access: &Access, headers: &[(&'static str, &str)], peer: &str) -> String {
        let mut metadata = MetadataMap::new();
        for (name, value) in headers {
            metadata.insert(*name, MetadataValue::try_from(*value).unwrap());
        }
        match access.allows(&metadata, Some(peer.parse().unwrap())) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => {
                assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
                error.get_error_details().error_info().unwrap().reason.clone()
            }
        }
    }

    #[test]
    fn the_port_decides_whether_a_token_is_needed() {
        let any: SocketAddr = "0.0.0.0:18000".parse().unwrap();
        let loopback: SocketAddr = "[::1]:18000".parse().unwrap();
        let at = |listen, published: Option<&str>| {
            Access::new(None, listen, published.map(|address| address.parse().unwrap()))
        };
        let far = |access: &Access| reason(access, &[], "172.18.0.1");
        assert_eq!(far(&at(loopback, None)), "accepted");
        assert_eq!(far(&at(any, Some("127.0.0.1"))), "accepted", "as in compose.yml");
        for open in [at(any, None), at(any, Some("0.0.0.0")), at(loopback, Some("192.0.2.7"))] {
            assert_eq!(far(&open), "NO_TOKEN_SET");
            assert_eq!(reason(&open, &[], "127.0.0.1"), "accepted", "docker compose exec");
            assert_eq!(reason(&open, &[], "::ffff:127.0.0.1"), "accepted");
        }
    }

    #[test]
    fn where_there_is_a_token_everybody_needs_it() {
        let access = Access::new(Some(token()), "127.0.0.1:1".parse().unwrap(), None);
        let with = |value: &str| reason(&access, &[("authorization", value)], "127.0.0.1");
        assert_eq!(with(&token().bearer()), "accepted");
        assert_eq!(with(&format!("Bearer {SECRET}x")), "WRONG_TOKEN");
        assert_eq!(with("Bearer "), "WRONG_TOKEN");
        assert_eq!(with(SECRET), "TOKEN_NEEDED");
        assert_eq!(reason(&access, &[], "127.0.0.1"), "TOKEN_NEEDED");
        assert_eq!(format!("{access:?}"), "Token(Token(..))");
    }

    #[test]
    fn what_came_through_a_proxy_is_refused_whatever_it_knows() {
        let open = Access::new(None, "127.0.0.1:1".parse().unwrap(), None);
        let guarded = Access::new(Some(token()), "127.0.0.1:1".parse().unwrap(), None);
        for header in PROXIED {
            let bearer = token().bearer();
            let headers = [(header, "http"), ("authorization", bearer.as_str())];
            assert_eq!(reason(&open, &headers, "127.0.0.1"), "THROUGH_A_PROXY");
            assert_eq!(reason(&guarded, &headers, "127.0.0.1"), "THROUGH_A_PROXY");
        }
    }

    #[test]
    fn a_token_is_read_without_its_line_end_and_a_short_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(Token::read(&file).unwrap_err().to_string().contains("cannot read"));
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        assert!(Token::read(&file).unwrap().is(SECRET));
        for text in ["", "short\n", "0123456789 abcdef-secret"] {
            std::fs::write(&file, text).unwrap();
            let told = Token::read(&file).unwrap_err().to_string();
            assert!(told.contains("openssl rand") && !told.contains("abcdef"), "{told}");
        }
    }
}
