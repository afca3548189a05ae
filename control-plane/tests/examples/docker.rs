//! What stands in for `docker` where it changes containers, and for the pages of Envoy that `rollout` and `health` read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use warp::Filter as _;

use crate::support::engine::serve;
use crate::support::living::Living;

/// Answers on `socket` to the arguments of a call of `docker` with what it prints, until it is dropped.
pub(crate) fn commands(socket: &Path, engine: Arc<Living>) -> JoinSet<()> {
    serve(socket, move |request| answer(request, Arc::clone(&engine)))
}

async fn answer(
    request: Request<Incoming>,
    engine: Arc<Living>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let line = String::from_utf8_lossy(&body).into_owned();
    let words: Vec<&str> = line.split_whitespace().filter(|word| !OF_ROLLOUT.contains(word)).collect();
    let (status, text) = match run(&words, &engine) {
        Some(printed) => (StatusCode::OK, printed),
        None => (StatusCode::NOT_IMPLEMENTED, format!("docker {line} is not stood in for\n")),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}

/// What `rollout` has Compose print, and how.
const OF_ROLLOUT: [&str; 4] = ["--ansi", "never", "--progress", "quiet"];

fn run(words: &[&str], engine: &Living) -> Option<String> {
    match words {
        ["compose", "ps", "--all", "--quiet", service] => {
            let of_it = engine.containers().into_iter().filter(|it| label(it, "service") == *service);
            Some(of_it.map(|it| format!("{}\n", id(&it))).collect())
        }
        ["compose", "up", "--detach", "--no-recreate", "--scale", scale, service] => {
            let (name, replicas) = scale.split_once('=')?;
            (name == *service).then(|| up(service, replicas.parse().unwrap(), engine))?;
            Some(String::new())
        }
        ["inspect", ids @ ..] => Some(Value::from(named(ids, engine)?).to_string()),
        ["stop", ids @ ..] => {
            for it in named(ids, engine)? {
                engine.tell("kill", id(&it), Some("15"));
                engine.change(id(&it), |it| it["State"]["Status"] = json!("exited"));
                engine.tell("die", id(&it), None);
            }
            Some(String::new())
        }
        ["rm", ids @ ..] => {
            for it in named(ids, engine)? {
                engine.remove(id(&it));
                engine.tell("destroy", id(&it), None);
            }
            Some(String::new())
        }
        _ => None,
    }
}

fn id(container: &Value) -> &str {
    container["Id"].as_str().unwrap()
}

fn label<'c>(container: &'c Value, name: &str) -> &'c str {
    container["Config"]["Labels"][format!("com.docker.compose.{name}")].as_str().unwrap()
}

/// Each by its id or its name; none where one is not there.
fn named(words: &[&str], engine: &Living) -> Option<Vec<Value>> {
    let all = engine.containers();
    let is_it = |it: &Value, word: &str| id(it) == word || it["Name"] == format!("/{word}");
    words.iter().map(|word| all.iter().find(|it| is_it(it, word)).cloned()).collect()
}

/// Makes the service that many containers, each like its first.
fn up(service: &str, replicas: usize, engine: &Living) {
    let all = engine.containers();
    let mut numbers: Vec<usize> =
        all.iter().map(|it| label(it, "container-number").parse().unwrap()).collect();
    numbers.sort_unstable();
    let of_it: Vec<&Value> = all.iter().filter(|it| label(it, "service") == service).collect();
    for more in 1..=replicas.saturating_sub(of_it.len()) {
        let number = numbers.last().unwrap() + more;
        let mut it = of_it[0].clone();
        it["Id"] = json!(format!("{number:0>64}"));
        it["Name"] = json!(format!("/{}-{service}-{number}", label(&it, "project")));
        it["Config"]["Labels"]["com.docker.compose.container-number"] = json!(number.to_string());
        it["State"]["Status"] = json!("running");
        for network in it["NetworkSettings"]["Networks"].as_object_mut().unwrap().values_mut() {
            network["IPAddress"] = json!(format!("172.20.1.{number}"));
        }
        engine.start(it);
    }
}

/// The pages of an Envoy that has nothing to do, until they are dropped.
pub(crate) fn envoy(engine: Arc<Living>) -> (SocketAddr, JoinSet<()>) {
    let ready = warp::path!("ready").map(|| "LIVE\n".to_owned());
    let clusters = warp::path!("clusters").map(move || {
        let status = |it: &Value| {
            let networks = it["NetworkSettings"]["Networks"].as_object().unwrap();
            let hosts = networks.values().map(|network| {
                json!({"address": {"socket_address": {"address": network["IPAddress"], "port_value": 8080}}})
            });
            (format!("{}/{}", label(it, "project"), label(it, "service")), hosts.collect::<Vec<_>>())
        };
        let mut clusters = std::collections::BTreeMap::<String, Vec<Value>>::new();
        for (name, hosts) in engine.containers().iter().map(status) {
            clusters.entry(name).or_default().extend(hosts);
        }
        let statuses =
            clusters.into_iter().map(|(name, hosts)| json!({"name": name, "host_statuses": hosts}));
        json!({"cluster_statuses": statuses.collect::<Vec<_>>()}).to_string()
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(warp::serve(ready.or(clusters).unify()).incoming(listener).run());
    (address, tasks)
}
