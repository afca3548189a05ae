//! The policies as the API tells them, and back: what a label may name, and nothing that is secret.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::pb;
use crate::model::label::parse_host;
use crate::policies::{
    AccessLog, Auth, Carries, Certificate, EntryName, EntryPoint, Hidden, Jwt, Keys, Pair, Policies,
};
use crate::recording::Hide;
use crate::translate::HostPort;
use pb::entry_point::Carries as PbCarries;
use pb::get_policies_response::AccessLog as PbAccessLog;

/// What stands in for what is not told.
const HIDDEN: &str = "hidden";

/// What is told of `policies`.
pub(crate) fn to_message(policies: &Policies, hide: &Hide) -> pb::GetPoliciesResponse {
    let certificates = policies
        .certificates
        .iter()
        .map(|(name, it)| pb::Certificate { name: name.clone(), served: it.pair.is_some() });
    let projects = policies.projects.iter().map(|(name, hosts)| pb::Project {
        name: name.clone(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
    });
    let ports = policies.ports.iter().map(|(name, entries)| pb::ProjectPorts {
        name: name.clone(),
        entry_points: entries.iter().map(ToString::to_string).collect(),
    });
    let defaults = policies.defaults.iter().map(|(key, value)| (key.clone(), hide.default(key, value)));
    let access_log = match policies.access_log {
        AccessLog::Json => PbAccessLog::Json,
        AccessLog::Text => PbAccessLog::Text,
        AccessLog::Off => PbAccessLog::Off,
    };
    pb::GetPoliciesResponse {
        given: policies.is_given,
        entry_points: policies.entry_points.iter().map(to_entry).collect(),
        certificates: certificates.collect(),
        auth: policies.auth.iter().map(to_auth).collect(),
        defaults: defaults.collect(),
        projects: projects.collect(),
        project_ports: ports.collect(),
        access_log: access_log.into(),
        buffer_bytes: policies.buffer_bytes,
    }
}

fn to_entry((name, entry): (&EntryName, &EntryPoint)) -> pb::EntryPoint {
    let carries = match entry.carries {
        Carries::Http => PbCarries::Http,
        Carries::Tcp => PbCarries::Tcp,
        Carries::TlsUnread => PbCarries::TlsUnread,
    };
    pb::EntryPoint {
        name: name.to_string(),
        listen: entry.listen.map(|listen| listen.to_string()).unwrap_or_default(),
        published: entry.published.map(Into::into).unwrap_or_default(),
        redirect: entry.redirect.as_ref().map(ToString::to_string).unwrap_or_default(),
        certificates: entry.tls.clone(),
        carries: carries.into(),
    }
}

fn to_auth((name, auth): (&String, &Auth)) -> pb::Auth {
    use pb::auth::Kind;
    let kind = match auth {
        Auth::Basic { .. } => Kind::Basic,
        Auth::Forward { .. } => Kind::Forward,
        Auth::Jwt(_) => Kind::Jwt,
    };
    pb::Auth { name: name.clone(), kind: kind.into(), ready: auth.is_ready() }
}

/// Policies by which labels mean the same as by those that were told; something stands in for all that was not.
pub(crate) fn from_message(told: pb::GetPoliciesResponse) -> Policies {
    let access_log = match told.access_log() {
        PbAccessLog::Text => AccessLog::Text,
        PbAccessLog::Off => AccessLog::Off,
        PbAccessLog::Json | PbAccessLog::Unspecified => AccessLog::Json,
    };
    let mut policies = Policies { is_given: told.given, access_log, ..Policies::default() };
    if told.buffer_bytes > 0 {
        policies.buffer_bytes = told.buffer_bytes;
    }
    policies.entry_points.extend(told.entry_points.into_iter().map(from_entry));
    policies.certificates = told.certificates.into_iter().map(from_certificate).collect();
    policies.auth = told.auth.into_iter().map(from_auth).collect();
    policies.defaults = told.defaults.into_iter().collect();
    let hosts = |hosts: Vec<String>| hosts.iter().filter_map(|host| parse_host(host).ok()).collect();
    policies.projects = told.projects.into_iter().map(|it| (it.name, hosts(it.hosts))).collect();
    let entries = |names: Vec<String>| names.into_iter().map(Into::into).collect();
    policies.ports = told.project_ports.into_iter().map(|it| (it.name, entries(it.entry_points))).collect();
    policies
}

fn from_entry(told: pb::EntryPoint) -> (EntryName, EntryPoint) {
    let carries = match told.carries() {
        PbCarries::Tcp => Carries::Tcp,
        PbCarries::TlsUnread => Carries::TlsUnread,
        PbCarries::Http | PbCarries::Unspecified => Carries::Http,
    };
    let entry = EntryPoint {
        listen: told.listen.parse().ok(),
        published: u16::try_from(told.published).ok().filter(|port| *port != 0),
        redirect: Some(told.redirect).filter(|name| !name.is_empty()).map(Into::into),
        tls: told.certificates,
        carries,
    };
    (told.name.into(), entry)
}

fn from_certificate(told: pb::Certificate) -> (String, Certificate) {
    let pair = told.served.then(|| Pair { chain: HIDDEN.into(), key: Hidden::new(HIDDEN) });
    (told.name, Certificate { chain: PathBuf::new(), key: PathBuf::new(), pair })
}

fn from_auth(told: pb::Auth) -> (String, Auth) {
    use pb::auth::Kind;
    let at = || HostPort { host: HIDDEN.to_owned(), port: 1 };
    let auth = match told.kind() {
        Kind::Forward => Auth::Forward { at: at(), path: String::new(), headers: Vec::new() },
        Kind::Jwt => Auth::Jwt(Jwt {
            issuer: HIDDEN.to_owned(),
            audiences: vec![HIDDEN.to_owned()],
            headers: BTreeMap::new(),
            keys: Keys::File { path: PathBuf::new(), set: told.ready.then(|| HIDDEN.into()) },
        }),
        Kind::Basic | Kind::Unspecified => {
            Auth::Basic { file: PathBuf::new(), users: told.ready.then(|| Hidden::new(HIDDEN)) }
        }
    };
    (told.name, auth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policies::parse;

    #[test]
    fn what_labels_may_name_goes_over_and_no_secret_does() {
        let policies = parse(
            r#"
            certificates: { site: { chain: site.crt, key: S3CRET.key } }
            entry-points:
              web: { published: 80, redirect: websecure }
              websecure: { listen: "0.0.0.0:8443", published: 443, tls: site }
              db: { listen: "0.0.0.0:5432", protocol: tcp }
              names: { listen: "0.0.0.0:9443", protocol: tcp, tls: passthrough }
            auth:
              staff: { basic: { users: S3CRET } }
              sso: { forward: { to: "S3CRET:9000", path: /S3CRET } }
              token: { jwt: { issuer: S3CRET, audiences: S3CRET, keys: "http://S3CRET/keys" } }
            defaults: { timeout: 30s, request-header.x-key: S3CRET }
            projects: { shop: { hosts: ["shop.localhost", "*.shop.localhost"] }, db: { listen: [db] } }
            access-log: text
            "#,
        )
        .unwrap();
        let told = to_message(&policies, &Hide::new(""));
        assert!(!format!("{told:?}").contains("S3CRET"), "{told:?}");
        let back = from_message(told);
        assert_eq!(back.entry_points, policies.entry_points);
        assert_eq!((&back.projects, back.access_log), (&policies.projects, policies.access_log));
        assert_eq!(back.ports, policies.ports);
        assert!(back.is_given && back.defaults["timeout"] == "30s");
        assert!(back.defaults["request-header.x-key"].starts_with("hidden-"));
        for (name, auth) in &policies.auth {
            assert_eq!(back.auth[name].is_ready(), auth.is_ready(), "{name}");
        }
        assert!(back.certificates["site"].pair.is_none());
        assert_eq!(from_message(to_message(&Policies::default(), &Hide::new(""))), Policies::default());
    }
}
