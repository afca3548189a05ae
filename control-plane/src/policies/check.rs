//! What the words mean together.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_saphyr::Location;

use super::schema::{
    AuthWord, CertificateFiles, Entry, File, JwtWord, OneOrMore, Project, ProtocolWord, Word,
};
use super::{
    Auth, BUFFER_BYTES, Carries, Certificate, EntryName, EntryPoint, Jwt, Keys, Mistake, Policies, WEB,
};
use crate::model::Host;
use crate::model::label;
use serde_saphyr::Spanned;

/// In place of a certificate's name: TLS passes through.
const PASSTHROUGH: &str = "passthrough";
/// Less is less than a page of memory, and more is for one connection what others have for all.
const BUFFERS: RangeInclusive<u32> = 4 * 1024..=64 * 1024 * 1024;

/// What a file says, or everything that is wrong with it.
pub(super) fn meaning(file: File) -> Result<Policies, Vec<Mistake>> {
    let mut mistakes = Mistakes(Vec::new());
    let certificates = certificates(file.certificates, &mut mistakes);
    let entry_points = entry_points(file.entry_points, &certificates, &mut mistakes);
    let mut policies = Policies {
        is_given: true,
        entry_points,
        certificates,
        auth: auth(file.auth, &mut mistakes),
        access_log: file.access_log.into(),
        buffer_bytes: file.buffers.map_or(BUFFER_BYTES, |size| buffers(size, &mut mistakes)),
        ..Policies::default()
    };
    (policies.projects, policies.ports) = projects(file.projects, &policies, &mut mistakes);
    policies.defaults = defaults(file.defaults, &policies, &mut mistakes);
    if mistakes.0.is_empty() { Ok(policies) } else { Err(mistakes.0) }
}

struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, at: Location, reason: impl Into<String>, fix: impl Into<String>) {
        let place = Some((at.line(), at.column()));
        self.0.push(Mistake { place, reason: reason.into(), fix: fix.into() });
    }
}

/// A size of which a connection can make use, and two of which a machine has the memory for each.
fn buffers(size: Spanned<String>, mistakes: &mut Mistakes) -> u32 {
    const FIX: &str = "write a size from 4KiB to 64MiB: buffers: 128KiB";
    let (at, text) = (size.referenced, size.value);
    let bytes = label::parse_size(&text).map_err(|(reason, _)| reason).and_then(|bytes| {
        let bytes = u32::try_from(bytes).ok().filter(|bytes| BUFFERS.contains(bytes));
        bytes.ok_or_else(|| "no connection works well with it".to_owned())
    });
    bytes.unwrap_or_else(|reason| {
        mistakes.add(at, format!("buffers of {text:?}: {reason}"), FIX);
        BUFFER_BYTES
    })
}

fn entry_points(
    entries: BTreeMap<String, Spanned<Entry>>,
    certificates: &BTreeMap<String, Certificate>,
    mistakes: &mut Mistakes,
) -> BTreeMap<EntryName, EntryPoint> {
    let mut all = Policies::default().entry_points;
    let mut redirects = Vec::new();
    for (name, entry) in entries {
        let (at, Entry { listen, published, redirect, tls, protocol }) = (entry.referenced, entry.value);
        let (tls, carries) = transport(tls, protocol, certificates, mistakes);
        let redirect = redirect.map(|to| (to.referenced, to.value));
        name_of("an entry point", &name, at, mistakes);
        if listen.is_none() && name != WEB {
            let fix = "say where, as Envoy sees it: listen: \"0.0.0.0:8443\"";
            mistakes.add(at, format!("the entry point {name} does not say where it listens"), fix);
        }
        if listen.is_some() && name == WEB {
            mistakes.add(
                at,
                "web listens where --edge-listen says",
                "remove listen here, or choose another name",
            );
        }
        let twin =
            all.iter().find(|(other, entry)| ***other != *name && listen.is_some() && entry.listen == listen);
        if let (Some((other, _)), Some(listen)) = (twin, listen) {
            mistakes.add(
                at,
                format!("the entry points {other} and {name} both listen on {listen}"),
                "give each a port of its own",
            );
        }
        if listen.is_some_and(|listen| listen.port() == 0) || published == Some(0) {
            mistakes.add(at, format!("the entry point {name} has port 0"), "write a port from 1 to 65535");
        }
        if carries != Carries::Http && (name == WEB || redirect.is_some()) {
            let (what, fix) = if name == WEB {
                ("web carries HTTP: the dashboard is there", "give TCP an entry point of its own")
            } else {
                ("a connection cannot be sent elsewhere", "remove redirect, or protocol: tcp")
            };
            mistakes.add(at, what, fix);
        }
        redirects.extend(redirect.clone().map(|(at, to)| (at, name.clone(), to)));
        let redirect = redirect.map(|(_, to)| to.as_str().into());
        all.insert(name.into(), EntryPoint { listen, published, redirect, tls, carries });
    }
    for (at, from, to) in redirects {
        let is_secure = |name: &str| all.get(name).is_some_and(|entry| !entry.is_tcp() && entry.is_secure());
        if is_secure(&from) {
            mistakes.add(at, format!("the entry point {from} speaks TLS itself"), "remove redirect, or tls");
        } else if !is_secure(&to) {
            let reason = format!("there is no entry point {to:?} that speaks TLS");
            mistakes.add(
                at,
                reason,
                "name one that has tls, as in websecure: { listen: \"0.0.0.0:8443\", tls: site }",
            );
        }
    }
    all
}

/// The certificates of an entry point, and what it carries.
fn transport(
    tls: Option<Spanned<OneOrMore>>,
    protocol: ProtocolWord,
    certificates: &BTreeMap<String, Certificate>,
    mistakes: &mut Mistakes,
) -> (Vec<String>, Carries) {
    let passes = tls.as_ref().filter(|tls| tls.value.is(PASSTHROUGH)).map(|tls| tls.referenced);
    match (protocol, passes) {
        (ProtocolWord::Tcp, Some(_)) => (Vec::new(), Carries::TlsUnread),
        (ProtocolWord::Tcp, None) => (known("certificate", tls, certificates, mistakes), Carries::Tcp),
        (ProtocolWord::Http, Some(at)) => {
            mistakes.add(
                at,
                "HTTP that nobody decrypts cannot be routed",
                "add protocol: tcp, or name a certificate",
            );
            (Vec::new(), Carries::Http)
        }
        (ProtocolWord::Http, None) => (known("certificate", tls, certificates, mistakes), Carries::Http),
    }
}

/// Those of `names` that `all` has; the others are mistakes.
fn known<T>(
    what: &str,
    names: Option<Spanned<OneOrMore>>,
    all: &BTreeMap<String, T>,
    mistakes: &mut Mistakes,
) -> Vec<String> {
    let Some(names) = names else { return Vec::new() };
    let (at, names) = (names.referenced, names.value.list());
    for name in names.iter().filter(|name| !all.contains_key(*name)) {
        let there: Vec<&str> = all.keys().map(String::as_str).collect();
        let fix = match there.as_slice() {
            [] => format!("add it: there is no {what} in this file"),
            there => format!("write one of {}, or add it", there.join(", ")),
        };
        mistakes.add(at, format!("there is no {what} {name:?}"), fix);
    }
    names
}

fn certificates(
    files: BTreeMap<String, Spanned<CertificateFiles>>,
    mistakes: &mut Mistakes,
) -> BTreeMap<String, Certificate> {
    let mut all = BTreeMap::new();
    for (name, files) in files {
        name_of("a certificate", &name, files.referenced, mistakes);
        if ["off", "auto", PASSTHROUGH].contains(&name.as_str()) {
            mistakes.add(
                files.referenced,
                format!("{name} means something else to tls"),
                "choose another name",
            );
        }
        let CertificateFiles { chain, key } = files.value;
        all.insert(name, Certificate { chain, key, pair: None });
    }
    all
}

fn auth(words: BTreeMap<String, Spanned<AuthWord>>, mistakes: &mut Mistakes) -> BTreeMap<String, Auth> {
    let mut all = BTreeMap::new();
    for (name, word) in words {
        let at = word.referenced;
        name_of("a policy", &name, at, mistakes);
        if name == "off" {
            mistakes.add(at, "off means something else to the label auth", "choose another name");
        }
        let auth = match word.value {
            AuthWord::Basic(word) => Auth::Basic { file: word.users, users: None },
            AuthWord::Jwt(word) => match jwt(word, at, mistakes) {
                Some(jwt) => Auth::Jwt(jwt),
                None => continue,
            },
            AuthWord::Forward(word) => {
                if !word.path.is_empty()
                    && (!word.path.starts_with('/') || word.path.contains(['?', '#', ' ']))
                {
                    mistakes.add(
                        at,
                        format!("{:?} is not a path", word.path),
                        "write a path such as /verify",
                    );
                }
                match word.to.parse() {
                    Ok(to) => Auth::Forward { at: to, path: word.path, headers: word.headers },
                    Err(reason) => {
                        mistakes.add(at, format!("to: {reason}"), "it is a service that Envoy reaches");
                        continue;
                    }
                }
            }
        };
        all.insert(name, auth);
    }
    all
}

/// What a token must be, where that can be understood.
fn jwt(word: JwtWord, at: Location, mistakes: &mut Mistakes) -> Option<Jwt> {
    let JwtWord { issuer, audiences, keys, ca, headers } = word;
    let audiences = audiences.list();
    if issuer.is_empty() || audiences.is_empty() || audiences.iter().any(String::is_empty) {
        let fix = "write what its iss and aud say: issuer: https://id.example.com, audiences: [shop]";
        mistakes.add(at, "a token is asked for who signed it and whom it is for", fix);
    }
    for (header, claim) in &headers {
        // As HTTP has it (RFC 9110, 5.6.2), in the one spelling in which Envoy keeps it.
        let is_token =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let is_taken = ["host", "authorization", "connection", "content-length", "transfer-encoding"];
        if header.is_empty() || !header.bytes().all(is_token) || is_taken.contains(&header.as_str()) {
            let reason = format!("{header:?} is no header that a claim can be said in");
            mistakes.add(at, reason, "write one in small letters, such as x-user");
        }
        if claim.is_empty() {
            mistakes.add(at, format!("{header} says no claim"), "write the name of one, such as sub");
        }
    }
    match Keys::parse(&keys, ca) {
        Ok(keys) => Some(Jwt { issuer, audiences, headers, keys }),
        Err((reason, fix)) => {
            mistakes.add(at, reason, fix);
            None
        }
    }
}

/// The hosts and the entry points of TCP of each project that has a list of them.
fn projects(
    projects: BTreeMap<String, Spanned<Project>>,
    policies: &Policies,
    mistakes: &mut Mistakes,
) -> (BTreeMap<String, Vec<Host>>, BTreeMap<String, Vec<EntryName>>) {
    let (mut all_hosts, mut all_ports) = (BTreeMap::new(), BTreeMap::new());
    for (name, project) in projects {
        let Project { hosts, listen } = project.value;
        if hosts.is_none() && listen.is_none() {
            let reason = format!("nothing is said to be {name}'s");
            mistakes.add(
                project.referenced,
                reason,
                "list its hosts, or its entry points of TCP: listen: [db]",
            );
        }
        if let Some(hosts) = hosts {
            let mut own = Vec::new();
            for host in hosts {
                match label::parse_host(&host.value) {
                    Ok(parsed) => own.push(parsed),
                    Err((reason, fix)) => mistakes.add(host.referenced, reason, fix),
                }
            }
            all_hosts.insert(name.clone(), own);
        }
        if let Some(listen) = listen {
            for entry in listen.iter().filter(|entry| !policies.is_tcp(&entry.value)) {
                let fix = "name an entry point that has protocol: tcp; of requests, hosts say whose they are";
                let reason = if policies.has_entry(&entry.value) {
                    format!("the entry point {} carries HTTP", entry.value)
                } else {
                    format!("there is no entry point {:?}", entry.value)
                };
                mistakes.add(entry.referenced, reason, fix);
            }
            all_ports.insert(name, listen.into_iter().map(|entry| entry.value.into()).collect());
        }
    }
    (all_hosts, all_ports)
}

fn defaults(
    defaults: BTreeMap<String, Spanned<Word>>,
    policies: &Policies,
    mistakes: &mut Mistakes,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, word) in defaults {
        let (at, value) = (word.referenced, word.value.text());
        if let Err((reason, fix)) = label::check_default(&key, &value, policies) {
            mistakes.add(at, format!("defaults.{key}: {reason}"), fix);
        }
        all.insert(key, value);
    }
    all
}

/// Labels name it, so it has no comma and nothing else that means something there.
fn name_of(what: &str, name: &str, at: Location, mistakes: &mut Mistakes) {
    if !label::is_policy_name(name) {
        mistakes.add(
            at,
            format!("{name:?} cannot be the name of {what}"),
            "write letters, digits, '-', '_' and '.'",
        );
    }
}
