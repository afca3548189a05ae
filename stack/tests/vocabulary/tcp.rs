//! TCP: connections to a port, by the name in TLS where there is one. Each case has a control plane and an Envoy of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use stack::ports;
use stack::wait::until;

use super::lab::{LIMIT, Lab, is, status};
use super::secure::{ask, is_shown, make};

/// Envoy ends the connections of what is taken away after this time, and not after ten minutes.
const DRAIN: [&str; 4] = ["--drain-time-s", "1", "--drain-strategy", "immediate"];

/// A client that says something first and reads the name of the server that took it.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    server: String,
}

impl Client {
    /// Nothing where the connection is closed without a word.
    fn open(port: u16, first: &[u8]) -> Result<Option<Self>> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        // It may be closed already.
        let _ = stream.write_all(first);
        let mut server = String::new();
        loop {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) if byte == *b"\n" => break,
                Ok(1) => server.push(char::from(byte[0])),
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => bail!("neither a name nor the end: {error}"),
            }
        }
        let mut client = Self { stream, server };
        client.hears(first)?;
        Ok(Some(client))
    }

    fn hears(&mut self, wanted: &[u8]) -> Result<()> {
        let mut back = vec![0; wanted.len()];
        self.stream.read_exact(&mut back).with_context(|| format!("the echo of {}", self.server))?;
        is(back.as_slice(), wanted, "the echo")
    }

    fn echoes(&mut self) -> Result<()> {
        self.stream.write_all(b"hello")?;
        self.hears(b"hello")
    }

    /// Waits until the other side has closed it.
    fn is_ended(&mut self) -> Result<()> {
        match self.stream.read(&mut [0]) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            other => bail!("it is open: {other:?}"),
        }
    }
}

/// The name of the server at a port; empty where the connection is closed.
fn server(port: u16, first: &[u8]) -> Result<String> {
    Ok(Client::open(port, first)?.map(|client| client.server).unwrap_or_default())
}

/// The first message of a TLS client that asks for `name` (RFC 5246, 7.4.1.2; RFC 6066, 3).
fn hello(name: &str) -> Vec<u8> {
    let with_length = |bytes: usize, content: &[u8]| -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&length[length.len() - bytes..], content].concat()
    };
    let names = with_length(2, &[&[0], with_length(2, name.as_bytes()).as_slice()].concat());
    let extensions = with_length(2, &[&[0, 0], with_length(2, &names).as_slice()].concat());
    let random = [7; 32];
    let (session, ciphers, compressions) = ([0], [0, 2, 0xc0, 0x2f], [1, 0]);
    let body = [&[3, 3], &random[..], &session, &ciphers, &compressions, &extensions].concat();
    let message = [&[1], with_length(3, &body).as_slice()].concat();
    [&[22, 3, 1], with_length(2, &message).as_slice()].concat()
}

fn entry(port: u16) -> Value {
    json!({ "listen": format!("127.0.0.1:{port}"), "protocol": "tcp" })
}

const DB: [(&str, &str); 2] = [("protocol", "tcp"), ("listen", "db")];

pub fn connections_reach_a_service_and_outlive_what_does_not_concern_them(folder: &Path) -> Result<()> {
    let (db, mq) = (ports::free()?, ports::free()?);
    let policies = json!({ "entry-points": { "db": entry(db), "mq": entry(mq) } });
    let lab = Lab::start_as(folder, Some(&policies), &DRAIN)?;
    let (one, two, other) = (lab.echo("one")?, lab.echo("two")?, lab.echo("other")?);
    lab.serve("web", &[("host", "web.test"), ("respond", "204")], &[])?;
    is(server(db, b"x")?, String::new(), "a port that nobody claims")?;

    lab.serve("db", &DB, &[one.address()])?;
    until("the service has its port", LIMIT, || is(server(db, b"x")?, "one".to_owned(), "the server"))?;
    let mut first = Client::open(db, b"first")?.context("closed")?;
    let (anew, in_place) = lab.touched()?;
    is((anew, in_place), (0, 1), "the one listener, in place")?;

    // Scaled, and beside others that come and go.
    lab.serve("db", &DB, &[one.address(), two.address()])?;
    until("both get connections", LIMIT, || {
        let two = [server(db, b"")?, server(db, b"")?];
        ensure!(two[0] != two[1], "{two:?}");
        Ok(())
    })?;
    lab.serve("mq", &[("protocol", "tcp"), ("listen", "mq"), ("deny", "10.0.0.0/8")], &[other.address()])?;
    lab.serve("more", &[("host", "more.test"), ("respond", "204")], &[])?;
    until("another port has a service", LIMIT, || is(server(mq, b"x")?, "other".to_owned(), "the server"))?;
    let mut beside = Client::open(mq, b"x")?.context("closed")?;
    first.echoes()?;
    is(lab.touched()?, (0, 2), "the other listener, in place")?;

    // The container is there and takes nobody: the service keeps its port.
    lab.serve("db", &DB, &[format!("{} unhealthy", one.address())])?;
    until("nobody is ready", LIMIT, || is(server(db, b"x")?, String::new(), "the server"))?;
    is(lab.touched()?, (0, 2), "endpoints are not in listeners")?;
    let why = lab.portolan(&["why", "db"]);
    ensure!(format!("{why:?}").contains("TCP at db"), "{why:?}");
    drop(first);
    logged(&lab, "db")?;
    ensure!(lab.counter("tcp.db.downstream_cx_total")? > 0, "connections are counted by entry point");

    // Who comes second is told, and gets the port when the first one leaves it.
    lab.serve("db", &DB, &[one.address()])?;
    lab.serve("late", &DB, &[two.address()])?;
    let told = "TCP at db belongs to db already";
    until("the conflict is told", LIMIT, || {
        let shown = lab.problems()?.to_string();
        ensure!(shown.contains(told) && shown.contains("another entry point"), "{shown}");
        Ok(())
    })?;
    let mut held = Client::open(db, b"x")?.context("closed")?;
    is(held.server.as_str(), "one", "the older claim stands")?;
    lab.forget();
    lab.serve_all(&[
        ("late", &DB, &[two.address()]),
        ("mq", &[("protocol", "tcp"), ("listen", "mq"), ("deny", "127.0.0.0/8")], &[other.address()]),
    ])?;
    until("the other one has the port", LIMIT, || is(server(db, b"x")?, "two".to_owned(), "the server"))?;
    held.is_ended().context("a connection to a service that is gone ends when its time is over")?;
    until("an address that is denied", LIMIT, || is(server(mq, b"x")?, String::new(), "the server"))?;
    is(beside.server.as_str(), "other", "the other port")?;
    beside.is_ended().context("what was allowed before the change is drained")?;
    is(lab.touched()?.0, 0, "listeners that were made anew")
}

/// The access log has a line of each connection that ended, one to a container and one to nobody.
fn logged(lab: &Lab, service: &str) -> Result<()> {
    until("the access log tells of both", LIMIT, || {
        let log = lab.envoy.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of: Vec<Value> = lines.filter(|line| line["route"] == service).collect();
        let shown = || format!("{of:#?}");
        let served = of.iter().find(|line| line["bytes_received"] == 10).with_context(shown)?;
        for (key, wanted) in [
            ("protocol", json!("TCP")),
            ("cluster", json!(service)),
            ("service", json!(service)),
            ("response_flags", json!("-")),
            ("bytes_sent", json!(14)),
            ("client_address", json!("127.0.0.1")),
            ("method", Value::Null),
            ("path", Value::Null),
            ("authority", Value::Null),
        ] {
            is(&served[key], &wanted, key)?;
        }
        ensure!(served["container"].as_str().is_some_and(|name| !name.is_empty()), "{served}");
        ensure!(
            of.iter().any(|line| line["response_flags"] == "UH" && line["container"].is_null()),
            "{of:#?}"
        );
        Ok(())
    })?;
    // The same lines, for people.
    let log = lab.folder().join("envoy.log");
    let shown = std::process::Command::new(lab.program())
        .args(["logs", "--service", service, "-"])
        .stdin(fs::File::open(log)?)
        .output()?;
    let shown = String::from_utf8(shown.stdout)?;
    ensure!(shown.contains("TCP") && shown.contains("UH: no endpoint is ready"), "{shown}");
    Ok(())
}

pub fn the_name_in_tls_chooses_the_service_and_nothing_else_is_read(folder: &Path) -> Result<()> {
    let (port, secure) = (ports::free()?, ports::free()?);
    let site = make(folder, "site", "site.test")?;
    let policies = json!({
        "certificates": { "site": { "chain": "site.crt", "key": "site.key" } },
        "entry-points": {
            "names": { "listen": format!("127.0.0.1:{port}"), "protocol": "tcp", "tls": "passthrough" },
            "websecure": { "listen": format!("127.0.0.1:{secure}"), "tls": "site" },
        },
    });
    let lab = Lab::start_as(folder, Some(&policies), &DRAIN)?;
    let (a, below, all) = (lab.echo("a")?, lab.echo("below")?, lab.echo("all")?);
    let at = |host: &'static str| [("protocol", "tcp"), ("listen", "names"), ("host", host)];
    lab.serve_all(&[
        ("a", &at("a.test"), &[a.address()]),
        ("below", &at("*.b.test"), &[below.address()]),
        // An application that ends TLS itself: another entry point, with the certificate.
        ("ends", &at("site.test"), &[format!("127.0.0.1:{secure}")]),
        ("site", &[("host", "site.test"), ("listen", "websecure"), ("respond", "200:site")], &[]),
    ])?;
    until("the names are there", LIMIT, || is(server(port, &hello("a.test"))?, "a".to_owned(), "a.test"))?;
    for (name, wanted) in [("x.b.test", "below"), ("y.x.b.test", "below"), ("b.test", ""), ("c.test", "")] {
        is(server(port, &hello(name))?.as_str(), wanted, name)?;
    }
    is(server(port, b"GET / HTTP/1.1\r\n\r\n")?.as_str(), "", "what is not TLS")?;
    let said = ask(port, "site.test", Some(&folder.join("site.crt")), "http/1.1")?;
    is_shown(&said, &site)?;
    is(&said["body"], &json!("site"), "what is inside")?;

    // A name that comes or goes leaves the connections to the others alone.
    let mut held = Client::open(port, &hello("a.test"))?.context("closed")?;
    let mut gone = Client::open(port, &hello("x.b.test"))?.context("closed")?;
    lab.forget();
    lab.serve_all(&[("a", &at("a.test"), &[a.address()]), ("all", &at("*"), &[all.address()])])?;
    until("the new one is there", LIMIT, || is(server(port, &hello("c.test"))?, "all".to_owned(), "c.test"))?;
    gone.is_ended().context("to a name that is gone")?;
    until("the old chains are drained", LIMIT, || {
        is(lab.counter("listener_manager.total_filter_chains_draining")?, 0, "chains")
    })?;
    held.echoes().context("to a name that stands")?;
    is(lab.touched()?.0, 0, "listeners that were made anew")?;
    let shown = lab.page("/api/routes")?;
    ensure!(shown.contains("a.test") && shown.contains("\"TCP\""), "{shown}");
    Ok(())
}

pub fn envoy_ends_tls_with_the_certificates_of_the_entry_point(folder: &Path) -> Result<()> {
    let port = ports::free()?;
    let (site, other) = (make(folder, "site", "site.test")?, make(folder, "other", "other.test")?);
    let policies = json!({
        "certificates": {
            "site": { "chain": "site.crt", "key": "site.key" },
            "other": { "chain": "other.crt", "key": "other.key" },
        },
        "entry-points": { "ended": { "listen": format!("127.0.0.1:{port}"), "protocol": "tcp", "tls": ["site", "other"] } },
    });
    let lab = Lab::start_with(folder, Some(&policies))?;
    // HTTP is what is inside, though Envoy does not know.
    let (one, rest) = (lab.upstream("one")?, lab.upstream("rest")?);
    let at = |host: &'static str| [("protocol", "tcp"), ("listen", "ended"), ("host", host)];
    lab.serve_all(&[("one", &at("site.test"), &[one.address()]), ("rest", &at("*"), &[rest.address()])])?;
    for (name, certificate, wanted) in [("site.test", &site, "one"), ("other.test", &other, "rest")] {
        let authority = folder.join(format!("{}.crt", name.trim_end_matches(".test")));
        until("it is served", LIMIT, || {
            let said = ask(port, name, Some(&authority), "http/1.1")?;
            is_shown(&said, certificate)?;
            let body: Value = serde_json::from_str(said["body"].as_str().unwrap_or_default())?;
            is(&body["server"], &json!(wanted), name)
        })?;
    }
    let before = lab.touched()?;
    let next = make(folder, "site", "site.test")?;
    until("the new certificate is shown", LIMIT, || {
        is_shown(&ask(port, "site.test", None, "http/1.1")?, &next)
    })?;
    is(lab.touched()?, before, "a certificate is not in the listener")
}

pub fn an_address_is_opened_as_another_protocol_and_back(folder: &Path) -> Result<()> {
    let (port, beside) = (ports::free()?, ports::free()?);
    let policies = |entry: Value| json!({ "entry-points": { "in": entry, "beside": { "listen": format!("127.0.0.1:{beside}") } } });
    let http = policies(json!({ "listen": format!("127.0.0.1:{port}") }));
    let tcp = policies(entry(port));
    let lab = Lab::start_as(folder, Some(&http), &DRAIN)?;
    let one = lab.echo("one")?;
    // Both ask for it all the time, and the one that does not fit is a problem.
    lab.serve_all(&[
        ("web", &[("host", "web.test"), ("listen", "in, beside"), ("respond", "200:web")], &[]),
        ("db", &[("protocol", "tcp"), ("listen", "in")], &[one.address()]),
    ])?;
    let answers = |port: u16| -> Result<()> {
        let answer = lab.get_at(port, "web.test", "/")?;
        is((status(&answer), answer.text()?.as_str()), (200, "web"), "the answer")
    };
    for round in ["first", "second"] {
        until("requests are answered", LIMIT, || answers(port)).context(round)?;
        lab.write_policies(&tcp.to_string())?;
        until("connections are taken", LIMIT, || is(server(port, b"x")?, "one".to_owned(), "the server"))
            .context(round)?;
        let mut held = Client::open(port, b"x")?.context("closed")?;
        answers(beside)?;
        let shown = lab.problems()?.to_string();
        ensure!(shown.contains("\"web\""), "whoever is left out is told: {shown}");
        lab.write_policies(&http.to_string())?;
        until("requests are answered again", LIMIT, || answers(port)).context(round)?;
        held.is_ended().context("a connection to what is not there any more")?;
        answers(beside)?;
    }
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}

pub fn a_port_belongs_to_its_project(folder: &Path) -> Result<()> {
    let (db, mq) = (ports::free()?, ports::free()?);
    let policies = |projects: Value| {
        json!({ "entry-points": { "db": entry(db), "mq": entry(mq) }, "projects": projects }).to_string()
    };
    let lab = Lab::start_as(folder, Some(&json!({})), &DRAIN)?;
    let one = lab.echo("one")?;
    lab.write_policies(&policies(json!({ "shop": { "listen": ["db"] } })))?;
    // What a services file names is of no project.
    lab.serve("stranger", &[("protocol", "tcp"), ("listen", "db, mq")], &[one.address()])?;
    until("a port that is nobody's", LIMIT, || is(server(mq, b"x")?, "one".to_owned(), "the server"))?;
    is(server(db, b"x")?, String::new(), "somebody's")?;
    let shown = lab.problems()?.to_string();
    for words in
        ["the entry point db belongs to the project shop, and this container", "choose another entry point"]
    {
        ensure!(shown.contains(words), "{words}: {shown}");
    }

    // It is given to everybody, and to somebody else.
    lab.write_policies(&policies(json!({})))?;
    until("it is anybody's", LIMIT, || is(server(db, b"x")?, "one".to_owned(), "the server"))?;
    let mut held = Client::open(db, b"x")?.context("closed")?;
    lab.write_policies(&policies(json!({ "shop": { "listen": ["db"] } })))?;
    until("it is the project's again", LIMIT, || is(server(db, b"x")?, String::new(), "the server"))?;
    held.is_ended().context("a connection from before")?;
    is(server(mq, b"x")?, "one".to_owned(), "the other port")?;
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}
