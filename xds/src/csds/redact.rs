//! What may be shown of a resource. Envoy leaves out of its own dump what its messages mark as sensitive
//! (`udpa.annotations.sensitive`); of what a server sends in routes that is the users of `basic_auth`.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{FilterConfig, Route, RouteConfiguration};
use envoy_types::pb::envoy::extensions::filters::http::basic_auth::v3::BasicAuthPerRoute;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

use crate::kind::Kind;
use crate::resource::Resource;

/// What stands for what is left out, as in Envoy's dump.
const REDACTED: &str = "[redacted]";

/// The resource without what is its client's business alone; nothing where that is all of it, or where it cannot be told.
pub(super) fn shown(resource: &Resource) -> Option<Any> {
    let body = resource.body();
    let value = match resource.kind() {
        Kind::Secret => return None,
        Kind::Route if has_users(body) => {
            let mut config = RouteConfiguration::decode(body).ok()?;
            redact(&mut config);
            config.encode_to_vec()
        }
        _ => body.to_vec(),
    };
    Some(Any { type_url: resource.kind().type_url().to_owned(), value })
}

/// Whether it is worth reading. Most routes ask for no password.
fn has_users(body: &[u8]) -> bool {
    let name = BasicAuthPerRoute::NAME.as_bytes();
    body.windows(name.len()).any(|window| window == name)
}

fn redact(config: &mut RouteConfiguration) {
    redact_all(&mut config.typed_per_filter_config);
    for host in &mut config.virtual_hosts {
        redact_all(&mut host.typed_per_filter_config);
        host.routes.iter_mut().for_each(redact_route);
    }
}

fn redact_route(route: &mut Route) {
    redact_all(&mut route.typed_per_filter_config);
    let Some(Action::Route(action)) = &mut route.action else { return };
    if let Some(ClusterSpecifier::WeightedClusters(weighted)) = &mut action.cluster_specifier {
        for cluster in &mut weighted.clusters {
            redact_all(&mut cluster.typed_per_filter_config);
        }
    }
}

fn redact_all(configs: &mut HashMap<String, Any>) {
    configs.values_mut().for_each(redact_filter);
}

fn redact_filter(config: &mut Any) {
    let is = |name: &str| config.type_url.rsplit('/').next() == Some(name);
    if is(&BasicAuthPerRoute::full_name()) {
        let redacted = DataSource {
            specifier: Some(Specifier::InlineString(REDACTED.to_owned())),
            ..Default::default()
        };
        config.value = BasicAuthPerRoute { users: Some(redacted) }.encode_to_vec();
    } else if is(&FilterConfig::full_name()) {
        let Ok(mut wrapped) = FilterConfig::decode(config.value.as_slice()) else {
            config.value.clear();
            return;
        };
        wrapped.config.iter_mut().for_each(redact_filter);
        config.value = wrapped.encode_to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
    use envoy_types::pb::envoy::config::route::v3::{RouteAction, VirtualHost, WeightedCluster};

    const HASH: &str = "ann:{SHA}secret";

    fn any<M: Message + Name>(message: &M) -> Any {
        Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
    }

    fn filters(users: &str) -> HashMap<String, Any> {
        let users =
            DataSource { specifier: Some(Specifier::InlineString(users.to_owned())), ..Default::default() };
        let basic = any(&BasicAuthPerRoute { users: Some(users) });
        let wrapped = any(&FilterConfig { config: Some(basic.clone()), ..Default::default() });
        [("basic".to_owned(), basic), ("wrapped".to_owned(), wrapped)].into()
    }

    fn routes(users: &str) -> RouteConfiguration {
        let cluster = ClusterWeight { typed_per_filter_config: filters(users), ..Default::default() };
        let weighted = WeightedCluster { clusters: vec![cluster], ..Default::default() };
        let action = RouteAction {
            cluster_specifier: Some(ClusterSpecifier::WeightedClusters(weighted)),
            ..Default::default()
        };
        let route = Route {
            name: "web".to_owned(),
            typed_per_filter_config: filters(users),
            action: Some(Action::Route(action)),
            ..Default::default()
        };
        let host = VirtualHost {
            domains: vec!["web.localhost".to_owned()],
            routes: vec![route],
            typed_per_filter_config: filters(users),
            ..Default::default()
        };
        RouteConfiguration {
            name: "http".to_owned(),
            virtual_hosts: vec![host],
            typed_per_filter_config: filters(users),
            ..Default::default()
        }
    }

    #[test]
    fn users_of_routes_are_left_out_wherever_they_stand_and_nothing_else() {
        let shown = shown(&Resource::from(&routes(HASH))).expect("routes are shown");
        let shown = RouteConfiguration::decode(shown.value.as_slice()).expect("it is a configuration");
        assert_eq!(shown, routes(REDACTED));
    }
}
