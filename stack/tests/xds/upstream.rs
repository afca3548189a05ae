//! Small web servers that answer with their own name.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use warp::Filter;

/// Some web servers on loopback, until this is dropped.
#[derive(Debug)]
pub struct Upstreams {
    ports: BTreeMap<&'static str, u16>,
    _servers: JoinSet<()>,
    _runtime: Runtime,
}

impl Upstreams {
    /// One for each name.
    pub fn start(names: &[&'static str]) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (mut ports, mut servers) = (BTreeMap::new(), JoinSet::new());
        for name in names.iter().copied() {
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
            ports.insert(name, listener.local_addr()?.port());
            let answer = warp::any().map(move || name);
            servers.spawn_on(warp::serve(answer).incoming(listener).run(), runtime.handle());
        }
        Ok(Self { ports, _servers: servers, _runtime: runtime })
    }

    /// The ports of those that are named.
    pub fn ports(&self, names: &[&str]) -> Vec<u16> {
        names.iter().map(|name| self.ports[name]).collect()
    }
}
