//! Files to one tree: what includes, extends and overrides add up to (Compose file reference, "Include", "Extend", "Merge"). What
//! is read is asked of the caller.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::env::Environment;
use super::interpolate::interpolate;
use super::merge::{in_one_form, merge, value_mut};
use super::tree::{Grower, Kind, Place, Source, Text, Tree, with_variables};
use super::{Error, label_file, yaml};

/// What `include` brings into a project.
const RESOURCES: [&str; 5] = ["services", "networks", "volumes", "configs", "secrets"];
const NAME: &str = "COMPOSE_PROJECT_NAME";
const ENV_FILE: &str = ".env";

/// Reads the file at a path.
pub type Read<'a> = dyn Fn(&Path) -> io::Result<String> + 'a;

/// Which project is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Its files, each laid over the one before; one at least.
    pub files: Vec<PathBuf>,
    /// Its name, if it is not to be found in the files.
    pub name: Option<String>,
    /// Its directory, if it is not that of the first file.
    pub directory: Option<PathBuf>,
    /// The working directory, from which relative paths go.
    pub here: PathBuf,
    /// Its env files, if it is not `.env` in its directory.
    pub env_files: Vec<PathBuf>,
    /// The variables of the environment.
    pub environment: Environment,
}

/// A project, as the files have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// Everything the files say, after includes, extends and overrides.
    pub tree: Tree,
    /// The variables that the files may ask for.
    pub environment: Environment,
}

impl Loaded {
    /// Every value that has a `$`, with where it stands.
    #[must_use]
    pub fn variables(&self) -> Vec<(&Place, &Text)> {
        let mut found = Vec::new();
        with_variables(&self.tree, &mut found);
        found
    }
}

/// Reads the project's files.
///
/// # Errors
///
/// One cannot be read, or does not make sense as a Compose file.
pub fn load(asked: &Asked, read: &Read<'_>) -> Result<Loaded, Error> {
    let first = asked.files.first().map_or_else(PathBuf::new, |first| parent(first));
    let directory = asked.directory.clone().unwrap_or(first);
    let environment = environment(&asked.environment, &asked.env_files, &directory, read)?;
    let name = name(asked, &directory, &environment, read)?;
    let known: Environment = [(NAME.to_owned(), name.clone())].into_iter().collect();
    let environment = environment.and(&known);
    let mut tree = Loader { read, environment: &environment, files: BTreeMap::new() }.all(&asked.files, 0)?;
    label_file::bring_in(&mut tree, &asked.files, &directory, read)?;
    Ok(Loaded { name, directory, tree, environment })
}

pub(super) fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// The variables of the environment, and those of the env files; `.env` need not be there.
fn environment(
    own: &Environment,
    files: &[PathBuf],
    directory: &Path,
    read: &Read<'_>,
) -> Result<Environment, Error> {
    if files.is_empty() {
        return Ok(read(&directory.join(ENV_FILE)).map_or_else(|_| own.clone(), |text| own.with_file(&text)));
    }
    // Of several the last one counts most.
    files.iter().rev().try_fold(own.clone(), |all, path| {
        let text = read(path).map_err(|error| Error::of_file(path, &error))?;
        Ok(all.with_file(&text))
    })
}

fn name(
    asked: &Asked,
    directory: &Path,
    environment: &Environment,
    read: &Read<'_>,
) -> Result<String, Error> {
    if let Some(name) = asked.name.as_deref().or_else(|| environment.get(NAME)) {
        return Ok(name.to_owned());
    }
    for path in asked.files.iter().rev() {
        let text = read(path).map_err(|error| Error::of_file(path, &error))?;
        // The rest of it is read later, and its mistakes are told then.
        let Ok(file) = yaml::parse(&text) else { continue };
        let named = file.documents.iter().rev().find_map(|document| document.get("name")?.text());
        if let Some(name) = named {
            let lookup = |name: &str| environment.get(name).map(str::to_owned);
            return Ok(interpolate(name, &lookup).text);
        }
    }
    let last = last_name(&asked.here.join(directory));
    let last = last.to_lowercase();
    let kept: String = last.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
    Ok(kept.trim_start_matches(['_', '-']).to_owned())
}

/// The name of a directory, whose path may go up and down.
fn last_name(directory: &Path) -> String {
    let mut names = Vec::new();
    for component in directory.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names.last().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// So deep may includes and extends go: each a file or a service further.
const DEEPEST: usize = 50;

struct Loader<'a> {
    read: &'a Read<'a>,
    environment: &'a Environment,
    /// The documents of each file, before anything is brought into them.
    files: BTreeMap<PathBuf, Arc<Vec<Tree>>>,
}

impl Loader<'_> {
    fn documents(&mut self, path: &Path) -> Result<Arc<Vec<Tree>>, Error> {
        if let Some(documents) = self.files.get(path) {
            return Ok(Arc::clone(documents));
        }
        let text = (self.read)(path).map_err(|error| Error::of_file(path, &error))?;
        let source = Arc::new(Source { path: path.to_owned(), text, is_label_file: false });
        let file = yaml::parse(&source.text).map_err(|error| {
            let place = Place { source: Arc::clone(&source), span: error.span };
            Error::at(place, error.reason)
        })?;
        let lookup = |name: &str| self.environment.get(name).map(str::to_owned);
        let mut grower = Grower::new(&source, &lookup);
        let mut documents = Vec::new();
        for document in &file.documents {
            let mut tree = grower.grow(document)?;
            if !matches!(tree.kind, Kind::Map(_)) {
                return Err(Error::at(tree.place, "a Compose file is a map with the key services"));
            }
            in_one_form(&mut tree);
            documents.push(tree);
        }
        let documents = Arc::new(documents);
        self.files.insert(path.to_owned(), Arc::clone(&documents));
        Ok(documents)
    }

    /// Several files, each laid over those before.
    fn all(&mut self, paths: &[PathBuf], depth: usize) -> Result<Tree, Error> {
        let mut whole: Option<Tree> = None;
        for path in paths {
            for document in self.documents(path)?.iter() {
                let mut tree = document.clone();
                self.extend(&mut tree, document, path)?;
                self.include(&mut tree, path, depth)?;
                whole = Some(match whole {
                    Some(whole) => merge(whole, tree, &[])?,
                    None => tree,
                });
            }
        }
        let nothing = || Tree::null(Place::of_file(paths.first().map_or(Path::new(""), PathBuf::as_path)));
        Ok(whole.unwrap_or_else(nothing))
    }

    /// Brings into each service of `tree` what it extends.
    fn extend(&mut self, tree: &mut Tree, document: &Tree, path: &Path) -> Result<(), Error> {
        let Some(Tree { kind: Kind::Map(services), .. }) = value_mut(tree, "services") else { return Ok(()) };
        for service in services {
            if service.value.get("extends").is_some() {
                service.value = self.extended(document, &service.key, path, &mut Vec::new())?;
            }
        }
        Ok(())
    }

    /// The service `name` of a document of the file `path`, with what it extends. `chain` holds those that extend it.
    fn extended(
        &mut self,
        document: &Tree,
        name: &str,
        path: &Path,
        chain: &mut Vec<(PathBuf, String)>,
    ) -> Result<Tree, Error> {
        let Some(service) = document.get("services").and_then(|services| services.get(name)) else {
            return Err(Error::at(document.place.clone(), format!("there is no service {name:?} to extend")));
        };
        let Some(extends) = service.get("extends") else { return Ok(service.clone()) };
        let here = (path.to_owned(), name.to_owned());
        if chain.contains(&here) || chain.len() > DEEPEST {
            let names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).chain([name]).collect();
            let reason = format!("the service {name} extends itself: {}", names.join(" extends "));
            return Err(Error::at(extends.place.clone(), reason));
        }
        chain.push(here);
        let wanted = extends.get("service").unwrap_or(extends);
        let Some(base) = wanted.as_str() else {
            return Err(Error::at(extends.place.clone(), "extends names no service"));
        };
        let file = extends.get("file").and_then(Tree::as_str).map(|file| parent(path).join(file));
        let other = file.as_deref().filter(|file| *file != path);
        let base = match other {
            None => self.named(document, base, path, chain),
            Some(file) => {
                let documents = self.documents(file).map_err(|error| error.seen_from(&extends.place))?;
                let holds =
                    |document: &&Tree| document.get("services").is_some_and(|all| all.get(base).is_some());
                let document = documents.iter().find(holds).or(documents.first());
                match document {
                    Some(document) => self.named(document, base, file, chain),
                    None => Err(Error::at(extends.place.clone(), format!("{} is empty", file.display()))),
                }
            }
        };
        let base =
            base.map_err(|error| if error.is_missing() { error.moved_to(&wanted.place) } else { error })?;
        let mut own = service.clone();
        if let Kind::Map(fields) = &mut own.kind {
            fields.retain(|field| field.key != "extends");
        }
        merge(base, own, &["services", name])
    }

    fn named(
        &mut self,
        document: &Tree,
        base: &str,
        path: &Path,
        chain: &mut Vec<(PathBuf, String)>,
    ) -> Result<Tree, Error> {
        match document.get("services").and_then(|services| services.get(base)) {
            Some(_) => self.extended(document, base, path, chain),
            None => {
                let reason = format!("there is no service {base:?} in {}", path.display());
                Err(Error::missing(document.place.clone(), reason))
            }
        }
    }

    /// Brings what `tree` includes into it: each include is a project of its own, with its own directory and variables.
    fn include(&mut self, tree: &mut Tree, path: &Path, depth: usize) -> Result<(), Error> {
        let Some(include) = tree.get("include").cloned() else { return Ok(()) };
        for item in include.items() {
            if depth > DEEPEST {
                return Err(Error::at(item.place.clone(), "the files include each other"));
            }
            let beside = |tree: &Tree| tree.as_str().map(|file| parent(path).join(file));
            let several = |tree: &Tree| -> Vec<PathBuf> {
                let items = tree.items().iter().filter_map(beside);
                items.chain(beside(tree)).collect()
            };
            let paths = several(item.get("path").unwrap_or(item));
            let Some(first) = paths.first() else {
                return Err(Error::at(item.place.clone(), "the include names no file"));
            };
            let directory = item.get("project_directory").and_then(beside).unwrap_or_else(|| parent(first));
            let env_files = item.get("env_file").map(several).unwrap_or_default();
            let environment = environment(self.environment, &env_files, &directory, self.read)?;
            let mut loader = Loader { read: self.read, environment: &environment, files: BTreeMap::new() };
            let mut included = loader.all(&paths, depth + 1).map_err(|error| error.seen_from(&item.place))?;
            label_file::bring_in(&mut included, &paths, &directory, self.read)?;
            import(tree, &included)?;
        }
        Ok(())
    }
}

/// Adds what `included` has to `tree`.
///
/// # Errors
///
/// Both have something of the same name, and it is not the same.
fn import(tree: &mut Tree, included: &Tree) -> Result<(), Error> {
    for resource in RESOURCES {
        let Some(more) = included.field(resource) else { continue };
        if value_mut(tree, resource).is_none()
            && let Kind::Map(fields) = &mut tree.kind
        {
            fields.push(more.clone());
            continue;
        }
        let Some(own) = value_mut(tree, resource) else { continue };
        if own.is_null() {
            own.kind = Kind::Map(Vec::new());
        }
        let Kind::Map(fields) = &mut own.kind else { continue };
        for field in more.value.fields() {
            match fields.iter().find(|own| own.key == field.key) {
                None => fields.push(field.clone()),
                Some(own) if own.value.says_the_same(&field.value) => {}
                Some(own) => {
                    let file = field.place.source.path.display();
                    let reason =
                        format!("{resource}.{} stands in {file} too, which is included here", field.key);
                    return Err(Error::at(own.place.clone(), reason));
                }
            }
        }
    }
    Ok(())
}
