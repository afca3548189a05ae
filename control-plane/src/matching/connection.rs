//! Which service takes a connection, and why the others do not: what Envoy decides by the filter chains of a TCP entry point, said in
//! words. Pure; the tests of the whole system hold it against a real Envoy.

use std::net::IpAddr;
use std::sync::Arc;

use super::Answer;
use crate::model::{Host, Route, Site, Topology};
use crate::policies::EntryName;

/// What the URL of a connection begins with.
const SCHEME: &str = "tcp://";

/// A connection, as far as an entry point looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The port that it is opened to.
    pub port: u16,
    /// The name that the client asks for in TLS (server name indication, RFC 6066, 3), in lower case, if it asks for one.
    pub name: Option<String>,
}

impl Opening {
    /// One to what a person types, `tcp://db.localhost:5432` or `tcp://:5432`; nothing where that is about no connection. An address is
    /// no name that anybody asks for.
    pub fn read(url: &str) -> Option<Result<Self, String>> {
        let rest = url.trim().strip_prefix(SCHEME)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        Some(Self::of_authority(authority))
    }

    fn of_authority(authority: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{authority:?} is not a host and a port; write {SCHEME}db.localhost:5432, or {SCHEME}:5432"
            )
        };
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) && !is_address {
            return Err(wrong());
        }
        Ok(Self { port, name: Some(host).filter(|host| !host.is_empty() && !is_address) })
    }
}

/// What becomes of a connection, and how that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The entry point that it is opened at, if one of TCP has that port.
    pub entry: Option<&'a EntryName>,
    /// What is claimed there: what the client may mean first, the closer names before the wider ones; and what each says.
    pub asked: Vec<(&'a Site, &'a Route, Answer)>,
    /// What becomes of it.
    pub outcome: Outcome<'a>,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It goes to the service of this route.
    Taken(&'a Site, &'a Route),
    /// Nobody claims what it asks for: Envoy closes it.
    Closed,
    /// There is no entry point of TCP that clients reach by this port.
    Unknown,
    /// The entry point has to show a certificate and has none: Envoy does not listen there.
    NotOpen,
}

/// Decides as Envoy does with the listeners of `topology`.
#[must_use]
pub fn connect<'a>(topology: &'a Topology, opening: &Opening) -> Verdict<'a> {
    let policies = &topology.policies;
    let at_port = policies.tcp_entries().find(|(_, entry)| entry.port() == Some(opening.port));
    let Some((name, entry)) = at_port else {
        return Verdict { entry: None, asked: Vec::new(), outcome: Outcome::Unknown };
    };
    // In plain TCP nobody says which host is wanted.
    let host = opening.name.as_deref().filter(|_| policies.knows_hosts(name));
    let taken = taker(topology, name, host);
    let mut asked = said(topology, name, host, taken.map(|(site, _)| site));
    if !policies.is_able(entry) {
        asked.iter_mut().for_each(|(.., answer)| *answer = Answer::NotAsked);
        return Verdict { entry: Some(name), asked, outcome: Outcome::NotOpen };
    }
    let outcome = taken.map_or(Outcome::Closed, |(site, route)| Outcome::Taken(site, route));
    Verdict { entry: Some(name), asked, outcome }
}

/// Who gets the connections to `host` at an entry point, or those that name none.
pub(crate) fn taker<'a>(
    topology: &'a Topology,
    entry: &EntryName,
    host: Option<&str>,
) -> Option<(&'a Site, &'a Route)> {
    let host = host.map_or(Host::Any, |name| Host::Exact(name.to_owned()));
    // The name's own chain, else that of the longest wildcard (Envoy, "FilterChainMatch.server_names").
    let covering = Site { entry: Arc::clone(entry), host }.covering();
    covering.iter().find_map(|site| {
        let (site, routes) = topology.hosts.get_key_value(site)?;
        Some((site, routes.first()?))
    })
}

/// What each claim of an entry point says to a connection that `winner` gets.
fn said<'a>(
    topology: &'a Topology,
    entry: &'a EntryName,
    host: Option<&str>,
    winner: Option<&Site>,
) -> Vec<(&'a Site, &'a Route, Answer)> {
    let wanted =
        Site { entry: Arc::clone(entry), host: host.map_or(Host::Any, |it| Host::Exact(it.to_owned())) };
    let covering = wanted.covering();
    let all = topology.sites(entry).filter_map(|site| Some((site, topology.hosts.get(site)?.first()?)));
    let mut asked: Vec<(usize, &Site, &Route, Answer)> = all
        .map(|(site, route)| match covering.iter().position(|covers| covers == site) {
            Some(at) if Some(site) == winner => (at, site, route, Answer::Takes),
            Some(at) => (at, site, route, Answer::NotAsked),
            None => {
                let asks = host.map_or_else(|| "names no host".to_owned(), |host| format!("asks for {host}"));
                let why = format!("it takes those to {}, and this one {asks}", site.host);
                (covering.len(), site, route, Answer::Differs(why))
            }
        })
        .collect();
    asked.sort_by_key(|(at, site, ..)| (*at, *site));
    asked.into_iter().map(|(_, site, route, answer)| (site, route, answer)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, Options};

    fn topology() -> Topology {
        let policies = r#"
            certificates: { site: { chain: a, key: b } }
            entry-points:
              db: { listen: "0.0.0.0:5432", protocol: tcp }
              names: { listen: "0.0.0.0:9443", published: 443, protocol: tcp, tls: passthrough }
              shut: { listen: "0.0.0.0:9444", protocol: tcp, tls: site }
              empty: { listen: "0.0.0.0:9445", protocol: tcp }"#;
        let services = r#"services:
            db: {labels: {portolan.protocol: tcp, portolan.listen: db}, endpoints: ["127.0.0.1:1"]}
            one: {labels: {portolan.protocol: tcp, portolan.listen: names, portolan.host: one.localhost}, endpoints: ["127.0.0.1:2"]}
            all: {labels: {portolan.protocol: tcp, portolan.listen: names, portolan.host: "*.localhost"}, endpoints: ["127.0.0.1:3"]}
            two: {labels: {portolan.protocol: tcp, portolan.listen: names, portolan.host: "*.two.localhost"}, endpoints: ["127.0.0.1:4"]}
            shut: {labels: {portolan.protocol: tcp, portolan.listen: shut}, endpoints: ["127.0.0.1:5"]}"#;
        let options = Options {
            label_prefix: "portolan".to_owned(),
            reserved_host: "dashboard.localhost".to_owned(),
            policies: Arc::new(crate::policies::parse(policies).unwrap()),
        };
        let model = model::build(&Arc::new(crate::file::parse(services).unwrap()), &options, None);
        assert_eq!(model.problems, []);
        model.topology
    }

    #[test]
    fn the_service_that_envoy_would_take_wins() {
        let topology = topology();
        for (url, expected) in [
            ("tcp://:5432", "db"),
            ("tcp://whatever.localhost:5432/", "db"),
            ("tcp://127.0.0.1:5432", "db"),
            ("tcp://ONE.localhost.:443", "one"),
            ("tcp://two.localhost:443", "all"),
            ("tcp://a.two.localhost:443", "two"),
            ("tcp://a.b.two.localhost:443", "two"),
            ("tcp://localhost:443", "Closed"),
            ("tcp://:443", "Closed"),
            ("tcp://[::1]:443", "Closed"),
            ("tcp://one.localhost:9443", "Unknown"),
            ("tcp://:80", "Unknown"),
            ("tcp://:9444", "NotOpen"),
            ("tcp://:9445", "Closed"),
        ] {
            let opening = Opening::read(url).unwrap().unwrap();
            let found = match connect(&topology, &opening).outcome {
                Outcome::Taken(_, route) => route.name.clone(),
                other => format!("{other:?}"),
            };
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn every_claim_of_the_entry_point_says_something() {
        let topology = topology();
        let verdict = connect(&topology, &Opening { port: 443, name: Some("a.two.localhost".to_owned()) });
        let said: Vec<(String, &str, &Answer)> = verdict
            .asked
            .iter()
            .map(|(site, route, answer)| (site.host.to_string(), route.name.as_str(), answer))
            .collect();
        let differs =
            Answer::Differs("it takes those to one.localhost, and this one asks for a.two.localhost".into());
        assert_eq!(
            said,
            [
                ("*.two.localhost".to_owned(), "two", &Answer::Takes),
                ("*.localhost".to_owned(), "all", &Answer::NotAsked),
                ("one.localhost".to_owned(), "one", &differs),
            ]
        );
        assert_eq!(verdict.entry.map(|name| &**name), Some("names"));
    }

    #[test]
    fn what_is_no_connection_is_told() {
        assert_eq!(Opening::read("http://a:1"), None);
        for url in [
            "tcp://",
            "tcp://a",
            "tcp://a:",
            "tcp://a:0",
            "tcp://a:x",
            "tcp://a b:1",
            "tcp://a:1/x",
            "tcp://a:99999",
        ] {
            assert!(Opening::read(url).unwrap().unwrap_err().contains("write tcp://"), "{url}");
        }
    }
}
