//! Our reading of Compose files beside that of `docker compose config`, over every file of `tests/compose` and `tests/lint`.
//!
//! Where there is no Compose each is reported as ignored, with the reason; `REQUIRE_DOCKER=1` makes that a failure. Those with what the
//! Compose that is there is too old for are ignored as well.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use portolan::compose::env::Environment;
use portolan::compose::load::{Asked, Loaded, load};
use portolan::compose::project::{Project, Service};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folders = folders();
    assert!(folders.len() >= 100, "{}", folders.len());
    let named = |folder: &Path, what: &str| {
        let last = folder.strip_prefix(root()).unwrap_or(folder);
        format!("{} {what}", last.display())
    };
    let mut trials: Vec<(String, Check, PathBuf)> = Vec::new();
    for folder in folders {
        trials.push((named(&folder, "is read as Compose reads it"), agrees, folder.clone()));
        if folder.starts_with(root().join("lint")) {
            trials.push((
                named(&folder, "is told the same where Compose is asked"),
                is_told_the_same,
                folder,
            ));
        }
    }
    let reason = match compose() {
        Ok(version) => {
            let trials = trials.into_iter().map(|(name, check, folder)| trial(&name, check, folder, version));
            return libtest_mimic::run(&arguments, trials.collect()).exit_code();
        }
        Err(reason) => reason,
    };
    if std::env::var("REQUIRE_DOCKER").is_ok_and(|value| value == "1") {
        eprintln!("REQUIRE_DOCKER=1, and there is no Docker Compose: {reason}");
        return ExitCode::FAILURE;
    }
    eprintln!("SKIPPED: there is no Docker Compose to compare with: {reason}");
    let trials = trials.into_iter().map(|(name, ..)| Trial::test(name, || Ok(())).with_ignored_flag(true));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The first Compose that knows `label_file`.
const LABEL_FILES: (u32, u32) = (2, 32);

fn trial(name: &str, check: Check, folder: PathBuf, (major, minor): (u32, u32)) -> Trial {
    let names_label_files = |entry: std::fs::DirEntry| {
        std::fs::read_to_string(entry.path()).is_ok_and(|text| text.contains("label_file:"))
    };
    let needs = std::fs::read_dir(&folder).unwrap().any(|entry| names_label_files(entry.unwrap()));
    if needs && (major, minor) < LABEL_FILES {
        let name = format!("{name} (Compose {major}.{minor} knows no label_file)");
        return Trial::test(name, || Ok(())).with_ignored_flag(true);
    }
    Trial::test(name, move || check(&folder))
}

type Check = fn(&Path) -> Result<(), Failed>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn folders() -> Vec<PathBuf> {
    let of = |folder: &str| std::fs::read_dir(root().join(folder)).unwrap();
    let mut all: Vec<PathBuf> = of("compose").chain(of("lint")).map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Which Compose is there, if it is 2 or later. No engine is needed.
fn compose() -> Result<(u32, u32), String> {
    let output = Command::new("docker").args(["compose", "version", "--short"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    let version = String::from_utf8_lossy(&output.stdout);
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major @ 2..)), Some(Ok(minor))) if output.status.success() => Ok((major, minor)),
        _ => Err(format!("{version}{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// The files that a case names, else those that are there under the names of a project.
fn files(folder: &Path) -> Vec<PathBuf> {
    let arguments = std::fs::read_to_string(folder.join("arguments")).unwrap_or_default();
    let named: Vec<PathBuf> =
        arguments.split_whitespace().filter(|word| word.ends_with(".yml")).map(PathBuf::from).collect();
    if !named.is_empty() {
        return named;
    }
    let all = ["compose.yml", "compose.override.yml"].map(PathBuf::from);
    all.into_iter().filter(|file| folder.join(file).is_file()).collect()
}

fn ours(folder: &Path) -> Result<(Loaded, Project), String> {
    let files = files(folder).iter().map(|file| folder.join(file)).collect();
    let asked = Asked { files, environment: Environment::default(), ..Asked::default() };
    let loaded =
        load(&asked, &|path: &Path| std::fs::read_to_string(path)).map_err(|error| error.to_string())?;
    let project = Project::of(&loaded).map_err(|error| error.to_string())?;
    Ok((loaded, project))
}

fn theirs(folder: &Path) -> Output {
    let mut command = Command::new("docker");
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    // What the command needs to find its plugins.
    for name in ["PATH", "HOME"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.arg("compose");
    for file in files(folder) {
        command.arg("-f").arg(file);
    }
    command.args(["--profile", "*", "config", "--format", "json"]).output().unwrap()
}

/// Whether `portolan lint` finds the same, at the same places, as without Compose; what it says of a file that cannot be read are
/// Compose's words, or ours.
fn is_told_the_same(folder: &Path) -> Result<(), Failed> {
    let expected = std::fs::read_to_string(folder.join("expected.txt"))?;
    let arguments = std::fs::read_to_string(folder.join("arguments")).unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.current_dir(folder).env_clear().args(["lint", "--compose", "always"]);
    command.args(arguments.split_whitespace());
    for name in ["PATH", "HOME"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let code = output.status.code().unwrap_or_default();
    let told = told.replace("as Docker Compose resolves them", "read without Docker Compose");
    let is_same = expected.ends_with(&format!("exit {code}\n")) && (code == 2 || expected.contains(&told));
    if is_same { Ok(()) } else { Err(format!("with Compose\n{told}exit {code}\nwithout\n{expected}").into()) }
}

fn agrees(folder: &Path) -> Result<(), Failed> {
    let theirs = theirs(folder);
    let words = String::from_utf8_lossy(&theirs.stderr);
    match (ours(folder), theirs.status.success()) {
        (Err(_), false) => Ok(()),
        (Err(ours), true) => Err(format!("Compose reads what we do not: {ours}").into()),
        // The rest is still read, and the variable told as a finding.
        (Ok((loaded, _)), false) if stops(&loaded) => Ok(()),
        (Ok(_), false) => Err(format!("we read what Compose does not: {words}").into()),
        (Ok((loaded, ours)), true) => {
            let printed = serde_json::from_slice(&theirs.stdout)?;
            let theirs = Project::as_compose_has_it(&printed, &loaded).map_err(|error| error.to_string())?;
            let (ours, theirs) = (summary(&ours), summary(&theirs));
            if ours == theirs { Ok(()) } else { Err(format!("ours\n{ours}\ntheirs\n{theirs}").into()) }
        }
    }
}

fn stops(loaded: &Loaded) -> bool {
    use portolan::compose::interpolate::Outcome;
    let mut variables = loaded.variables().into_iter().filter_map(|(_, text)| text.variables.as_deref());
    variables.any(|read| {
        let required = read.references.iter().any(|it| matches!(it.outcome, Outcome::Required(_)));
        required || read.broken.is_some()
    })
}

/// All that matters of a project, but for places.
fn summary(project: &Project) -> String {
    let of = |service: &Service| {
        let labels = |labels: &std::collections::BTreeMap<String, _>| format!("{:?}", values(labels));
        let build = service.build.as_ref().map(|build| (&build.dockerfile, &build.target));
        let mut networks: Vec<_> = service.networks.iter().map(|it| (&it.key, &it.name)).collect();
        networks.sort();
        format!(
            "{}: labels {} deploy {} networks {networks:?} mode {:?} ports {:?} replicas {} check {} profiles {:?} \
             container {:?} host {:?} image {:?} build {}\n",
            service.name,
            labels(&service.labels),
            labels(&service.deploy_labels),
            service.network_mode,
            service.ports,
            service.replicas,
            service.has_check,
            service.profiles,
            service.container_name,
            service.hostname,
            service.image,
            build.is_some(),
        )
    };
    let services: String = project.services.values().map(of).collect();
    format!("{}\n{services}", project.name)
}

fn values(
    labels: &std::collections::BTreeMap<String, portolan::compose::project::Label>,
) -> Vec<(&str, &str)> {
    labels.iter().map(|(key, label)| (key.as_str(), label.value())).collect()
}
