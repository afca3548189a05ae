//! What is installed beside the program: scripts that complete its command line, and manual pages.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn portolan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portolan")).args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = portolan(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_shell_completes_the_commands() {
    let script = printed(&["completions", "bash"]);
    let ask = "COMP_WORDS=(portolan comp); COMP_CWORD=1; _portolan portolan comp portolan; printf '%s\\n' \"${COMPREPLY[@]}\"\n";
    let mut bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(format!("{script}\n{ask}").as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "completions\n");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(printed(&["completions", shell]).contains("rollout"), "{shell}");
    }
    assert_eq!(portolan(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_of_every_command() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH portolan 1") && page.contains("portolan\\-lint(1)"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("man1");
    printed(&["man", "--dir", at.to_str().unwrap()]);
    for name in ["portolan.1", "portolan-lint.1", "portolan-why.1"] {
        let page = std::fs::read_to_string(at.join(name)).unwrap();
        assert!(page.starts_with(".ie \\n(.g .ds Aq") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let why = std::fs::read_to_string(at.join("portolan-why.1")).unwrap();
    assert!(why.contains("Exit codes: 0 where every container"), "{why}");
    let refused = portolan(&["man", "--dir", "/proc/nowhere"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("cannot make /proc/nowhere"), "{said}");
}
