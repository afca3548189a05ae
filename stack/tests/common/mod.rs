//! What must hold of the system however it runs: checks that test binaries share.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::needless_pass_by_value
)]

mod dashboard;
mod grpc;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use reqwest::blocking::Response;
use serde_json::{Value, json};
use stack::site::Site;
use stack::wait::until;

pub use dashboard::{the_dashboard_reads_and_changes_nothing, the_dashboard_shows_what_is_routed};
pub use grpc::{grpcurl, grpcurl_lists_describes_and_prints_in_full, grpcurl_shows_how_far_envoy_is};

pub const FRONTEND: &str = "frontend.localhost";
pub const BACKEND: &str = "backend.localhost";
pub const DASHBOARD: &str = "dashboard.localhost";
/// Generous: only a hang takes longer.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The keys of every line of the access log.
const LOG_KEYS: [&str; 20] = [
    "time",
    "client_address",
    "method",
    "authority",
    "path",
    "protocol",
    "status",
    "response_flags",
    "bytes_received",
    "bytes_sent",
    "duration_ms",
    "upstream_host",
    "project",
    "service",
    "container",
    "cluster",
    "route",
    "request_id",
    "trace_id",
    "user_agent",
];

pub fn status(response: &Response) -> u16 {
    response.status().as_u16()
}

pub fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Who serves `n` requests, and how many of them each.
pub fn rotation(site: &Site, n: usize) -> Result<BTreeMap<String, usize>> {
    let mut served = BTreeMap::new();
    for _ in 0..n {
        let response = site.get(FRONTEND, "/")?;
        ensure!(status(&response) == 200, "status {}", status(&response));
        let by = header(&response, "x-served-by");
        ensure!(response.text()?.contains(&format!("<strong>{by}</strong>")), "the page does not say {by}");
        *served.entry(by).or_insert(0) += 1;
    }
    Ok(served)
}

/// Waits until exactly `n` replicas are in rotation.
pub fn rotation_of(site: &Site, n: usize) -> Result<BTreeSet<String>> {
    until(&format!("{n} frontends are in rotation"), LIMIT, || {
        let served = rotation(site, 6 * n.max(2))?;
        ensure!(served.len() == n, "these answer: {served:?}");
        Ok(served.into_keys().collect())
    })
}

pub fn thirty_requests_reach_each_of_three_frontends_8_to_12_times(site: &Site) -> Result<()> {
    rotation_of(site, 3)?;
    let served = rotation(site, 30)?;
    ensure!(served.len() == 3 && served.values().all(|n| (8..=12).contains(n)), "{served:?}");
    Ok(())
}

pub fn the_form_saves_through_the_backend_and_leads_back(site: &Site) -> Result<()> {
    let form = [("key", "from the form"), ("value", "<b>ü & \"q\"</b>")];
    let saved = site.request(Method::POST, FRONTEND, "/messages").form(&form).send()?;
    ensure!(status(&saved) == 303 && header(&saved, "location") == "/?saved=from+the+form", "{saved:?}");
    for _ in 0..6 {
        let page = site.get(FRONTEND, "/")?.text()?;
        ensure!(
            page.contains("from the form") && page.contains("&lt;b&gt;ü &amp; &quot;q&quot;&lt;/b&gt;"),
            "{page}"
        );
    }
    let stored: Value = site.get(BACKEND, "/messages")?.json()?;
    ensure!(stored["from the form"] == "<b>ü & \"q\"</b>", "{stored}");
    let refused = site
        .request(Method::POST, FRONTEND, "/messages")
        .header("origin", "http://evil.example")
        .form(&form)
        .send()?;
    ensure!(status(&refused) == 403, "a form of another site: {}", status(&refused));
    let deleted =
        site.request(Method::POST, FRONTEND, "/delete?key=from+the+form").form(&[("", ""); 0]).send()?;
    ensure!(
        status(&deleted) == 303 && header(&deleted, "location") == "/?deleted=from+the+form",
        "{deleted:?}"
    );
    let gone = site.get(BACKEND, "/messages/from%20the%20form")?;
    ensure!(status(&gone) == 404, "it is deleted: {gone:?}");
    Ok(())
}

pub fn the_backend_stores_reads_changes_and_deletes(site: &Site) -> Result<()> {
    let post = |body: Value| site.request(Method::POST, BACKEND, "/messages").json(&body).send();
    let one = |method: Method| site.request(method, BACKEND, "/messages/a%20key");
    let created = post(json!({ "key": "a key", "value": "1" }))?;
    ensure!(status(&created) == 201 && header(&created, "location") == "/messages/a%20key", "{created:?}");
    ensure!(status(&post(json!({ "key": "a key", "value": "2" }))?) == 200, "written over");
    let form = site.request(Method::POST, BACKEND, "/messages").form(&[("key", "b key"), ("value", "form")]);
    ensure!(status(&form.send()?) == 201, "a form");
    let all: Value = site.get(BACKEND, "/messages")?.json()?;
    ensure!(all["a key"] == "2" && all["b key"] == "form", "{all}");
    let read: Value = one(Method::GET).send()?.json()?;
    ensure!(read == json!({ "key": "a key", "value": "2" }), "{read}");
    let page = site.get(BACKEND, "/messages?after=a%20&limit=1")?;
    ensure!(header(&page, "x-total-count").parse::<usize>()? >= 2, "how many there are in all: {page:?}");
    ensure!(page.text()? == "{\"a key\":\"2\"}\n", "by the order of their keys");
    let page = site.get(BACKEND, "/messages?before=b%20key&limit=1")?.text()?;
    ensure!(page == "{\"a key\":\"2\"}\n", "{page}");
    ensure!(status(&one(Method::PUT).json(&json!({ "value": "3" })).send()?) == 200, "PUT");
    ensure!(status(&one(Method::HEAD).send()?) == 200, "HEAD");
    ensure!(status(&one(Method::DELETE).send()?) == 204, "DELETE");
    ensure!(status(&one(Method::GET).send()?) == 404, "GET of what is gone");
    ensure!(status(&one(Method::DELETE).send()?) == 404, "DELETE of what is gone");
    ensure!(status(&site.request(Method::DELETE, BACKEND, "/messages/b%20key").send()?) == 204, "DELETE b");
    Ok(())
}

pub fn wrong_input_is_told_and_never_a_500(site: &Site) -> Result<()> {
    let post = |body: &str, media_type: &str| {
        let request = site.request(Method::POST, BACKEND, "/messages").header("content-type", media_type);
        request.body(body.to_owned()).send()
    };
    let long_key = json!({ "key": "k".repeat(257), "value": "" }).to_string();
    let long_value = json!({ "key": "k", "value": "v".repeat(65_537) }).to_string();
    let long_body = json!({ "key": "k", "value": "v".repeat(280_000) }).to_string();
    for (body, media_type, expected) in [
        ("{", "application/json", 400),
        ("{}", "application/json", 422),
        (long_key.as_str(), "application/json", 422),
        (long_value.as_str(), "application/json", 422),
        (long_body.as_str(), "application/json", 413),
        ("x", "text/xml", 415),
    ] {
        let response = post(body, media_type)?;
        let found = status(&response);
        let told: Value = response.json().context("an error is JSON")?;
        ensure!(found == expected, "{media_type} of {} bytes: {found}, not {expected}", body.len());
        ensure!(told["error"].is_string() && told["fix"].is_string(), "{told}");
    }
    // Whoever still sends hears what is wrong, each time.
    for n in 0..50 {
        let answer = answer_while_sending(site, &long_body)?;
        ensure!(answer.contains(" 413 "), "a body that is too long, time {n}: {answer}");
    }
    let patch = site.request(Method::PATCH, BACKEND, "/messages").send()?;
    ensure!(status(&patch) == 405 && header(&patch, "allow") == "GET, HEAD, POST", "{patch:?}");
    ensure!(status(&site.get(BACKEND, "/nothing")?) == 404, "an unknown path");
    ensure!(status(&site.get(FRONTEND, "/nothing")?) == 404, "an unknown page");
    ensure!(status(&site.request(Method::DELETE, FRONTEND, "/").send()?) == 405, "DELETE of the page");
    let form = [("key", "k".repeat(257)), ("value", "kept".to_owned())];
    let page = site.request(Method::POST, FRONTEND, "/messages").form(&form).send()?;
    ensure!(status(&page) == 422, "a long key in the form: {}", status(&page));
    ensure!(page.text()?.contains("kept"), "what was typed stays in the form");
    Ok(())
}

/// The first line of the answer to a message that is sent piece by piece.
fn answer_while_sending(site: &Site, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", site.port()))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = body.len();
    write!(
        stream,
        "POST /messages HTTP/1.1\r\nhost: {BACKEND}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )?;
    for piece in body.as_bytes().chunks(16 * 1024) {
        stream.write_all(piece)?;
    }
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

/// Writes `n` messages and returns the keys of those that were acknowledged.
pub fn write(site: &Site, prefix: &str, n: usize) -> Result<Vec<String>> {
    let keys: Vec<String> = (0..n).map(|i| format!("{prefix}-{i}")).collect();
    for key in &keys {
        let message = json!({ "key": key, "value": key });
        let response = site.request(Method::POST, BACKEND, "/messages").json(&message).send()?;
        ensure!(status(&response) == 201, "{key}: {}", status(&response));
    }
    Ok(keys)
}

pub fn all_are_there(site: &Site, keys: &[String]) -> Result<()> {
    until("the store answers", LIMIT, || {
        let response = site.get(BACKEND, "/messages")?;
        ensure!(status(&response) == 200, "status {}", status(&response));
        let stored: Value = response.json()?;
        let missing: Vec<_> = keys.iter().filter(|key| stored[key.as_str()] != key.as_str()).collect();
        ensure!(missing.is_empty(), "{} of {} are missing", missing.len(), keys.len());
        Ok(())
    })
}

pub fn without_its_store_the_backend_answers_503(site: &Site) -> Result<()> {
    until("the backend notices that Redis is away", LIMIT, || {
        let response = site.get(BACKEND, "/messages")?;
        ensure!(status(&response) == 503, "status {}", status(&response));
        ensure!(header(&response, "retry-after") == "1", "{response:?}");
        Ok(())
    })?;
    let page = site.get(FRONTEND, "/")?;
    ensure!(status(&page) == 503 && header(&page, "retry-after") == "1", "{page:?}");
    ensure!(page.text()?.contains("The messages cannot be shown"), "the page says so");
    Ok(())
}

pub fn every_request_is_in_the_access_log_once(site: &Site, log: impl Fn() -> Result<String>) -> Result<()> {
    let mark = format!("mark-{}", std::process::id());
    let agent = "a \"quoted\" agent \\ with ü";
    for i in 0..20 {
        let path = format!("/?{mark}-{i}");
        site.request(Method::GET, FRONTEND, &path).header("user-agent", agent).send()?;
    }
    site.request(Method::POST, BACKEND, &format!("/messages?{mark}-20")).body("not JSON").send()?;
    site.get("nobody.localhost", &format!("/?{mark}-21"))?;
    let lines = until("the access log has every request", LIMIT, || {
        let log = log()?;
        let lines: Vec<Value> = log
            .lines()
            .filter(|line| line.contains(&mark))
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect::<Result<_>>()?;
        ensure!(lines.len() >= 22, "{} of 22 lines", lines.len());
        Ok(lines)
    })?;
    for i in 0..22 {
        let end = format!("{mark}-{i}");
        let found: Vec<&Value> = lines
            .iter()
            .filter(|line| line["path"].as_str().is_some_and(|path| path.ends_with(&end)))
            .collect();
        ensure!(found.len() == 1, "{end} is there {} times", found.len());
        for key in LOG_KEYS {
            ensure!(found[0].get(key).is_some(), "{key} is missing: {}", found[0]);
        }
    }
    let first = &lines[0];
    ensure!(
        first["status"] == 200 && first["duration_ms"].is_number() && first["bytes_sent"].is_number(),
        "{first}"
    );
    ensure!(
        first["authority"] == FRONTEND && first["method"] == "GET" && first["user_agent"] == agent,
        "{first}"
    );
    ensure!(
        first["upstream_host"].is_string()
            && first["cluster"].as_str().is_some_and(|name| name.contains("frontend")),
        "{first}"
    );
    // The container that answered, by the name that it goes by.
    ensure!(
        first["service"] == "frontend"
            && first["container"].as_str().is_some_and(|name| name.contains("frontend-")),
        "{first}"
    );
    let nobody = lines.iter().find(|line| line["authority"] == "nobody.localhost").context("no such line")?;
    ensure!(nobody["container"].is_null() && nobody["service"].is_null(), "{nobody}");
    Ok(())
}

pub fn an_unknown_host_is_404(site: &Site) -> Result<()> {
    let response = site.get("nobody.localhost", "/")?;
    ensure!(status(&response) == 404, "{response:?}");
    ensure!(response.text()?.contains("No container claims this host"), "it says why");
    Ok(())
}

pub fn everything_in_envoy_came_over_ads(site: &Site) -> Result<()> {
    let dump: Value = site.get(DASHBOARD, "/config_dump?include_eds")?.json()?;
    let section = |kind: &str| {
        let ends = |config: &&Value| {
            config["@type"].as_str().is_some_and(|name| name.ends_with(&format!(".{kind}")))
        };
        dump["configs"].as_array().into_iter().flatten().find(ends).cloned().unwrap_or_default()
    };
    let bootstrap = &section("BootstrapConfigDump")["bootstrap"];
    let fixed = &bootstrap["static_resources"];
    ensure!(fixed["listeners"].is_null(), "the bootstrap has listeners: {fixed}");
    let names: Vec<_> =
        fixed["clusters"].as_array().into_iter().flatten().map(|cluster| &cluster["name"]).collect();
    ensure!(names == ["control-plane"], "{names:?}");
    ensure!(bootstrap["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC", "{bootstrap}");
    let count = |kind: &str, key: &str| section(kind)[key].as_array().map_or(0, Vec::len);
    ensure!(
        count("ClustersConfigDump", "dynamic_active_clusters") == 4,
        "frontend, backend, the dashboard and the admin pages"
    );
    ensure!(count("ListenersConfigDump", "dynamic_listeners") == 1, "one listener");
    ensure!(count("RoutesConfigDump", "dynamic_route_configs") == 1, "one route configuration");
    ensure!(count("EndpointsConfigDump", "dynamic_endpoint_configs") == 4, "their assignments");
    Ok(())
}
