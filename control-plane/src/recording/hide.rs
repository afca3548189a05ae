//! What does not get into a recording: secrets in labels and in the policies file, and labels that decide nothing.
//!
//! In the place of a secret stands a word that is the same for the same secret within one recording, and tells nothing about it.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use regex::{Captures, Regex};
use serde_json::Value;

use crate::compat::is_traefiks;
use crate::inventory::Workload;
use crate::lint::secret;

/// Name and password in a URL.
const URL: &str = r"(://)[^/\s:@]+:[^/\s@]+@";
/// A header or a parameter that a rule of Traefik's asks for.
const ASKED: &str = r#"(?i)\b((?:header|query)s?(?:regexp)?\(\s*[`"']([^`"']*)[`"']\s*,\s*[`"'])([^`"']*)"#;

static URLS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(URL).ok());
static RULES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(ASKED).ok());

/// What Traefik's middlewares hold that only the application, or whoever is let in, may know.
const OF_MIDDLEWARES: [&str; 3] = ["basicauth", "digestauth", "headers.customrequestheaders"];

/// Takes secrets out.
#[derive(Debug)]
pub(crate) struct Hide {
    /// What our labels begin with, with the dot.
    prefix: String,
    /// Other keys in each recording, which nobody has afterwards.
    hasher: RandomState,
    /// Whether it has taken out anything on which resources depend.
    has_hidden: AtomicBool,
}

impl Hide {
    /// For labels that begin with `prefix`.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{prefix}."), hasher: RandomState::new(), has_hidden: AtomicBool::new(false) }
    }

    /// Whether a replay cannot give the same everywhere.
    pub(super) fn has_hidden(&self) -> bool {
        self.has_hidden.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self) {
        self.has_hidden.store(true, Ordering::Relaxed);
    }

    /// The workload with the labels that count, and no secret in them.
    pub(crate) fn workload(&self, workload: &Workload) -> Workload {
        let mut workload = workload.clone();
        workload.labels =
            workload.labels.iter().filter_map(|(label, value)| self.label(label.clone(), value)).collect();
        workload
    }

    fn label(&self, label: String, value: &str) -> Option<(String, String)> {
        let shown = if let Some(key) = label.strip_prefix(&self.prefix) {
            self.value(without_route(key), value)
        } else if is_traefiks(&label) {
            self.of_traefik(&label, value)
        } else {
            return None;
        };
        Some((label, shown))
    }

    /// The value of one of our keys.
    fn value(&self, key: &str, value: &str) -> String {
        self.shown(is_secret(key), value)
    }

    fn of_traefik(&self, label: &str, value: &str) -> String {
        // traefik.http.<kind>.<name>.<what>
        let what = label.splitn(5, '.').nth(4).unwrap_or(label).to_ascii_lowercase();
        let is_secret =
            OF_MIDDLEWARES.iter().any(|secret| what.starts_with(secret)) || secret::is_name_of_one(&what);
        let value = match RULES.as_ref().filter(|_| what == "rule") {
            Some(rules) => {
                rules.replace_all(value, |found: &Captures<'_>| match secret::is_name_of_one(&found[2]) {
                    true => format!("{}{}", &found[1], self.stand_in(&found[3])),
                    false => found[0].to_owned(),
                })
            }
            None => value.into(),
        };
        self.shown(is_secret, &value)
    }

    fn shown(&self, is_secret: bool, value: &str) -> String {
        // Nothing, anything, a removal.
        let is_open = matches!(value, "" | "*" | "-");
        if is_secret && !is_open {
            // The sign before a value says what is done with it.
            let (sign, rest) =
                value.split_at(value.len() - value.trim_start_matches(['+', '=', '~', '!']).len());
            return format!("{sign}{}", self.stand_in(rest));
        }
        let value = match URLS.as_ref() {
            Some(urls) => urls.replace_all(value, |found: &Captures<'_>| {
                self.note();
                format!("{}hidden@", &found[1])
            }),
            None => value.into(),
        };
        match secret::begins(&value) {
            Some(at) => format!("{}{}", &value[..at], self.stand_in(&value[at..])),
            None => value.into_owned(),
        }
    }

    fn stand_in(&self, secret: &str) -> String {
        self.note();
        self.stand_in_for(secret)
    }

    /// The same, where no resource depends on it.
    fn stand_in_for(&self, secret: &str) -> String {
        format!("hidden-{:016x}", self.hasher.hash_one(secret))
    }

    /// What a policies file says where no label does, about the key of one.
    pub(crate) fn default(&self, key: &str, value: &str) -> String {
        self.value(key, value)
    }

    /// What may be a secret in a text that is written as `key: value`, whether it can be read or not.
    pub(super) fn secrets<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut found = Vec::new();
        // How far the key of a secret is indented whose value goes on over several lines.
        let mut within: Option<usize> = None;
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            if within.is_some_and(|key| indent > key) {
                found.extend(plain(line));
                continue;
            }
            within = None;
            // Several keys may stand in one line.
            let mut at = 0;
            for part in line.split(['{', ',']) {
                let start = at;
                at += part.len() + 1;
                let Some((key, value)) = part.split_once(':') else { continue };
                if is_secret(key.trim().trim_matches(['"', '\''])) {
                    within = Some(indent);
                    // It may have a comma in it.
                    let rest = line.get(start + key.len() + 1..).unwrap_or_default();
                    found.extend(plain(value).chain(plain(rest)));
                }
            }
        }
        found.sort_unstable_by_key(|secret| Reverse(secret.len()));
        found
    }

    /// What is told of such a text, without `secrets`.
    pub(super) fn told(&self, words: &str, secrets: &[&str]) -> String {
        let all = secrets.iter().fold(words.to_owned(), |words, secret| match words.contains(secret) {
            true => words.replace(secret, &self.stand_in_for(secret)),
            false => words,
        });
        self.shown(false, &all)
    }

    /// The policies file without secrets.
    pub(super) fn policies(&self, name: &str, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.value(name, &text)),
            Value::Array(list) => list.into_iter().map(|value| self.policies(name, value)).collect(),
            Value::Object(map) => {
                let of = |(name, value): (String, Value)| {
                    let shown = self.policies(&name, value);
                    (name, shown)
                };
                Value::Object(map.into_iter().map(of).collect())
            }
            other => other,
        }
    }
}

/// Whether one of our keys may hold a secret.
fn is_secret(key: &str) -> bool {
    key.starts_with("request-header.") || secret::is_name_of_one(key)
}

/// A value without its quotes and what stands around it, and each word of it; but for what is too short to be a secret, and may be
/// anywhere.
fn plain(value: &str) -> impl Iterator<Item = &str> {
    const SHORTEST: usize = 4;
    let words = value.split_whitespace().filter(|word| !word.ends_with(':'));
    let all = std::iter::once(value).chain(words);
    let all = all.map(|text| text.trim_matches(|c: char| c.is_whitespace() || "\"'{}[],|>-".contains(c)));
    all.filter(|text| text.len() >= SHORTEST)
}

/// `routes.<name>.<key>` without the route.
fn without_route(key: &str) -> &str {
    key.strip_prefix("routes.").and_then(|rest| rest.split_once('.')).map_or(key, |(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(label: &str, value: &str) -> Option<(String, bool)> {
        let hide = Hide::new("portolan");
        let shown = hide.label(label.to_owned(), value)?.1;
        Some((shown, hide.has_hidden()))
    }

    #[test]
    fn what_decides_nothing_is_left_out() {
        for label in [
            "maintainer",
            "com.docker.compose.project.working_dir",
            "org.acme.token",
            "portolan",
            "other.portolan.host",
        ] {
            assert_eq!(shown(label, "x"), None, "{label}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for (label, value) in [
            ("portolan.host", "shop.localhost"),
            ("portolan.routes.token.path", "/token"),
            ("portolan.header.x-tenant", "acme"),
            ("portolan.response-header.cache-control", "no-store"),
            ("portolan.cors.headers", "x-token, authorization"),
            ("portolan.request-header.x-internal", "-"),
            ("portolan.redirect", "https://shop.example.com/a@b:c"),
            ("traefik.http.routers.token.rule", "Host(`a.test`) && Header(`X-Tenant`, `acme`)"),
            ("traefik.http.middlewares.password.stripprefix.prefixes", "/api"),
        ] {
            assert_eq!(shown(label, value), Some((value.to_owned(), false)), "{label}");
        }
    }

    #[test]
    fn no_secret_is_left() {
        for (label, value) in [
            ("portolan.request-header.x-tenant", "S3CRET"),
            ("portolan.routes.api.request-header.authorization", "+S3CRET"),
            ("portolan.header.x-api-key", "S3CRET"),
            ("portolan.query.token", "=S3CRET"),
            ("portolan.password", "S3CRET"),
            ("portolan.redirect", "https://S3CRET:S3CRET@shop.example.com/"),
            ("portolan.respond", "200:Bearer S3CRETS3CRET"),
            ("portolan.auth", "admin:$2y$05$S3CRET"),
            ("traefik.http.middlewares.a.basicauth.users", "admin:S3CRET,you:S3CRET"),
            ("Traefik.HTTP.Middlewares.A.DigestAuth.Users", "admin:S3CRET"),
            ("traefik.http.middlewares.a.headers.customrequestheaders.X-Any", "S3CRET"),
            ("traefik.http.middlewares.a.forwardauth.address", "http://S3CRET:S3CRET@auth/x"),
            (
                "traefik.http.routers.a.rule",
                "Host(`a.test`) && Header(`X-Api-Key`, `S3CRET`) && Query(`token`, `S3CRET`)",
            ),
        ] {
            let (shown, has_hidden) = shown(label, value).unwrap();
            assert!(!shown.contains("S3CRET") && has_hidden, "{label}: {shown}");
        }
    }

    #[test]
    fn a_stand_in_is_the_same_for_the_same_and_keeps_what_is_around_it() {
        let hide = Hide::new("portolan");
        let of = |value: &str| hide.label("portolan.request-header.x".to_owned(), value).unwrap().1;
        assert_eq!(of("one"), of("one"));
        assert_ne!(of("one"), of("two"));
        assert_ne!(
            of("one"),
            Hide::new("portolan").label("portolan.request-header.x".to_owned(), "one").unwrap().1
        );
        assert!(of("+one").starts_with("+hidden-"));
        assert_eq!(shown("portolan.redirect", "https://a:b@c.test/").unwrap().0, "https://hidden@c.test/");
        let rule = shown("traefik.http.routers.a.rule", "Header(`X-Token`, `a`) || Path(`/b`)").unwrap().0;
        assert!(
            rule.starts_with("Header(`X-Token`, `hidden-") && rule.ends_with("`) || Path(`/b`)"),
            "{rule}"
        );
    }

    #[test]
    fn what_is_told_of_a_faulty_file_has_no_secret_of_it() {
        let text = "defaults:\n  \"request-header.x-key\": S3CRET-one\n  password: >-\n    S3CRET-two\n    S3CRET-three é\n  timeout: 30s\n\
                    auth: {a: {token: 'S3CRET-four, S3CRET-five'}, b: x, secret: [S3CRET-six]}\n  api-key:\n";
        let hide = Hide::new("portolan");
        let secrets = hide.secrets(text);
        let told = |words: &str| hide.told(words, &secrets);
        for words in
            text.lines().flat_map(|line| line.split([' ', ','])).filter(|word| word.contains("S3CRET"))
        {
            let told = told(&format!("{words:?} is nothing"));
            assert!(!told.contains("S3CRET") && told.contains("hidden-"), "{words}: {told}");
        }
        assert_eq!(told("S3CRET-two S3CRET-two"), [told("S3CRET-two"), told("S3CRET-two")].join(" "));
        let open = "line 6: timeout: \"30s\" is no b, and there is no policy x";
        assert_eq!(told(open), open);
        assert!(!hide.has_hidden(), "no resource depends on it");
    }

    #[test]
    fn the_policies_file_is_shown_without_secrets() {
        let hide = Hide::new("portolan");
        let file = serde_json::json!({
            "entry-points": {"web": {"redirect": "websecure"}},
            "defaults": {"timeout": "30s", "request-header.x-key": "S3CRET"},
            "auth": {"sso": {"forward": {"to": "auth:9000", "headers": ["x-user"]}}, "other": {"secret": "S3CRET"}},
        });
        let shown = hide.policies("", file.clone());
        assert!(!shown.to_string().contains("S3CRET"), "{shown}");
        assert_eq!(
            (&shown["entry-points"], &shown["auth"]["sso"]),
            (&file["entry-points"], &file["auth"]["sso"])
        );
    }
}
