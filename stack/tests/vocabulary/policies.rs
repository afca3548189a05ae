//! The policies file: each case has a control plane and an Envoy of its own.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stack::ports;
use stack::wait::until;

use super::lab::{LIMIT, Lab, header, is, status};
use super::tokens::Kept;
use super::upstream::Upstream;

fn entry(port: u16) -> Value {
    json!({ "listen": format!("127.0.0.1:{port}") })
}

/// No client was cut off by what was opened or closed.
fn untouched(lab: &Lab) -> Result<()> {
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")?;
    for what in ["listener_modified", "listener_in_place_updated"] {
        is(lab.counter(&format!("listener_manager.{what}"))?, 0, what)?;
    }
    Ok(())
}

/// `secret` is in no log, on no page, and in no answer of the control plane or of Envoy's admin interface.
pub fn shown_nowhere(lab: &Lab, secret: &str) -> Result<()> {
    ensure!(!secret.is_empty(), "there is nothing to look for");
    let mut seen =
        vec![("the control plane's log", lab.control_plane.log()), ("Envoy's log", lab.envoy.log())];
    for path in ["/config_dump?include_eds", "/certs", "/listeners", "/clusters", "/server_info", "/stats"] {
        seen.push((path, lab.admin(path)?));
    }
    for path in [
        "/",
        "/routes",
        "/services",
        "/problems",
        "/clients",
        "/timeline",
        "/metrics",
        "/api/overview",
        "/api/routes",
        "/api/services",
        "/api/problems",
        "/api/clients",
        "/api/timeline",
    ] {
        seen.push((path, lab.page(path)?));
    }
    for method in [
        "portolan.v1.InspectService/GetView",
        "envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus",
    ] {
        seen.push((method, lab.call(method)?));
    }
    for (place, text) in seen {
        ensure!(!text.is_empty(), "{place} says nothing");
        ensure!(!text.contains(secret), "{place} shows it");
    }
    Ok(())
}

pub fn an_entry_point_is_opened_and_closed_while_all_runs(folder: &Path) -> Result<()> {
    let (internal, late) = (ports::free()?, ports::free()?);
    let lab = Lab::start_with(folder, Some(&json!({ "entry-points": { "internal": entry(internal) } })))?;
    let web = lab.upstream("web")?;
    let labels = [
        ("host", "home.test"),
        ("routes.inside.host", "inside.test"),
        ("routes.inside.listen", "internal"),
        ("routes.both.host", "both.test"),
        ("routes.both.listen", "internal, web"),
        ("routes.late.host", "late.test"),
        ("routes.late.listen", "late"),
    ];
    lab.serve("entries", &labels, &[web.address()])?;
    for (host, at_web, at_internal) in
        [("home.test", 200, 404), ("inside.test", 404, 200), ("both.test", 200, 200)]
    {
        is(status(&lab.get(host, "/")?), at_web, host)?;
        is(status(&lab.get_at(internal, host, "/")?), at_internal, host)?;
    }
    is(status(&lab.get_at(internal, "dashboard.localhost", "/")?), 404, "the dashboard is at web alone")?;
    ensure!(
        lab.problems()?.to_string().contains("there is no entry point \\\"late\\\""),
        "{}",
        lab.problems()?
    );

    let both = json!({ "entry-points": { "internal": entry(internal), "late": entry(late) } });
    lab.write_policies(&both.to_string())?;
    until("the new port is open", LIMIT, || {
        is(status(&lab.get_at(late, "late.test", "/")?), 200, "late.test")
    })?;
    is(lab.problems()?["problems"].as_array().map(Vec::len), Some(0), "problems")?;
    let asked = lab.portolan(&["why", &format!("http://late.test:{late}/")])?;
    ensure!(asked.contains("entries#late"), "{asked}");

    lab.write_policies(&json!({ "entry-points": { "late": entry(late) } }).to_string())?;
    until("the port is closed", LIMIT, || {
        ensure!(std::net::TcpStream::connect(("127.0.0.1", internal)).is_err(), "it is open");
        Ok(())
    })?;
    is(status(&lab.get_at(late, "late.test", "/")?), 200, "late.test")?;
    is(status(&lab.get("both.test", "/")?), 200, "the other entry point of a route stands")?;
    untouched(&lab)
}

pub fn the_first_file_touches_no_connection_and_guards_those_from_before(folder: &Path) -> Result<()> {
    let mut lab = Lab::start_with(folder, None)?;
    let labels = |auth: &'static str| {
        [
            ("host", "open.test"),
            ("respond", "200:open"),
            ("routes.a.host", "a.test"),
            ("routes.a.respond", "200:a"),
            ("routes.a.auth", auth),
        ]
    };
    lab.serve("first", &labels("off"), &[])?;
    let mut kept = Kept::open(&lab)?;
    is(kept.ask("a.test", "none")?, 200, "before there is a file")?;

    std::fs::write(folder.join("users"), "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")?;
    let keys = "http://127.0.0.1:1/keys";
    let jwt = json!({ "issuer": "https://id.test", "audiences": "shop", "keys": keys });
    let all = json!({ "basic": { "basic": { "users": "users" } }, "jwt": { "jwt": jwt }, "forward": { "forward": { "to": "127.0.0.1:1" } } });
    lab.restart_with(&json!({ "auth": all }))?;
    // Nobody who could say yes is there.
    for (policy, wanted) in [("basic", 401), ("jwt", 401), ("forward", 403)] {
        lab.serve("first", &labels(policy), &[])?;
        until(policy, LIMIT, || is(status(&lab.get("a.test", "/")?), wanted, "a client that comes anew"))?;
        is(kept.ask("a.test", "none")?, wanted, policy)?;
        is(kept.ask("open.test", "none")?, 200, "a route that asks nobody")?;
    }
    lab.is_spotless()
}

pub fn a_mistake_leaves_the_last_good_policies_and_is_shown(folder: &Path) -> Result<()> {
    let internal = ports::free()?;
    let good = json!({ "entry-points": { "internal": entry(internal) } }).to_string();
    let lab = Lab::start_with(folder, Some(&serde_json::from_str(&good)?))?;
    lab.serve("mistake", &[("host", "mistake.test"), ("listen", "internal"), ("respond", "204")], &[])?;
    for (text, wanted) in [
        (
            "entry-points:\n  internal: {}\n",
            "line 2, column 13: the entry point internal does not say where it listens",
        ),
        ("entry-points:\n  internal:\n    lisen: 1\n", "line 3, column 5: unknown field `lisen`"),
        ("defaults: { timeout: soon }\n", "line 1, column 22: defaults.timeout: it is not a duration"),
    ] {
        lab.write_policies(text)?;
        until("the mistake is shown", LIMIT, || {
            let shown = lab.problems()?;
            let problem = &shown["problems"][0];
            ensure!(problem["container"] == "portolan.yaml", "{shown}");
            ensure!(problem["reason"].as_str().is_some_and(|reason| reason.contains(wanted)), "{shown}");
            Ok(())
        })?;
        is(status(&lab.get_at(internal, "mistake.test", "/")?), 204, "the last good one")?;
    }
    ensure!(lab.control_plane.log().contains("the last good one stands"), "the log says so");
    lab.write_policies(&good)?;
    until("the mistake is gone", LIMIT, || {
        is(lab.problems()?["problems"].as_array().map(Vec::len), Some(0), "problems")
    })?;
    untouched(&lab)
}

pub fn defaults_hold_where_no_label_says(folder: &Path) -> Result<()> {
    let internal = ports::free()?;
    let defaults = json!({ "listen": "internal", "response-header.x-frame-options": "DENY", "retries": 0 });
    let lab = Lab::start_with(
        folder,
        Some(&json!({ "entry-points": { "internal": entry(internal) }, "defaults": defaults })),
    )?;
    let labels = [
        ("host", "default.test"),
        ("respond", "200:hello"),
        ("routes.own.host", "own.test"),
        ("routes.own.respond", "200:hello"),
        ("routes.own.response-header.X-Frame-Options", "SAMEORIGIN"),
        ("routes.own.listen", "web"),
    ];
    lab.serve("defaults", &labels, &[])?;
    let by_default = lab.get_at(internal, "default.test", "/")?;
    is(status(&by_default), 200, "at the default entry point")?;
    is(header(&by_default, "x-frame-options"), "DENY", "a default")?;
    let own = lab.get("own.test", "/")?;
    is(status(&own), 200, "at its own entry point")?;
    is(header(&own, "x-frame-options"), "SAMEORIGIN", "a label")?;
    is(lab.problems()?["problems"].as_array().map(Vec::len), Some(0), "problems")
}

pub fn a_host_belongs_to_its_project(folder: &Path) -> Result<()> {
    let lab = Lab::start_with(
        folder,
        Some(&json!({ "projects": { "shop": { "hosts": ["shop.test", "*.shop.test"] } } })),
    )?;
    // What a services file names is of no project.
    let labels = [
        ("host", "free.test"),
        ("respond", "204"),
        ("routes.theirs.host", "shop.test, a.shop.test"),
        ("routes.theirs.respond", "204"),
        ("routes.all.host", "*.test"),
        ("routes.all.respond", "204"),
    ];
    lab.serve("stranger", &labels, &[])?;
    for (host, wanted) in [("free.test", 204), ("shop.test", 404), ("a.shop.test", 404), ("b.test", 404)] {
        is(status(&lab.get(host, "/")?), wanted, host)?;
    }
    let shown = lab.problems()?.to_string();
    for words in ["shop.test belongs to the project shop", "would come under *.test too"] {
        ensure!(shown.contains(words), "{words}: {shown}");
    }
    lab.write_policies("projects: {}\n")?;
    until("it is anybody's", LIMIT, || is(status(&lab.get("shop.test", "/")?), 204, "shop.test"))?;
    untouched(&lab)
}

pub fn requests_are_logged_as_the_administrator_wants(folder: &Path) -> Result<()> {
    let lab = Lab::start_with(folder, Some(&json!({})))?;
    lab.serve("log", &[("host", "log.test"), ("respond", "204")], &[])?;
    let logged = |path: &str| -> Result<Option<String>> {
        lab.get("log.test", path)?;
        Ok(lab.envoy.log().lines().rev().find(|line| line.contains(path)).map(str::to_owned))
    };
    until("a JSON object a request", LIMIT, || {
        let line = logged("/as-json")?.unwrap_or_default();
        is(serde_json::from_str::<Value>(&line)?["path"].as_str(), Some("/as-json"), "its path")
    })?;
    lab.write_policies("access-log: text\n")?;
    until("a line a request", LIMIT, || {
        let line = logged("/as-text")?.unwrap_or_default();
        ensure!(line.contains("\"GET /as-text HTTP/1.1\" 204"), "{line}");
        Ok(())
    })?;
    lab.write_policies("access-log: off\n")?;
    // What is served with the new listener is known by what is not said of it; so an entry of the one before must come first.
    until("the listener is the new one", LIMIT, || {
        is(lab.admin("/config_dump?resource=dynamic_listeners")?.contains("StdoutAccessLog"), false, "a log")
    })?;
    until("the old one is drained or not asked any more", LIMIT, || {
        let path = format!("/not-logged-{}", lab.envoy.log().len());
        logged(&path)?;
        lab.get("log.test", "/later")?;
        is(logged(&path)?, None, "a line")
    })
}

/// More than the kernel holds of a connection by itself.
const LARGE: usize = 32 * 1024 * 1024;

/// Asks for the large answer, and takes none of it.
fn slow_client(lab: &Lab) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", lab.edge()))?;
    stream.write_all(b"GET /said HTTP/1.1\r\nhost: large.test\r\n\r\n")?;
    Ok(stream)
}

pub fn envoy_holds_as_much_of_an_answer_as_the_administrator_says(folder: &Path) -> Result<()> {
    let lab = Lab::start_with(folder, Some(&json!({})))?;
    let large = Upstream::start_saying(lab.runtime.handle(), "large", &"x".repeat(LARGE))?;
    lab.serve("large", &[("host", "large.test"), ("timeout", "off")], &[large.address()])?;
    let read = || lab.counter("cluster.large.upstream_cx_rx_bytes_total");
    let slow = slow_client(&lab)?;
    until("Envoy stops to read", LIMIT, || {
        let paused = lab.counter("cluster.large.upstream_flow_control_paused_reading_total")?;
        ensure!(paused > 0, "it never did");
        Ok(())
    })?;
    ensure!(read()? < LARGE as u64, "it has read all of it");
    drop(slow);

    lab.write_policies("buffers: 64MiB\n")?;
    for resource in ["dynamic_listeners", "dynamic_active_clusters"] {
        until("they are made anew", LIMIT, || {
            let shown = lab.admin(&format!("/config_dump?resource={resource}"))?;
            ensure!(shown.contains(&(64 * 1024 * 1024).to_string()), "{resource} do not have the size");
            Ok(())
        })?;
    }
    let before = read()?;
    let _slow = slow_client(&lab)?;
    until("Envoy reads all of it", LIMIT, || {
        let more = read()?.saturating_sub(before);
        ensure!(more >= LARGE as u64, "{more} of {LARGE} bytes");
        Ok(())
    })?;
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}
