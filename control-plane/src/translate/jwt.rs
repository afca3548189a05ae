//! Tokens: the filter that checks them, by all policies that there are, and what a route asks of it.
//!
//! The rules are in the filter, and a route only names what it asks for. So the listener has the filter's name alone, and the rules come by ECDS: they reach every connection
//! with its next request. Routes come beside them, a moment later. So a route asks by a name that says which rules it means, and Envoy answers 403 to a name
//! that its filter does not know (Envoy documentation, `PerRouteConfig`): what is not known is closed. Keys are not in the filter either: it fetches them, again and again, and
//! keeps the last it was given.
//!
//! ```text
//!   policies --extension()--> ECDS: rules, by name:hash   (first)
//!      |                                    ^
//!      +------guard()-------> RDS: "asks name:hash" (then; until it is there the rules of before are kept beside the new ones)
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{ExtensionConfigSource, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::JwksSourceSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::jwt_requirement::RequiresType;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::per_route_config::RequirementSpecifier;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::{
    JwksAsyncFetch, JwtClaimToHeader, JwtHeader, JwtProvider, JwtRequirement, PerRouteConfig, RemoteJwks,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::google::protobuf::Any;

use super::any::{any, any_as};
use super::auth::{cluster_name, uri_of};
use super::filters::off_as;
use super::{ads, dashboard, duration};
use crate::policies::{Auth, Jwt, KEYS_PATH, Keys, Policies};

/// The name of the filter, and of its configuration.
const FILTER: &str = "portolan.tokens";
const CONFIG: &str = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
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

/// The filter, off until a route asks for a token. Envoy opens no port before it has the configuration, so that is always there.
pub(super) fn filter() -> HttpFilter {
    let source = ExtensionConfigSource {
        config_source: Some(ads()),
        type_urls: vec![format!("type.googleapis.com/{CONFIG}")],
        ..Default::default()
    };
    off_as(FILTER, ConfigType::ConfigDiscovery(source))
}

/// The configuration of the filter: the rules of all policies. Those of `before` stand beside them where they were others, for routes that still name them; their
/// keys are those of now.
pub(super) fn extension(policies: &Policies, before: Option<&Policies>) -> TypedExtensionConfig {
    let mut providers: BTreeMap<String, JwtProvider> = BTreeMap::new();
    for (name, jwt) in policies_of(policies) {
        providers.insert(requirement(name, jwt), provider(name, jwt));
        if let Some(Auth::Jwt(old)) = before.and_then(|before| before.auth.get(name)) {
            let old = Jwt { keys: jwt.keys.clone(), ..old.clone() };
            providers.entry(requirement(name, &old)).or_insert_with(|| provider(name, &old));
        }
    }
    let by_name =
        |name: &String| JwtRequirement { requires_type: Some(RequiresType::ProviderName(name.clone())) };
    let requirement_map = providers.keys().map(|name| (name.clone(), by_name(name))).collect();
    let config = JwtAuthentication { providers, requirement_map };
    TypedExtensionConfig { name: FILTER.to_owned(), typed_config: Some(any_as(CONFIG, &config)) }
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
        // In the background: what was fetched last holds while nobody answers. Of a configuration that comes after its listener Envoy fetches nothing in advance unless it is told not to wait
        // for that (Envoy 1.40); a request that comes before the keys waits for them.
        async_fetch: Some(JwksAsyncFetch { fast_listener: true, failed_refetch_duration: duration(RETRY) }),
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
    use prost::Message;

    use super::*;

    #[test]
    fn our_own_message_type_reads_as_the_real_one_and_has_the_same_bytes_each_time() {
        let text = "auth: { a: { jwt: { issuer: i, audiences: a, keys: k } }, b: { jwt: { issuer: i, audiences: a, keys: k } } }";
        let policies = crate::policies::parse(text).unwrap();
        let bytes = || extension(&policies, None).typed_config.unwrap().value;
        let real = Real::decode(bytes().as_slice()).unwrap();
        assert_eq!((real.providers.len(), real.requirement_map.len()), (2, 2));
        assert!((0..50).all(|_| bytes() == bytes()));
    }

    #[test]
    fn rules_of_before_stand_beside_the_new_ones_and_go_with_the_next_change() {
        let policies = |text: &str| crate::policies::parse(text).unwrap();
        let of = |audience: &str, keys: &str| {
            policies(&format!(
                "auth: {{ a: {{ jwt: {{ issuer: i, audiences: {audience}, keys: {keys} }} }} }}"
            ))
        };
        let names = |now: &Policies, before: Option<&Policies>| {
            let value = extension(now, before).typed_config.unwrap().value;
            let all = JwtAuthentication::decode(value.as_slice()).unwrap();
            assert!(all.providers.keys().eq(all.requirement_map.keys()));
            all.providers
        };
        let (shop, blog, other_keys) = (of("shop", "k"), of("blog", "k"), of("shop", "http://id/k"));
        let [alone, changed] = [None, Some(&shop)].map(|before| names(&blog, before));
        assert_eq!((alone.len(), changed.len()), (1, 2));
        assert_eq!(names(&shop, Some(&other_keys)), names(&shop, None), "keys are no rules");
        // Whom to ask for keys is what counts now.
        let moved = names(&other_keys, Some(&blog));
        assert!(
            moved.values().all(|provider| format!("{provider:?}").contains("portolan:auth:a")),
            "{moved:?}"
        );
        // What is not a policy of tokens any more answers 503, or asks otherwise.
        for text in ["{}", "auth: { a: { basic: { users: u } } }"] {
            assert_eq!(names(&policies(text), Some(&shop)).len(), 0);
        }
        assert_eq!(names(&blog, Some(&blog)), alone);
    }

    #[test]
    fn the_filter_in_the_chain_says_nothing_of_any_policy() {
        let filter = filter();
        assert!(filter.disabled && filter.name == extension(&Policies::default(), None).name);
        let Some(ConfigType::ConfigDiscovery(source)) = filter.config_type else { panic!("it is elsewhere") };
        let config = extension(&Policies::default(), None).typed_config.unwrap();
        assert_eq!((source.type_urls, config.value.len()), (vec![config.type_url], 0), "and never missing");
    }
}
