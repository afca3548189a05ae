//! HTTPS: certificates from files, and who wants TLS. Each case has a control plane and an Envoy of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::{Value, json};
use stack::ports;
use stack::wait::until;

use super::lab::{LIMIT, Lab, header, is, status};

/// A new certificate for `name`, with its key, in `folder`.
pub fn make(folder: &Path, file: &str, name: &str) -> Result<CertifiedKey<KeyPair>> {
    let made = generate_simple_self_signed([name.to_owned()])?;
    fs::write(folder.join(format!("{file}.key")), made.signing_key.serialize_pem())?;
    fs::write(folder.join(format!("{file}.crt")), made.cert.pem())?;
    Ok(made)
}

/// What a TLS client is shown and answered.
pub fn ask(port: u16, name: &str, authority: Option<&Path>, protocols: &str) -> Result<Value> {
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vocabulary/client.py");
    let mut command = Command::new("python3");
    command.args([client, &port.to_string(), name]);
    command.arg(authority.unwrap_or(Path::new("-"))).args([protocols, "/"]);
    let output = command.output().context("python3 is the TLS client")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Whether a client is shown that certificate.
pub fn is_shown(said: &Value, made: &CertifiedKey<KeyPair>) -> Result<()> {
    let text = |pem: &str| pem.split_whitespace().collect::<String>();
    is(text(said["pem"].as_str().unwrap_or_default()), text(&made.cert.pem()), "the certificate")
}

fn policies(port: u16, web: &Value) -> Value {
    json!({
        "certificates": {
            "site": { "chain": "site.crt", "key": "site.key" },
            "other": { "chain": "other.crt", "key": "other.key" },
        },
        "entry-points": {
            "web": web,
            "websecure": { "listen": format!("127.0.0.1:{port}"), "tls": ["site", "other"] },
        },
    })
}

pub fn https_is_spoken_with_certificates_from_files_that_are_replaced_while_all_runs(
    folder: &Path,
) -> Result<()> {
    let port = ports::free()?;
    let (site, other) = (make(folder, "site", "site.test")?, make(folder, "other", "other.test")?);
    let lab = Lab::start_with(folder, Some(&policies(port, &json!({ "redirect": "websecure" }))))?;
    let labels = [
        ("host", "site.test, other.test"),
        ("routes.plain.host", "site.test"),
        ("routes.plain.path", "/.well-known"),
        ("routes.plain.listen", "web"),
        ("routes.plain.respond", "200:plain"),
    ];
    let web = lab.upstream("web")?;
    lab.serve("https", &labels, &[web.address()])?;

    // The certificate by the name that is asked for, HTTP/2 where the client knows it, and the application is told the scheme.
    let said = ask(port, "site.test", Some(&folder.join("site.crt")), "h2,http/1.1")?;
    is(&said["alpn"], &json!("h2"), "the protocol")?;
    is(&said["frame"], &json!(4), "the server's first frame is SETTINGS")?;
    is_shown(&said, &site)?;
    let said = ask(port, "other.test", Some(&folder.join("other.crt")), "http/1.1")?;
    is(&said["alpn"], &json!("http/1.1"), "the protocol")?;
    is_shown(&said, &other)?;
    is(&said["status"], &json!(200), "the answer")?;
    let body: Value = serde_json::from_str(said["body"].as_str().unwrap_or_default())?;
    is(&body["headers"]["x-forwarded-proto"], &json!("https"), "the scheme")?;
    is_shown(&ask(port, "unknown.test", None, "http/1.1")?, &site)
        .context("the first of them for all other names")?;

    // From the plain port to TLS, but for a route that stands there itself.
    let redirect = lab.get("site.test", "/a?b=c")?;
    is(status(&redirect), 308, "a plain request")?;
    is(
        header(&redirect, "location"),
        format!("https://site.test:{port}/a?b=c").as_str(),
        "to the same over TLS",
    )?;
    is(status(&lab.get("unknown.test", "/")?), 308, "a host that nobody has")?;
    is(status(&lab.get("site.test", "/.well-known/x")?), 200, "a route of the plain port")?;
    let why = lab.portolan(&["why", "http://site.test/a"])?;
    ensure!(why.contains("308") && why.contains("websecure"), "{why}");
    ensure!(
        lab.portolan(&["why", &format!("https://site.test:{port}/a")])?.contains("The route https takes it"),
        "over TLS"
    );

    // A new one, one file after the other; and a faulty one.
    let next = make(folder, "site", "site.test")?;
    until("the new certificate is shown", LIMIT, || is_shown(&ask(port, "site.test", None, "h2")?, &next))?;
    fs::write(folder.join("site.crt"), "no certificate")?;
    until("the mistake is told", LIMIT, || {
        let shown = lab.problems()?.to_string();
        ensure!(shown.contains("holds no certificate in PEM; the last good one stands"), "{shown}");
        Ok(())
    })?;
    is_shown(&ask(port, "site.test", None, "h2")?, &next).context("the last good one")?;
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")?;
    is(lab.counter("listener_manager.listener_modified")?, 0, "listeners that were touched")
}

pub fn a_route_says_whether_it_wants_tls(folder: &Path) -> Result<()> {
    let port = ports::free()?;
    make(folder, "site", "site.test")?;
    make(folder, "other", "other.test")?;
    let lab = Lab::start_with(folder, Some(&policies(port, &json!({}))))?;
    let labels = [
        ("host", "plain.test"),
        ("respond", "200:plain"),
        ("routes.auto.host", "auto.test"),
        ("routes.auto.respond", "200:auto"),
        ("routes.auto.tls", "auto"),
        ("routes.named.host", "named.test"),
        ("routes.named.respond", "200:named"),
        ("routes.named.tls", "other"),
        ("routes.off.host", "off.test"),
        ("routes.off.respond", "200:off"),
        ("routes.off.tls", "off"),
        ("routes.wrong.host", "wrong.test"),
        ("routes.wrong.respond", "200:wrong"),
        ("routes.wrong.tls", "missing"),
        ("routes.never.host", "never.test"),
        ("routes.never.respond", "200:never"),
        ("routes.never.tls", "off"),
        ("routes.never.listen", "websecure"),
    ];
    lab.serve("tls", &labels, &[])?;
    for (host, plain, secure) in [
        ("plain.test", 200, 404),
        ("auto.test", 308, 200),
        ("named.test", 308, 200),
        ("off.test", 200, 404),
        ("wrong.test", 404, 404),
    ] {
        is(status(&lab.get(host, "/")?), plain, &format!("{host} in plain"))?;
        is(&ask(port, host, None, "http/1.1")?["status"], &json!(secure), &format!("{host} over TLS"))?;
    }
    is(
        header(&lab.get("auto.test", "/x")?, "location"),
        format!("https://auto.test:{port}/x").as_str(),
        "to TLS",
    )?;
    let shown = lab.problems()?.to_string();
    for words in ["there is no certificate \\\"missing\\\"", "websecure speaks TLS to everybody"] {
        ensure!(shown.contains(words), "{words}: {shown}");
    }
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}

pub fn a_certificate_of_this_machine_is_made_and_trusted(folder: &Path) -> Result<()> {
    let port = ports::free()?;
    let certificates = folder.join("certs");
    let made = |lab: &Path| -> Result<String> {
        let output = Command::new(lab).args(["cert", "local", "--out"]).arg(&certificates).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let policies = json!({
        "certificates": { "local": { "chain": "certs/localhost.crt", "key": "certs/localhost.key" } },
        "entry-points": { "websecure": { "listen": format!("127.0.0.1:{port}"), "tls": "local" } },
        "defaults": { "tls": "auto" },
    });
    // The entry point is there before its certificate.
    let lab = Lab::start_with(folder, Some(&policies))?;
    lab.serve("local", &[("host", "*"), ("respond", "200:local")], &[])?;
    let told = made(lab.program())?;
    ensure!(told.contains("update-ca-certificates") && told.contains("Firefox"), "how to trust it: {told}");
    let authority = certificates.join("ca.crt");
    for name in ["frontend.localhost", "dashboard.localhost"] {
        until("a client that trusts the authority is answered", LIMIT, || {
            let said = ask(port, name, Some(&authority), "http/1.1")?;
            is(&said["status"], &json!(200), name)
        })?;
    }
    ensure!(ask(port, "a.test", Some(&authority), "http/1.1").is_err(), "it is for names of this machine");
    let first = ask(port, "frontend.localhost", Some(&authority), "http/1.1")?;
    ensure!(made(lab.program())?.contains("was there already"), "the authority stays");
    until("the next certificate is shown", LIMIT, || {
        let said = ask(port, "frontend.localhost", Some(&authority), "http/1.1")?;
        ensure!(said["pem"] != first["pem"], "it is the first one still");
        Ok(())
    })?;
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}

pub fn keys_are_shown_nowhere(folder: &Path) -> Result<()> {
    let port = ports::free()?;
    let site = make(folder, "site", "site.test")?;
    make(folder, "other", "other.test")?;
    let lab = Lab::start_with(folder, Some(&policies(port, &json!({}))))?;
    lab.serve("hidden", &[("host", "hidden.test"), ("tls", "auto"), ("respond", "204")], &[])?;
    is(&ask(port, "hidden.test", None, "http/1.1")?["status"], &json!(204), "it is served")?;
    // A line of the key, as no certificate has it.
    let key = site.signing_key.serialize_pem();
    let secret = key.lines().nth(1).context("a key of one line")?;
    let dump = lab.admin("/config_dump?include_eds")?;
    ensure!(
        dump.contains("[redacted]") && dump.contains("\"site\""),
        "the certificate is in the dump, and its key is not"
    );
    super::policies::shown_nowhere(&lab, secret)
}
