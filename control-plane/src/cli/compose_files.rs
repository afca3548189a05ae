//! Which Compose files are meant, and what they say: Compose's own word where it is there, and our reading for the places.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tokio::process::Command;

use crate::compose::Error;
use crate::compose::env::Environment;
use crate::compose::interpolate::{Interpolated, Outcome};
use crate::compose::load::{Asked, Loaded, load};
use crate::compose::project::Project;
use crate::compose::tree::{Place, Source, Tree};
use crate::policies::{self, Policies};

/// The names of a project's file, the one that counts first (Compose CLI reference, "-f").
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// The names of the file that is laid over it without being asked for.
const OVERRIDES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// The files, as `docker compose` takes them.
#[derive(Debug, Clone, Args)]
pub(super) struct ComposeFiles {
    /// Compose files, each laid over the one before. Without any, those that docker compose would read here.
    #[arg(value_name = "FILES")]
    files: Vec<PathBuf>,

    /// Name of the Compose project, if not that of the files or their directory.
    #[arg(short, long, value_name = "NAME")]
    project: Option<String>,

    /// Directory of the project, if not that of the first file.
    #[arg(long, value_name = "DIRECTORY")]
    project_directory: Option<PathBuf>,

    /// File with variables, instead of .env; may be given several times.
    #[arg(long = "env-file", value_name = "FILE")]
    env_files: Vec<PathBuf>,

    /// Profile to take as active, '*' for all; may be given several times.
    #[arg(long = "profile", value_name = "NAME", value_delimiter = ',')]
    profiles: Vec<String>,

    /// The policies file of the control plane, where it has one: entry points, hosts of projects, defaults (docs/policies.md). To `plan` the
    /// control plane itself says them.
    #[arg(long, env = "PORTOLAN_POLICIES", value_name = "FILE")]
    policies: Option<PathBuf>,

    /// Whether docker compose is asked what the files say: always, never, or where it is there. It is not needed.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    compose: AskCompose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AskCompose {
    Auto,
    Always,
    Never,
}

/// What the files say.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) project: Project,
    pub(super) loaded: Loaded,
    /// Whether it is Compose's own word.
    pub(super) by_compose: bool,
}

/// Reads a file of the project.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

impl ComposeFiles {
    /// What the files say.
    ///
    /// # Errors
    ///
    /// They cannot be read, or are not what Compose takes.
    pub(super) async fn resolve(&self) -> Result<Resolved, Error> {
        let asked = self.asked()?;
        let compose = match self.compose {
            AskCompose::Never => None,
            AskCompose::Auto | AskCompose::Always => Some(ask(&asked)),
        };
        let ours = load(&asked, &read);
        let said = match compose {
            None => Said::NotThere("it was not asked".to_owned()),
            Some(said) => said.await,
        };
        match said {
            Said::Printed(printed) => {
                // Compose may read what we do not: then no place is known.
                let loaded = ours.unwrap_or_else(|_| nowhere(&asked));
                let project = Project::as_compose_has_it(&printed, &loaded)?;
                Ok(Resolved { project, loaded, by_compose: true })
            }
            Said::Refused(words) => {
                let loaded = ours?;
                // What it refuses for the sake of a variable is told as a finding, with its place.
                let is_told = refuses(&loaded);
                let alone = Self::alone(loaded)?;
                if is_told { Ok(alone) } else { Err(Error::at(nowhere(&asked).tree.place, words)) }
            }
            Said::NotThere(words) if self.compose == AskCompose::Always => {
                let reason = format!("docker compose cannot be asked: {words}");
                Err(Error::at(nowhere(&asked).tree.place, reason))
            }
            Said::NotThere(_) => Self::alone(ours?),
        }
    }

    /// What the policies file says, if one is named.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has a mistake in it: the first one.
    pub(super) fn policies(&self) -> Result<Option<Arc<Policies>>, Error> {
        let Some(path) = &self.policies else { return Ok(None) };
        let text = read(path).map_err(|error| Error::of_file(path, &error))?;
        policies::parse(&text).map(|policies| Some(Arc::new(policies))).map_err(|mistakes| {
            let Some(mistake) = mistakes.into_iter().next() else {
                return Error::at(Place::of_file(path), "it is wrong");
            };
            let reason = format!("{}; {}", mistake.reason, mistake.fix);
            let (line, column) = mistake.place.unwrap_or((1, 1));
            let source = Source { path: path.clone(), text, is_label_file: false };
            Error::at(Place::at(source, line, column), reason)
        })
    }

    /// The profiles that are active: those that are given, else those of COMPOSE_PROFILES.
    pub(super) fn active(&self, loaded: &Loaded) -> Vec<String> {
        let named = loaded.environment.get("COMPOSE_PROFILES").unwrap_or_default();
        match self.profiles.as_slice() {
            [] => named.split(',').map(|name| name.trim().to_owned()).collect(),
            given => given.to_vec(),
        }
    }

    fn alone(loaded: Loaded) -> Result<Resolved, Error> {
        let project = Project::of(&loaded)?;
        Ok(Resolved { project, loaded, by_compose: false })
    }

    fn asked(&self) -> Result<Asked, Error> {
        let environment: Environment = std::env::vars().collect();
        let files = match self.files.as_slice() {
            [] => found(&environment)?,
            files => files.to_vec(),
        };
        Ok(Asked {
            files,
            name: self.project.clone(),
            directory: self.project_directory.clone(),
            here: std::env::current_dir().unwrap_or_default(),
            env_files: self.env_files.clone(),
            environment,
        })
    }
}

/// The files of the project that one is in: those that COMPOSE_FILE names, else the first that is there, here or in a directory
/// above, with the one that is laid over it.
fn found(environment: &Environment) -> Result<Vec<PathBuf>, Error> {
    let here =
        read(Path::new(".env")).map_or_else(|_| environment.clone(), |text| environment.with_file(&text));
    if let Some(files) = here.get("COMPOSE_FILE").filter(|files| !files.is_empty()) {
        let separator = here.get("COMPOSE_PATH_SEPARATOR").unwrap_or(":");
        return Ok(files.split(separator).map(PathBuf::from).collect());
    }
    let mut directory = PathBuf::new();
    let depth = std::env::current_dir().map_or(1, |here| here.components().count());
    for _ in 0..depth {
        let first =
            |names: [&str; 4]| names.iter().map(|name| directory.join(name)).find(|path| path.is_file());
        if let Some(file) = first(NAMES) {
            return Ok([Some(file), first(OVERRIDES)].into_iter().flatten().collect());
        }
        directory.push("..");
    }
    let reason = format!("there is no Compose file here or above; name one, or make a {}", NAMES[0]);
    Err(Error::at(Place::of_file(Path::new(NAMES[0])), reason))
}

/// A project of which no place is known but the first file.
fn nowhere(asked: &Asked) -> Loaded {
    let first = asked.files.first().map_or(Path::new(""), PathBuf::as_path);
    let directory =
        asked.directory.clone().or_else(|| first.parent().map(Path::to_owned)).unwrap_or_default();
    let (tree, environment) = (Tree::null(Place::of_file(first)), asked.environment.clone());
    Loaded { name: String::new(), directory, tree, environment }
}

/// Whether Compose refuses the files because of a variable.
fn refuses(loaded: &Loaded) -> bool {
    let mut variables = loaded.variables().into_iter().filter_map(|(_, text)| text.variables.as_deref());
    variables.any(|read: &Interpolated| {
        let is_required = |outcome: &Outcome| matches!(outcome, Outcome::Required(_));
        read.broken.is_some() || read.references.iter().any(|reference| is_required(&reference.outcome))
    })
}

/// What came of asking Compose.
enum Said {
    Printed(serde_json::Value),
    /// The files are not what it takes: why, in its words.
    Refused(String),
    NotThere(String),
}

/// `docker compose config`, which reads and resolves the files and does nothing else.
async fn ask(asked: &Asked) -> Said {
    let mut command = Command::new("docker");
    command.arg("compose");
    for file in &asked.files {
        command.arg("-f").arg(file);
    }
    for file in &asked.env_files {
        command.arg("--env-file").arg(file);
    }
    if let Some(directory) = &asked.directory {
        command.arg("--project-directory").arg(directory);
    }
    if let Some(name) = &asked.name {
        command.args(["-p", name]);
    }
    // Which of them are active is looked at afterwards.
    command.args(["--profile", "*", "config", "--format", "json"]);
    let output = match command.stdin(Stdio::null()).kill_on_drop(true).output().await {
        Ok(output) => output,
        Err(error) => return Said::NotThere(format!("cannot run docker: {error}")),
    };
    if output.status.success() {
        return match serde_json::from_slice(&output.stdout) {
            Ok(printed) => Said::Printed(printed),
            Err(error) => Said::NotThere(format!("its answer is no JSON: {error}")),
        };
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let mut version = Command::new("docker");
    let version = version.args(["compose", "version"]).stdin(Stdio::null()).kill_on_drop(true).output().await;
    match version {
        Ok(version) if version.status.success() => Said::Refused(words),
        _ => Said::NotThere(words),
    }
}
