//! Sets of rules that meet each other, and requests that tell them apart; the same ones each time.

use std::collections::BTreeSet;

/// A small generator of numbers: what is made of one seed is the same everywhere (Numerical Recipes, 7.1).
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What a router says: its rule, and its priority if it has one.
pub(crate) type Router = (String, Option<i32>);

/// Routers of several services that share the hosts below `domain`. No two of them have the same priority: which of those Traefik asks
/// first is anybody's guess.
pub(crate) fn routers(numbers: &mut Numbers, domain: &str) -> Vec<Router> {
    let mut priorities = BTreeSet::new();
    let mut routers = Vec::new();
    let wanted = 2 + numbers.below(3);
    while routers.len() < wanted {
        let rule = rule(numbers, domain);
        let priority = (numbers.below(4) == 0).then(|| 1 + numbers.below(120) as i32);
        let effective = priority.unwrap_or(rule.len() as i32);
        if priorities.insert(effective) {
            routers.push((rule, priority));
        }
    }
    routers
}

fn rule(numbers: &mut Numbers, domain: &str) -> String {
    let escaped = domain.replace('.', "\\.");
    let hosts = [
        format!("Host(`a.{domain}`)"),
        format!("Host(`a.{domain}`)"),
        format!("Host(`b.{domain}`)"),
        format!("(Host(`a.{domain}`) || Host(`b.{domain}`))"),
        format!("HostRegexp(`^.+\\.{escaped}$`)"),
        format!("HostRegexp(`^(a|c)\\.{escaped}$`)"),
    ];
    let mut rule = hosts[numbers.below(hosts.len())].clone();
    for _ in 0..numbers.below(3) {
        let more = match numbers.below(4) {
            0 => format!("({} || {})", matcher(numbers), matcher(numbers)),
            _ => matcher(numbers),
        };
        rule = format!("{rule} && {more}");
    }
    // The whole turned round twice is the same.
    if numbers.below(12) == 0 { format!("!(!({rule}))") } else { rule }
}

fn matcher(numbers: &mut Numbers) -> String {
    let all = [
        "Path(`/api`)",
        "Path(`/`)",
        "PathPrefix(`/api`)",
        "PathPrefix(`/api`)",
        "PathPrefix(`/api/v1`)",
        "PathPrefix(`/`)",
        "PathRegexp(`^/api/[0-9]+$`)",
        "PathRegexp(`\\.json$`)",
        "PathRegexp(`v1|x`)",
        "Method(`GET`)",
        "Method(`POST`)",
        "!Method(`POST`)",
        "Header(`X-Env`, `dev`)",
        "!Header(`X-Env`, `dev`)",
        "HeaderRegexp(`X-Env`, `^d`)",
        "!HeaderRegexp(`X-Env`, `^p.*d$`)",
        "Query(`v`, `1`)",
        "Query(`v`)",
        "QueryRegexp(`v`, `^[0-9]+$`)",
    ];
    numbers.one_of(&all).to_owned()
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: &'static str,
    pub(crate) host: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) environment: Option<&'static str>,
}

pub(crate) fn question(numbers: &mut Numbers, domain: &str) -> Question {
    let host = numbers.one_of(&["a", "a", "b", "c", "c.d"]);
    let paths = [
        "/",
        "/api",
        "/api",
        "/api/x",
        "/api/v1",
        "/api/v1/z",
        "/api/42",
        "/x.json",
        "/api/a.json",
        "/other",
    ];
    let path = numbers.one_of(&paths);
    let query = numbers.one_of(&["", "", "?v=1", "?v=x", "?v=22", "?v", "?w=1"]);
    Question {
        method: numbers.one_of(&["GET", "GET", "POST", "PUT"]),
        host: format!("{host}.{domain}"),
        path: format!("{path}{query}"),
        environment: numbers.one_of(&[None, None, Some("dev"), Some("prod"), Some("dark")]),
    }
}
