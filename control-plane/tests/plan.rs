//! Containers that run and Compose files in, what would change out: one folder a case under `tests/plan`, asked of a server by the
//! program as a person runs it.
//!
//! `UPDATE_GOLDEN=1 cargo test -p portolan --test plan` writes what comes out; read the difference before it is kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::Case;
use support::server::server;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// The one case that is printed as JSON as well.
const IN_JSON: &str = "a-label-changes";

async fn plan(folder: &Path, address: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.current_dir(folder).env_clear().args(["plan", "--compose", "never", "--address", address]);
    command.args(arguments).output().await.unwrap()
}

fn text(output: &Output) -> String {
    let read = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!("{}{}exit {}\n", read(&output.stdout), read(&output.stderr), output.status.code().unwrap())
}

#[tokio::test]
async fn plans_are_as_the_golden_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = String::new();
    for folder in &cases {
        let running = std::fs::read_to_string(folder.join("running.yaml")).unwrap();
        let case: Case =
            serde_saphyr::from_str(&running).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let (address, _server) = server(&case).await;
        let arguments = std::fs::read_to_string(folder.join("arguments")).unwrap_or_default();
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let command = format!("$ portolan plan {}", arguments.join(" "));
        let told = text(&plan(folder, &address.to_string(), &arguments).await);
        let mut got = vec![("expected.txt", format!("# {}\n{}\n{told}", case.shows, command.trim_end()))];
        if folder.ends_with(IN_JSON) {
            let output = plan(folder, &address.to_string(), &["--format", "json"]).await;
            got.push(("expected.json", String::from_utf8(output.stdout).unwrap()));
        }
        for (file, got) in got {
            let golden = folder.join(file);
            if update {
                std::fs::write(&golden, &got).unwrap();
            }
            let want = std::fs::read_to_string(&golden).unwrap_or_default();
            if want != got {
                writeln!(failures, "{}:\n{want}--- is now\n{got}", golden.display()).unwrap();
            }
        }
    }
    assert!(cases.len() >= 20);
    assert!(failures.is_empty(), "{failures}\nUPDATE_GOLDEN=1 writes what comes out now");
}

#[tokio::test]
async fn what_cannot_be_told_ends_with_1_and_not_with_the_2_of_a_difference() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan/nothing-changes");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(TcpStream::connect(closed).await.is_err());
    let nobody = text(&plan(&folder, &closed.to_string(), &[]).await);
    assert!(nobody.contains("no control plane at") && nobody.ends_with("exit 1\n"), "{nobody}");
    let wrong = text(&plan(&folder, "127.0.0.1:1", &["--nonsense"]).await);
    assert!(wrong.ends_with("exit 1\n"), "{wrong}");
    let help = text(&plan(&folder, "127.0.0.1:1", &["--help"]).await);
    assert!(
        help.contains("Exit codes: 0 where nothing would change, 2 where something would")
            && help.ends_with("exit 0\n")
    );
}
