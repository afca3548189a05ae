//! What a session costs by itself: a change and its ACK, for many clients that have everything, without a socket.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;
use xds_server::session::{Protocol, Request, Response, Scope, Session, Settings, Wants};
use xds_server::{Kind, Snapshot};

use crate::micro::timed;
use crate::world::World;

const CLIENTS: usize = 1_000;
const ROUNDS: usize = 20;

/// CPU time of one client's session, from the snapshot it is handed to its ACK; the mean over all clients for each change.
pub(crate) fn measure() -> anyhow::Result<Vec<Duration>> {
    let mut world = World::new();
    let mut snapshot = world.snapshot(&Snapshot::default())?;
    let clients = (0..CLIENTS).map(|_| settled(Protocol::Delta, &world, &snapshot));
    let mut clients = clients.collect::<anyhow::Result<Vec<_>>>()?;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        world.change(round);
        snapshot = world.snapshot(&snapshot)?;
        let (said, taken) = timed(|| {
            let mut said = 0;
            for client in &mut clients {
                client.on_snapshot(Arc::clone(&snapshot));
                let responses = client.flush(Instant::now());
                said += responses.len();
                acknowledge(client, Protocol::Delta, &world, &responses)?;
                said += client.flush(Instant::now()).len();
            }
            anyhow::Ok(said)
        });
        ensure!(said? == CLIENTS, "a change is not one response a client");
        times.push(taken / u32::try_from(CLIENTS)?);
    }
    Ok(times)
}

/// A client that has asked for everything and acknowledged it.
fn settled(protocol: Protocol, world: &World, snapshot: &Arc<Snapshot>) -> anyhow::Result<Session> {
    let mut session = Session::new(protocol, Scope::Aggregated, Settings::default());
    session.on_snapshot(Arc::clone(snapshot));
    for kind in [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route] {
        session.on_request(request(protocol, kind, "", names(kind, world)))?;
        let mut responses = session.flush(Instant::now());
        while !responses.is_empty() {
            acknowledge(&mut session, protocol, world, &responses)?;
            responses = session.flush(Instant::now());
        }
    }
    Ok(session)
}

fn acknowledge(
    session: &mut Session,
    protocol: Protocol,
    world: &World,
    responses: &[Response],
) -> anyhow::Result<()> {
    for Response { kind, nonce, .. } in responses {
        let names = match protocol {
            Protocol::Delta => Vec::new(),
            Protocol::StateOfTheWorld => names(*kind, world),
        };
        session.on_request(request(protocol, *kind, nonce, names))?;
    }
    Ok(())
}

fn names(kind: Kind, world: &World) -> Vec<String> {
    match kind {
        Kind::Endpoint => world.assignments(),
        Kind::Route => world.routes(),
        _ => Vec::new(),
    }
}

fn request(protocol: Protocol, kind: Kind, nonce: &str, names: Vec<String>) -> Request {
    let wants = match protocol {
        Protocol::StateOfTheWorld => Wants::Names(names),
        Protocol::Delta => {
            Wants::Update { subscribe: names, unsubscribe: Vec::new(), initial_versions: BTreeMap::new() }
        }
    };
    Request { node: None, kind, nonce: nonce.to_owned(), refused: None, wants }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_encoded_once_for_all_clients_of_both_protocols() {
        let mut world = World::new();
        let before = world.snapshot(&Snapshot::default()).unwrap();
        let protocols = [Protocol::Delta, Protocol::StateOfTheWorld, Protocol::Delta];
        let clients = protocols.map(|protocol| settled(protocol, &world, &before).unwrap());
        world.change(17).unwrap();
        let after = world.snapshot(&before).unwrap();
        let bytes = clients.map(|mut client| {
            client.on_snapshot(Arc::clone(&after));
            let responses = client.flush(Instant::now());
            let [Response { resources, .. }] = responses.as_slice() else { panic!("{responses:?}") };
            assert_eq!(resources.len(), 1);
            resources[0].body().as_ptr()
        });
        assert_eq!(bytes, [bytes[0]; 3]);
    }

    #[test]
    fn a_settled_client_hears_nothing_of_an_equal_snapshot() {
        let world = World::new();
        let before = world.snapshot(&Snapshot::default()).unwrap();
        let mut client = settled(Protocol::Delta, &world, &before).unwrap();
        client.on_snapshot(world.snapshot(&before).unwrap());
        assert_eq!(client.flush(Instant::now()), []);
    }
}
