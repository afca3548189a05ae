//! What nginx-proxy reads of a container's environment (`VIRTUAL_HOST` and its kin), in our vocabulary.

use std::collections::BTreeMap;

use super::Translated;
use super::note::{Kind, Note, Refusal};
use super::ours::{check, in_order};
use super::traefik::rule;

/// The clients that `NETWORK_ACCESS=internal` lets in, by the file that nginx-proxy ships for it.
const INTERNAL: &str = "127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16";

/// What the labels of nginx-proxy and its companions begin with.
const LABELS: [&str; 2] = ["com.github.nginx-proxy.", "com.github.jrcs."];

/// Other variables that it and its companion for certificates read, and why they are not carried over.
const OTHERS: [(&str, &str); 21] = [
    ("ACME_", TLS),
    ("ACCEPT_UNKNOWN_CA", TLS),
    ("CERT_NAME", TLS),
    ("CLIENT_MAX_BODY_SIZE", "nginx-proxy does not read it of a container"),
    ("DEBUG_ENDPOINT", "our dashboard shows what is known of a container"),
    ("DEFAULT_HOST", "a route with the host * takes what no other host does"),
    ("DISABLE_ACCESS_LOGS", "Envoy writes a line for each request"),
    ("ENABLE_HTTP", "Envoy speaks HTTP/1.1 and HTTP/2 to clients"),
    ("ENABLE_IPV6", "where Envoy listens is for the administrator to say"),
    ("EXTERNAL_HTTP", "where Envoy listens is for the administrator to say"),
    ("HSTS", TLS),
    ("HTTPS_METHOD", TLS),
    ("LETSENCRYPT_", TLS),
    ("NON_GET_REDIRECT", TLS),
    ("SERVER_TOKENS", "Envoy says server: envoy"),
    ("SSL_POLICY", TLS),
    ("SSL_OCSP", TLS),
    ("TRUST_DEFAULT_CERT", TLS),
    ("VIRTUAL_HOST_MULTIPORTS", "a container has one port that is routed to here"),
    ("VIRTUAL_HOST_WEIGHT", "weights are of versions of a service: version and weight"),
    ("VIRTUAL_ROOT", "Envoy does not speak FastCGI"),
];
const TLS: &str = "certificates and entry points are for the administrator to say";

/// Whether nginx-proxy or its companions read this variable.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    ["VIRTUAL_HOST", "VIRTUAL_PORT", "VIRTUAL_PATH", "VIRTUAL_DEST", "VIRTUAL_PROTO", "NETWORK_ACCESS"]
        .contains(&name)
        || OTHERS.iter().any(|(other, _)| name.starts_with(other))
}

/// Whether they read this label.
#[must_use]
pub fn is_label(name: &str) -> bool {
    LABELS.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether it routes a container with this environment.
#[must_use]
pub fn concerns(environment: &BTreeMap<String, String>) -> bool {
    ["VIRTUAL_HOST", "VIRTUAL_HOST_MULTIPORTS"].iter().any(|name| environment.contains_key(*name))
}

/// Our labels for what `environment` and `labels` of one container say; nothing where it names no host.
#[must_use]
pub fn translate(environment: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> Translated {
    if !concerns(environment) {
        return Translated::default();
    }
    let mut reader = Reader { environment, is_routed: true, keys: BTreeMap::new(), notes: Vec::new() };
    reader.hosts();
    reader.path();
    reader.backend();
    reader.access();
    reader.others();
    reader.labels(labels);
    let refusal = check(&reader.keys).err().filter(|_| reader.is_routed);
    if let Some(Refusal { reason, fix, .. }) = refusal {
        reader.out("VIRTUAL_HOST", reason, &fix);
    }
    let Reader { is_routed, mut keys, mut notes, .. } = reader;
    if !is_routed {
        keys.clear();
        let told = |name: &str| notes.iter().any(|note| note.label == name);
        let rest = environment.keys().filter(|name| is_variable(name) && !told(name));
        let refusal = Refusal::new("the container is not routed", "see what is said of its other variables");
        let rest: Vec<Note> = rest.map(|name| note(environment, Kind::Lost, name, refusal.clone())).collect();
        notes.extend(rest);
    }
    notes.sort();
    notes.dedup();
    Translated { labels: in_order(keys), notes }
}

struct Reader<'a> {
    environment: &'a BTreeMap<String, String>,
    /// Whether there is a route at all.
    is_routed: bool,
    keys: BTreeMap<String, String>,
    notes: Vec<Note>,
}

fn note(from: &BTreeMap<String, String>, kind: Kind, name: &str, refusal: Refusal) -> Note {
    let Refusal { place, reason, fix } = refusal;
    Note {
        kind,
        label: name.to_owned(),
        value: from.get(name).cloned().unwrap_or_default(),
        place,
        reason,
        fix,
    }
}

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn set(&mut self, key: &str, value: impl Into<String>) {
        self.keys.insert(key.to_owned(), value.into());
    }

    fn lost(&mut self, name: &str, reason: impl Into<String>, fix: &str) {
        self.notes.push(note(self.environment, Kind::Lost, name, Refusal::new(reason, fix)));
    }

    /// What cannot be left out: there is no route without it.
    fn out(&mut self, name: &str, reason: impl Into<String>, fix: &str) {
        self.lost(name, reason, fix);
        self.is_routed = false;
    }

    fn differs(&mut self, name: &str, reason: impl Into<String>) {
        self.notes.push(note(self.environment, Kind::Differs, name, Refusal::new(reason, "")));
    }

    fn hosts(&mut self) {
        let mut hosts: Vec<String> = Vec::new();
        let all = self.get("VIRTUAL_HOST").unwrap_or_default().to_owned();
        for host in all.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            if let Some(pattern) = host.strip_prefix('~') {
                match rule::hosts(pattern.trim_start_matches('*')) {
                    Ok((of_pattern, differences)) => {
                        hosts.extend(of_pattern.iter().map(ToString::to_string));
                        differences
                            .into_iter()
                            .for_each(|difference| self.differs("VIRTUAL_HOST", difference));
                    }
                    Err(refusal) => {
                        self.lost("VIRTUAL_HOST", format!("{host}: {}", refusal.reason), &refusal.fix)
                    }
                }
            } else if host.ends_with(".*") {
                let reason = format!("{host}: our hosts have a * at their beginning alone");
                self.lost("VIRTUAL_HOST", reason, "name the hosts one by one");
            } else {
                let host = if host.starts_with('.') { format!("*{host}") } else { host.to_owned() };
                if let Err(refusal) = check(&BTreeMap::from([("host".to_owned(), host.clone())])) {
                    self.lost("VIRTUAL_HOST", format!("{host}: {}", refusal.reason), &refusal.fix);
                } else {
                    hosts.push(host);
                }
            }
        }
        hosts.dedup();
        self.set("host", hosts.join(", "));
        self.is_routed = !hosts.is_empty();
    }

    fn path(&mut self) {
        let location = self.get("VIRTUAL_PATH").unwrap_or("/").to_owned();
        let (kind, rest) = match location.split_once(' ') {
            Some((kind @ ("=" | "~" | "~*" | "^~"), rest)) => (kind, rest.trim()),
            _ if location.starts_with('~') => ("~", &location[1..]),
            _ if location.starts_with('=') => ("=", &location[1..]),
            _ => ("", location.as_str()),
        };
        let path = match kind {
            "=" => format!("={rest}"),
            "~" | "~*" => match rule::whole(rest) {
                Ok(pattern) if kind == "~" => format!("~{pattern}"),
                Ok(pattern) => format!("~(?i:{pattern})"),
                Err(refusal) => {
                    self.out("VIRTUAL_PATH", refusal.reason, &refusal.fix);
                    return;
                }
            },
            _ => rest.to_owned(),
        };
        if path != "/" {
            if !path.starts_with(['=', '~']) {
                self.differs("VIRTUAL_PATH", format!("the prefix {path} is one of whole segments"));
            }
            // nginx asks what is exact first, then regular expressions, then prefixes.
            match path.chars().next() {
                Some('=') => self.set("priority", "2"),
                Some('~') => self.set("priority", "1"),
                _ => {}
            }
            self.set("path", path.clone());
        }
        match self.get("VIRTUAL_DEST").map(str::to_owned) {
            None => {}
            Some(dest) if dest.trim_end_matches('/') == path.trim_end_matches('/') => {}
            Some(_) if path.starts_with('~') => {
                let reason = "our routes change a path where they match it exactly or by a prefix";
                self.out("VIRTUAL_DEST", reason, "match by a prefix");
            }
            Some(dest) if dest == "/" => self.set("strip", "true"),
            Some(dest) => self.set("rewrite", dest),
        }
    }

    fn backend(&mut self) {
        if let Some(port) = self.get("VIRTUAL_PORT").map(str::to_owned) {
            match check(&BTreeMap::from([
                ("host".to_owned(), "*".to_owned()),
                ("port".to_owned(), port.clone()),
            ])) {
                Ok(()) => self.set("port", port),
                Err(refusal) => self.lost("VIRTUAL_PORT", refusal.reason, &refusal.fix),
            }
        }
        match self.get("VIRTUAL_PROTO").unwrap_or("http").to_owned().as_str() {
            "http" => {}
            "https" => {
                self.set("protocol", "https");
                self.differs("VIRTUAL_PROTO", "the container's certificate is not checked");
            }
            "grpc" => self.set("protocol", "grpc"),
            other => {
                let reason = format!("Envoy does not speak {other} to a container here");
                self.out("VIRTUAL_PROTO", reason, "let the container speak http, https or grpc");
            }
        }
    }

    fn access(&mut self) {
        match self.get("NETWORK_ACCESS").unwrap_or("external").to_owned().as_str() {
            "external" => {}
            "internal" => {
                self.set("allow", INTERNAL);
                self.differs(
                    "NETWORK_ACCESS",
                    "the addresses are those of nginx-proxy's own file; it may have been changed",
                );
            }
            other => {
                // It would be open to all.
                self.out("NETWORK_ACCESS", format!("{other} is not internal or external"), "correct it");
            }
        }
    }

    fn others(&mut self) {
        for name in self.environment.keys() {
            let Some((_, why)) = OTHERS.iter().find(|(other, _)| name.starts_with(other)) else { continue };
            if name == "HTTPS_METHOD" && self.get(name) == Some("nohttps") {
                continue;
            }
            let fix = if *why == TLS { "write them into the policies file (docs/policies.md)" } else { "" };
            self.lost(&name.clone(), *why, fix);
        }
    }

    fn labels(&mut self, labels: &BTreeMap<String, String>) {
        for (name, value) in labels.iter().filter(|(name, _)| is_label(name)) {
            let way = value.trim().trim_end_matches(';').trim();
            let lb = match (name.rsplit('.').next(), way) {
                (Some("loadbalance"), "least_conn") => Some("least-request"),
                (Some("loadbalance"), "ip_hash") => Some("maglev:ip"),
                (Some("loadbalance"), "random") => Some("random"),
                _ => None,
            };
            match lb {
                Some(lb) => self.set("lb", lb),
                None => {
                    let refusal = Refusal::new("Portolan has nothing for it", "remove it");
                    self.notes.push(note(labels, Kind::Lost, name, refusal));
                }
            }
        }
    }
}
