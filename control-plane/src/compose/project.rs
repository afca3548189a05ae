//! What matters to routing in a Compose project: its services with their labels, networks, ports and replicas. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::Error;
use super::load::Loaded;
use super::tree::{Field, Kind, Place, Tag, Text, Tree};
use super::yaml::{Node, Scalar, Span, Style, Value as Yaml};

/// The network of services that name none.
const DEFAULT_NETWORK: &str = "default";

/// A Compose project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: String,
    /// Its services by name, whatever their profiles.
    pub services: BTreeMap<String, Service>,
    /// What stands at the top of it all, for what is about no service.
    pub place: Place,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where its name stands; with several files in the last one that says something of it.
    pub place: Place,
    /// The labels of its containers: its own, and below them those that its build gives the image.
    pub labels: BTreeMap<String, Label>,
    /// The labels under `deploy`. They are those of a Swarm service; containers do not get them.
    pub deploy_labels: BTreeMap<String, Label>,
    /// The networks it is on; none with a network mode.
    pub networks: Vec<Network>,
    /// Its network mode, such as `host` or `service:db`.
    pub network_mode: Option<String>,
    /// TCP ports that it exposes or publishes, as the container has them. The image may expose more.
    pub ports: BTreeSet<u16>,
    /// How many containers it has.
    pub replicas: u32,
    /// Whether its health is checked, as far as the files say; the image may have a check of its own.
    pub has_check: bool,
    /// The profiles of which one must be active; without any it always is.
    pub profiles: Vec<String>,
    /// The name of its container, if it is given.
    pub container_name: Option<String>,
    /// The host name of its containers, if it is given.
    pub hostname: Option<String>,
    /// The image, if it is given.
    pub image: Option<String>,
    /// What it is built from, if it is built.
    pub build: Option<Build>,
}

/// What an image is built from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// The directory, from that of the project.
    pub context: PathBuf,
    /// The Dockerfile, from that directory.
    pub dockerfile: Option<PathBuf>,
    /// The Dockerfile itself.
    pub inline: Option<String>,
    /// The stage, if it is not the last one.
    pub target: Option<String>,
}

/// A network a service is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// As the files name it.
    pub key: String,
    /// As Docker knows it.
    pub name: String,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where its key stands.
    pub key: Place,
    /// Where its value stands; the key's, where it has none.
    pub place: Place,
    /// Its value.
    pub text: Text,
}

impl Label {
    /// Its value, as containers get it.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.text.value
    }

    /// Where the value goes on from its byte `at`; nothing where it is written otherwise than meant.
    #[must_use]
    pub fn from(&self, at: usize) -> Option<Place> {
        let text = &self.text;
        let at = text.from + at;
        let start = match &text.variables {
            Some(variables) if at <= variables.text.len() => variables.written_at(at),
            _ => at,
        };
        let end = text.node.text()?.len();
        text.written(start..end.max(start), &self.place)
    }
}

impl Project {
    /// What the files say.
    ///
    /// # Errors
    ///
    /// They say it in a way that Compose would not take either.
    pub fn of(loaded: &Loaded) -> Result<Self, Error> {
        Self::read(&loaded.name, &loaded.tree)
    }

    /// What Compose makes of the same files, as `docker compose config --format json` prints it: its word stands, and the files
    /// say where.
    ///
    /// # Errors
    ///
    /// It is not what Compose prints.
    pub fn as_compose_has_it(printed: &Value, loaded: &Loaded) -> Result<Self, Error> {
        let tree = placed(printed, Some(&loaded.tree), &loaded.tree.place);
        let name = tree.get("name").and_then(Tree::as_str).unwrap_or(&loaded.name).to_owned();
        Self::read(&name, &tree)
    }

    fn read(name: &str, tree: &Tree) -> Result<Self, Error> {
        let mut services = BTreeMap::new();
        if let Some(all) = tree.get("services") {
            if !matches!(all.kind, Kind::Map(_) | Kind::Null) {
                return Err(Error::at(all.place.clone(), "services must be a map: names with what they are"));
            }
            for field in all.fields() {
                services.insert(field.key.clone(), service(field, tree, name)?);
            }
        }
        Ok(Self { name: name.to_owned(), services, place: tree.place.clone() })
    }

    /// The services that `docker compose up` starts when these profiles are active; `*` are all.
    pub fn active<'a>(&'a self, profiles: &'a [String]) -> impl Iterator<Item = &'a Service> {
        self.services.values().filter(move |service| service.is_active(profiles))
    }
}

impl Service {
    /// Whether it is started when these profiles are active.
    #[must_use]
    pub fn is_active(&self, profiles: &[String]) -> bool {
        let asked = |profile: &String| profiles.iter().any(|active| active == "*" || active == profile);
        self.profiles.is_empty() || self.profiles.iter().any(asked)
    }
}

fn service(field: &Field, tree: &Tree, project: &str) -> Result<Service, Error> {
    let Field { key, place, value } = field;
    if !matches!(value.kind, Kind::Map(_)) {
        return Err(Error::at(place.clone(), format!("the service {key} must be a map")));
    }
    let text = |key: &str| value.get(key).and_then(Tree::as_str).map(str::to_owned);
    let network_mode = text("network_mode");
    let labels_of = |tree: Option<&Tree>| match tree.and_then(|tree| tree.get("labels")) {
        Some(tree) => labels(tree),
        None => Ok(BTreeMap::new()),
    };
    let mut labels = labels_of(value.get("build"))?;
    labels.extend(labels_of(Some(value))?);
    Ok(Service {
        name: key.clone(),
        place: place.clone(),
        labels,
        deploy_labels: labels_of(value.get("deploy"))?,
        networks: if network_mode.is_some() { Vec::new() } else { networks(value, tree, project) },
        network_mode,
        ports: ports(value),
        replicas: replicas(value)?,
        has_check: value.get("healthcheck").is_some_and(is_check),
        profiles: texts(value.get("profiles")),
        container_name: text("container_name"),
        hostname: text("hostname"),
        image: text("image"),
        build: value.get("build").and_then(build),
    })
}

fn texts(tree: Option<&Tree>) -> Vec<String> {
    let items = tree.map(Tree::items).unwrap_or_default();
    items.iter().filter_map(Tree::as_str).map(str::to_owned).collect()
}

fn labels(tree: &Tree) -> Result<BTreeMap<String, Label>, Error> {
    if !matches!(tree.kind, Kind::Map(_) | Kind::Null) {
        return Err(Error::at(tree.place.clone(), "labels are a map, or a list of key=value"));
    }
    let label = |field: &Field| {
        let Field { key, place, value } = field;
        let (place_of_value, text) = match &value.kind {
            Kind::Text(text) => (value.place.clone(), text.clone()),
            Kind::Null => (place.clone(), Text::synthetic(String::new(), place.span)),
            Kind::List(_) | Kind::Map(_) => {
                let reason = format!("the value of the label {key} must be text; quote it");
                return Err(Error::at(value.place.clone(), reason));
            }
        };
        Ok((key.clone(), Label { key: place.clone(), place: place_of_value, text }))
    };
    tree.fields().iter().map(label).collect()
}

/// Compose file reference, "networks": without any a service is on the default one.
fn networks(service: &Tree, tree: &Tree, project: &str) -> Vec<Network> {
    let named = service.get("networks").map(Tree::fields).unwrap_or_default();
    let keys: Vec<&str> = match named {
        [] => vec![DEFAULT_NETWORK],
        named => named.iter().map(|field| field.key.as_str()).collect(),
    };
    let network = |key: &str| {
        let declared = tree.get("networks").and_then(|networks| networks.get(key));
        let external = declared.and_then(|it| it.get("external"));
        let name = declared.and_then(|it| it.get("name")).or_else(|| external?.get("name"));
        let is_external = external.is_some_and(|it| it.as_str() == Some("true") || it.get("name").is_some());
        let name = match name.and_then(Tree::as_str) {
            Some(name) => name.to_owned(),
            None if is_external => key.to_owned(),
            None => format!("{project}_{key}"),
        };
        Network { key: key.to_owned(), name }
    };
    keys.into_iter().map(network).collect()
}

/// Compose file reference, "expose" and "ports": both end in the container's exposed ports.
fn ports(service: &Tree) -> BTreeSet<u16> {
    let of = |key: &str| service.get(key).map(Tree::items).unwrap_or_default();
    let mut found = BTreeSet::new();
    for item in of("expose") {
        found.extend(item.as_str().into_iter().flat_map(tcp));
    }
    for item in of("ports") {
        match item.as_str() {
            Some(short) => {
                let (addresses, protocol) = short.split_once('/').unwrap_or((short, "tcp"));
                let target = addresses.rsplit(':').next().unwrap_or(addresses);
                found.extend(tcp(&format!("{target}/{protocol}")));
            }
            None => {
                let protocol = item.get("protocol").and_then(Tree::as_str).unwrap_or("tcp");
                let target = item.get("target").and_then(Tree::as_str).unwrap_or_default();
                found.extend(tcp(&format!("{target}/{protocol}")));
            }
        }
    }
    found
}

/// `80`, `80/tcp`, `80-82`.
fn tcp(port: &str) -> Vec<u16> {
    let (ports, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    if protocol != "tcp" {
        return Vec::new();
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).collect(),
        _ => Vec::new(),
    }
}

fn replicas(service: &Tree) -> Result<u32, Error> {
    let deploy = service.get("deploy").and_then(|deploy| deploy.get("replicas"));
    let Some(said) = deploy.or_else(|| service.get("scale")).filter(|said| !said.is_null()) else {
        return Ok(1);
    };
    let number = said.as_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::at(said.place.clone(), "the number of replicas is not a number"))
}

/// Compose file reference, "healthcheck": `disable: true` and `test: ["NONE"]` are none.
fn is_check(check: &Tree) -> bool {
    let is_disabled = check.get("disable").and_then(Tree::as_str) == Some("true");
    let test = check.get("test");
    let first = test.and_then(|test| test.items().first().or(Some(test))).and_then(Tree::as_str);
    !is_disabled && first != Some("NONE") && !check.is_null()
}

fn build(tree: &Tree) -> Option<Build> {
    if let Some(context) = tree.as_str() {
        return Some(Build { context: context.into(), ..Build::default() });
    }
    let text = |key: &str| tree.get(key).and_then(Tree::as_str);
    matches!(tree.kind, Kind::Map(_)).then(|| Build {
        context: text("context").unwrap_or(".").into(),
        dockerfile: text("dockerfile").map(PathBuf::from),
        inline: text("dockerfile_inline").map(str::to_owned),
        target: text("target").map(str::to_owned),
    })
}

/// What Compose printed, with the places of what is the same in the files.
fn placed(printed: &Value, ours: Option<&Tree>, around: &Place) -> Tree {
    let place = ours.map_or(around, |ours| &ours.place);
    let kind = match printed {
        Value::Null => Kind::Null,
        Value::Array(items) => {
            let own = ours.map(Tree::items).filter(|own| own.len() == items.len()).unwrap_or_default();
            Kind::List(items.iter().enumerate().map(|(at, item)| placed(item, own.get(at), place)).collect())
        }
        Value::Object(fields) => {
            let field = |(key, value): (&String, &Value)| {
                // It escapes each dollar, in keys too.
                let key = key.replace("$$", "$");
                let own = ours.and_then(|ours| ours.field(&key));
                let at = own.map_or(place, |own| &own.place);
                Field { value: placed(value, own.map(|own| &own.value), at), place: at.clone(), key }
            };
            Kind::Map(fields.iter().map(field).collect())
        }
        // Compose makes empty text of a label without a value.
        Value::String(text) if text.is_empty() && ours.is_some_and(Tree::is_null) => Kind::Null,
        Value::String(text) => Kind::Text(same_or(text.replace("$$", "$"), ours, place)),
        other => Kind::Text(same_or(other.to_string(), ours, place)),
    };
    Tree { place: place.clone(), tag: Tag::None, kind }
}

fn same_or(value: String, ours: Option<&Tree>, place: &Place) -> Text {
    let own = ours.and_then(Tree::text).filter(|own| own.value == value);
    own.cloned().unwrap_or_else(|| Text::synthetic(value, place.span))
}

impl Text {
    /// Text that stands in no file as it is.
    fn synthetic(value: String, span: Span) -> Self {
        // Of a block no byte is looked for.
        let scalar = Scalar { text: value.clone(), style: Style::Block };
        let node = Node { span, tag: None, value: Yaml::Scalar(scalar) };
        Self { value, variables: None, from: 0, node: Arc::new(node) }
    }
}

#[cfg(test)]
mod tests;
