//! What becomes of a request and of its answer.

use anyhow::{Result, ensure};
use reqwest::Method;

use super::lab::{Lab, header, is, said, status};

pub fn the_matched_prefix_is_stripped(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    lab.serve("strip", &[("host", "strip.test"), ("path", "/api"), ("strip", "true")], &[web.address()])?;
    for (path, wanted) in
        [("/api", "/"), ("/api/", "/"), ("/api/x/y?q=/api", "/x/y?q=/api"), ("/api?q=1", "/?q=1")]
    {
        let asked = lab.asked("strip.test", path)?;
        is(asked["path"].as_str(), Some(wanted), path)?;
        is(asked["headers"]["x-forwarded-prefix"].as_str(), Some("/api"), "the prefix that was taken")?;
    }
    is(status(&lab.get("strip.test", "/apix")?), 404, "another word")
}

pub fn the_matched_prefix_is_rewritten(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let labels = [
        ("routes.a.host", "rewrite.test"),
        ("routes.a.path", "/old"),
        ("routes.a.rewrite", "/new/v2"),
        ("routes.b.host", "rewrite-all.test"),
        ("routes.b.rewrite", "/all"),
        ("routes.c.host", "rewrite.test"),
        ("routes.c.path", "=/exact"),
        ("routes.c.rewrite", "/else"),
        ("routes.d.host", "rewrite.test"),
        ("routes.d.path", "/root"),
        ("routes.d.rewrite", "/"),
    ];
    lab.serve("rewrite", &labels, &[web.address()])?;
    for (host, path, wanted) in [
        ("rewrite.test", "/old", "/new/v2"),
        ("rewrite.test", "/old/x?q", "/new/v2/x?q"),
        ("rewrite-all.test", "/x", "/all/x"),
        ("rewrite.test", "/exact?q", "/else?q"),
        ("rewrite.test", "/root/x", "/x"),
    ] {
        is(lab.asked(host, path)?["path"].as_str(), Some(wanted), path)?;
    }
    Ok(())
}

pub fn a_redirect_goes_to_https_to_a_host_or_to_a_url(lab: &Lab) -> Result<()> {
    let labels = [
        ("routes.https.host", "r-https.test"),
        ("routes.https.redirect", "https"),
        ("routes.host.host", "r-host.test"),
        ("routes.host.redirect", "host:new.test"),
        ("routes.host.redirect.code", "302"),
        ("routes.url.host", "r-url.test"),
        ("routes.url.redirect", "https://new.test:8443"),
        ("routes.url.redirect.code", "301"),
        ("routes.path.host", "r-path.test"),
        ("routes.path.redirect", "http://new.test/there"),
        ("routes.path.redirect.code", "307"),
        ("routes.query.host", "r-query.test"),
        ("routes.query.redirect", "http://new.test/th%20ere?d=%41#e"),
    ];
    lab.serve("redirect", &labels, &[])?;
    for (host, code, wanted) in [
        ("r-https.test", 308, "https://r-https.test/a?b=c"),
        ("r-host.test", 302, "http://new.test/a?b=c"),
        ("r-url.test", 301, "https://new.test:8443/a?b=c"),
        ("r-path.test", 307, "http://new.test/there?b=c"),
        ("r-query.test", 308, "http://new.test/th%20ere?d=%41#e"),
    ] {
        let response = lab.get(host, "/a?b=c")?;
        is((status(&response), header(&response, "location")), (code, wanted), host)?;
    }
    Ok(())
}

pub fn a_fixed_answer_needs_no_container(lab: &Lab) -> Result<()> {
    let labels = [
        ("host", "respond.test"),
        ("respond", "200:it is 100% fixed: yes"),
        ("routes.empty.host", "respond.test"),
        ("routes.empty.path", "/empty"),
        ("routes.empty.respond", "204"),
    ];
    lab.serve("respond", &labels, &[])?;
    let response = lab.get("respond.test", "/x")?;
    is(status(&response), 200, "status")?;
    is(response.text()?.as_str(), "it is 100% fixed: yes", "body")?;
    let empty = lab.get("respond.test", "/empty")?;
    is((status(&empty), empty.text()?.as_str()), (204, ""), "empty")
}

pub fn headers_are_set_appended_and_removed(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let labels = [
        ("host", "edit.test"),
        ("request-header.x-set", "50% of it"),
        ("request-header.x-more", "+b"),
        ("request-header.x-gone", ""),
        ("request-header.x-plus", "=+1"),
        ("response-header.x-powered-by", ""),
        ("response-header.x-frame-options", "DENY"),
        ("response-header.x-server", "+second"),
    ];
    lab.serve("edit", &labels, &[web.address()])?;
    let request = lab.request(Method::GET, "edit.test", "/").header("x-set", "client").header("x-gone", "1");
    let response = request.header("x-more", "a").send()?;
    is(header(&response, "x-frame-options"), "DENY", "x-frame-options")?;
    is(header(&response, "x-powered-by"), "", "x-powered-by")?;
    let servers: Vec<_> = response.headers().get_all("x-server").iter().collect();
    ensure!(servers == ["web", "second"], "x-server: {servers:?}");
    let asked = said(response)?;
    let headers = &asked["headers"];
    is(headers["x-set"].as_str(), Some("50% of it"), "x-set")?;
    is(headers["x-plus"].as_str(), Some("+1"), "x-plus")?;
    ensure!(headers["x-gone"].is_null(), "x-gone is there: {headers}");
    // A later value of the same name is the one that the echo shows.
    ensure!(headers["x-more"].as_str().is_some_and(|value| value.ends_with('b')), "x-more: {headers}");
    Ok(())
}
