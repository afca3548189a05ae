//! The API of a control plane over containers that do not change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portolan::admin::Inspect;
use portolan::model::Options;
use portolan::overrides::Overrides;
use portolan::policies;
use portolan::provider;
use portolan::publish::Publisher;
use portolan::sources::Sources;
use portolan::timeline::Timeline;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use xds_server::Clients;

use super::Case;

/// A server that answers as `portolan serve` does with these containers, until the tasks are dropped.
pub(crate) async fn server(case: &Case) -> (SocketAddr, JoinSet<()>) {
    let policies = case.policies.as_deref().map(|text| Arc::new(policies::parse(text).unwrap()));
    let options = Options { policies: policies.unwrap_or_default(), ..super::options() };
    let publisher = Publisher::new(options, super::edge());
    let view = publisher.next(&Arc::new(super::inventory(&case.containers)), None).unwrap();
    let (outlet, inventories, freshness) = provider::port(Duration::from_secs(60));
    outlet.confirm(tokio::time::Instant::now());
    let sources = Sources {
        views: watch::channel(Some(Arc::new(view))).1,
        inventories,
        decisions: watch::channel(Overrides::default()).1,
        clients: Clients::default(),
        freshness,
        timeline: Timeline::default(),
    };
    let inspect = Inspect::service(sources, super::options().reserved_host);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        Server::builder().add_service(inspect).serve_with_incoming(incoming).await.unwrap();
        drop(outlet);
    });
    (address, tasks)
}
