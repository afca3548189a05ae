//! What `portolan::matching` says of a request, and what Envoy does with it: no disagreement on some thousands.

use std::sync::Arc;

use anyhow::{Result, ensure};
use portolan::matching::{Outcome, Question, decide};
use portolan::{file, model};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reqwest::Method;

use super::lab::{Lab, status};

const ROUNDS: usize = 25;
const ROUTES: usize = 8;
const REQUESTS: usize = 120;
const HOSTS: [&str; 4] = ["agree.test", "a.agree.test", "b.a.agree.test", "other.agree.test"];

type Labels = Vec<(String, String)>;

fn pick(from: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(from)
}

/// A route that answers with its own name.
fn route(number: usize) -> impl Strategy<Value = Labels> {
    let hosts = pick(&["agree.test", "a.agree.test", "*.agree.test", "*.a.agree.test"]);
    let paths = pick(&["/", "/a", "/a/b", "=/a", "=/a/b", "~/[ab]+", "~/a/.*", "/ab", "/a.b"]);
    let methods = pick(&["", "", "GET", "POST, PUT"]);
    let headers = pick(&["", "", "1", "*", "!1", "!*", "~[0-9]+"]);
    let queries = pick(&["", "", "1", "*", "~[0-9]+"]);
    let priorities = pick(&["0", "0", "1", "-1"]);
    (hosts, paths, methods, headers, queries, priorities).prop_map(
        move |(host, path, methods, header, query, priority)| {
            let said = [
                ("host", host),
                ("path", path),
                ("methods", methods),
                ("header.x-a", header),
                ("query.q", query),
                ("priority", priority),
            ];
            let said = said.into_iter().filter(|(_, value)| !value.is_empty());
            let answer = ("respond", format!("200:r{number}"));
            let all = said.map(|(key, value)| (key, value.to_owned())).chain([answer]);
            all.map(|(key, value)| (format!("routes.r{number}.{key}"), value)).collect()
        },
    )
}

/// Host, path, method and header of a request.
fn request() -> impl Strategy<Value = (&'static str, &'static str, &'static str, &'static str)> {
    let paths = pick(&[
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/a/b/c",
        "/ab",
        "/abc",
        "/b",
        "/aa",
        "/a?q=1",
        "/a?q=x",
        "/a/b?q=22&q=1",
        "/?p=1&q=",
        "/ab?q",
        "/a.b",
        "/axb",
        "/c",
        "/A",
    ]);
    (prop::sample::select(&HOSTS[..]), paths, pick(&["GET", "POST", "DELETE"]), pick(&["", "1", "2", "x"]))
}

pub fn what_is_said_of_a_request_is_what_envoy_does(lab: &Lab) -> Result<()> {
    let mut runner = TestRunner::deterministic();
    let options = model::Options {
        label_prefix: "portolan".to_owned(),
        reserved_host: "dashboard.localhost".to_owned(),
        policies: Default::default(),
    };
    let mut taken = 0;
    for round in 0..ROUNDS {
        let mut draw = |strategy: BoxedStrategy<Labels>| {
            strategy.new_tree(&mut runner).map(|tree| tree.current()).map_err(|why| anyhow::anyhow!("{why}"))
        };
        let labels: Vec<Labels> = (0..ROUTES).map(|n| draw(route(n).boxed())).collect::<Result<_>>()?;
        let labels: Vec<(&str, &str)> =
            labels.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        // A name of its own each time: no route of the last round has a claim that is older.
        lab.forget();
        lab.serve(&format!("agree{round}"), &labels, &[])?;
        let services = std::fs::read_to_string(lab.folder().join("services.yaml"))?;
        let inventory = Arc::new(file::parse(&services).map_err(anyhow::Error::msg)?);
        let topology = model::build(&inventory, &options, None).topology;
        for _ in 0..REQUESTS {
            let tree = request().new_tree(&mut runner).map_err(|why| anyhow::anyhow!("{why}"))?;
            let (host, path, method, header) = tree.current();
            let mut question =
                Question::read(&format!("{host}{path}")).map_err(anyhow::Error::msg)?.by(method);
            let mut request = lab.request(Method::from_bytes(method.as_bytes())?, host, path);
            if !header.is_empty() {
                question.headers.insert("x-a".to_owned(), header.to_owned());
                request = request.header("x-a", header);
            }
            let verdict = decide(&topology, "dashboard.localhost", &question);
            let said = match verdict.outcome {
                Outcome::Routed(route) => route.name.rsplit('#').next().map(str::to_owned),
                _ => None,
            };
            let response = request.send()?;
            let found = status(&response);
            let answer = response.text()?;
            let envoy = (found == 200).then_some(answer);
            ensure!(
                said == envoy,
                "round {round}, {method} {host}{path} x-a={header:?}: said {said:?}, Envoy {found} {envoy:?}; {labels:?}"
            );
            taken += usize::from(said.is_some());
        }
    }
    // Neither all nor nothing is taken, so that there is something to disagree on.
    let all = ROUNDS * REQUESTS;
    ensure!(taken > all / 10 && taken < all * 9 / 10, "{taken} of {all} requests are taken");
    Ok(())
}
