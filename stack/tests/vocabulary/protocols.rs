//! What containers speak.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use stack::process::Process;
use stack::wait::until;
use stack::{ports, tools};

use super::lab::{LIMIT, Lab, is, status};

pub fn http_1_and_2_are_spoken_to_containers(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    for (name, protocol, wanted) in
        [("http", "http", "HTTP/1.1"), ("h2c", "h2c", "HTTP/2.0"), ("h2", "grpc", "HTTP/2.0")]
    {
        let host = format!("{name}.test");
        lab.serve(name, &[("host", &host), ("protocol", protocol)], &[web.address()])?;
        is(lab.asked(&host, "/")?["version"].as_str(), Some(wanted), name)?;
    }
    Ok(())
}

/// A web server with TLS and a certificate of its own: an Envoy that answers by itself.
fn with_tls(lab: &Lab, port: u16) -> Result<Process> {
    let certified = rcgen::generate_simple_self_signed(vec!["anything.test".to_owned()])?;
    let inline = |text: String| json!({ "inline_string": text });
    let config = json!({
        "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } } },
        "static_resources": { "listeners": [{
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
            "filter_chains": [{
                "transport_socket": {
                    "name": "envoy.transport_sockets.tls",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                        "common_tls_context": { "tls_certificates": [{
                            "certificate_chain": inline(certified.cert.pem()),
                            "private_key": inline(certified.signing_key.serialize_pem()),
                        }] },
                    },
                },
                "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        "stat_prefix": "tls",
                        "route_config": { "virtual_hosts": [{
                            "name": "all",
                            "domains": ["*"],
                            "routes": [{
                                "match": { "prefix": "/" },
                                "direct_response": { "status": 200, "body": { "inline_string": "by tls" } },
                            }],
                        }] },
                        "http_filters": [{
                            "name": "envoy.filters.http.router",
                            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
                        }],
                    },
                }],
            }],
        }] },
    });
    let file = lab.folder().join("tls.json");
    fs::write(&file, config.to_string())?;
    // Killed with this test's thread, which waits for its end.
    Process::start("tls", lab.folder(), &tools::ENVOY.find()?, |command| {
        command.arg("-c").arg(&file).args([
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        ]);
    })
}

pub fn https_is_spoken_to_a_container_with_any_certificate(lab: &Lab) -> Result<()> {
    let port = ports::free()?;
    let _server = with_tls(lab, port)?;
    let labels = [("host", "https.test"), ("protocol", "https"), ("outlier", "off")];
    lab.serve("https", &labels, &[format!("127.0.0.1:{port}")])?;
    until("the server with TLS answers", LIMIT, || {
        let response = lab.get("https.test", "/")?;
        is(status(&response), 200, "status")?;
        is(response.text()?.as_str(), "by tls", "text")
    })
}

pub fn grpc_passes_calls_and_streams(lab: &Lab) -> Result<()> {
    // The control plane is a gRPC server, with reflection (a stream both ways), health and a watch (a stream of answers).
    let labels = [("host", "grpc.test"), ("protocol", "grpc"), ("drain", "77s")];
    lab.serve("grpc", &labels, &[format!("127.0.0.1:{}", lab.grpc)])?;
    let grpcurl = tools::GRPCURL.find()?;
    let call = |arguments: &[&str]| -> Result<(bool, String)> {
        let output = Command::new(&grpcurl)
            .args(["-plaintext", "-authority", "grpc.test", "-max-time", "20"])
            .args(arguments)
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    };
    let edge = format!("127.0.0.1:{}", lab.edge());
    let (ok, services) = call(&[&edge, "list"])?;
    ensure!(ok && services.contains("portolan.v1.InspectService"), "reflection: {services}");
    let (ok, health) = call(&[&edge, "grpc.health.v1.Health/Check"])?;
    ensure!(ok && health.contains("SERVING"), "a call: {health}");
    let (ok, view) = call(&[&edge, "portolan.v1.InspectService/GetView"])?;
    ensure!(ok && view.contains("\"drain\": \"77s\""), "how long a rollout waits: {view}");
    // The stream goes on beyond the 15 s of other routes' whole requests; here it is ended by its own client.
    let watch =
        ["-max-time", "1", "-d", "{\"service\":\"grpc\"}", &edge, "portolan.v1.InspectService/WatchService"];
    let (_, stream) = call(&watch)?;
    ensure!(stream.contains("\"grpc\"") && stream.contains("DeadlineExceeded"), "a stream: {stream}");
    let (ok, refused) = call(&[&edge, "portolan.v1.InspectService/Nothing"])?;
    ensure!(!ok && refused.contains("Nothing"), "an error is the server's: {refused}");
    Ok(())
}

pub fn a_websocket_stays_open_beyond_the_time_of_a_request(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    let labels = [("host", "websocket.test"), ("timeout", "100ms"), ("max-body", "1KiB")];
    lab.serve("websocket", &labels, &[web.address()])?;
    lab.serve("websocket-clock", &[("host", "websocket-clock.test")], &[web.address()])?;
    let mut stream = TcpStream::connect(("127.0.0.1", lab.edge()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(
        b"GET /chat HTTP/1.1\r\nHost: websocket.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).with_context(|| String::from_utf8_lossy(&head).into_owned())?;
        head.extend(byte);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let mut echo = |text: &[u8; 5]| -> Result<()> {
        let mut back = [0; 5];
        stream.write_all(text)?;
        stream.read_exact(&mut back)?;
        is(&back, text, "the echo")
    };
    echo(b"first")?;
    lab.asked("websocket-clock.test", "/slow/300")?;
    echo(b"later")
}

pub fn tcp_is_told_to_need_an_entry_point(lab: &Lab) -> Result<()> {
    let web = lab.upstream("web")?;
    lab.serve("tcp", &[("host", "tcp.test"), ("protocol", "tcp")], &[web.address()])?;
    ensure!(lab.control_plane.log().contains("TCP needs an entry point of its own"), "the log says so");
    is(status(&lab.get("tcp.test", "/")?), 404, "there is no such route")
}
