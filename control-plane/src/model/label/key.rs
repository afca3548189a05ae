//! The table of keys. A new key is a new row, and a type that its value is read as.

use std::marker::PhantomData;

use super::access::{LimitBy, Size};
use super::answer::{CheckPath, Prefix};
use super::draft::Draft;
use super::effort::Session;
use super::header::{self, HeaderName};
use super::matcher::{self, Method};
use super::policy::{Certificate, EntryPoint, Policy};
use super::value::{Failures, List, Network, Number, Service, Value, Version};
use super::{Claims, HealthRule, Mistake};
use crate::model::matching::{HeaderMatch, PathMatch, TextMatch};
use crate::model::options::{
    Balance, Cidr, HeaderEdit, Limit, Mirror, Origin, Protocol, Rate, Redirect, RedirectCode, Respond,
    Retries, Span,
};
use crate::model::topology::Host;

/// One key of the vocabulary.
#[derive(Debug)]
pub struct Key {
    /// Its name. One that ends in `.*` stands for a family: `header.*` for `header.x-tenant`.
    pub name: &'static str,
    /// What holds where no label says, in words.
    pub default: &'static str,
    /// A value of it.
    pub example: &'static str,
    /// The key without which this one says nothing.
    pub needs: Option<&'static str>,
    pub(super) read: Read,
}

/// What a key is about, and how its value is read.
#[derive(Debug)]
pub(super) enum Read {
    /// The whole workload; short form only.
    Service(&'static dyn Reads<Claims>),
    /// One route; short form and `routes.<name>.<key>`.
    Route(&'static dyn Reads<Draft>),
}

impl Key {
    /// Whether it is about the whole container, and not about one route.
    #[must_use]
    pub const fn is_of_service(&self) -> bool {
        matches!(self.read, Read::Service(_))
    }

    /// Whether the policies file may say what holds where no label does. What makes a container differ from others is its own to
    /// say.
    pub(super) fn can_be_default(&self) -> bool {
        const OWN: [&str; 23] = [
            "host",
            "path",
            "methods",
            "header.*",
            "query.*",
            "priority",
            "enable",
            "proxy",
            "port",
            "network",
            "service",
            "protocol",
            "health.path",
            "version",
            "weight",
            "mirror",
            "strip",
            "rewrite",
            "redirect",
            "redirect.code",
            "respond",
            "sticky",
            "health",
        ];
        !OWN.contains(&self.name)
    }

    /// The same value as this version writes it.
    pub(super) fn print(&self, value: &str) -> Result<String, Mistake> {
        match &self.read {
            Read::Service(reads) => reads.print(value),
            Read::Route(reads) => reads.print(value),
        }
    }

    const fn needs(mut self, other: &'static str) -> Self {
        self.needs = Some(other);
        self
    }
}

/// Reads a value into what is said of a container, or of a route.
pub(super) trait Reads<Into>: std::fmt::Debug + Sync {
    /// `member` is what stands for the `*` of a family.
    fn read(&self, into: &mut Into, member: &str, value: &str) -> Result<(), Mistake>;
    fn print(&self, value: &str) -> Result<String, Mistake>;
}

/// Sets what a value of one type says.
struct Set<Into, T>(fn(&mut Into, T));

impl<Into, T: Value> Reads<Into> for Set<Into, T> {
    fn read(&self, into: &mut Into, _: &str, value: &str) -> Result<(), Mistake> {
        T::parse(value).map(|value| (self.0)(into, value))
    }

    fn print(&self, value: &str) -> Result<String, Mistake> {
        T::parse(value).map(|value| value.to_string())
    }
}

/// The same for a family, whose members have names.
struct SetMember<Into, T> {
    name: fn(&str) -> Result<String, Mistake>,
    /// Whether it was named before.
    set: fn(&mut Into, String, T) -> bool,
}

impl<Into, T: Value> Reads<Into> for SetMember<Into, T> {
    fn read(&self, into: &mut Into, member: &str, value: &str) -> Result<(), Mistake> {
        let name = (self.name)(member)?;
        if (self.set)(into, name.clone(), T::parse(value)?) {
            return Err(Mistake::new(
                format!(
                    "another label is about {name} as well: to HTTP capitals and small letters are the same"
                ),
                "remove one of the two",
            ));
        }
        Ok(())
    }

    fn print(&self, value: &str) -> Result<String, Mistake> {
        T::parse(value).map(|value| value.to_string())
    }
}

impl<Into, T> std::fmt::Debug for Set<Into, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", PhantomData::<T>)
    }
}

impl<Into, T> std::fmt::Debug for SetMember<Into, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", PhantomData::<T>)
    }
}

const fn row(name: &'static str, default: &'static str, example: &'static str, read: Read) -> Key {
    Key { name, default, example, needs: None, read }
}

macro_rules! service {
    ($name:literal, $default:literal, $example:literal, |$claims:ident, $value:ident: $type:ty| $set:expr) => {
        row($name, $default, $example, Read::Service(&Set::<Claims, $type>(|$claims, $value| $set)))
    };
}

macro_rules! route {
    ($name:literal, $default:literal, $example:literal, |$draft:ident, $value:ident: $type:ty| $set:expr) => {
        row($name, $default, $example, Read::Route(&Set::<Draft, $type>(|$draft, $value| $set)))
    };
}

macro_rules! family {
    ($name:literal, $default:literal, $example:literal, $member:expr, |$draft:ident, $value:ident: $type:ty| $map:expr) => {
        row(
            $name,
            $default,
            $example,
            Read::Route(&SetMember::<Draft, $type> {
                name: $member,
                set: |$draft, name, $value| $map.insert(name, $value).is_some(),
            }),
        )
    };
}

/// The whole vocabulary, in the order of the reference (docs/labels.md).
pub static KEYS: &[Key] = &[
    route!("host", "required", "shop.localhost, www.shop.localhost", |d, v: List<Host>| d.hosts = Some(v.0)),
    route!("path", "/", "/api", |d, v: PathMatch| d.matches.path = v),
    route!("methods", "any", "GET, HEAD", |d, v: List<Method>| {
        d.matches.methods = v.0.into_iter().map(|method| method.0).collect();
    }),
    family!("header.*", "any", "acme", header::to_match, |d, v: HeaderMatch| d.matches.headers),
    family!("query.*", "any", "~[0-9]+", matcher::query_name, |d, v: TextMatch| d.matches.query),
    route!("priority", "0", "10", |d, v: i32| d.priority = v),
    route!("listen", "web", "web", |d, v: List<EntryPoint>| {
        d.policies.listen = Some(v.0.into_iter().map(|name| name.0).collect());
    }),
    route!("tls", "the entry point's", "off", |d, v: Certificate| d.policies.tls = Some(v.0)),
    route!("auth", "off", "off", |d, v: Policy| d.policies.auth = Some(v.0)),
    service!("enable", "false without a host, else true", "false", |c, v: bool| {
        c.hidden = !v;
        c.offered = v;
    }),
    service!("proxy", "false", "true", |c, v: bool| c.proxy = v),
    service!("port", "the single exposed one", "8080", |c, v: u16| c.port = Some(v)),
    service!("network", "the one shared with Envoy", "frontends", |c, v: Network| c.network = Some(v.0)),
    service!("service", "Compose's project/service, else the container's name", "shop", |c, v: Service| {
        c.service = Some(v.0);
    }),
    service!("protocol", "http", "grpc", |c, v: Protocol| c.backend.protocol = v),
    service!("health", "require", "ignore", |c, v: HealthRule| c.health = v),
    service!("drain", "10s", "30s", |c, v: Span| c.backend.drain = v.0),
    service!("health.path", "off", "/health", |c, v: CheckPath| c.check.path = Some(v.0)),
    service!("health.interval", "5s", "10s", |c, v: Span| c.check.interval = v.0).needs("health.path"),
    service!("health.timeout", "1s", "500ms", |c, v: Span| c.check.timeout = v.0).needs("health.path"),
    service!("outlier", "5", "10", |c, v: Failures| c.backend.outlier = v.0),
    service!("lb", "round-robin", "ring-hash:header:x-user", |c, v: Balance| c.backend.balance = v),
    service!("sticky", "off", "cookie:session", |c, v: Session| c.sticky = v.0),
    service!("max-connections", "1024", "200", |c, v: Number<1, 1_000_000>| c.backend.max_connections = v.0),
    service!("max-requests", "1024", "500", |c, v: Number<1, 1_000_000>| c.backend.max_requests = v.0),
    service!("max-pending", "1024", "100", |c, v: Number<1, 1_000_000>| c.backend.max_pending = v.0),
    service!("version", "none", "v2", |c, v: Version| c.version = Some(v.0)),
    service!("weight", "100", "10", |c, v: Number<0, 10_000>| c.weight = v.0).needs("version"),
    route!("mirror", "off", "shadow:25%", |d, v: Mirror| d.options.mirror = Some(v)),
    route!("timeout", "15s; off for gRPC", "1m", |d, v: Limit| d.timeout = Some(v)),
    route!("idle-timeout", "5m; 1h for TCP", "1h", |d, v: Limit| d.options.idle_timeout = Some(v)),
    route!("retries", "2", "3:5xx,reset", |d, v: Retries| d.options.retries = v),
    route!("strip", "false", "true", |d, v: bool| d.strip = v),
    route!("rewrite", "off", "/v2", |d, v: Prefix| d.rewrite = Some(v.0)),
    route!("redirect", "off", "https://shop.example.com", |d, v: Redirect| d.redirect = Some(v)),
    route!("redirect.code", "308", "302", |d, v: RedirectCode| d.redirect_code = v).needs("redirect"),
    route!("respond", "off", "200:ok", |d, v: Respond| d.respond = Some(v)),
    family!("request-header.*", "as it came", "acme", header::to_edit, |d, v: HeaderEdit| d
        .options
        .request_headers),
    family!("response-header.*", "as it came", "no-store", header::to_edit, |d, v: HeaderEdit| d
        .options
        .response_headers),
    route!("cors", "off", "https://shop.example.com", |d, v: List<Origin>| d.cors.origins = Some(v.0)),
    route!("cors.methods", "GET, HEAD, POST, PUT, PATCH, DELETE", "GET, POST", |d, v: List<Method>| {
        d.cors.methods = Some(v.0.into_iter().map(|method| method.0).collect());
    })
    .needs("cors"),
    route!("cors.headers", "authorization, content-type", "x-token", |d, v: List<HeaderName>| {
        d.cors.headers = Some(v.0.into_iter().map(|name| name.0).collect());
    })
    .needs("cors"),
    route!("cors.credentials", "false", "true", |d, v: bool| d.cors.credentials = v).needs("cors"),
    route!("cors.max-age", "the browser's", "10m", |d, v: Span| d.cors.max_age = Some(v.0)).needs("cors"),
    route!("limit", "off", "100/s", |d, v: Rate| d.limit.rate = Some(v)),
    route!("limit.burst", "the number of limit", "20", |d, v: Number<1, 1_000_000>| d.limit.burst =
        Some(v.0))
    .needs("limit"),
    route!("limit.by", "route", "ip", |d, v: LimitBy| d.limit.by_address = v.0).needs("limit"),
    route!("allow", "any", "10.0.0.0/8, 192.0.2.7", |d, v: List<Cidr>| d.options.allow = v.0),
    route!("deny", "none", "10.9.0.0/16", |d, v: List<Cidr>| d.options.deny = v.0),
    route!("compress", "false", "true", |d, v: bool| d.options.compress = v),
    route!("max-body", "none", "1MiB", |d, v: Size| d.max_body = Some(v.0)),
];

/// The row of `key`, and what stands for the `*` where it is one of a family.
pub(super) fn find(key: &str) -> Option<(&'static Key, &str)> {
    KEYS.iter().find_map(|row| match row.name.strip_suffix('*') {
        Some(family) => key.strip_prefix(family).filter(|name| !name.is_empty()).map(|name| (row, name)),
        None => (row.name == key).then_some((row, "")),
    })
}

/// The keys that the policies file may say.
pub(super) fn defaults() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(|row| row.can_be_default()).map(|row| row.name)
}

/// A key that is not in the table.
pub(super) fn unknown(key: &str, prefix: &str, route: &str) -> Mistake {
    let usable = |row: &&Key| !row.is_of_service() || route == super::DEFAULT_ROUTE;
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
            // Those that go with another one are found with it.
            let names = KEYS.iter().filter(usable).map(|row| row.name);
            let mut names: Vec<&str> =
                names.filter(|name| name.ends_with('*') || !name.contains('.')).collect();
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
    fn the_key_that_another_one_needs_is_of_the_same_scope() {
        for row in KEYS {
            let needed = row.needs.map(|needs| find(needs).unwrap().0);
            assert!(needed.is_none_or(|needed| needed.is_of_service() == row.is_of_service()), "{row:?}");
        }
    }

    #[test]
    fn a_family_is_found_by_its_stem_and_needs_a_name() {
        let (row, name) = find("header.x-tenant").unwrap();
        assert_eq!((row.name, name), ("header.*", "x-tenant"));
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
