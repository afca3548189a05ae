//! Where the gRPC port is open beyond this machine: whoever reaches it may ask for keys as Envoy does.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Auth, Mistake, Policies};

/// A way from other machines to the gRPC port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Docker publishes it at that address of the host.
    Published(IpAddr),
    /// The process listens there, and in no container.
    Listening(SocketAddr),
}

impl Exposure {
    /// The way to a port at `listen`, which is `published` there if that is known; none where there is none, or none is known:
    /// what a process in a container listens on says nothing about who reaches it.
    #[must_use]
    pub fn of(listen: SocketAddr, published: Option<IpAddr>, is_contained: bool) -> Option<Self> {
        match published {
            Some(address) => (!address.to_canonical().is_loopback()).then_some(Self::Published(address)),
            None if is_contained || listen.ip().to_canonical().is_loopback() => None,
            None => Some(Self::Listening(listen)),
        }
    }

    /// What is wrong with that, where there is anything that nobody else may see.
    pub(super) fn mistake(self, policies: &Policies) -> Option<Mistake> {
        let what = policies.sent_secrets()?;
        let fix = match self {
            Self::Published(_) => {
                "publish it on loopback (127.0.0.1:18000:18000, in compose.yml ADMIN_BIND=127.0.0.1)"
            }
            Self::Listening(_) => "let it listen on loopback (--listen 127.0.0.1:18000)",
        };
        Some(Mistake {
            place: None,
            reason: format!(
                "it has {what}, which go to Envoy over xDS, to whoever asks as Envoy does; and {self}"
            ),
            fix: format!("{fix}, or on an address that Envoy alone reaches, and see that nobody else does"),
        })
    }
}

/// A sentence.
impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published(address) => write!(f, "that port is published at {address} (--published)"),
            Self::Listening(address) => write!(f, "that port is open at {address} (--listen)"),
        }
    }
}

impl Policies {
    /// What of it is sent to Envoy and a secret, in words.
    fn sent_secrets(&self) -> Option<&'static str> {
        let keys = self.certificates.values().any(|each| each.pair.is_some());
        let is_basic = |auth: &Auth| matches!(auth, Auth::Basic { users: Some(_), .. });
        match (keys, self.auth.values().any(is_basic)) {
            (true, true) => Some("private keys and hashes of passwords"),
            (true, false) => Some("private keys"),
            (false, true) => Some("hashes of passwords"),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_open_where_it_is_published_else_where_it_listens_outside_of_a_container() {
        let of = |listen: &str, published: Option<&str>, is_contained| {
            let published = published.map(|address| address.parse().unwrap());
            Exposure::of(listen.parse().unwrap(), published, is_contained).map(|open| open.to_string())
        };
        assert_eq!(of("0.0.0.0:18000", Some("127.0.0.1"), true), None, "as in compose.yml");
        assert_eq!(of("0.0.0.0:18000", None, true), None, "not published, or nobody says so");
        assert_eq!(of("127.0.0.1:18000", None, false), None);
        assert_eq!(of("[::ffff:127.0.0.1]:18000", None, false), None);
        let published = of("0.0.0.0:18000", Some("0.0.0.0"), true).unwrap();
        assert_eq!(published, "that port is published at 0.0.0.0 (--published)");
        let listening = of("0.0.0.0:18000", None, false).unwrap();
        assert_eq!(listening, "that port is open at 0.0.0.0:18000 (--listen)");
    }
}
