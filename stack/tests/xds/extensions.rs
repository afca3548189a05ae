//! Configurations of filters over ECDS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use stack::wait::until;
use xds_server::{Kind, Resource};

use super::LIMIT;
use super::envoy::Mode;
use super::lab::{Lab, NODE, is_spotless};
use super::resources::{HTTP, gate};
use super::status;

/// A filter of which the configuration is a resource of its own: a new one counts for the next request over a connection
/// that stays, and no listener is touched.
pub fn the_configuration_of_a_filter_reaches_connections_that_stay(mode: Mode, folder: &Path) -> Result<()> {
    let mut lab = Lab::start_with(mode, folder, |world, _| {
        world.listeners.get_mut(HTTP).expect("there is one").filter = Some("gate");
        world.extra = vec![Resource::from(&gate("gate", true))];
    })?;
    let mut kept = TcpStream::connect(("127.0.0.1", lab.world.listeners[HTTP].port.port()))?;
    kept.set_read_timeout(Some(LIMIT))?;
    ensure!(ask(&mut kept)? == 200, "the gate is open");
    let before = lab.envoy.stats()?;
    for (is_open, wanted) in [(false, 403), (true, 200), (false, 403)] {
        lab.world.extra = vec![Resource::from(&gate("gate", is_open))];
        lab.converge()?;
        until("the new configuration counts", LIMIT, || {
            let status = ask(&mut kept)?;
            ensure!(status == wanted, "{status}, and not {wanted}");
            Ok(())
        })?;
    }
    let listeners = "listener_manager.lds.update_success";
    ensure!(lab.envoy.stats()?.since(&before, listeners) == 0, "Envoy heard of its listeners again");
    is_spotless(&lab.envoy.stats()?)?;

    // One that is of another type than the listener says is refused, and the last good one stays.
    let wrong = TypedExtensionConfig { typed_config: None, ..gate("gate", true) };
    lab.world.extra = vec![Resource::from(&wrong)];
    lab.publish()?;
    status::refused(&lab.plane, NODE, Kind::Extension, "gate", "")?;
    ensure!(ask(&mut kept)? == 403, "the last good one");
    lab.world.extra = vec![Resource::from(&gate("gate", true))];
    lab.converge()?;
    until("the gate is open again", LIMIT, || {
        ensure!(ask(&mut kept)? == 200, "it is not");
        Ok(())
    })?;
    status::acknowledged(&lab.plane, NODE, None)
}

/// The status of the next answer over a connection.
fn ask(stream: &mut TcpStream) -> Result<u16> {
    write!(stream, "GET / HTTP/1.1\r\nhost: web.test\r\n\r\n")?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).context("the connection was closed")?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    stream.read_exact(&mut vec![0; length.with_context(|| format!("no length: {head}"))?])?;
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).with_context(|| head.clone())
}
