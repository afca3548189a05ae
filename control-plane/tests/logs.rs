//! `portolan logs`, as it is typed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const LOG: &str = r#"{"time":"2026-11-30T06:43:07.123Z","method":"GET","authority":"shop.localhost","path":"/cart","status":200,"response_flags":"-","duration_ms":12,"cluster":"shop/web","service":"web","container":"shop-web-1"}
[2026-11-30 06:43:07.200][1][warning][main] something of Envoy's own
{"time":"2026-11-30T06:43:08.000Z","method":"POST","authority":"api.localhost","path":"/orders","status":503,"response_flags":"UH","duration_ms":0,"cluster":"shop/api","service":null,"container":null}
{"time":"2026-11-30T06:43:09.000Z","method":"GET","authority":"shop.localhost","path":"/nothing","status":404,"response_flags":"-","duration_ms":3,"cluster":"shop/web","service":"web","container":"shop-web-2"}
"#;

fn portolan(arguments: &[&str], input: &str, path: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.arg("logs").args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who is told that it is wrong does not read on.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn shown(arguments: &[&str]) -> String {
    let output = portolan(arguments, LOG, None);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn requests_are_shown_in_columns_and_without_colours_where_there_is_no_terminal() {
    let output = portolan(&["-"], LOG, None);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "06:43:07.123 200     12 ms GET     shop-web-1               shop.localhost/cart\n\
         06:43:08.000 503      0 ms POST    -                        api.localhost/orders  UH: no endpoint is ready\n\
         06:43:09.000 404      3 ms GET     shop-web-2               shop.localhost/nothing\n"
    );
    let rest = String::from_utf8(output.stderr).unwrap();
    assert_eq!(rest, "[2026-11-30 06:43:07.200][1][warning][main] something of Envoy's own\n");
}

#[test]
fn what_docker_compose_puts_before_the_first_line_is_no_part_of_it() {
    // "Erase this line": Compose 2.26 says it to whatever it writes to.
    let log = format!("\u{1b}[2K{LOG}");
    let output = portolan(&["--status", "200", "-"], &log, None);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "06:43:07.123 200     12 ms GET     shop-web-1               shop.localhost/cart\n");
    let output = portolan(&["--status", "200", "--format", "json", "-"], &log, None);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), LOG.lines().next().unwrap());
}

#[test]
fn the_filters_choose_and_json_is_passed_on_as_it_is() {
    let lines: Vec<&str> = LOG.lines().filter(|line| line.starts_with('{')).collect();
    for (arguments, wanted) in [
        (&["--format", "json", "-"][..], &[0, 1, 2][..]),
        (&["--format", "json", "--status", "5xx", "-"], &[1]),
        (&["--format", "json", "--status", "404,503", "-"], &[1, 2]),
        (&["--format", "json", "--status", "404", "--status", "200", "-"], &[0, 2]),
        (&["--format", "json", "--host", "shop.localhost", "-"], &[0, 2]),
        (&["--format", "json", "--host", "*.localhost", "--service", "api", "-"], &[1]),
        (&["--format", "json", "--service", "shop/web", "--status", "4xx", "-"], &[2]),
        (&["--format", "json", "--service", "shop", "-"], &[]),
    ] {
        let wanted: String = wanted.iter().map(|at: &usize| format!("{}\n", lines[*at])).collect();
        assert_eq!(shown(arguments), wanted, "{arguments:?}");
    }
}

#[test]
fn what_is_wrong_is_told_before_anything_is_read() {
    for (arguments, word) in [
        (&["--status", "6xx", "-"][..], "is no status; write one, such as 404"),
        (&["envoy.log"], "invalid value 'envoy.log'"),
        (&["--format", "yaml", "-"], "[possible values: text, json]"),
    ] {
        let output = portolan(arguments, LOG, None);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(word), "{arguments:?}: {said}");
    }
}

/// A folder with a program `docker` that says what it was asked, and the log.
fn docker(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log"), LOG).unwrap();
    let program = folder.path().join("docker");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn without_a_dash_docker_compose_is_asked_for_envoys_log() {
    let folder =
        docker("#!/bin/sh\necho \"$@\" >&2\nwhile read -r line; do echo \"$line\"; done < \"${0%/*}/log\"\n");
    let output = portolan(&["--status", "404", "-p", "shop", "--tail", "7"], "", Some(folder.path()));
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(text.starts_with("06:43:09.000 404") && text.lines().count() == 1, "{text}");
    let asked =
        "compose --ansi never --progress quiet -p shop logs --follow --no-log-prefix --tail 7 envoy\n";
    assert!(said.starts_with(asked), "{said}");
    assert!(output.status.success());
}

#[test]
fn a_docker_that_fails_or_is_not_there_is_told_and_what_to_do() {
    let folder = docker("#!/bin/sh\necho 'no such service: envoy' >&2\nexit 14\n");
    let output = portolan(&[], "", Some(folder.path()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("no such service"), "{said}");
    assert!(said.contains("docker compose logs"), "{said}");
    let nothing = tempfile::tempdir().unwrap();
    let output = portolan(&[], "", Some(nothing.path()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && said.contains("| portolan logs -"), "{said}");
}
