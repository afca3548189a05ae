//! The label vocabulary: one workload's labels in, typed claims out.
//!
//! The vocabulary is closed. Each key has a row in [`KEYS`] and a parser for its value; whatever is not a row is a
//! problem that names the nearest right spelling.

use std::collections::BTreeMap;

use crate::inventory::Workload;

use super::problem::Problem;
use super::topology::{Host, PathMatch};

/// The keys that may stand in a route (`portolan.routes.<name>.<key>`) as well as in the short form.
const ROUTE_KEYS: &[&str] = &["host", "path"];
/// The keys that are about the whole workload and have the short form only.
const SERVICE_KEYS: &[&str] = &["enable", "health", "network", "port", "proxy", "service"];
/// Keys of the vocabulary that this version does not know yet: better said than passed over.
const PLANNED_KEYS: &[&str] = &[
    "methods",
    "priority",
    "protocol",
    "version",
    "weight",
    "mirror",
    "outlier",
    "drain",
    "timeout",
    "idle-timeout",
    "retries",
    "lb",
    "sticky",
    "max-connections",
    "max-requests",
    "max-pending",
    "strip",
    "rewrite",
    "redirect",
    "respond",
    "cors",
    "limit",
    "allow",
    "deny",
    "auth",
    "compress",
    "max-body",
    "listen",
    "tls",
];
/// Planned keys that are followed by a name or a detail.
const PLANNED_FAMILIES: &[&str] =
    &["header", "query", "health", "redirect", "request-header", "response-header", "cors", "limit"];

/// What the labels of one workload ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// It is Envoy: the networks it is on are those on which everything else can be reached.
    pub proxy: bool,
    /// It is hidden (`enable: "false"`).
    pub hidden: bool,
    /// The container port.
    pub port: Option<u16>,
    /// The network on which it is reached.
    pub network: Option<String>,
    /// The name of its service.
    pub service: Option<String>,
    /// Whether a failing health check keeps it in rotation.
    pub ignore_health: bool,
    /// Its routes by name; the short form is `default`. `None` stands for one that has a mistake in it.
    pub routes: BTreeMap<String, Option<RouteClaim>>,
    /// A mistake in a label that is about the whole workload: none of its routes can be trusted.
    pub unusable: bool,
}

impl Claims {
    /// Whether the workload wants to be reached at all.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !self.hidden && !self.routes.is_empty()
    }
}

/// One route, as its labels say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteClaim {
    /// The hosts it answers for.
    pub hosts: Vec<Host>,
    /// The paths it answers for.
    pub path: PathMatch,
}

/// A value that does not parse: why, and what to write instead.
type Mistake = (String, String);

/// Reads the labels of `workload` that begin with `prefix`.
#[must_use]
pub fn read(workload: &Workload, prefix: &str) -> (Claims, Vec<Problem>) {
    let mut reader =
        Reader { workload, claims: Claims::default(), drafts: BTreeMap::new(), problems: Vec::new() };
    for (label, value) in &workload.labels {
        let key = label.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
        if let Some(key) = key {
            reader.label(label, key, value, prefix);
        }
    }
    reader.finish(prefix)
}

#[derive(Debug, Default)]
struct Draft {
    hosts: Option<Vec<Host>>,
    path: Option<PathMatch>,
    broken: bool,
}

struct Reader<'a> {
    workload: &'a Workload,
    claims: Claims,
    drafts: BTreeMap<String, Draft>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn label(&mut self, label: &str, key: &str, value: &str, prefix: &str) {
        let result = match key.strip_prefix("routes.") {
            Some(rest) => match rest.split_once('.') {
                Some((name, key)) if is_route_name(name) => self.route_key(name, key, value, prefix),
                _ => Err((
                    "a named route is routes.<name>.<key>, and its name has letters, digits, - and _ only"
                        .to_owned(),
                    format!("write for example {prefix}.routes.api.path"),
                )),
            },
            None if ROUTE_KEYS.contains(&key) => self.route_key("default", key, value, prefix),
            None => self.service_key(key, value, prefix),
        };
        if let Err((reason, fix)) = result {
            self.problems.push(Problem::new(&self.workload.name, reason, fix).at(label, value));
        }
    }

    fn route_key(&mut self, route: &str, key: &str, value: &str, prefix: &str) -> Result<(), Mistake> {
        let draft = self.drafts.entry(route.to_owned()).or_default();
        let result = match key {
            "host" => hosts(value).map(|hosts| draft.hosts = Some(hosts)),
            "path" => path(value).map(|path| draft.path = Some(path)),
            _ if SERVICE_KEYS.contains(&key) => Err((
                format!("{key} is about the whole container, not about one route"),
                format!("write {prefix}.{key}"),
            )),
            _ => Err(unknown(key, prefix, ROUTE_KEYS)),
        };
        draft.broken |= result.is_err();
        result
    }

    fn service_key(&mut self, key: &str, value: &str, prefix: &str) -> Result<(), Mistake> {
        let claims = &mut self.claims;
        let result = match key {
            "enable" => boolean(value).map(|enable| claims.hidden = !enable),
            "proxy" => boolean(value).map(|proxy| claims.proxy = proxy),
            "port" => port(value).map(|port| claims.port = Some(port)),
            "network" => name(value, "network").map(|name| claims.network = Some(name)),
            "service" => name(value, "service").map(|name| claims.service = Some(name)),
            "health" => health(value).map(|ignore| claims.ignore_health = ignore),
            // An unknown key may be a route's or the service's: the short form is the route `default`.
            _ => {
                let known: Vec<&str> = ROUTE_KEYS.iter().chain(SERVICE_KEYS).copied().collect();
                self.drafts.entry("default".to_owned()).or_default().broken = true;
                return Err(unknown(key, prefix, &known));
            }
        };
        claims.unusable |= result.is_err();
        result
    }

    fn finish(mut self, prefix: &str) -> (Claims, Vec<Problem>) {
        for (name, draft) in std::mem::take(&mut self.drafts) {
            let claim = match draft {
                Draft { broken: true, .. } => None,
                Draft { hosts: Some(hosts), path, .. } => {
                    Some(RouteClaim { hosts, path: path.unwrap_or_else(|| PathMatch::Prefix("/".into())) })
                }
                Draft { hosts: None, .. } => {
                    let key = if name == "default" { String::new() } else { format!("routes.{name}.") };
                    let reason = format!("route {name:?} has no host, so no request can reach it");
                    let fix = format!("add {prefix}.{key}host");
                    self.problems.push(Problem::new(&self.workload.name, reason, fix));
                    None
                }
            };
            self.claims.routes.insert(name, claim);
        }
        (self.claims, self.problems)
    }
}

fn is_route_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn unknown(key: &str, prefix: &str, known: &[&str]) -> Mistake {
    let family = key.split_once('.').is_some_and(|(family, _)| PLANNED_FAMILIES.contains(&family));
    if family || PLANNED_KEYS.contains(&key) {
        return (
            format!("{key} is not supported by this version of Portolan"),
            "remove it; what the route does without it may not be what you want, so it is not served"
                .to_owned(),
        );
    }
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), *known))
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .min();
    let fix = match near {
        Some((_, near)) => format!("did you mean {prefix}.{near}?"),
        None => format!("the keys are {}", known.join(", ")),
    };
    (format!("{key} is not a key of the vocabulary"), fix)
}

fn boolean(value: &str) -> Result<bool, Mistake> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(("it is neither true nor false".to_owned(), "write \"true\" or \"false\"".to_owned())),
    }
}

fn port(value: &str) -> Result<u16, Mistake> {
    match value.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err((
            "it is not a port".to_owned(),
            "write the port the container listens on, 1 to 65535, such as \"8080\"".to_owned(),
        )),
    }
}

fn name(value: &str, what: &str) -> Result<String, Mistake> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !value.is_empty() && value.len() <= 255 && value.chars().all(fits) {
        Ok(value.to_owned())
    } else {
        Err((
            format!("it is not the name of a {what}"),
            "write 1 to 255 letters, digits, '-', '_', '.' and '/'".to_owned(),
        ))
    }
}

fn health(value: &str) -> Result<bool, Mistake> {
    match value {
        "require" => Ok(false),
        "ignore" => Ok(true),
        _ => {
            Err(("it is neither require nor ignore".to_owned(), "write \"require\" or \"ignore\"".to_owned()))
        }
    }
}

/// `a.example.com, *.example.org`, or `*`.
fn hosts(value: &str) -> Result<Vec<Host>, Mistake> {
    let mut hosts = value.split(',').map(|host| one_host(host.trim())).collect::<Result<Vec<_>, _>>()?;
    hosts.sort();
    hosts.dedup();
    Ok(hosts)
}

fn one_host(text: &str) -> Result<Host, Mistake> {
    let example = "write a name such as shop.localhost, *.example.com, or * for every host".to_owned();
    if text.is_empty() {
        return Err(("a host is empty".to_owned(), example));
    }
    if text == "*" {
        return Ok(Host::Any);
    }
    if text.contains("://") || text.contains('/') {
        return Err((format!("{text:?} is a URL or has a path, not a host name"), example));
    }
    if let Some((_, port)) = text.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err((
            format!("{text:?} has a port; a host matches on every port"),
            "leave the port out".to_owned(),
        ));
    }
    let (wildcard, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err((format!("{text:?} is not a host name"), example));
    }
    let name = name.to_ascii_lowercase();
    Ok(if wildcard { Host::Suffix(format!(".{name}")) } else { Host::Exact(name) })
}

fn path(value: &str) -> Result<PathMatch, Mistake> {
    let example =
        "write /api for a prefix, =/api for exactly that, or ~/api/v[0-9]+ for a regular expression"
            .to_owned();
    if let Some(regex) = value.strip_prefix('~') {
        return match regex_syntax_check(regex) {
            Ok(()) => Ok(PathMatch::Regex(regex.to_owned())),
            Err(why) => Err((format!("the regular expression does not parse: {why}"), example)),
        };
    }
    let (exact, path) = value.strip_prefix('=').map_or((false, value), |path| (true, path));
    if !path.starts_with('/') {
        return Err(("a path begins with /".to_owned(), example));
    }
    if let Some(bad) = path.chars().find(|c| matches!(c, '?' | '#') || c.is_control() || c.is_whitespace()) {
        return Err((format!("a path has no {bad:?}"), example));
    }
    if exact {
        return Ok(PathMatch::Exact(path.to_owned()));
    }
    // `/api/` and `/api` are the same prefix of segments.
    let trimmed = path.trim_end_matches('/');
    Ok(PathMatch::Prefix(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }))
}

/// RE2, which Envoy uses, knows neither look-around nor back-references; Rust's regex has the same limits, so what
/// parses here is taken there.
fn regex_syntax_check(regex: &str) -> Result<(), String> {
    if regex.is_empty() {
        return Err("it is empty".to_owned());
    }
    regex_syntax::Parser::new().parse(regex).map(drop).map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}
