//! Portolan's configuration, taken apart: the messages that Envoy gets over xDS, as a file, and one part of them changed at a time.

use std::fs;

use anyhow::{Context, bail};
use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption, HttpProtocolOptions};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration};
use envoy_types::pb::envoy::extensions::common::matching::v3::ExtensionWithMatcher;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, HttpFilter};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as FilterConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions as UpstreamOptions;
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration as PbDuration, UInt32Value};
use envoy_types::pb::envoy::config::accesslog::v3::access_log::ConfigType as LogConfig;
use portolan::model;
use portolan::translate::{self, EdgeOptions, HostPort};
use prost::Message;
use stack::envoy;

use super::HOST;
use super::config::Places;
use crate::world;

/// The filter that says of what only reads that it may be tried again, for routes that must be one entry.
const READS: &str = "portolan.reads";
/// The parts of the images' bootstrap that are no configuration of the data path, and stay.
const KEPT: [&str; 3] = ["admin", "stats_config", OVERLOAD];
const OVERLOAD: &str = "overload_manager";

/// One change of the whole.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Services besides the one that is asked.
    others: usize,
    change: fn(&mut Whole),
}

/// All that Envoy is told.
#[derive(Debug)]
struct Whole {
    listener: Listener,
    manager: HttpConnectionManager,
    routes: RouteConfiguration,
    clusters: Vec<Cluster>,
    /// What stays of the bootstrap, as YAML.
    bootstrap: String,
}

/// The first is all of it.
pub(super) const ALL: [Part; 31] = [
    part("all of it", |_| {}),
    part("the same again, to see the noise", |_| {}),
    part("no access log", |whole| whole.manager.access_log.clear()),
    part("access log as text", |whole| {
        for log in &mut whole.manager.access_log {
            // Without a format it is Envoy's own line.
            if let Some(LogConfig::TypedConfig(config)) = &mut log.config_type {
                config.value.clear();
            }
        }
    }),
    part("no retries at all", |whole| {
        whole.each_route().for_each(|route| route.request_headers_to_add.clear());
        whole.each_cluster(|cluster| {
            for config in cluster.typed_extension_protocol_options.values_mut() {
                if let Ok(options) = UpstreamOptions::decode(config.value.as_slice()) {
                    config.value = UpstreamOptions { retry_policy: None, ..options }.encode_to_vec();
                }
            }
        });
    }),
    part("one entry a route", Whole::one_entry),
    part("one entry, and the filter for what only reads", |whole| {
        whole.one_entry();
        if let Some(filter) = whole.reads() {
            filter.disabled = false;
        }
    }),
    part("the same without its look at the method", |whole| {
        whole.one_entry();
        let Some(filter) = whole.reads() else { return };
        filter.disabled = false;
        if let Some(FilterConfig::TypedConfig(config)) = &mut filter.config_type
            && let Ok(matching) = ExtensionWithMatcher::decode(config.value.as_slice())
            && let Some(inner) = matching.extension_config.and_then(|inner| inner.typed_config)
        {
            *config = inner;
        }
    }),
    part("one entry, and an expression of the route", |whole| {
        whole.one_entry();
        let by_method = "%CEL(request.method in ['GET', 'HEAD', 'OPTIONS'] ? 'reset' : '')%";
        for route in whole.each_route() {
            route.request_headers_to_add.push(HeaderValueOption {
                header: Some(HeaderValue {
                    key: "x-envoy-retry-on".to_owned(),
                    value: by_method.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            });
        }
    }),
    part("no filters that are off", |whole| whole.manager.http_filters.retain(|filter| !filter.disabled)),
    part("no outlier detection", |whole| whole.each_cluster(|cluster| cluster.outlier_detection = None)),
    part("no circuit breakers", |whole| whole.each_cluster(|cluster| cluster.circuit_breakers = None)),
    part("no local replies", |whole| whole.manager.local_reply_config = None),
    part("no request id", |whole| {
        whole.manager.generate_request_id = Some(BoolValue { value: false });
        whole.manager.always_set_request_id_in_response = false;
    }),
    part("no id in the answer", |whole| whole.manager.always_set_request_id_in_response = false),
    part("paths as they come", |whole| {
        whole.manager.normalize_path = None;
        whole.manager.merge_slashes = false;
        whole.manager.path_with_escaped_slashes_action = 0;
    }),
    part("no time-outs", |whole| {
        let never = || Some(PbDuration::default());
        whole.manager.stream_idle_timeout = never();
        whole.manager.request_timeout = None;
        whole.manager.request_headers_timeout = None;
        whole.each_action(|action| action.timeout = never());
    }),
    part("no limit for slow headers", |whole| whole.manager.request_headers_timeout = None),
    part("no limit for the whole request", |whole| whole.manager.request_timeout = None),
    part("no idle time-out of a request", |whole| {
        whole.manager.stream_idle_timeout = Some(PbDuration::default());
    }),
    part("headers as they come", |whole| {
        let options = whole.manager.common_http_protocol_options.take();
        let idle_timeout = options.and_then(|options| options.idle_timeout);
        whole.manager.common_http_protocol_options =
            Some(HttpProtocolOptions { idle_timeout, ..Default::default() });
    }),
    part("buffers of 64 KiB", |whole| whole.buffers(Some(64 * 1_024))),
    part("buffers of 128 KiB", |whole| whole.buffers(Some(128 * 1_024))),
    part("buffers of 256 KiB", |whole| whole.buffers(Some(256 * 1_024))),
    part("buffers of 1 MiB", |whole| whole.buffers(None)),
    part("no weights of localities, no names of containers", |whole| {
        whole.each_cluster(|cluster| {
            cluster.common_lb_config = None;
            let localities = cluster.load_assignment.iter_mut().flat_map(|all| &mut all.endpoints);
            localities.flat_map(|locality| &mut locality.lb_endpoints).for_each(|one| one.metadata = None);
        });
    }),
    part("no headers of Envoy's own", |whole| {
        whole.router(&Router { suppress_envoy_headers: true, ..Default::default() });
    }),
    part("no statistics of the router", |whole| {
        whole.router(&Router { dynamic_stats: Some(BoolValue { value: false }), ..Default::default() });
    }),
    part("no overload manager", |whole| {
        whole.bootstrap = sections(&whole.bootstrap, |key| key != OVERLOAD);
    }),
    part("no statistics", |whole| {
        whole.bootstrap = sections(&whole.bootstrap, |key| key != "stats_config");
        whole.bootstrap += "stats_config: { stats_matcher: { reject_all: true } }\n";
    }),
    Part { name: "1,000 services more", others: 1_000, change: |_| {} },
];

const fn part(name: &'static str, change: fn(&mut Whole)) -> Part {
    Part { name, others: 0, change }
}

impl Part {
    /// Writes the files of an Envoy with this part changed; returns the arguments that name them.
    pub(super) fn write(&self, places: &Places) -> anyhow::Result<Vec<String>> {
        let mut whole = Whole::new(places, self.others)?;
        (self.change)(&mut whole);
        let bootstrap = places.folder.join("bootstrap.yaml");
        fs::write(&bootstrap, &whole.bootstrap)?;
        let path = places.folder.join("envoy.pb");
        let yaml = whole.bootstrap.clone();
        fs::write(&path, whole.into_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(vec!["--config-yaml".to_owned(), yaml, "-c".to_owned(), path.display().to_string()])
    }
}

impl Whole {
    /// What the control plane makes of the app's two containers and of `others`, each a service of its own.
    fn new(places: &Places, others: usize) -> anyhow::Result<Self> {
        let inventory = portolan::file::parse(&services(places, others)).map_err(anyhow::Error::msg)?;
        let edge = EdgeOptions {
            listen: places.address(),
            dashboard_at: HostPort { host: "127.0.0.1".to_owned(), port: places.admin },
            envoy_admin: ([127, 0, 0, 1], places.admin).into(),
            ..world::edge()
        };
        let model = model::build(&inventory.into(), &world::model_options(), None);
        let resources = translate::translate(&model.topology, &edge);
        let mut clusters = resources.clusters;
        for cluster in &mut clusters {
            let mut assignments = resources.endpoints.iter();
            if let Some(assignment) = assignments.find(|assignment| assignment.cluster_name == cluster.name) {
                cluster.cluster_discovery_type =
                    Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32));
                cluster.eds_cluster_config = None;
                cluster.load_assignment = Some(assignment.clone());
            }
        }
        let listener = resources.listeners.into_iter().next().context("no listener")?;
        let Some(ConfigType::TypedConfig(manager)) = manager(&listener) else {
            bail!("a listener without HTTP")
        };
        let mut manager = HttpConnectionManager::decode(manager.value.as_slice())?;
        // A file has nobody to ask for the configuration of a filter.
        for filter in &mut manager.http_filters {
            let found = resources.extensions.iter().find(|extension| extension.name == filter.name);
            if let Some(config) = found.and_then(|extension| extension.typed_config.clone()) {
                filter.config_type = Some(FilterConfig::TypedConfig(config));
            }
        }
        Ok(Self {
            manager,
            listener,
            routes: resources.routes.into_iter().next().context("no routes")?,
            clusters,
            bootstrap: sections(&envoy::bootstrap(0, places.admin)?, |key| KEPT.contains(&key)),
        })
    }

    fn each_cluster(&mut self, change: impl FnMut(&mut Cluster)) {
        self.clusters.iter_mut().filter(|cluster| cluster.load_assignment.is_some()).for_each(change);
    }

    fn each_route(&mut self) -> impl Iterator<Item = &mut Route> {
        self.routes.virtual_hosts.iter_mut().flat_map(|host| &mut host.routes)
    }

    /// Takes the routes' entries for what writes away, and what the others have more than these.
    fn one_entry(&mut self) {
        for host in &mut self.routes.virtual_hosts {
            host.routes.retain(|route| {
                route
                    .r#match
                    .as_ref()
                    .is_none_or(|matching| matching.headers.iter().all(|one| !one.invert_match))
            });
        }
        self.each_route().for_each(|route| route.request_headers_to_add.clear());
    }

    /// The filter for what only reads.
    fn reads(&mut self) -> Option<&mut HttpFilter> {
        self.manager.http_filters.iter_mut().find(|filter| filter.name == READS)
    }

    fn each_action(&mut self, mut change: impl FnMut(&mut RouteAction)) {
        for route in self.each_route() {
            if let Some(Action::Route(action)) = &mut route.action {
                change(action);
            }
        }
    }

    /// How much of a body a connection holds: none is Envoy's default.
    fn buffers(&mut self, bytes: Option<u32>) {
        let limit = bytes.map(|value| UInt32Value { value });
        self.listener.per_connection_buffer_limit_bytes = limit;
        self.each_cluster(|cluster| cluster.per_connection_buffer_limit_bytes = limit);
    }

    fn router(&mut self, router: &Router) {
        let last = self.manager.http_filters.last_mut().and_then(|filter| filter.config_type.as_mut());
        if let Some(FilterConfig::TypedConfig(config)) = last {
            config.value = router.encode_to_vec();
        }
    }

    /// A bootstrap of resources alone.
    fn into_bytes(mut self) -> Vec<u8> {
        self.manager.route_specifier = Some(RouteSpecifier::RouteConfig(self.routes));
        let filters = self.listener.filter_chains.iter_mut().flat_map(|chain| &mut chain.filters);
        for filter in filters {
            if let Some(ConfigType::TypedConfig(Any { value, .. })) = &mut filter.config_type {
                *value = self.manager.encode_to_vec();
            }
        }
        let resources =
            StaticResources { listeners: vec![self.listener], clusters: self.clusters, ..Default::default() };
        Bootstrap { static_resources: Some(resources), ..Default::default() }.encode_to_vec()
    }
}

fn manager(listener: &Listener) -> Option<&ConfigType> {
    listener.filter_chains.first()?.filters.first()?.config_type.as_ref()
}

/// A services file with the app and as many others.
fn services(places: &Places, others: usize) -> String {
    let [first, second] = places.app;
    let service = |name: &str, host: &str| {
        format!(
            "  {name}:\n    labels: {{ portolan.host: {host} }}\n    endpoints: [\"{first}\", \"{second}\"]\n"
        )
    };
    let others = (0..others).map(|n| service(&format!("other-{n}"), &format!("other-{n}.localhost")));
    ["services:\n".to_owned(), service("app", HOST)].into_iter().chain(others).collect()
}

/// The top-level sections of some YAML whose keys are wanted.
fn sections(yaml: &str, is_wanted: impl Fn(&str) -> bool) -> String {
    let mut is_kept = false;
    let mut kept = String::new();
    for line in yaml.lines() {
        if let Some((key, _)) = line.split_once(':').filter(|_| !line.starts_with([' ', '#'])) {
            is_kept = is_wanted(key);
        }
        if is_kept && !line.starts_with('#') {
            kept += line;
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::config::tests::places;

    #[test]
    fn sections_are_kept_with_all_their_lines() {
        let yaml = "a: 1\nb:\n  c: 2\n# about d\nd: { e: 3 }\n";
        assert_eq!(sections(yaml, |key| key != "a"), "b:\n  c: 2\nd: { e: 3 }\n");
    }

    #[test]
    fn nothing_is_left_to_ask_a_control_plane_for() {
        let whole = Whole::new(&places(), 0).unwrap();
        let is_there = |filter: &HttpFilter| matches!(filter.config_type, Some(FilterConfig::TypedConfig(_)));
        let elsewhere = whole.manager.http_filters.iter().filter(|filter| !is_there(filter));
        assert_eq!(elsewhere.map(|filter| &filter.name).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn every_part_is_another_configuration() {
        let all: Vec<(Vec<u8>, String)> = ALL
            .iter()
            .map(|part| {
                let mut whole = Whole::new(&places(), part.others).unwrap();
                (part.change)(&mut whole);
                let bootstrap = whole.bootstrap.clone();
                (whole.into_bytes(), bootstrap)
            })
            .collect();
        // The first two are the same by intent.
        for (part, (bytes, bootstrap)) in ALL.iter().zip(&all).skip(2) {
            assert!(bytes.len() != all[0].0.len() || *bootstrap != all[0].1, "{}", part.name);
        }
    }
}
