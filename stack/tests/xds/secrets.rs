//! Certificates over SDS.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use rcgen::generate_simple_self_signed;
use stack::wait::until;
use xds_server::{Kind, Resource};

use super::LIMIT;
use super::envoy::Mode;
use super::lab::{Lab, NODE, is_spotless};
use super::resources::{Entrance, certificate};
use super::status;

/// A TLS listener has to do without its certificate, serves it once it is there, and then the next one, untouched.
pub fn a_certificate_comes_late_and_is_renewed(mode: Mode, folder: &Path) -> Result<()> {
    let mut lab = Lab::start(mode, folder)?;
    let entrance = Entrance { certificate: Some("site"), ..Entrance::new(&[("tls.test", "web")])? };
    let port = entrance.port.port();
    lab.world.listeners.insert("tls", entrance);
    lab.publish()?;
    // With state of the world it warms until then; delta says that there is none, and Envoy opens the port and cuts
    // every connection.
    until("Envoy has heard of the listener", LIMIT, || {
        let added = lab.envoy.stats()?.get("listener_manager.listener_added");
        ensure!(added == 2, "it has {added}");
        Ok(())
    })?;
    ensure!(served(port).is_err(), "there is no certificate to serve");
    renew(&mut lab, port)?;
    let second = renew(&mut lab, port)?;
    is_spotless(&lab.envoy.stats()?)?;

    // A broken one is refused, and the last good one stays.
    lab.world.extra = vec![Resource::from(&certificate("site", "no certificate", "no key"))];
    lab.publish()?;
    status::refused(&lab.plane, NODE, Kind::Secret, "site", "certificate chain")?;
    ensure!(same(&served(port)?, &second), "the last good one is served");
    renew(&mut lab, port)?;
    status::acknowledged(&lab.plane, NODE, None)
}

/// Publishes a new certificate, and waits until it is served.
fn renew(lab: &mut Lab, port: u16) -> Result<String> {
    let made = generate_simple_self_signed(["web.test".to_owned()])?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    lab.world.extra = vec![Resource::from(&certificate("site", &chain, &key))];
    lab.converge()?;
    until("the new certificate is served", LIMIT, || {
        ensure!(same(&served(port)?, &chain), "it is another one");
        Ok(chain.clone())
    })
}

/// The certificate that a TLS client is shown.
fn served(port: u16) -> Result<String> {
    let script = "import ssl, sys; print(ssl.get_server_certificate(('127.0.0.1', int(sys.argv[1]))))";
    let output = Command::new("python3").args(["-c", script, &port.to_string()]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Two PEM texts are the same but for their line breaks.
fn same(one: &str, other: &str) -> bool {
    one.split_whitespace().collect::<String>() == other.split_whitespace().collect::<String>()
}
