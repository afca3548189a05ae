//! Tokens that somebody else has signed. Each case has a control plane and an Envoy of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519, PublicKeyData,
    SigningKey,
};
use reqwest::Method;
use serde_json::{Value, json};
use stack::ports;
use stack::wait::until;

use super::lab::{LIMIT, Lab, client, is, said, status};
use super::policies::shown_nowhere;
use super::upstream::Upstream;

/// Long enough for any run, and as long ago.
const AN_HOUR: u64 = 3_600;

/// Somebody who signs.
#[derive(Debug)]
struct Signer(KeyPair);

impl Signer {
    fn new() -> Result<Self> {
        Ok(Self(KeyPair::generate_for(&PKCS_ED25519)?))
    }

    /// The public keys (RFC 8037).
    fn keys(&self) -> Value {
        let public = URL_SAFE_NO_PAD.encode(self.0.der_bytes());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": public }] })
    }

    /// A token that says this (RFC 7515).
    fn token(&self, claims: &Value) -> Result<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({ "alg": "EdDSA", "typ": "JWT" })), part(claims));
        let signature = self.0.sign(text.as_bytes())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// What a good token says, with something else in it.
fn claims(other: &Value) -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut all = json!({ "iss": "https://id.test", "aud": "shop", "sub": "ann", "exp": now + AN_HOUR });
    for (claim, value) in other.as_object().context("claims")? {
        all[claim] = value.clone();
    }
    Ok(all)
}

fn policy(audience: &str, keys: &str) -> String {
    let jwt = json!({ "issuer": "https://id.test", "audiences": audience, "keys": keys, "headers": { "x-user": "sub", "x-team": "team" } });
    json!({ "auth": { "id": { "jwt": jwt } } }).to_string()
}

const LABELS: [(&str, &str); 3] =
    [("host", "open.test"), ("routes.guarded.host", "guarded.test"), ("routes.guarded.auth", "id")];

/// The status for a client that comes anew, with this token.
fn ask(lab: &Lab, token: Option<&str>) -> Result<u16> {
    let request = lab.request_by(&client(None)?, Method::GET, "guarded.test", "/");
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    Ok(status(&request.send()?))
}

pub fn a_token_is_checked_and_new_keys_are_taken_up(folder: &Path) -> Result<()> {
    let (signer, other) = (Signer::new()?, Signer::new()?);
    let file = folder.join("keys.json");
    fs::write(&file, signer.keys().to_string())?;
    let lab = Lab::start_with(folder, Some(&serde_json::from_str(&policy("shop", "keys.json"))?))?;
    let web = lab.upstream("web")?;
    lab.serve("tokens", &LABELS, &[web.address()])?;
    let good = signer.token(&claims(&json!({}))?)?;
    until("the right token is let through", LIMIT, || is(ask(&lab, Some(&good))?, 200, "the right one"))?;
    is(status(&lab.get("open.test", "/")?), 200, "a route that asks nobody")?;

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let before = web.state.requests();
    for (what, token, wanted) in [
        ("signed by somebody else", other.token(&claims(&json!({}))?)?, 401),
        ("expired", signer.token(&claims(&json!({ "exp": now - AN_HOUR }))?)?, 401),
        ("not good yet", signer.token(&claims(&json!({ "nbf": now + AN_HOUR }))?)?, 401),
        ("without an end", signer.token(&claims(&json!({ "exp": null }))?)?, 401),
        ("for another audience", signer.token(&claims(&json!({ "aud": "blog" }))?)?, 403),
        ("of another issuer", signer.token(&claims(&json!({ "iss": "https://other.test" }))?)?, 401),
        ("changed after it was signed", format!("{good}x"), 401),
        ("no token", "nonsense".to_owned(), 401),
    ] {
        is(ask(&lab, Some(&token))?, wanted, what)?;
    }
    is(ask(&lab, None)?, 401, "nobody's")?;
    let in_the_query = lab.get("guarded.test", &format!("/?access_token={good}"))?;
    is(status(&in_the_query), 401, "one in the query, where logs have it")?;
    is(web.state.requests(), before, "the application heard of none of them")?;

    // The application gets the token and what it says, and not what a client says of itself.
    let request = lab.request(Method::GET, "guarded.test", "/").bearer_auth(&good);
    let heard = said(request.header("x-user", "root").header("x-team", "root").send()?)?;
    is(&heard["headers"]["x-user"], &json!("ann"), "a claim")?;
    is(&heard["headers"]["x-team"], &Value::Null, "a claim that the token has not")?;
    is(&heard["headers"]["authorization"], &json!(format!("Bearer {good}")), "the token")?;

    // New keys, and a faulty file.
    fs::write(&file, other.keys().to_string())?;
    let next = other.token(&claims(&json!({}))?)?;
    until("the new keys hold", LIMIT, || is(ask(&lab, Some(&next))?, 200, "by the new key"))?;
    is(ask(&lab, Some(&good))?, 401, "by the old one")?;
    let mut private = other.keys();
    let secret = "c2VjcmV0LXByaXZhdGUta2V5";
    private["keys"][0]["d"] = json!(secret);
    fs::write(&file, private.to_string())?;
    until("the mistake is told", LIMIT, || {
        let shown = lab.problems()?.to_string();
        ensure!(
            shown.contains("key 1 is a private one") && shown.contains("the last good ones stand"),
            "{shown}"
        );
        Ok(())
    })?;
    is(ask(&lab, Some(&next))?, 200, "by the last good keys")?;
    shown_nowhere(&lab, secret)?;
    is(lab.touched()?, (0, 0), "keys are not in the listener")?;

    lab.write_policies("{}\n")?;
    until("the route is closed", LIMIT, || is(ask(&lab, Some(&next))?, 503, "a policy that is gone"))
}

/// A connection that stays open.
#[derive(Debug)]
pub struct Kept(TcpStream);

impl Kept {
    pub fn open(lab: &Lab) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", lab.edge()))?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self(stream))
    }

    /// The status of the next request over it.
    pub fn ask(&mut self, host: &str, token: &str) -> Result<u16> {
        write!(self.0, "GET / HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n")?;
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte).context("the connection was closed")?;
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        self.0.read_exact(&mut vec![0; length.with_context(|| format!("no length: {head}"))?])?;
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).with_context(|| head.clone())
    }
}

/// Answers without a container: of a route that asks nobody, and of the guarded one.
const FIXED: [(&str, &str); 2] = [("respond", "200:open"), ("routes.guarded.respond", "200:guarded")];

pub fn a_connection_from_before_a_policy_is_asked_by_it_at_once(folder: &Path) -> Result<()> {
    let signer = Signer::new()?;
    fs::write(folder.join("keys.json"), signer.keys().to_string())?;
    let lab = Lab::start_with(folder, Some(&json!({})))?;
    lab.serve("tokens", &[("host", "open.test, guarded.test"), ("respond", "200:open")], &[])?;
    let (for_shop, for_blog) =
        (signer.token(&claims(&json!({}))?)?, signer.token(&claims(&json!({ "aud": "blog" }))?)?);
    let mut first = Kept::open(&lab)?;
    is(first.ask("guarded.test", "none")?, 200, "before there is a policy")?;
    let listeners = lab.counter("listener_manager.lds.update_success")?;

    lab.write_policies(&policy("shop", "keys.json"))?;
    lab.serve("tokens", &[&LABELS[..], &FIXED].concat(), &[])?;
    // The two files are read one after the other: until both are, the route stands as it was, and asks nobody.
    until("a client that comes anew is asked", LIMIT, || is(ask(&lab, None)?, 401, "without a token"))?;
    let mut second = Kept::open(&lab)?;
    for (kept, what) in [(&mut first, "from before the policy"), (&mut second, "since")] {
        for (host, token, wanted) in [
            ("guarded.test", "none", 401),
            ("guarded.test", &for_shop, 200),
            ("guarded.test", &for_blog, 403),
            ("open.test", "none", 200),
        ] {
            is(kept.ask(host, token)?, wanted, what)?;
        }
    }

    lab.write_policies(&policy("blog", "keys.json"))?;
    until("the new rules hold", LIMIT, || is(ask(&lab, Some(&for_blog))?, 200, "for blog"))?;
    for (kept, what) in [(&mut first, "from before the policy"), (&mut second, "from before its change")] {
        for (host, token, wanted) in [
            ("guarded.test", "none", 401),
            ("guarded.test", &for_shop, 403),
            ("guarded.test", &for_blog, 200),
            ("open.test", "none", 200),
        ] {
            is(kept.ask(host, token)?, wanted, what)?;
        }
    }
    lab.write_policies("{}\n")?;
    until("the route is closed", LIMIT, || is(ask(&lab, Some(&for_blog))?, 503, "a policy that is gone"))?;
    for kept in [&mut first, &mut second] {
        is(kept.ask("guarded.test", &for_blog)?, 503, "over a connection from before")?;
        is(kept.ask("open.test", "none")?, 200, "over a connection from before")?;
    }
    is(lab.counter("listener_manager.lds.update_success")?, listeners, "what Envoy heard of listeners")?;
    lab.is_spotless()
}

pub fn nobody_is_refused_while_the_rules_change_who_is_let_in_by_the_old_and_the_new(
    folder: &Path,
) -> Result<()> {
    let signer = Signer::new()?;
    fs::write(folder.join("keys.json"), signer.keys().to_string())?;
    let lab = Lab::start_with(folder, Some(&serde_json::from_str(&policy("shop", "keys.json"))?))?;
    lab.serve("tokens", &[&LABELS[..], &FIXED].concat(), &[])?;
    let token = |audience: Value| signer.token(&claims(&json!({ "aud": audience }))?);
    let for_both = token(json!(["shop", "blog"]))?;
    let mut kept = Kept::open(&lab)?;
    until("the rules hold", LIMIT, || is(ask(&lab, Some(&for_both))?, 200, "for both"))?;
    for audience in ["blog", "shop"].into_iter().cycle().take(10) {
        let for_one = token(json!(audience))?;
        lab.write_policies(&policy(audience, "keys.json"))?;
        while kept.ask("guarded.test", &for_one)? != 200 {
            is(kept.ask("guarded.test", &for_both)?, 200, "while the rules change")?;
        }
        is(kept.ask("guarded.test", &for_both)?, 200, "by the new rules")?;
    }
    lab.is_spotless()
}

pub fn keys_are_asked_of_the_signer(folder: &Path) -> Result<()> {
    let signer = Signer::new()?;
    let lab = Lab::start_with(folder, Some(&json!({})))?;
    let id = Upstream::start_saying(lab.runtime.handle(), "id", &signer.keys().to_string())?;
    let gone = json!({ "jwt": { "issuer": "https://id.test", "audiences": "shop", "keys": "http://127.0.0.1:1/keys" } });
    let mut policies: Value =
        serde_json::from_str(&policy("shop", &format!("http://{}/said", id.address())))?;
    policies["auth"]["gone"] = gone;
    lab.write_policies(&policies.to_string())?;
    let labels = [
        FIXED[0],
        FIXED[1],
        ("routes.gone.host", "gone.test"),
        ("routes.gone.auth", "gone"),
        ("routes.gone.respond", "200:gone"),
    ];
    lab.serve("tokens", &[&LABELS[..], &labels].concat(), &[])?;
    let good = signer.token(&claims(&json!({}))?)?;
    until("the right token is let through", LIMIT, || is(ask(&lab, Some(&good))?, 200, "the right one"))?;
    is(ask(&lab, Some(&Signer::new()?.token(&claims(&json!({}))?)?))?, 401, "somebody else's")?;
    let closed = lab.request(Method::GET, "gone.test", "/").bearer_auth(&good).send()?;
    is(status(&closed), 401, "a signer who does not answer lets nobody in")?;
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}

/// An authority, which signs a certificate for `name`: `<file>-ca.crt`, `<file>.crt` and `<file>.key` in `folder`.
fn authority(folder: &Path, file: &str, name: &str) -> Result<()> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than that of what it signs, or that would look as if it had signed itself.
    params.distinguished_name.push(DnType::CommonName, "an authority");
    let key = KeyPair::generate()?;
    fs::write(folder.join(format!("{file}-ca.crt")), params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
    fs::write(folder.join(format!("{file}.crt")), certificate.pem())?;
    fs::write(folder.join(format!("{file}.key")), key.serialize_pem())?;
    Ok(())
}

pub fn keys_are_asked_by_https_of_who_can_prove_to_be_the_signer(folder: &Path) -> Result<()> {
    let signer = Signer::new()?;
    let port = ports::free()?;
    authority(folder, "id", "localhost")?;
    authority(folder, "other", "localhost")?;
    let lab = Lab::start_with(folder, Some(&json!({})))?;
    let id = Upstream::start_saying(lab.runtime.handle(), "id", &signer.keys().to_string())?;
    let jwt = |host: &str, ca: Option<&str>| {
        let mut policy: Value =
            serde_json::from_str(&policy("shop", &format!("https://{host}:{port}/said")))?;
        policy["auth"]["id"]["jwt"]["ca"] = json!(ca);
        anyhow::Ok(policy["auth"]["id"].clone())
    };
    // The signer is at an entry point that speaks TLS.
    let policies = json!({
        "certificates": { "id": { "chain": "id.crt", "key": "id.key" } },
        "entry-points": { "signer": { "listen": format!("127.0.0.1:{port}"), "tls": "id" } },
        "auth": {
            "id": jwt("localhost", Some("id-ca.crt"))?,
            "stranger": jwt("localhost", Some("other-ca.crt"))?,
            "public": jwt("localhost", None)?,
            "misnamed": jwt("127.0.0.1", Some("id-ca.crt"))?,
            "blind": jwt("localhost", Some("none.crt"))?,
        },
    });
    lab.write_policies(&policies.to_string())?;
    let closed = ["stranger", "public", "misnamed", "blind"];
    let hosts: Vec<[(String, String); 3]> = closed
        .iter()
        .map(|name| {
            let key = |key: &str| format!("routes.{name}.{key}");
            let host = (key("host"), format!("{name}.test"));
            [host, (key("auth"), (*name).to_owned()), (key("respond"), "200:in".to_owned())]
        })
        .collect();
    let mut labels = vec![("respond", "200:open"), ("routes.guarded.respond", "200:guarded")];
    labels.extend(hosts.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())));
    lab.serve_all(&[
        ("signer", &[("host", "localhost"), ("listen", "signer")], &[id.address()]),
        ("tokens", &[&LABELS[..], &labels].concat(), &[]),
    ])?;
    let good = signer.token(&claims(&json!({}))?)?;
    until("the right token is let through", LIMIT, || is(ask(&lab, Some(&good))?, 200, "the right one"))?;
    is(ask(&lab, Some(&Signer::new()?.token(&claims(&json!({}))?)?))?, 401, "somebody else's")?;

    for (name, why) in
        [("stranger", "fail_verify_error"), ("public", "fail_verify_error"), ("misnamed", "fail_verify_san")]
    {
        until(name, LIMIT, || {
            let tried = lab.counter(&format!("cluster.portolan.auth.{name}.ssl.{why}"))?;
            ensure!(tried > 0, "its certificate is not refused yet");
            Ok(())
        })?;
    }
    let at = |name: &str| lab.request(Method::GET, &format!("{name}.test"), "/").bearer_auth(&good).send();
    for (name, wanted) in closed.into_iter().zip([401, 401, 401, 503]) {
        is(status(&at(name)?), wanted, name)?;
    }
    let shown = lab.problems()?.to_string();
    ensure!(shown.contains("none.crt") && shown.contains("what it guards is closed"), "{shown}");

    // An authority that is trusted from now on.
    fs::copy(folder.join("id-ca.crt"), folder.join("other-ca.crt"))?;
    until("the stranger is known", LIMIT, || is(status(&at("stranger")?), 200, "by the new authority"))?;
    is(lab.counter(".*update_rejected")?, 0, "refused by Envoy")
}
