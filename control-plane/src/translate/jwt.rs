//! Tokens: the filter that checks them, by all policies that there are, and what a route asks of it.
//!
//! The rules are in the filter, and so in the listener: a connection of an older listener has a filter that knows older rules, and the newest routes. So a
//! route asks by a name that says which rules it means, and Envoy answers 403 to a name that its filter does not know (Envoy documentation, `PerRouteConfig`): what is
//! not known is closed. Keys are not in the filter: it fetches them, again and again, and keeps the last it was given.

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::JwksSourceSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_requirement::RequiresType;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::per_route_config::RequirementSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::{
    JwksAsyncFetch, JwtClaimToHeader, JwtHeader, JwtProvider, JwtRequirement, PerRouteConfig, RemoteJwks,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::google::protobuf::Any;

use super::any::{any, any_as};
use super::auth::{cluster_name, uri_of};
use super::filters::off_as;
use super::{dashboard, duration};
use crate::policies::{Auth, Jwt, KEYS_PATH, Keys, Policies};

const FILTER: &str = "envoy.filters.http.jwt_authn";
/// How often the control plane is asked for the keys of a file, which costs it next to nothing,
const FILE_AGE: Duration = Duration::from_secs(5);
/// and a signer, who is somebody else's.
const REMOTE_AGE: Duration = Duration::from_secs(300);
/// How soon somebody who did not answer is asked again.
const RETRY: Duration = Duration::from_secs(2);

/// `envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication`, with its maps in order (see `access_log`).
#[derive(Clone, PartialEq, prost::Message)]
struct JwtAuthentication {
    #[prost(btree_map = "string, message", tag = "1")]
    providers: BTreeMap<String, JwtProvider>,
    #[prost(btree_map = "string, message", tag = "5")]
    requirement_map: BTreeMap<String, JwtRequirement>,
}

fn policies_of(policies: &Policies) -> impl Iterator<Item = (&String, &Jwt)> {
    policies.auth.iter().filter_map(|(name, auth)| match auth {
        Auth::Jwt(jwt) => Some((name, jwt)),
        Auth::Basic { .. } | Auth::Forward { .. } => None,
    })
}

/// The filter, off until a route asks for a token.
pub(super) fn filter(policies: &Policies) -> HttpFilter {
    let providers: BTreeMap<String, JwtProvider> =
        policies_of(policies).map(|(name, jwt)| (requirement(name, jwt), provider(name, jwt))).collect();
    let by_name =
        |name: &String| JwtRequirement { requires_type: Some(RequiresType::ProviderName(name.clone())) };
    let requirement_map = providers.keys().map(|name| (name.clone(), by_name(name))).collect();
    let config = JwtAuthentication { providers, requirement_map };
    off_as(FILTER, any_as("envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", &config))
}

/// What a route says that asks for a token.
pub(super) fn guard(name: &str, jwt: &Jwt) -> (String, Any) {
    let asks = RequirementSpecifier::RequirementName(requirement(name, jwt));
    (FILTER.to_owned(), any(&PerRouteConfig { requirement_specifier: Some(asks) }))
}

/// No other policy, and no other rules of this one, have this name.
fn requirement(name: &str, jwt: &Jwt) -> String {
    format!("{name}:{}", jwt.rules())
}

fn provider(name: &str, jwt: &Jwt) -> JwtProvider {
    let (cluster, host, path, age) = match &jwt.keys {
        Keys::File { .. } => {
            (dashboard::NAME.to_owned(), "control-plane", format!("{KEYS_PATH}{name}"), FILE_AGE)
        }
        Keys::At { at, path, .. } => (cluster_name(name), at.host.as_str(), path.clone(), REMOTE_AGE),
    };
    let keys = RemoteJwks {
        http_uri: Some(uri_of(&cluster, &format!("{host}{path}"))),
        cache_duration: duration(age),
        // In the background: no request waits for it, and what was fetched last holds while nobody answers.
        async_fetch: Some(JwksAsyncFetch { failed_refetch_duration: duration(RETRY), ..Default::default() }),
        ..Default::default()
    };
    let header = |(header, claim): (&String, &String)| JwtClaimToHeader {
        header_name: header.clone(),
        claim_name: claim.clone(),
        ..Default::default()
    };
    JwtProvider {
        issuer: jwt.issuer.clone(),
        audiences: jwt.audiences.clone(),
        // One without an end would be good for ever.
        require_expiration: true,
        // Envoy would look for it in the query as well, where logs have it.
        from_headers: vec![JwtHeader {
            name: "authorization".to_owned(),
            value_prefix: "Bearer ".to_owned(),
        }],
        // The application gets it as it came.
        forward: true,
        claim_to_headers: jwt.headers.iter().map(header).collect(),
        jwks_source_specifier: Some(JwksSourceSpecifier::RemoteJwks(keys)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::JwtAuthentication as Real;
    use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
    use prost::Message;

    use super::*;

    #[test]
    fn our_own_message_type_reads_as_the_real_one_and_has_the_same_bytes_each_time() {
        let text = "auth: { a: { jwt: { issuer: i, audiences: a, keys: k } }, b: { jwt: { issuer: i, audiences: a, keys: k } } }";
        let policies = crate::policies::parse(text).unwrap();
        let bytes = || match filter(&policies).config_type {
            Some(ConfigType::TypedConfig(any)) => any.value,
            other => panic!("{other:?}"),
        };
        let real = Real::decode(bytes().as_slice()).unwrap();
        assert_eq!((real.providers.len(), real.requirement_map.len()), (2, 2));
        assert!((0..50).all(|_| bytes() == bytes()));
    }
}
