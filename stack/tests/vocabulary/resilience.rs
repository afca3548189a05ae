//! Time-outs, retries, and which containers are left alone.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use stack::ports::Reserved;
use stack::wait::until;

use super::lab::{LIMIT, Lab, header, is, status};
use super::upstream::Upstream;

/// The statuses of so many requests.
fn statuses(lab: &Lab, host: &str, path: &str, n: usize) -> Result<Vec<u16>> {
    (0..n).map(|_| Ok(status(&lab.get(host, path)?))).collect()
}

/// Who answers so many requests.
pub fn servers(lab: &Lab, host: &str, n: usize) -> Result<BTreeSet<String>> {
    let server = |_| {
        let said = lab.asked(host, "/")?;
        Ok(said["server"].as_str().unwrap_or_default().to_owned())
    };
    (0..n).map(server).collect()
}

pub fn a_request_that_takes_too_long_is_ended(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let labels = [
        ("host", "timeout.test"),
        ("timeout", "150ms"),
        ("routes.off.host", "timeout-off.test"),
        ("routes.off.timeout", "off"),
        ("routes.idle.host", "timeout-idle.test"),
        ("routes.idle.timeout", "off"),
        ("routes.idle.idle-timeout", "150ms"),
    ];
    lab.serve("timeout", &labels, &[web.address()])?;
    is(status(&lab.get("timeout.test", "/slow/20000")?), 504, "timeout")?;
    is(status(&lab.get("timeout-off.test", "/slow/300")?), 200, "off")?;
    is(status(&lab.get("timeout-idle.test", "/slow/20000")?), 504, "idle-timeout")
}

pub fn a_request_that_reached_nobody_is_tried_on_another_container(lab: &Lab) -> Result<()> {
    let (web, gone) = (lab.upstream("web")?, Reserved::new()?);
    let endpoints = [web.address(), format!("127.0.0.1:{}", gone.port())];
    let labels = [
        ("host", "retries.test"),
        ("outlier", "off"),
        ("routes.none.host", "retries-none.test"),
        ("routes.none.retries", "0"),
    ];
    lab.serve("retries", &labels, &endpoints)?;
    let all = statuses(lab, "retries.test", "/", 20)?;
    ensure!(all.iter().all(|status| *status == 200), "{all:?}");
    let all = statuses(lab, "retries-none.test", "/", 20)?;
    is(all.iter().filter(|status| **status == 503).count(), 10, "without a retry every other fails")?;

    // One of six is there: five tries find it, the usual two do not always.
    let gone: Vec<Reserved> = (0..5).map(|_| Reserved::new()).collect::<Result<_>>()?;
    let endpoints: Vec<String> = gone.iter().map(|gone| format!("127.0.0.1:{}", gone.port())).collect();
    let endpoints = [&endpoints[..], &[web.address()]].concat();
    let labels = [
        ("host", "retries-few.test"),
        ("outlier", "off"),
        ("routes.many.host", "retries-many.test"),
        ("routes.many.retries", "5"),
    ];
    lab.serve("retries-of-six", &labels, &endpoints)?;
    let all = statuses(lab, "retries-few.test", "/", 20)?;
    ensure!(all.contains(&503), "two are not enough: {all:?}");
    let all = statuses(lab, "retries-many.test", "/", 20)?;
    ensure!(all.iter().all(|status| *status == 200), "{all:?}");
    is(told_of_retries(lab, "retries-many.test")?, Vec::<String>::new(), "what the container hears of it")
}

/// The headers by which the router is told of retries, of those that a container got.
fn told_of_retries(lab: &Lab, host: &str) -> Result<Vec<String>> {
    let heard = lab.asked(host, "/")?;
    let headers = heard["headers"].as_object().context("the headers that the container got")?;
    ensure!(!headers.is_empty(), "{heard}");
    let told = |name: &&String| name.starts_with("x-envoy-retry") || name.starts_with("x-envoy-max");
    Ok(headers.keys().filter(told).cloned().collect())
}

pub fn an_answer_is_tried_again_only_where_a_label_says_so(lab: &Lab) -> Result<()> {
    let (good, bad) = (lab.upstream("good")?, lab.upstream("bad")?);
    bad.state.answers(500);
    let labels = [
        ("host", "again.test"),
        ("outlier", "off"),
        ("retries", "1:5xx"),
        ("routes.plain.host", "again-plain.test"),
    ];
    lab.serve("again", &labels, &[good.address(), bad.address()])?;
    let all = statuses(lab, "again.test", "/status", 20)?;
    ensure!(all.iter().all(|status| *status == 200), "{all:?}");
    ensure!(bad.state.requests() >= 5, "the bad one was asked {} times", bad.state.requests());
    let all = statuses(lab, "again-plain.test", "/status", 20)?;
    is(all.iter().filter(|status| **status == 500).count(), 10, "an answer is an answer")
}

pub fn a_read_that_a_container_broke_off_is_tried_again_and_a_write_is_told(lab: &Lab) -> Result<()> {
    let good = lab.upstream("good")?;
    let resetting = Upstream::start_resetting(lab.runtime.handle(), "resetting")?;
    let labels = [
        ("host", "reset.test"),
        ("outlier", "off"),
        ("routes.reads.host", "reset-reads.test"),
        ("routes.reads.methods", "GET,HEAD"),
        ("routes.writes.host", "reset-writes.test"),
        ("routes.writes.methods", "POST,PUT"),
        ("routes.all.host", "reset-all.test"),
        ("routes.all.retries", "2:reset"),
        ("routes.none.host", "reset-none.test"),
        ("routes.none.retries", "0"),
        ("routes.limit.host", "reset-limit.test"),
        ("routes.limit.limit", "1000/h"),
    ];
    lab.serve("reset", &labels, &[good.address(), resetting.address()])?;
    let reset = |host: &str, method: &Method| -> Result<usize> {
        let mut reset = 0;
        for _ in 0..20 {
            // What a client asks for itself is not heard.
            let answer = lab.request(method.clone(), host, "/").header("x-envoy-retry-on", "reset").send()?;
            let told = header(&answer, "x-portolan-reason") == "connection-lost; service=reset";
            ensure!(told == (status(&answer) == 503) && (told || status(&answer) == 200), "{answer:?}");
            reset += usize::from(told);
        }
        Ok(reset)
    };
    for (host, method, expected) in [
        ("reset.test", Method::GET, 0),
        ("reset.test", Method::OPTIONS, 0),
        ("reset.test", Method::POST, 10),
        ("reset.test", Method::DELETE, 10),
        ("reset-reads.test", Method::HEAD, 0),
        ("reset-writes.test", Method::PUT, 10),
        ("reset-all.test", Method::POST, 0),
        ("reset-none.test", Method::GET, 10),
        ("reset-limit.test", Method::GET, 0),
    ] {
        is(reset(host, &method)?, expected, &format!("{method} {host}: broken off for the client"))?;
    }
    ensure!(resetting.state.requests() > 40, "the resetting one was asked");
    is(told_of_retries(lab, "reset.test")?, Vec::<String>::new(), "what the container hears of it")
}

pub fn a_container_that_fails_again_and_again_is_left_alone(lab: &Lab) -> Result<()> {
    let (good, bad) = (lab.upstream("good")?, lab.upstream("bad")?);
    bad.state.answers(500);
    let endpoints = [good.address(), bad.address()];
    lab.serve("outlier", &[("host", "outlier.test"), ("outlier", "3")], &endpoints)?;
    lab.serve("outlier-off", &[("host", "outlier-off.test"), ("outlier", "off")], &endpoints)?;
    let all = statuses(lab, "outlier.test", "/status", 20)?;
    // Envoy counts at one place and decides at another, so that one or two more may slip through.
    let failures = all.iter().filter(|status| **status == 500).count();
    ensure!((3..=5).contains(&failures), "{failures} failures until it is left alone");
    let all = statuses(lab, "outlier-off.test", "/status", 20)?;
    is(all.iter().filter(|status| **status == 500).count(), 10, "without outlier detection")
}

pub fn more_at_a_time_than_a_limit_allows_is_503(lab: &Lab) -> Result<()> {
    let connections = [("host", "connections.test"), ("max-connections", "1"), ("max-pending", "1")];
    let requests = [("host", "requests.test"), ("protocol", "h2c"), ("max-requests", "2")];
    // Over HTTP/1.1 one request has the connection and one waits for it. Over HTTP/2 two share one.
    for (host, labels, second) in
        [("connections.test", connections, (1, 1)), ("requests.test", requests, (2, 0))]
    {
        let web = lab.upstream("web")?;
        let name = host.trim_end_matches(".test");
        lab.serve(name, &labels, &[web.address()])?;
        std::thread::scope(|scope| -> Result<()> {
            let mut asking = Vec::new();
            for (busy, waiting) in [(1, 0), second] {
                asking.push(scope.spawn(|| Ok::<_, anyhow::Error>(status(&lab.get(host, "/gate")?))));
                until("one more is under way", LIMIT, || {
                    is(web.state.busy(), busy, "at the container")?;
                    is(
                        lab.counter(&format!("cluster.{name}.upstream_rq_pending_active"))?,
                        waiting,
                        "waiting",
                    )
                })?;
            }
            let refused = lab.get(host, "/")?;
            let reason = header(&refused, "x-portolan-reason");
            is((status(&refused), reason), (503, format!("overload; service={name}").as_str()), "a third")?;
            web.state.open_gate();
            for each in asking {
                is(each.join().expect("no panic")?, 200, "who was first")?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

pub fn envoy_asks_for_health_as_well(lab: &Lab) -> Result<()> {
    let (one, two) = (lab.upstream("one")?, lab.upstream("two")?);
    let labels = [
        ("host", "check.test"),
        ("health.path", "/health"),
        ("health.interval", "100ms"),
        ("health.timeout", "2s"),
    ];
    lab.serve("check", &labels, &[one.address(), two.address()])?;
    let rotation = |wanted: &[&str]| {
        until(&format!("{wanted:?} are in rotation"), LIMIT, || {
            let found = servers(lab, "check.test", 6)?;
            ensure!(found.iter().eq(wanted), "{found:?}");
            Ok(())
        })
    };
    rotation(&["one", "two"])?;
    two.state.answers(503);
    rotation(&["one"])?;
    two.state.answers(200);
    rotation(&["one", "two"])
}

pub fn dockers_word_on_health_counts_or_not(lab: &Lab) -> Result<()> {
    let (well, ill) = (lab.upstream("well")?, lab.upstream("ill")?);
    let endpoints = [well.address(), format!("{} unhealthy", ill.address())];
    lab.serve("require", &[("host", "require.test"), ("health", "require")], &endpoints)?;
    lab.serve("ignore", &[("host", "ignore.test"), ("health", "ignore")], &endpoints)?;
    is(servers(lab, "require.test", 6)?.len(), 1, "require")?;
    is(servers(lab, "ignore.test", 6)?.len(), 2, "ignore")
}

pub fn requests_are_spread_as_the_label_says(lab: &Lab) -> Result<()> {
    let all = [lab.upstream("one")?, lab.upstream("two")?, lab.upstream("three")?];
    let endpoints = all.each_ref().map(Upstream::address);
    for (name, lb) in [
        ("lb-turns", "round-robin"),
        ("lb-least", "least-request"),
        ("lb-random", "random"),
        ("lb-header", "ring-hash:header:x-user"),
        ("lb-cookie", "maglev:cookie:who"),
        ("lb-ip", "maglev:ip"),
    ] {
        let host = format!("{name}.test");
        lab.serve(name, &[("host", &host), ("lb", lb)], &endpoints)?;
    }
    is(servers(lab, "lb-turns.test", 3)?.len(), 3, "taking turns, three requests reach three")?;
    is(servers(lab, "lb-least.test", 60)?.len(), 3, "least-request")?;
    is(servers(lab, "lb-random.test", 60)?.len(), 3, "random")?;
    is(servers(lab, "lb-ip.test", 20)?.len(), 1, "one client address")?;
    let by = |host: &str, name: &str, value: &str| -> Result<String> {
        let response = lab.request(Method::GET, host, "/").header(name, value).send()?;
        Ok(header(&response, "x-server").to_owned())
    };
    for (host, name, prefix) in [("lb-header.test", "x-user", ""), ("lb-cookie.test", "cookie", "who=")] {
        let mut servers = BTreeSet::new();
        for user in 0..30 {
            let value = format!("{prefix}user-{user}");
            let first = by(host, name, &value)?;
            for _ in 0..3 {
                is(by(host, name, &value)?, first.clone(), &format!("{host} {value}"))?;
            }
            servers.insert(first);
        }
        is(servers.len(), 3, &format!("thirty users of {host} reach all"))?;
    }
    let first = lab.get("lb-cookie.test", "/")?;
    let cookie = header(&first, "set-cookie").split(';').next().context("a cookie")?.to_owned();
    ensure!(cookie.starts_with("who="), "who has none is given one: {cookie:?}");
    is(by("lb-cookie.test", "cookie", &cookie)?, header(&first, "x-server").to_owned(), "and stays with it")
}
