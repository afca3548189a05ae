//! `portolan why` about connections, asked of a server by the program as a person runs it, and of a view that was saved.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use portolan::provider;
use portolan::state::Keeper;
use serde_json::{Value, json};
use support::Case;
use support::server::server;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Far longer than any step takes; only a step that never comes waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

const POLICIES: &str = r#"
    entry-points:
      web: { published: 80 }
      db: { listen: "0.0.0.0:5432", protocol: tcp }
      names: { listen: "0.0.0.0:9443", published: 993, protocol: tcp, tls: passthrough }
"#;

/// A database that two want, a mail server that is asked for by its name, and one for all names below.
const CONTAINERS: &str = r#"
shows: TCP
containers:
  shop-envoy-1:
    labels: { portolan.proxy: "true" }
    networks: { shop_edge: 172.20.0.2 }
  shop-db-1:
    labels: { portolan.protocol: tcp, portolan.listen: db, portolan.port: "5432" }
    networks: { shop_edge: 172.20.0.3 }
    created: 1
  shop-late-1:
    labels: { portolan.protocol: tcp, portolan.listen: db, portolan.port: "5432" }
    networks: { shop_edge: 172.20.0.4 }
    created: 2
  shop-mail-1:
    labels: { portolan.protocol: tcp, portolan.listen: names, portolan.host: mail.localhost, portolan.port: "993" }
    networks: { shop_edge: 172.20.0.5 }
    health: unhealthy
  shop-all-1:
    labels: { portolan.protocol: tcp, portolan.listen: names, portolan.host: "*.localhost", portolan.port: "993" }
    networks: { shop_edge: 172.20.0.6 }
"#;

async fn why(address: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    let output =
        command.env_clear().args(["why", "--address", address]).args(arguments).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn case() -> Case {
    Case { policies: Some(POLICIES.to_owned()), ..serde_saphyr::from_str(CONTAINERS).unwrap() }
}

#[tokio::test]
async fn a_connection_is_told_with_who_gets_it_and_who_does_not() {
    let (address, _server) = server(&case()).await;
    let address = address.to_string();
    for (url, code, text) in [
        (
            "tcp://:5432",
            0,
            "  ✓ shop/db TCP at db: takes the connection\n\
             \x20 ✗ shop/late of shop-late-1: TCP at db belongs to shop/db already, whose claim is older\n\
             \x20   → give one of the two another entry point\n\
             \x20 shop-db-1 at 172.20.0.3:5432 is ready\n\
             The route shop/db takes TCP at db, to shop/db: 1 of 1 endpoints ready.\n",
        ),
        (
            "tcp://mail.localhost:993",
            0,
            "  ✓ shop/mail TCP to mail.localhost at names: takes the connection\n\
             \x20 - shop/all TCP to *.localhost at names: a closer name takes the connection\n\
             \x20 shop-mail-1 is unhealthy: its health check fails\n\
             The route shop/mail takes TCP to mail.localhost at names, and Envoy closes the connection: no endpoint of its service is ready.\n",
        ),
        (
            "tcp://a.b:993",
            1,
            "  ✗ shop/mail TCP to mail.localhost at names: it takes those to mail.localhost, and this one asks for a.b\n\
             \x20 ✗ shop/all TCP to *.localhost at names: it takes those to *.localhost, and this one asks for a.b\n\
             Envoy closes the connection: no container claims a.b at the entry point names, or a wildcard that covers it.\n",
        ),
        (
            "tcp://:1",
            1,
            "No entry point has the port 1: those of TCP have the ports 5432 (db), 993 (names).\n",
        ),
        (
            "tcp://shop.localhost:80",
            1,
            "The entry point web has the port 80 and speaks HTTP: ask for http://HOST/PATH; those of TCP have the ports 5432 (db), 993 (names).\n",
        ),
        (
            "tcp://db",
            1,
            "portolan: \"db\" is not a host and a port; write tcp://db.localhost:5432, or tcp://:5432\n",
        ),
    ] {
        let (found, said) = why(&address, &[url]).await;
        assert_eq!((said.as_str(), found), (text, code), "{url}");
    }
    let (code, said) = why(&address, &["--format", "json", "tcp://:5432"]).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, 0);
    assert_eq!(
        (&said["outcome"], &said["entry_point"], &said["service"], &said["path"]),
        (&json!("route"), &json!("db"), &json!("shop/db"), &Value::Null)
    );
    assert_eq!(said["lost"][0]["container"], "shop-late-1");
    assert_eq!(said["lost"][0]["route"], "shop/late");
}

#[tokio::test]
async fn a_saved_view_answers_where_no_control_plane_does() {
    let folder = tempfile::tempdir().unwrap();
    let (view, policies) = (folder.path().join("view"), folder.path().join("portolan.yaml"));
    std::fs::write(&policies, POLICIES).unwrap();
    let (outlet, inventories, _) = provider::port(Duration::ZERO);
    outlet.publish(&Arc::new(support::inventory(&case().containers)));
    let stop = CancellationToken::new();
    let (_views, views) = tokio::sync::watch::channel(None);
    let keeper = Keeper::new(view.clone(), "docker").run(outlet, inventories, views, stop.clone());
    let is_saved = async {
        while !view.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(keeper, is_saved).0 }).await.unwrap().unwrap();
    let [view, policies] = [view, policies].map(|path| path.display().to_string());
    let asked = ["--state-file", &view, "--policies", &policies, "tcp://x.localhost:993"];
    let (code, said) = why("127.0.0.1:1", &asked).await;
    assert!(code == 0 && said.contains("No control plane answers at 127.0.0.1:1"), "{said}");
    assert!(said.contains("✓ shop/all TCP to *.localhost at names: takes the connection"), "{said}");
}
