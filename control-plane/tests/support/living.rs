//! A Docker Engine on a Unix socket, with containers that change, and events that tell of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::BroadcastStream;

use super::engine::{serve, summary};

type Body = BoxBody<Bytes, Infallible>;

/// The engine, until it is dropped.
pub(crate) struct Living {
    world: Arc<World>,
    _tasks: JoinSet<()>,
}

struct World {
    containers: watch::Sender<BTreeMap<String, Value>>,
    /// Where events go; another one when the streams are cut.
    events: watch::Sender<broadcast::Sender<String>>,
}

impl Living {
    /// One with these containers.
    pub(crate) fn at(socket: &Path, containers: Vec<Value>) -> Self {
        let world = Arc::new(World {
            containers: watch::Sender::default(),
            events: watch::Sender::new(broadcast::Sender::new(64)),
        });
        let served = Arc::clone(&world);
        let tasks = serve(socket, move |request| answer(request, Arc::clone(&served)));
        let engine = Self { world, _tasks: tasks };
        containers.into_iter().for_each(|container| engine.put(container));
        engine
    }

    /// It is there, or looks so now, and no event tells of it.
    pub(crate) fn put(&self, container: Value) {
        let id = container["Id"].as_str().unwrap().to_owned();
        self.world.containers.send_modify(|all| drop(all.insert(id, container)));
    }

    pub(crate) fn change(&self, id: &str, change: impl FnOnce(&mut Value)) {
        self.world.containers.send_modify(|all| change(all.get_mut(id).unwrap()));
    }

    pub(crate) fn change_all(&self, change: impl Fn(&mut Value)) {
        self.world.containers.send_modify(|all| all.values_mut().for_each(change));
    }

    pub(crate) fn containers(&self) -> Vec<Value> {
        self.world.containers.borrow().values().cloned().collect()
    }

    pub(crate) fn tell_all(&self, action: &str) {
        let ids: Vec<String> = self.world.containers.borrow().keys().cloned().collect();
        ids.iter().for_each(|id| self.tell(action, id, None));
    }

    pub(crate) fn remove(&self, id: &str) {
        self.world.containers.send_modify(|all| drop(all.remove(id)));
    }

    /// Tells of something, with everything that an engine tells of it.
    pub(crate) fn tell(&self, action: &str, id: &str, signal: Option<&str>) {
        let mut attributes =
            self.world.containers.borrow().get(id).map_or(json!({}), |it| it["Config"]["Labels"].clone());
        attributes["image"] = json!("shop/web");
        if let Some(signal) = signal {
            attributes["signal"] = json!(signal);
        }
        let event = json!({"Type": "container", "Action": action, "timeNano": i64::MAX, "Actor": {"ID": id, "Attributes": attributes}});
        // Nobody who listens is nobody to tell.
        let _ = self.world.events.borrow().send(format!("{event}\n"));
    }

    /// It is there, and told of.
    pub(crate) fn start(&self, container: Value) {
        let id = container["Id"].as_str().unwrap().to_owned();
        self.put(container);
        self.tell("start", &id, None);
    }

    /// Cuts the streams of events.
    pub(crate) fn cut(&self) {
        self.world.events.send_replace(broadcast::Sender::new(64));
    }
}

async fn answer(request: Request<Incoming>, world: Arc<World>) -> Result<Response<Body>, Infallible> {
    let parts: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    let found = match parts.as_slice() {
        ["version"] => Some(json!({"Version": "20.10.24", "ApiVersion": "1.41"})),
        ["events"] => {
            let events = BroadcastStream::new(world.events.borrow().subscribe());
            let frames = events.map(|line| Ok(Frame::data(Bytes::from(line.unwrap_or_default()))));
            return Ok(Response::new(BodyExt::boxed(StreamBody::new(frames))));
        }
        ["containers", "json"] => Some(world.containers.borrow().values().map(summary).collect()),
        ["containers", id, "json"] => world.containers.borrow().get(*id).cloned(),
        _ => None,
    };
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let value = found.unwrap_or_else(|| json!({"message": "not found"}));
    let mut response = Response::new(Full::from(value.to_string()).boxed());
    *response.status_mut() = status;
    Ok(response)
}
