//! Who may use a route, and how much of it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use reqwest::blocking::Body;

use super::lab::{Lab, client, header, is, said, status};

/// How long the text is that compresses well.
const TEXT: usize = 42_000;

/// Another address of this machine.
fn another(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

pub fn a_preflight_is_answered_and_other_origins_get_no_leave(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let labels = [
        ("host", "cors.test"),
        ("methods", "PUT, GET"),
        ("cors", "https://shop.test, https://*.apps.test:8443"),
        ("cors.methods", "PUT"),
        ("cors.headers", "x-token"),
        ("cors.credentials", "true"),
        ("cors.max-age", "10m"),
        ("routes.any.host", "cors-any.test"),
        ("routes.any.cors", "*"),
    ];
    lab.serve("cors", &labels, &[web.address()])?;
    let preflight = |host: &str, origin: &str| {
        let request = lab.request(Method::OPTIONS, host, "/").header("origin", origin);
        request.header("access-control-request-method", "PUT").send()
    };
    for origin in ["https://shop.test", "https://a.b.apps.test:8443"] {
        let response = preflight("cors.test", origin)?;
        is(status(&response), 200, origin)?;
        for (name, wanted) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "x-token"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "600"),
        ] {
            is(header(&response, name), wanted, name)?;
        }
    }
    is(web.state.requests(), 0, "Envoy answers preflights itself")?;
    let asked = lab.request(Method::PUT, "cors.test", "/").header("origin", "https://shop.test").send()?;
    is(header(&asked, "access-control-allow-origin"), "https://shop.test", "the request itself")?;
    for origin in [
        "https://shop.test.evil.test",
        "http://shop.test",
        "https://apps.test:8443",
        "https://a.appsxtest:8443",
    ] {
        let asked = lab.request(Method::GET, "cors.test", "/").header("origin", origin).send()?;
        is(header(&asked, "access-control-allow-origin"), "", origin)?;
        is(header(&preflight("cors.test", origin)?, "access-control-allow-origin"), "", origin)?;
    }
    let any = preflight("cors-any.test", "http://where.test")?;
    ensure!(!header(&any, "access-control-allow-origin").is_empty(), "{any:?}");
    is(header(&any, "access-control-allow-credentials"), "", "no cookies for all")
}

pub fn more_requests_than_the_limit_are_429_and_say_when(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let labels = [
        ("host", "limit.test"),
        ("limit", "3/h"),
        ("routes.burst.host", "limit-burst.test"),
        ("routes.burst.limit", "60/h"),
        ("routes.burst.limit.burst", "2"),
        ("routes.ip.host", "limit-ip.test"),
        ("routes.ip.limit", "2/h"),
        ("routes.ip.limit.by", "ip"),
    ];
    lab.serve("limit", &labels, &[web.address()])?;
    let first = lab.get("limit.test", "/")?;
    is(
        (status(&first), header(&first, "x-ratelimit-limit"), header(&first, "x-ratelimit-remaining")),
        (200, "3", "2"),
        "the first",
    )?;
    let statuses = |n: usize, host: &str| -> Result<Vec<u16>> {
        (0..n).map(|_| Ok(status(&lab.get(host, "/")?))).collect()
    };
    is(statuses(3, "limit.test")?, vec![200, 200, 429], "the others")?;
    // What writes is counted with what reads.
    let refused = lab.request(Method::POST, "limit.test", "/").send()?;
    is(status(&refused), 429, "a POST")?;
    is(header(&refused, "x-ratelimit-remaining"), "0", "x-ratelimit-remaining")?;
    for name in ["retry-after", "x-ratelimit-reset"] {
        let seconds: u64 = header(&refused, name).parse().unwrap_or(0);
        ensure!((1..=3_600).contains(&seconds), "{name}: {refused:?}");
    }
    is(statuses(3, "limit-burst.test")?, vec![200, 200, 429], "a burst")?;
    is(statuses(3, "limit-ip.test")?, vec![200, 200, 429], "one address")?;
    let other = client(Some(another(7)))?;
    for wanted in [200, 200, 429] {
        let response = lab.request_by(&other, Method::GET, "limit-ip.test", "/").send()?;
        is(status(&response), wanted, "another address")?;
    }
    is(web.state.requests(), 3 + 2 + 2 + 2, "what reached the container")
}

pub fn addresses_are_allowed_and_denied(lab: &Lab) -> Result<()> {
    let labels = [
        ("routes.allow.host", "allow.test"),
        ("routes.allow.respond", "204"),
        ("routes.allow.allow", "127.0.0.8/29, ::1"),
        ("routes.deny.host", "deny.test"),
        ("routes.deny.respond", "204"),
        ("routes.deny.deny", "127.0.0.9"),
        ("routes.both.host", "both.test"),
        ("routes.both.respond", "204"),
        ("routes.both.allow", "127.0.0.8/29"),
        ("routes.both.deny", "127.0.0.9, 10.0.0.0/8"),
    ];
    lab.serve("addresses", &labels, &[])?;
    for (last, allow, deny, both) in
        [(1, 403, 204, 403), (8, 204, 204, 204), (9, 204, 403, 403), (16, 403, 204, 403)]
    {
        let from = client(Some(another(last)))?;
        for (host, wanted) in [("allow.test", allow), ("deny.test", deny), ("both.test", both)] {
            // What a client says of itself is not believed.
            let request =
                lab.request_by(&from, Method::GET, host, "/").header("x-forwarded-for", "127.0.0.8");
            is(status(&request.send()?), wanted, &format!("127.0.0.{last} at {host}"))?;
        }
    }
    Ok(())
}

pub fn what_no_administrator_has_named_takes_the_route_out(lab: &Lab) -> Result<()> {
    let labels = [
        ("host", "policies.test"),
        ("respond", "204"),
        ("listen", "web"),
        ("tls", "off"),
        ("auth", "off"),
        ("routes.auth.host", "policies-auth.test"),
        ("routes.auth.respond", "204"),
        ("routes.auth.auth", "staff"),
        ("routes.listen.host", "policies-listen.test"),
        ("routes.listen.respond", "204"),
        ("routes.listen.listen", "internal"),
    ];
    lab.serve("policies", &labels, &[])?;
    is(status(&lab.get("policies.test", "/")?), 204, "what there is")?;
    for (host, message) in
        [("policies-auth.test", "there is no policy"), ("policies-listen.test", "there is no entry point")]
    {
        is(status(&lab.get(host, "/")?), 404, host)?;
        ensure!(lab.control_plane.log().contains(message), "the log does not say {message:?}");
    }
    Ok(())
}

pub fn answers_are_compressed_as_the_client_likes(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let labels = [("host", "compress.test"), ("compress", "true"), ("routes.plain.host", "plain.test")];
    lab.serve("compress", &labels, &[web.address()])?;
    let size = |host: &str, accepted: &str| -> Result<(String, usize)> {
        let response = lab.request(Method::GET, host, "/big").header("accept-encoding", accepted).send()?;
        let encoding = header(&response, "content-encoding").to_owned();
        let (etag, vary) = (header(&response, "etag").to_owned(), header(&response, "vary").to_lowercase());
        is(etag.as_str(), if encoding.is_empty() { "\"1\"" } else { "W/\"1\"" }, "etag")?;
        ensure!(encoding.is_empty() || vary.contains("accept-encoding"), "vary: {vary:?}");
        Ok((encoding, response.bytes()?.len()))
    };
    let whole = size("plain.test", "gzip, br, zstd")?;
    is(whole.clone(), (String::new(), TEXT), "without the label")?;
    for (accepted, wanted) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip;q=0.5, zstd;q=0.1, br;q=0.9", "br"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
    ] {
        let (encoding, bytes) = size("compress.test", accepted)?;
        is(encoding.as_str(), wanted, accepted)?;
        ensure!(bytes < 4_000, "{accepted}: {bytes} bytes");
    }
    is(size("compress.test", "identity")?, whole.clone(), "identity")?;
    is(size("compress.test", "deflate")?, whole, "what nobody speaks")
}

pub fn a_larger_body_is_413_and_others_flow_through(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let labels = [
        ("host", "body.test"),
        ("max-body", "600KiB"),
        ("routes.large.host", "body-large.test"),
        ("routes.large.max-body", "20MiB"),
        ("routes.none.host", "body-none.test"),
    ];
    lab.serve("body", &labels, &[web.address()])?;
    let post = |host: &str, bytes: usize, chunked: bool| {
        let body = vec![b'x'; bytes];
        let body = if chunked { Body::new(std::io::Cursor::new(body)) } else { Body::from(body) };
        lab.request(Method::POST, host, "/").body(body).send()
    };
    let limit = 600 * 1024;
    for chunked in [false, true] {
        let what = format!("chunked: {chunked}");
        for bytes in [0, 10, 500 * 1024, limit] {
            let response = post("body.test", bytes, chunked)?;
            is(said(response)?["body"].as_u64(), Some(bytes as u64), &what)?;
        }
        let before = web.state.requests();
        is(refused(lab, "body.test", limit + 1, chunked)?, 413, &what)?;
        is(web.state.requests(), before, "a body that is too large reaches nobody")?;
        is(
            said(post("body-none.test", limit + 1, chunked)?)?["body"].as_u64(),
            Some(limit as u64 + 1),
            &what,
        )?;
    }
    // One of known length is not held; one of unknown length is, and so much is too much.
    let large = 10 * 1024 * 1024;
    is(said(post("body-large.test", large, false)?)?["body"].as_u64(), Some(large as u64), "10 MiB")?;
    is(refused(lab, "body-large.test", large, true)?, 413, "10 MiB of unknown length")?;
    a_body_of_known_length_flows(lab)
}

/// The status of an answer that may come before the body is sent.
fn refused(lab: &Lab, host: &str, bytes: usize, chunked: bool) -> Result<u16> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", lab.edge()))?;
    stream.set_read_timeout(Some(super::lab::LIMIT))?;
    let mut writer = stream.try_clone()?;
    let length =
        if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {bytes}") };
    writer.write_all(format!("POST / HTTP/1.1\r\nHost: {host}\r\n{length}\r\n\r\n").as_bytes())?;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // It fails where the answer says that no more is wanted.
            let size = if chunked { format!("{bytes:x}\r\n") } else { String::new() };
            let _ = writer.write_all(size.as_bytes()).and_then(|()| writer.write_all(&vec![b'x'; bytes]));
            let _ = writer.write_all(if chunked { b"\r\n0\r\n\r\n" } else { b"" });
        });
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        stream.shutdown(std::net::Shutdown::Both)?;
        let head = String::from_utf8_lossy(&head).into_owned();
        head.strip_prefix("HTTP/1.1 ").and_then(|status| status.parse().ok()).with_context(|| head.clone())
    })
}

/// The container sees the request before the body is whole.
fn a_body_of_known_length_flows(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    lab.serve("flow", &[("host", "flow.test"), ("max-body", "1MiB")], &[web.address()])?;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", lab.edge()))?;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: flow.test\r\nContent-Length: 100000\r\n\r\nthe beginning")?;
    stack::wait::until("the request is there", super::lab::LIMIT, || {
        is(web.state.busy(), 1, "requests under way")
    })
}

pub fn a_connection_outlives_every_change_of_labels(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let host = ("host", "change.test");
    let all = [
        host,
        ("cors", "*"),
        ("limit", "1000000/s"),
        ("limit.by", "ip"),
        ("allow", "127.0.0.0/8"),
        ("compress", "true"),
        ("max-body", "1MiB"),
        ("sticky", "cookie"),
        ("request-header.x-a", "b"),
        ("retries", "3:5xx"),
    ];
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", lab.edge()))?;
    stream.set_read_timeout(Some(super::lab::LIMIT))?;
    // One key more each time, and then all of them gone at once.
    for labels in (1..=all.len()).map(|n| &all[..n]).chain([&all[..1]]) {
        lab.serve("change", labels, &[web.address()])?;
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: change.test\r\n\r\n")?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).with_context(|| format!("with {:?}", labels.last()))?;
            head.extend(byte);
        }
        ensure!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    }
    is(web.state.requests(), all.len() + 1, "requests over one connection")
}
