//! The table of keys. A new key is a new row, and a parser for its value.

use super::{Claims, Draft, HealthRule, Mistake, host, path, value};

/// One key of the vocabulary. A name that ends in `.*` stands for a family: `header.*` for `header.x-tenant`.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) read: Read,
}

/// What a key is about, and how its value is read.
pub(super) enum Read {
    /// The whole workload; short form only.
    Service(fn(&mut Claims, &str) -> Result<(), Mistake>),
    /// One route; short form and `routes.<name>.<key>`.
    Route(fn(&mut Draft, &str) -> Result<(), Mistake>),
    /// The whole workload, in a later version.
    PlannedService,
    /// One route, in a later version.
    PlannedRoute,
}

const fn service(name: &'static str, parse: fn(&mut Claims, &str) -> Result<(), Mistake>) -> Key {
    Key { name, read: Read::Service(parse) }
}

const fn route(name: &'static str, parse: fn(&mut Draft, &str) -> Result<(), Mistake>) -> Key {
    Key { name, read: Read::Route(parse) }
}

const fn planned_service(name: &'static str) -> Key {
    Key { name, read: Read::PlannedService }
}

const fn planned_route(name: &'static str) -> Key {
    Key { name, read: Read::PlannedRoute }
}

/// The whole vocabulary (docs/labels.md).
const KEYS: &[Key] = &[
    service("enable", |claims, value| value::boolean(value).map(|enable| claims.hidden = !enable)),
    service("proxy", |claims, value| value::boolean(value).map(|proxy| claims.proxy = proxy)),
    service("port", |claims, value| value::port(value).map(|port| claims.port = Some(port))),
    service("network", |claims, value| value::name(value, "network").map(|name| claims.network = Some(name))),
    service("service", |claims, value| value::name(value, "service").map(|name| claims.service = Some(name))),
    service("health", |claims, value| {
        let rules = [("require", HealthRule::Require), ("ignore", HealthRule::Ignore)];
        value::one_of(value, &rules).map(|rule| claims.health = rule)
    }),
    route("host", |draft, value| host::list(value).map(|hosts| draft.hosts = Some(hosts))),
    route("path", |draft, value| path::parse(value).map(|path| draft.path = Some(path))),
    route("priority", |draft, value| value::integer(value).map(|priority| draft.priority = priority)),
    planned_service("drain"),
    planned_service("health.interval"),
    planned_service("health.path"),
    planned_service("health.timeout"),
    planned_service("lb"),
    planned_service("max-connections"),
    planned_service("max-pending"),
    planned_service("max-requests"),
    planned_service("outlier"),
    planned_service("protocol"),
    planned_service("sticky"),
    planned_service("version"),
    planned_service("weight"),
    planned_route("allow"),
    planned_route("auth"),
    planned_route("compress"),
    planned_route("cors"),
    planned_route("cors.credentials"),
    planned_route("cors.headers"),
    planned_route("cors.max-age"),
    planned_route("cors.methods"),
    planned_route("deny"),
    planned_route("header.*"),
    planned_route("idle-timeout"),
    planned_route("limit"),
    planned_route("limit.burst"),
    planned_route("limit.by"),
    planned_route("listen"),
    planned_route("max-body"),
    planned_route("methods"),
    planned_route("mirror"),
    planned_route("query.*"),
    planned_route("redirect"),
    planned_route("redirect.code"),
    planned_route("request-header.*"),
    planned_route("respond"),
    planned_route("response-header.*"),
    planned_route("retries"),
    planned_route("rewrite"),
    planned_route("strip"),
    planned_route("timeout"),
    planned_route("tls"),
];

/// The row of `key`.
pub(super) fn find(key: &str) -> Option<&'static Key> {
    KEYS.iter().find(|row| match row.name.strip_suffix('*') {
        Some(family) => key.strip_prefix(family).is_some_and(|name| !name.is_empty()),
        None => row.name == key,
    })
}

/// A key that means something, and not yet here: better said than passed over.
pub(super) fn planned(key: &str) -> Mistake {
    Mistake::new(
        format!("{key} is not supported yet, and without it the route would do something else than it says"),
        "remove the label, or use a version of Portolan that has it",
    )
}

/// A key that is not in the table.
pub(super) fn unknown(key: &str, prefix: &str, route: &str) -> Mistake {
    let usable = |row: &&Key| match row.read {
        Read::Route(_) => true,
        Read::Service(_) => route == super::DEFAULT_ROUTE,
        Read::PlannedService | Read::PlannedRoute => false,
    };
    let distance = |row: &Key| match row.name.strip_suffix(".*") {
        // Of a family the first word counts.
        Some(family) => {
            let word = key.split_once('.').map_or(key, |(word, _)| word);
            (strsim::damerau_levenshtein(word, family), family.len())
        }
        None => (strsim::damerau_levenshtein(key, row.name), row.name.len()),
    };
    let near = KEYS
        .iter()
        .map(|row| (distance(row), row.name))
        // A third of the letters may be wrong; more is another word.
        .filter(|((distance, length), _)| *distance <= (length / 3).max(1))
        .min();
    let fix = match near {
        Some((_, near)) => {
            format!("did you mean {}?", super::label_of(prefix, route, &near.replace('*', "<name>")))
        }
        None => {
            let mut names: Vec<&str> = KEYS.iter().filter(usable).map(|row| row.name).collect();
            names.sort_unstable();
            format!("the keys are {}", names.join(", "))
        }
    };
    Mistake::new(format!("there is no key {key:?}"), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_stands_in_the_table_twice() {
        let mut names: Vec<&str> = KEYS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_family_is_found_by_its_stem_and_needs_a_name() {
        assert_eq!(find("header.x-tenant").unwrap().name, "header.*");
        assert!(find("header.").is_none());
        assert!(find("header").is_none());
    }

    #[test]
    fn a_short_key_is_not_the_nearest_of_every_word() {
        assert!(unknown("id", "portolan", "default").fix.starts_with("the keys are"));
        assert_eq!(unknown("hots", "portolan", "default").fix, "did you mean portolan.host?");
        assert_eq!(unknown("pat", "p", "api").fix, "did you mean p.routes.api.path?");
    }
}
