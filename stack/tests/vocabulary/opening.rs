//! `portolan why tcp://...` beside a real Envoy: of every connection both say the same service.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stack::ports;
use stack::wait::until;

use super::lab::{LIMIT, Lab, is};
use super::upstream::Upstream;

/// What is claimed: names, and wildcards that cover each other.
const CLAIMS: [&str; 6] = ["a.test", "b.a.test", "*.a.test", "*.b.a.test", "*.c.test", "d.c.test"];

/// The server that takes a connection; empty where it is closed.
fn taken(port: u16, first: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    // It may be closed already.
    let _ = stream.write_all(first);
    let mut server = Vec::new();
    let mut bytes = [0; 64];
    while !server.contains(&b'\n') {
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(String::new()),
            Ok(length) => server.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(String::new()),
            Err(error) => return Err(error.into()),
        }
    }
    let line = server.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// What a client of TLS says first that asks for `name`, or for none (RFC 5246, 7.4.1.2; RFC 6066, 3).
fn hello(name: Option<&str>) -> Vec<u8> {
    fn block(bytes: usize, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&length[length.len() - bytes..], &content].concat()
    }
    let indicated =
        |name: &str| [&[0, 0][..], &block(2, &[&block(2, &[&[0], &block(2, &[name.as_bytes()])])])].concat();
    let extensions = name.map(indicated).unwrap_or_default();
    let message = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0xc0, 0x2f], &[1, 0], &block(2, &[&extensions])];
    [&[22, 3, 1][..], &block(2, &[&[1], &block(3, &message)])].concat()
}

/// Every name of one to three labels of these, below `test`; and some others.
fn names() -> Vec<String> {
    let labels = ["a", "b", "c", "d"];
    let mut all: Vec<String> = vec!["test".to_owned()];
    let mut longest = all.clone();
    for _ in 0..3 {
        longest = longest.iter().flat_map(|name| labels.map(|label| format!("{label}.{name}"))).collect();
        all.extend(longest.iter().cloned());
    }
    all.extend(["B.A.Test", "xa.test", "a.test.x", "localhost"].map(str::to_owned));
    all
}

fn said(lab: &Lab, url: &str) -> Result<String> {
    let verdict: Value = serde_json::from_str(&lab.page(&format!("/api/match?url={url}"))?)?;
    Ok(verdict["service"].as_str().unwrap_or_default().to_owned())
}

/// Asks both about every name; returns the services that took any.
fn agree(lab: &Lab, port: u16) -> Result<BTreeSet<String>> {
    let mut services = BTreeSet::new();
    let names: Vec<String> = names();
    let all = names.iter().map(|name| Some(name.as_str())).chain([None]);
    for name in all {
        let envoy = taken(port, &hello(name))?;
        let url = format!("tcp://{}:{port}", name.unwrap_or_default());
        is(said(lab, &url)?, envoy.clone(), &url)?;
        services.insert(envoy);
    }
    ensure!(names.len() >= 85, "{}", names.len());
    Ok(services)
}

pub fn why_says_of_a_connection_what_envoy_does(folder: &Path) -> Result<()> {
    let (port, plain, nobody, shut) = (ports::free()?, ports::free()?, ports::free()?, ports::free()?);
    let at = |port: u16| format!("127.0.0.1:{port}");
    let policies = json!({
        "certificates": { "gone": { "chain": "gone.crt", "key": "gone.key" } },
        "entry-points": {
            "names": { "listen": at(port), "protocol": "tcp", "tls": "passthrough" },
            "plain": { "listen": at(plain), "protocol": "tcp" },
            "nobody": { "listen": at(nobody), "protocol": "tcp" },
            "shut": { "listen": at(shut), "protocol": "tcp", "tls": "gone" },
        },
    });
    let lab = Lab::start_with(folder, Some(&policies))?;
    let servers: Vec<Upstream> =
        (0..CLAIMS.len() + 2).map(|number| lab.echo(&format!("s{number}"))).collect::<Result<_>>()?;
    let serve = |number: usize, entry: &str, host: &str| {
        let labels = [("protocol", "tcp"), ("listen", entry), ("host", host)];
        let labels = if host.is_empty() { &labels[..2] } else { &labels[..] };
        lab.serve(&format!("s{number}"), labels, &[servers[number].address()])
    };
    for (number, host) in CLAIMS.iter().enumerate() {
        serve(number, "names", host)?;
    }
    serve(CLAIMS.len(), "plain", "")?;
    until("the last one is there", LIMIT, || is(taken(plain, b"x")?, format!("s{}", CLAIMS.len()), "plain"))?;
    let services = agree(&lab, port)?;
    is(services.len(), CLAIMS.len() + 1, "each claim has a name, and some names have none")?;

    for url in [
        format!("tcp://:{plain}"),
        format!("tcp://whatever.test:{plain}"),
        format!("tcp://127.0.0.1:{plain}"),
    ] {
        is(said(&lab, &url)?, taken(plain, b"x")?, &url)?;
    }
    is(said(&lab, &format!("tcp://:{nobody}"))?, taken(nobody, b"x")?, "a port that nobody claims")?;
    ensure!(TcpStream::connect(("127.0.0.1", shut)).is_err(), "a port without its certificate is open");
    let told = format!(
        "{:#}",
        lab.portolan(&["why", &format!("tcp://:{shut}")]).err().unwrap_or_else(|| anyhow::anyhow!(""))
    );
    ensure!(told.contains("Envoy does not listen at the entry point shut"), "{told}");
    let told = lab.portolan(&["why", &format!("tcp://x.b.a.test:{port}")])?;
    ensure!(
        told.contains("✓ s3 TCP to *.b.a.test at names") && told.contains("- s2 TCP to *.a.test"),
        "{told}"
    );

    // One for all that nobody else has, also for who names no host.
    serve(CLAIMS.len() + 1, "names", "*")?;
    until("it is there", LIMIT, || {
        is(taken(port, &hello(None))?, format!("s{}", CLAIMS.len() + 1), "no name")
    })?;
    is(agree(&lab, port)?.len(), CLAIMS.len() + 1, "nobody is left over")
}
