//! The configuration files of the proxies, as a person writes them, with the ports of this run put in.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::HOST;

/// Marks a line that is there only if the proxy logs, and one only if it does not.
const LOG: &str = "# log";
const NO_LOG: &str = "# no log";

/// What differs from run to run.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Where the proxy listens, on loopback.
    pub(super) port: u16,
    /// Where Envoy's admin pages are.
    pub(super) admin: u16,
    /// The two endpoints of the app.
    pub(super) app: [SocketAddr; 2],
    /// For what the proxy writes.
    pub(super) folder: PathBuf,
}

impl Places {
    /// Where the proxy listens.
    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Writes `template` as `name` into the folder of the proxy, and returns where that is.
    pub(super) fn write(&self, name: &str, template: &str, logs: bool) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, self.fill(template, logs)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    fn fill(&self, template: &str, logs: bool) -> anyhow::Result<String> {
        let [first, second] = self.app;
        let values = [
            ("host", HOST.to_owned()),
            ("port", self.port.to_string()),
            ("admin", self.admin.to_string()),
            ("first", first.to_string()),
            ("second", second.to_string()),
            ("first_ip", first.ip().to_string()),
            ("second_ip", second.ip().to_string()),
            ("app", first.port().to_string()),
            ("folder", path_text(&self.folder)?.to_owned()),
        ];
        let is_there = |line: &&str| match line.trim_end() {
            line if line.ends_with(NO_LOG) => !logs,
            line if line.ends_with(LOG) => logs,
            _ => true,
        };
        let mut text = template.lines().filter(is_there).collect::<Vec<_>>().join("\n") + "\n";
        for (name, value) in values {
            text = text.replace(&format!("{{{{{name}}}}}"), &value);
        }
        ensure!(!text.contains("{{"), "a configuration names a value that there is not:\n{text}");
        Ok(text)
    }
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not text", path.display()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Places that nobody listens at.
    pub(in crate::path) fn places() -> Places {
        Places {
            port: 8_000,
            admin: 9_000,
            app: [([127, 16, 0, 1], 7_000).into(), ([127, 16, 0, 2], 7_000).into()],
            folder: PathBuf::from("/somewhere"),
        }
    }

    #[test]
    fn what_is_about_the_log_is_there_for_those_that_log() {
        let template = "always {{port}}\nlog on # log\nlog off; # no log\n";
        assert_eq!(places().fill(template, true).unwrap(), "always 8000\nlog on # log\n");
        assert_eq!(places().fill(template, false).unwrap(), "always 8000\nlog off; # no log\n");
    }

    #[test]
    fn both_endpoints_and_the_folder_are_put_in() {
        let text = places().fill("{{first}} {{second_ip}}:{{app}} {{folder}}/x", false).unwrap();
        assert_eq!(text, "127.16.0.1:7000 127.16.0.2:7000 /somewhere/x\n");
    }

    #[test]
    fn a_value_that_there_is_not_is_an_error() {
        assert!(places().fill("{{prot}}", false).is_err());
    }
}
