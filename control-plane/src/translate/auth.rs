//! Who one has to prove to be: the filters, what a route says to them, and the services that are asked.
//!
//! The filters are in the chain of every listener, as all are (`filters`), and say nothing of any policy: a connection has the listener it came by,
//! and were one added with the first policy, connections from before would be asked nothing. Names and hashes are in the routes, so that
//! a new password touches no connection. Of tokens see `jwt`.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily,
};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::http_uri::HttpUpstreamType;
use envoy_types::pb::envoy::config::core::v3::{DataSource, HttpUri};
use envoy_types::pb::envoy::extensions::filters::http::basic_auth::v3::{BasicAuth, BasicAuthPerRoute};
use envoy_types::pb::envoy::extensions::filters::http::ext_authz::v3::check_settings::ServiceOverride;
use envoy_types::pb::envoy::extensions::filters::http::ext_authz::v3::{
    AuthorizationResponse, CheckSettings, ExtAuthz, ExtAuthzPerRoute, HttpService, ext_authz,
    ext_authz_per_route,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{ListStringMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::Any;

use super::any::any;
use super::filters::off;
use super::{dashboard, duration, jwt, trust};
use crate::policies::{Auth, Keys, Policies, Trust};
use crate::translate::HostPort;

const BASIC: &str = "envoy.filters.http.basic_auth";
const FORWARD: &str = "envoy.filters.http.ext_authz";
/// How long the service that is asked may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Headers of a request that the service is told which is asked about it.
const TOLD: [&str; 5] = ["cookie", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "user-agent"];
/// Nobody's: whoever switches a filter on says who may come.
const NOBODY: &str = "nobody:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

/// The filters, in the order in which they are asked.
pub(super) fn filters() -> [HttpFilter; 3] {
    let nobody = HttpService { server_uri: Some(uri(&cluster_name(""), "")), ..Default::default() };
    let forward = ExtAuthz {
        services: Some(ext_authz::Services::HttpService(nobody)),
        // Host, method, path and authorization are told in any event.
        allowed_headers: Some(those(&TOLD.map(str::to_owned))),
        ..Default::default()
    };
    let basic = BasicAuth { users: Some(inline(NOBODY)), ..Default::default() };
    [off(BASIC, &basic), off(FORWARD, &forward), jwt::filter()]
}

/// What a route guarded by the policy `name` says to which filter; nothing where it must be closed: the policy is not there any more, or
/// cannot be asked.
pub(super) fn guard(policies: &Policies, name: &str) -> Option<(String, Any)> {
    let auth = policies.auth.get(name).filter(|auth| auth.is_ready())?;
    Some(match auth {
        Auth::Basic { users, .. } => {
            let users = users.as_ref().map(|users| inline(users.reveal()));
            (BASIC.to_owned(), any(&BasicAuthPerRoute { users }))
        }
        Auth::Forward { path, headers, .. } => {
            let service = HttpService {
                server_uri: Some(uri(&cluster_name(name), name)),
                path_prefix: path.clone(),
                authorization_response: Some(AuthorizationResponse {
                    allowed_upstream_headers: (!headers.is_empty()).then(|| those(headers)),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let settings = CheckSettings {
                service_override: Some(ServiceOverride::HttpService(service)),
                ..Default::default()
            };
            let config =
                ExtAuthzPerRoute { r#override: Some(ext_authz_per_route::Override::CheckSettings(settings)) };
            (FORWARD.to_owned(), any(&config))
        }
        Auth::Jwt(jwt) => jwt::guard(name, jwt),
    })
}

/// The services that are asked.
pub(super) fn clusters(policies: &Policies) -> Vec<Cluster> {
    let service = |(name, auth): (&String, &Auth)| match auth {
        Auth::Forward { at, .. } => Some(dashboard::elsewhere(&cluster_name(name), at)),
        Auth::Jwt(jwt) => match &jwt.keys {
            Keys::At { at, trust, .. } => Some(signer(name, at, trust.as_ref())),
            Keys::File { .. } => None,
        },
        Auth::Basic { .. } => None,
    };
    policies.auth.iter().filter_map(service).collect()
}

/// Who has the keys of the policy `name`.
fn signer(name: &str, at: &HostPort, trust: Option<&Trust>) -> Cluster {
    let mut cluster = dashboard::elsewhere(&cluster_name(name), at);
    let Some(trust) = trust else { return cluster };
    cluster.transport_socket = trust::transport(&at.host, trust);
    if let (None, Some(places)) = (&cluster.transport_socket, &mut cluster.load_assignment) {
        // Nobody is asked of whom one cannot know who he is.
        places.endpoints.clear();
    } else if at.host.parse::<IpAddr>().is_err() {
        // Somebody out there may have addresses of both families where only one leads out of here; all are tried in turn.
        cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::LogicalDns as i32));
        cluster.dns_lookup_family = DnsLookupFamily::All as i32;
    }
    cluster
}

/// No service of a container has a colon in its name.
pub(super) fn cluster_name(policy: &str) -> String {
    format!("portolan:auth:{policy}")
}

fn uri(cluster: &str, name: &str) -> HttpUri {
    uri_of(cluster, if name.is_empty() { "nobody" } else { name })
}

/// A host, with a path where it says one.
pub(super) fn uri_of(cluster: &str, place: &str) -> HttpUri {
    HttpUri {
        // The cluster says whether it is by TLS.
        uri: format!("http://{place}"),
        timeout: duration(TIMEOUT),
        http_upstream_type: Some(HttpUpstreamType::Cluster(cluster.to_owned())),
    }
}

fn those(headers: &[String]) -> ListStringMatcher {
    let exact = |name: &String| StringMatcher {
        match_pattern: Some(MatchPattern::Exact(name.clone())),
        ignore_case: true,
    };
    ListStringMatcher { patterns: headers.iter().map(exact).collect() }
}

fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() }
}
