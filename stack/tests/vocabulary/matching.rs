//! Which requests a route takes.

use anyhow::Result;
use reqwest::Method;

use super::lab::{Lab, is, said, status};

/// A route that answers with its own name.
fn route<'a>(
    name: &'a str,
    answer: &'a str,
    labels: &[(&'a str, &'a str)],
    host: &'a str,
) -> Vec<(String, &'a str)> {
    let mut all = vec![(format!("routes.{name}.host"), host), (format!("routes.{name}.respond"), answer)];
    all.extend(labels.iter().map(|(key, value)| (format!("routes.{name}.{key}"), *value)));
    all
}

type Labels<'a> = Vec<(String, &'a str)>;

fn serve(lab: &Lab, name: &str, routes: Vec<Labels<'_>>) -> Result<()> {
    let labels: Labels<'_> = routes.into_iter().flatten().collect();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    lab.serve(name, &labels, &[])
}

pub fn a_path_is_exact_a_prefix_of_segments_or_a_regular_expression(lab: &Lab) -> Result<()> {
    let host = "path.test";
    serve(
        lab,
        "path",
        vec![
            route("exact", "200:exact", &[("path", "=/api/v1")], host),
            route("long", "200:long", &[("path", "/api/v1")], host),
            route("short", "200:short", &[("path", "/api")], host),
            route("regex", "200:regex", &[("path", "~/item/[0-9]+")], host),
        ],
    )?;
    for (path, wanted) in [
        ("/api/v1", "exact"),
        ("/api/v1/", "long"),
        ("/api/v1/x", "long"),
        ("/api/v1x", "short"),
        ("/api", "short"),
        ("/api?x=/api/v1", "short"),
        ("/item/77", "regex"),
    ] {
        is(lab.get(host, path)?.text()?.as_str(), wanted, path)?;
    }
    for path in ["/apix", "/", "/item/x", "/item/7/x"] {
        is(status(&lab.get(host, path)?), 404, path)?;
    }
    Ok(())
}

pub fn an_exact_host_comes_before_a_wildcard_and_the_longer_one_first(lab: &Lab) -> Result<()> {
    serve(
        lab,
        "hosts",
        vec![
            route("exact", "200:exact", &[("path", "/a")], "x.y.hosts.test, other.hosts.test"),
            route("long", "200:long", &[], "*.y.hosts.test"),
            route("short", "200:short", &[], "*.hosts.test"),
        ],
    )?;
    for (host, path, wanted) in [
        ("x.y.hosts.test", "/a", "exact"),
        ("X.Y.Hosts.Test", "/a", "exact"),
        ("x.y.hosts.test:8080", "/a", "exact"),
        ("other.hosts.test", "/a/b", "exact"),
        ("x.y.hosts.test", "/b", "long"),
        ("z.y.hosts.test", "/a", "long"),
        ("z.hosts.test", "/a", "short"),
    ] {
        is(lab.get(host, path)?.text()?.as_str(), wanted, &format!("{host}{path}"))?;
    }
    is(status(&lab.get("hosts.test", "/")?), 404, "the name itself is not below itself")
}

pub fn methods_choose(lab: &Lab) -> Result<()> {
    let host = "methods.test";
    serve(
        lab,
        "methods",
        vec![
            route("read", "200:read", &[("methods", "GET, HEAD")], host),
            route("write", "200:write", &[("methods", "POST")], host),
        ],
    )?;
    let asked = |method| -> Result<(u16, String)> {
        let response = lab.request(method, host, "/").send()?;
        Ok((status(&response), response.text()?))
    };
    is(asked(Method::GET)?, (200, "read".to_owned()), "GET")?;
    is(asked(Method::HEAD)?.0, 200, "HEAD")?;
    is(asked(Method::POST)?, (200, "write".to_owned()), "POST")?;
    is(asked(Method::DELETE)?.0, 404, "DELETE")
}

pub fn headers_choose_by_value_presence_pattern_and_absence(lab: &Lab) -> Result<()> {
    let host = "headers.test";
    serve(
        lab,
        "headers",
        vec![
            route("value", "200:value", &[("header.x-tenant", "acme"), ("priority", "5")], host),
            route("pattern", "200:pattern", &[("header.x-tenant", "~ac[a-z]+"), ("priority", "4")], host),
            route("odd", "200:odd", &[("header.x-tenant", "=*"), ("priority", "3")], host),
            route("present", "200:present", &[("header.x-tenant", "*"), ("priority", "2")], host),
            route(
                "not",
                "200:not",
                &[("header.x-beta", "!no"), ("header.x-gamma", "!*"), ("priority", "1")],
                host,
            ),
            route("rest", "200:rest", &[], host),
        ],
    )?;
    for (headers, wanted) in [
        (&[("x-tenant", "acme")][..], "value"),
        (&[("x-tenant", "acbc")], "pattern"),
        (&[("x-tenant", "ac1")], "present"),
        (&[("x-tenant", "*")], "odd"),
        (&[], "not"),
        (&[("x-beta", "yes")], "not"),
        (&[("x-beta", "no")], "rest"),
        (&[("x-gamma", "1")], "rest"),
    ] {
        let request = headers.iter().fold(lab.request(Method::GET, host, "/"), |request, (name, value)| {
            request.header(*name, *value)
        });
        is(request.send()?.text()?.as_str(), wanted, &format!("{headers:?}"))?;
    }
    Ok(())
}

pub fn query_parameters_choose(lab: &Lab) -> Result<()> {
    let host = "query.test";
    serve(
        lab,
        "query",
        vec![
            route("both", "200:both", &[("query.a", "1"), ("query.b", "*")], host),
            route("one", "200:one", &[("query.a", "1")], host),
            route("pattern", "200:pattern", &[("query.a", "~[0-9]+")], host),
            route("rest", "200:rest", &[], host),
        ],
    )?;
    for (path, wanted) in [
        ("/?a=1", "one"),
        ("/?b=&a=1", "both"),
        ("/?a=22", "pattern"),
        ("/?a=x", "rest"),
        ("/?A=1", "rest"),
        ("/", "rest"),
    ] {
        is(lab.get(host, path)?.text()?.as_str(), wanted, path)?;
    }
    Ok(())
}

pub fn a_higher_priority_is_asked_first_and_more_matchers_before_fewer(lab: &Lab) -> Result<()> {
    let host = "priority.test";
    serve(
        lab,
        "priority",
        vec![
            route("exact", "200:exact", &[("path", "=/a/b")], host),
            route("first", "200:first", &[("path", "~/a/.*"), ("priority", "1")], host),
            route("fewer", "200:fewer", &[("path", "/c")], host),
            route("more", "200:more", &[("path", "/c"), ("methods", "GET"), ("header.x-a", "*")], host),
            route("last", "200:last", &[("path", "=/c/d"), ("priority", "-1")], host),
        ],
    )?;
    is(lab.get(host, "/a/b")?.text()?.as_str(), "first", "a regular expression of a higher priority")?;
    is(lab.get(host, "/c")?.text()?.as_str(), "fewer", "no header")?;
    let more = lab.request(Method::GET, host, "/c").header("x-a", "1").send()?;
    is(more.text()?.as_str(), "more", "with the header")?;
    is(lab.get(host, "/c/d")?.text()?.as_str(), "fewer", "an exact path of a lower priority")
}

pub fn a_mistake_takes_out_one_route_and_the_last_good_one_stays(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let endpoints = [web.address()];
    let labels = |path| [("host", "mistake.test"), ("path", path), ("routes.b.host", "mistake-b.test")];
    lab.serve("mistake", &labels("/a"), &endpoints)?;
    lab.asked("mistake.test", "/a")?;
    lab.serve("mistake", &labels("a"), &endpoints)?;
    lab.asked("mistake.test", "/a")?;
    lab.asked("mistake-b.test", "/")?;
    is(lab.control_plane.log().contains("a path begins with /"), true, "the log names the mistake")?;
    lab.serve("mistake", &labels("/b"), &endpoints)?;
    said(lab.get("mistake.test", "/b")?)?;
    is(status(&lab.get("mistake.test", "/a")?), 404, "the old path")
}
