//! What the dashboard says of a URL, and what Envoy does with it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use stack::system::System;
use stack::wait::until;

use super::{LIMIT, Shared};

/// Two hosts and a wildcard, all three kinds of paths, and one that a priority lets go first.
const ROUTES: &str = r#"  pages:
    labels: { portolan.host: "shop.localhost, *.shop.localhost" }
    endpoints: ["127.0.0.1:9"]
  api:
    labels: { portolan.host: shop.localhost, portolan.path: /api }
    endpoints: ["127.0.0.1:9"]
  one:
    labels: { portolan.host: shop.localhost, portolan.path: "=/one" }
    endpoints: ["127.0.0.1:9"]
  ids:
    labels: { portolan.host: ids.localhost, portolan.path: "~/[0-9]+(/.*)?" }
    endpoints: ["127.0.0.1:9"]
  put:
    labels: { portolan.host: shop.localhost, portolan.path: /m, portolan.methods: "PUT, POST" }
    endpoints: ["127.0.0.1:9"]
  old:
    labels: { portolan.host: shop.localhost, portolan.path: /q, portolan.query.v: "~[12]" }
    endpoints: ["127.0.0.1:9"]
  dev:
    labels: { portolan.host: shop.localhost, portolan.path: /h, portolan.header.x-dev: "*" }
    endpoints: ["127.0.0.1:9"]
  other:
    labels: { portolan.host: shop.localhost, portolan.path: /n, portolan.header.x-dev: "!yes" }
    endpoints: ["127.0.0.1:9"]
  away:
    labels: { portolan.host: shop.localhost, portolan.path: /away, portolan.respond: "410:gone" }
    endpoints: ["127.0.0.1:9"]
  first:
    labels: { portolan.host: "*.shop.localhost", portolan.path: /first, portolan.priority: "7" }
    endpoints: ["127.0.0.1:9"]
"#;

/// Ends of paths that have more than one spelling among them.
const PATHS: [&str; 29] = [
    "/",
    "/api",
    "/api/",
    "/api/x",
    "/apix",
    "/API",
    "/one",
    "/one/",
    "/one?a=/api",
    "/x/../api",
    "/./api/./x",
    "//api",
    "/api//x",
    "/%61pi",
    "/a%70i/%7Ex",
    "/api%2Fx",
    "/x%5Capi",
    "/first",
    "/12",
    "/12/ab",
    "/12ab",
    "/m",
    "/q?v=2",
    "/q?v=%32",
    "/q?v=3&v=2",
    "/q?w=1",
    "/h",
    "/n",
    "/away",
];
const HOSTS: [&str; 5] =
    ["shop.localhost", "SHOP.localhost", "a.shop.localhost", "ids.localhost", "nobody.localhost"];

pub(super) fn the_tester_agrees_with_envoy(shared: &mut Shared) -> Result<()> {
    shared.services(3, ROUTES)?;
    shared.dashboard("/routes")?;
    shared.tab.until("the routes are there", "document.body.innerText.includes('first')")?;
    let is_current = "fetch('/api/overview').then((answer) => answer.json()).then((all) => all.clients_current === 1 && all.services === 12)";
    shared.tab.until("Envoy has them", is_current)?;
    // What Envoy has acknowledged, each of its threads takes over by itself.
    until("every thread has them", LIMIT, || {
        for _ in 0..30 {
            let (status, _) = send(&shared.system, "GET", "ids.localhost", "/1")?;
            ensure!(status == 503, "one answers {status}");
        }
        Ok(())
    })?;
    let mut asked = Vec::new();
    let all = HOSTS.iter().flat_map(|host| PATHS.iter().map(move |path| (*host, *path)));
    for (host, path) in all {
        for method in if path == "/m" { &["GET", "POST"][..] } else { &["GET"] } {
            let mark = format!("mark-{}", asked.len());
            let with_mark =
                if path.contains('?') { format!("{path}&{mark}") } else { format!("{path}?{mark}") };
            let (status, location) = send(&shared.system, method, host, &with_mark)?;
            let said = shared.tab.eval(&format!(
                "fetch('/api/match?method={method}&url=' + encodeURIComponent({})).then((answer) => answer.json())",
                json!(format!("http://{host}{path}"))
            ))?;
            asked.push((format!("{host}{path}"), mark, status, location, said));
        }
    }
    let routes = routes_taken(&shared.system, asked.len())?;
    for ((url, mark, status, location, said), route) in asked.iter().zip(&routes) {
        let expected = match said["outcome"].as_str() {
            Some("route") if said["state"] == "answers" => (410, "away".to_owned()),
            Some("route") => (503, said["route"].as_str().unwrap_or_default().to_owned()),
            Some("unknown_host") => (404, "portolan:unknown-host".to_owned()),
            Some("unknown_path") => (404, "portolan:unknown-path".to_owned()),
            Some("redirect") => (307, String::new()),
            _ => anyhow::bail!("{url}: {said}"),
        };
        ensure!(
            (*status, route) == (expected.0, &expected.1),
            "{url} ({mark}): Envoy answers {status} by {route:?}; said was {said}"
        );
        if *status == 307 {
            let path = location.split('?').next().unwrap_or_default();
            ensure!(
                path.ends_with(said["path"].as_str().unwrap_or("?")),
                "{url}: {location}, said was {said}"
            );
        }
    }
    in_the_form(shared)
}

/// The same by hand.
fn in_the_form(shared: &mut Shared) -> Result<()> {
    shared.tab.type_into("#url", "shop.localhost/apix")?;
    shared.tab.press("Enter")?;
    shared.tab.until("the page answers", "document.getElementById('answer')?.dataset.route === 'pages'")?;
    let text = shared.tab.text()?;
    ensure!(text.contains("/apix begins with /api, and not with whole segments of it"), "{text}");
    ensure!(text.contains("wins"), "{text}");
    shared.tab.eval("document.getElementById('url').select()")?;
    shared.tab.type_into("#url", "ftp://shop.localhost/")?;
    shared.tab.press("Enter")?;
    shared.tab.until(
        "it says what is wrong",
        "document.querySelector('[role=alert]')?.innerText.includes('ftp:// is not routed here')",
    )?;
    shared.no_complaints()?;
    Ok(())
}

/// A request with its path as it stands: a client library would tidy it. Status and location.
fn send(system: &System, method: &str, host: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", system.options().edge_port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )?;
    let lines = BufReader::new(stream).lines();
    // The rest is no matter, and Envoy keeps the connection open for a while.
    let head: Vec<String> = lines
        .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
        .collect::<Result<_, _>>()?;
    let status = head.first().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let location = head.iter().find_map(|line| line.strip_prefix("location: "));
    Ok((status.with_context(|| format!("no status: {head:?}"))?, location.unwrap_or_default().to_owned()))
}

/// By mark, the route that stands in the access log.
fn routes_taken(system: &System, count: usize) -> Result<Vec<String>> {
    let log = system.folder().join("logs/envoy.log");
    until("the access log has every request", LIMIT, || {
        let text = fs::read_to_string(&log)?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (0..count)
            .map(|number| {
                let mark = format!("mark-{number}");
                let of = |line: &&Value| line["path"].as_str().is_some_and(|path| path.ends_with(&mark));
                let line = lines.iter().find(of).with_context(|| format!("no {mark}"))?;
                Ok(line["route"].as_str().unwrap_or_default().to_owned())
            })
            .collect()
    })
}
