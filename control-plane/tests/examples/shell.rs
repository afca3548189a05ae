//! Where a command line is run, and what came of it.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::LazyLock;

use regex::Regex;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::plane::{PATIENCE, Plane};

/// Docker, as far as the examples need it. It is no Compose, so that what is printed does not depend on whether one is there.
const DOCKER: &str = r#"#!/bin/sh
case "$*" in
  "compose exec control-plane "*) shift 3; exec "$@" ;;
  # It is run while the control plane is away.
  "compose run --rm --no-deps control-plane "*)
    shift 5; PORTOLAN_ADDRESS=127.0.0.1:1 PORTOLAN_STATE="$PLANE/view" exec portolan "$@" ;;
  "compose "*"logs "*) cat "$FILES/access.log" ;;
  "compose up -d" | "compose build "*) ;;
  "compose --ansi "*" ps "* | "compose --ansi "*" up "* | "inspect "* | "stop "* | "rm "*)
    exec curl --silent --show-error --fail-with-body --unix-socket "$PLANE/commands.sock" --data-raw "$*" http://docker/ ;;
  "compose "*) exit 1 ;;
  *) echo "docker $* is not stood in for" >&2; exit 125 ;;
esac
"#;
/// Programs that print at once only where they print to a terminal, as who types an example does.
const JQ: &str = "#!/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin exec jq --unbuffered \"$@\"\n";

/// What is somebody else's on this machine, and stood in for: Envoy's own pages,
const ENVOY: &str = "http://127.0.0.1:9901";
/// and where manual pages are installed.
const MANUAL: &str = "/usr/local/share/man/man1";

/// A home, a folder with files, and programs.
pub(crate) struct Sandbox<'p> {
    plane: &'p Plane,
    folder: tempfile::TempDir,
}

/// What a command line has printed, and its code; none where it was followed until it had printed enough.
#[derive(Debug)]
pub(crate) struct Ran {
    printed: String,
    told: String,
    status: Option<ExitStatus>,
}

impl<'p> Sandbox<'p> {
    pub(crate) fn new(files: &str, plane: &'p Plane) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in [
            "bin",
            "home/.config/fish/completions",
            "home/.local/share/bash-completion/completions",
            "home/zsh",
            "here",
        ] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_portolan"), at("bin/portolan")).unwrap();
        let script = |name: &str, text: &str| {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        script("bin/docker", DOCKER);
        script("bin/jq", JQ);
        script("here/run-the-tests", "#!/bin/sh\n");
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples/files").join(files);
        for entry in std::fs::read_dir(own).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, at("here").join(path.file_name().unwrap())).unwrap();
        }
        symlink(plane.folder.path().join("recording"), at("here/recording")).unwrap();
        Self { plane, folder }
    }

    /// Runs `command`, whose output begins like `shows` where that is known.
    pub(crate) async fn run(&self, command: &str, shows: Option<&[String]>) -> Ran {
        let at = |path: &str| self.folder.path().join(path).display().to_string();
        let mut script = format!("fpath=('' \"$HOME/zsh\")\n{command}");
        for (here, there) in
            [(ENVOY, format!("http://{}", self.plane.edge)), (MANUAL, "\"$HOME/man1\"".to_owned())]
        {
            script = script.replace(here, &there);
        }
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).current_dir(at("here")).stdin(Stdio::null()).kill_on_drop(true);
        bash.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        bash.env_clear().env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", at("bin")));
        bash.env("HOME", at("home")).env("FILES", at("here")).env("LANG", "C.UTF-8");
        bash.env("PORTOLAN_ADDRESS", self.plane.address.to_string());
        bash.env("DOCKER_HOST", &self.plane.docker_host).env("PLANE", self.plane.folder.path());
        bash.env("PORTOLAN_EDGE", format!("http://{}", self.plane.edge));
        // Two control planes on one port would be one too many.
        bash.env("PORTOLAN_LISTEN", "127.0.0.1:0").env("PORTOLAN_HTTP_LISTEN", "127.0.0.1:0");
        let mut child = bash.spawn().unwrap();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (mut printed, mut told) = (Vec::new(), Vec::new());
        if command.contains("portolan watch") || command.contains("portolan serve") {
            if command.contains("\"refused\"") {
                self.plane.be_refused();
            } else {
                self.plane.change();
            }
            let is_enough = |printed: &[u8], told: &[u8]| match shows {
                Some(shows) => check(shows, &String::from_utf8_lossy(printed)).is_ok(),
                None => !printed.is_empty() || !told.is_empty(),
            };
            let read = async {
                while !is_enough(&printed, &told) {
                    tokio::select! {
                        Ok(1..) = out.read_buf(&mut printed) => {}
                        Ok(1..) = err.read_buf(&mut told) => {}
                        else => return,
                    }
                }
            };
            // Not enough is told with what it is.
            let _ = tokio::time::timeout(PATIENCE / 4, read).await;
            end(&child);
            let status = child.wait().await.unwrap();
            let is_ours = std::os::unix::process::ExitStatusExt::signal(&status).is_some()
                || status.code() == Some(143);
            return Ran { printed: text(&printed), told: text(&told), status: (!is_ours).then_some(status) };
        }
        let reading =
            async { tokio::join!(out.read_to_end(&mut printed), err.read_to_end(&mut told), child.wait()).2 };
        let ended = tokio::time::timeout(PATIENCE, reading).await;
        if ended.is_err() {
            told.extend_from_slice(b"portolan: it does not end");
            end(&child);
        }
        Ran { printed: text(&printed), told: text(&told), status: ended.ok().map(Result::unwrap) }
    }
}

/// Ends it, and what it has started.
fn end(child: &Child) {
    let Some(id) = child.id() else { return };
    let group = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Ran {
    /// Whether it ended as expected and printed what is shown.
    pub(crate) fn check(&self, code: Option<i32>, shows: Option<&[String]>) -> Result<(), String> {
        let all = || format!("it printed:\n{}\nand told:\n{}", self.printed, self.told);
        let ended = self.status.and_then(|status| status.code());
        if self.status.is_some() && code.is_some_and(|code| ended != Some(code)) {
            return Err(format!("code {ended:?}, not {code:?}; {}", all()));
        }
        if self.told.ends_with("it does not end")
            || self.told.starts_with("error: ")
            || self.told.contains("not stood in for")
            || self.told.contains("not found")
            || self.told.contains("jq: ")
        {
            return Err(all());
        }
        if self.status.is_none() && self.printed.is_empty() && self.told.is_empty() {
            return Err("it printed nothing".to_owned());
        }
        let shows = shows.unwrap_or_default();
        let seen = if self.printed.is_empty() { &self.told } else { &self.printed };
        check(shows, seen).map_err(|line| format!("there is no line\n{line}\nwhere it should be; {}", all()))
    }
}

/// Whether `printed` is what is shown: the first line that it is not.
fn check<'s>(shows: &'s [String], printed: &str) -> Result<(), &'s str> {
    let mut lines = printed.lines().filter(|line| !line.trim().is_empty()).map(alike);
    let mut may_skip = false;
    for shown in shows.iter().filter(|line| !line.trim().is_empty()) {
        if shown.trim() == "..." {
            may_skip = true;
            continue;
        }
        let expected = alike(shown.strip_suffix("...").unwrap_or(shown));
        let is_it = |line: &String| match shown.ends_with("...") {
            true => line.starts_with(&expected),
            false => *line == expected,
        };
        let found = if may_skip {
            lines.any(|line| is_it(&line))
        } else {
            lines.next().is_some_and(|line| is_it(&line))
        };
        if !found {
            return Err(shown);
        }
        may_skip = false;
    }
    match lines.next() {
        Some(_) if !may_skip && !shows.is_empty() => Err("(the end)"),
        _ => Ok(()),
    }
}

/// A line without what differs from one time to the next.
fn alike(line: &str) -> String {
    static DIFFERING: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        [
            (r"\d\d:\d\d:\d\d\.\d+", "TIME"),
            (r"\d{4}-\d\d-\d\d", "DATE"),
            (r"\b[0-9a-f]{8,16}\b", "VERSION"),
            (r"\b\d+ (ms|s|resources?)\b", "SOME $1"),
        ]
        .map(|(pattern, with)| (Regex::new(pattern).unwrap(), with))
    });
    DIFFERING.iter().fold(line.trim_end().to_owned(), |line, (pattern, with)| {
        pattern.replace_all(&line, *with).into_owned()
    })
}

#[test]
fn what_is_shown_is_compared_line_by_line() {
    let shows = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let printed = "06:43:07.123 published 0f3c9a1e, 17 resources\nsecond\nthird line\n";
    for right in [
        "12:00:00.000 published 11111111, 3 resources\n\nsecond\nthird line",
        "...\nsecond\nthird...",
        "06:43:07.123 published 0f3c9a1e, 17 resources\n...",
        "...\nthird line",
        "",
    ] {
        assert_eq!(check(&shows(right), printed), Ok(()), "{right}");
    }
    for (wrong, at) in [
        ("second\n...", "second"),
        ("...\nfourth", "fourth"),
        ("...\nthird", "third"),
        ("...\nsecond", "(the end)"),
        ("...\nthird line\nsecond", "second"),
    ] {
        assert_eq!(check(&shows(wrong), printed), Err(at), "{wrong}");
    }
}
