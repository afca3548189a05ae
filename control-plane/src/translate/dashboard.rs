//! The dashboard's host: the control plane's pages, and Envoy's own admin pages under a prefix. For reading only.
//!
//! The admin interface listens on loopback inside Envoy's container and is published nowhere. GET and HEAD pass, and
//! it answers 405 itself to a GET that would change something; every other method is refused before it gets there.

use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily,
};
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, address};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, RedirectAction, Route, RouteAction, VirtualHost,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::BoolValue;

use crate::model::ADMIN_SERVICE;

use super::cluster::at;
use super::local_reply::header;
use super::matching::at as matching;
use super::route::answer;
use super::{EdgeOptions, HostPort, duration};

/// The model keeps every service from having this name.
const CLUSTER: &str = ADMIN_SERVICE;
/// The name of the dashboard's cluster, routes and virtual host. No host and no service has a colon in its name, so none
/// has this one.
pub(super) const NAME: &str = "portolan:dashboard";
/// Where the admin pages are.
const PREFIX: &str = "/envoy/";
/// Admin paths that people and scripts know by heart answer at the root as well.
const WELL_KNOWN: [&str; 6] = ["/clusters", "/config_dump", "/listeners", "/ready", "/server_info", "/stats"];
/// Where the dashboard says that something changed.
const EVENTS: &str = "/events";
/// A page of a large system takes a while to print.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Envoy's own pages.
pub(super) fn admin_cluster(edge: &EdgeOptions) -> Cluster {
    a_cluster(CLUSTER, DiscoveryType::Static, at(edge.envoy_admin))
}

/// The control plane's pages.
pub(super) fn pages_cluster(edge: &EdgeOptions) -> Cluster {
    elsewhere(NAME, &edge.dashboard_at)
}

/// A cluster of one place, by its name or address.
pub(super) fn elsewhere(name: &str, HostPort { host, port }: &HostPort) -> Cluster {
    let cluster = match host.parse() {
        Ok(ip) => a_cluster(name, DiscoveryType::Static, at(SocketAddr::new(ip, *port))),
        Err(_) => a_cluster(name, DiscoveryType::StrictDns, named(host, *port)),
    };
    Cluster {
        // A name that does not resolve must not hold up a start: everything else is served meanwhile.
        wait_for_warm_on_init: Some(BoolValue { value: false }),
        // A container on a network of both families often listens on IPv4 alone, and Envoy would ask it by IPv6.
        dns_lookup_family: DnsLookupFamily::V4Preferred as i32,
        ..cluster
    }
}

fn named(host: &str, port: u16) -> HostIdentifier {
    let socket = SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port.into())),
        ..Default::default()
    };
    let address = Address { address: Some(address::Address::SocketAddress(socket)) };
    HostIdentifier::Endpoint(Endpoint { address: Some(address), ..Default::default() })
}

fn a_cluster(name: &str, discovery: DiscoveryType, endpoint: HostIdentifier) -> Cluster {
    let endpoint = LbEndpoint { host_identifier: Some(endpoint), ..Default::default() };
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
        connect_timeout: duration(Duration::from_secs(1)),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: vec![LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..Default::default() }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn virtual_host(edge: &EdgeOptions) -> VirtualHost {
    let mut routes = vec![refuse_changes(), to_prefix("/envoy"), admin(PREFIX, Some("/"))];
    routes.extend(WELL_KNOWN.iter().map(|path| admin(path, None)));
    // Open for as long as the page is.
    routes.push(pages(PathSpecifier::Path(EVENTS.to_owned()), Duration::ZERO));
    routes.push(pages(PathSpecifier::Prefix("/".to_owned()), TIMEOUT));
    VirtualHost {
        name: NAME.to_owned(),
        domains: vec![edge.dashboard_host.to_ascii_lowercase()],
        routes,
        ..Default::default()
    }
}

/// 405 to everything but GET and HEAD.
fn refuse_changes() -> Route {
    let mut route = answer(
        "portolan:dashboard-read-only",
        PathSpecifier::Prefix("/".to_owned()),
        405,
        "The dashboard is for reading: GET and HEAD only.\n",
    );
    let reads = MatchPattern::SafeRegex(RegexMatcher { regex: "GET|HEAD".to_owned(), ..Default::default() });
    let not_a_read = HeaderMatcher {
        name: ":method".to_owned(),
        invert_match: true,
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(reads),
            ..Default::default()
        })),
        ..Default::default()
    };
    if let Some(matching) = &mut route.r#match {
        matching.headers.push(not_a_read);
    }
    route.response_headers_to_add = vec![header("allow", "GET, HEAD")];
    route
}

fn to_prefix(path: &str) -> Route {
    Route {
        name: NAME.to_owned(),
        r#match: Some(matching(PathSpecifier::Path(path.to_owned()))),
        action: Some(Action::Redirect(RedirectAction {
            path_rewrite_specifier: Some(PathRewriteSpecifier::PathRedirect(PREFIX.to_owned())),
            response_code: RedirectResponseCode::Found as i32,
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// The control plane's own pages.
fn pages(path: PathSpecifier, timeout: Duration) -> Route {
    Route {
        name: NAME.to_owned(),
        r#match: Some(matching(path)),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(NAME.to_owned())),
            timeout: duration(timeout),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn admin(path: &str, rewrite: Option<&str>) -> Route {
    let path = match rewrite {
        Some(_) => PathSpecifier::Prefix(path.to_owned()),
        None => PathSpecifier::PathSeparatedPrefix(path.to_owned()),
    };
    Route {
        name: "portolan:envoy-admin".to_owned(),
        r#match: Some(matching(path)),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(CLUSTER.to_owned())),
            prefix_rewrite: rewrite.unwrap_or_default().to_owned(),
            timeout: duration(TIMEOUT),
            ..Default::default()
        })),
        ..Default::default()
    }
}
