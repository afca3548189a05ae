use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xds_server::Clients;

use super::*;
use crate::file;
use crate::inventory::{Inventory, Workload};
use crate::model;
use crate::overrides::Overrides;
use crate::provider::{InventoryReceiver, Outlet, port};
use crate::publish::{Publisher, View};
use crate::timeline::Timeline;
use crate::translate::EdgeOptions;

/// A control plane without its shells.
struct Bench {
    registry: Registry,
    outlet: Outlet,
    views: watch::Sender<Option<Arc<View>>>,
    inventories: InventoryReceiver,
}

impl Bench {
    fn new() -> Self {
        let (outlet, inventories, freshness) = port(Duration::from_secs(60));
        let (views, view_rx) = watch::channel(None);
        let xds =
            XdsService::new(watch::channel(None).1, Default::default(), "test", CancellationToken::new());
        let sources = Sources {
            views: view_rx,
            inventories: inventories.clone(),
            decisions: watch::channel(Overrides::default()).1,
            clients: Clients::default(),
            freshness,
            timeline: Timeline::default(),
        };
        let timing = Timing::new(outlet.events());
        Self { registry: registry(&xds, &timing, sources), outlet, views, inventories }
    }

    fn see(&self, inventory: Inventory) {
        self.outlet.publish(&Arc::new(inventory));
        let edge = EdgeOptions {
            listen: "127.0.0.1:1".parse().unwrap(),
            dashboard_host: "dashboard.localhost".to_owned(),
            dashboard_at: "control-plane:18001".parse().unwrap(),
            envoy_admin: "127.0.0.1:2".parse().unwrap(),
            traces: None,
        };
        let model = model::Options {
            label_prefix: "portolan".to_owned(),
            reserved_host: edge.dashboard_host.clone(),
            policies: std::sync::Arc::default(),
        };
        let inventory = self.inventories.borrow().clone().unwrap();
        let view = Publisher::new(model, edge).next(&inventory, None).unwrap();
        self.views.send_replace(Some(Arc::new(view)));
        self.outlet.confirm(Instant::now());
    }

    fn text(&self) -> String {
        answer(&self.registry, "").into_body()
    }
}

fn three_services() -> Inventory {
    let text = "services:\n  web: {labels: {portolan.host: web.localhost}, endpoints: [\"127.0.0.1:1\", \"127.0.0.1:2\"]}\n  \
                api: {labels: {portolan.host: web.localhost, portolan.path: /api}, endpoints: [\"127.0.0.1:3\"]}\n  \
                bad: {labels: {portolan.host: \"no such host\"}, endpoints: [\"127.0.0.1:4\"]}\n";
    let mut inventory = file::parse(text).unwrap();
    let of_api = inventory.workloads.values().find(|it| it.service.as_deref() == Some("api"));
    let starting = Workload { health: Health::Starting, ..Workload::clone(of_api.unwrap()) };
    inventory.workloads.insert(starting.id.clone(), Arc::new(starting));
    inventory
}

#[tokio::test(start_paused = true)]
async fn what_stands_is_told_and_before_it_is_known_nothing_is_invented() {
    let bench = Bench::new();
    let text = bench.text();
    assert!(text.contains("\nportolan_view_stale 1\n") && !text.contains("view_age"), "{text}");
    assert!(!text.contains("portolan_workloads") && !text.contains("portolan_services"), "{text}");

    bench.see(three_services());
    tokio::time::advance(Duration::from_millis(2_500)).await;
    let text = bench.text();
    for line in [
        "portolan_view_stale 0",
        "portolan_view_age_seconds 2.5",
        "portolan_workloads{state=\"healthy\"} 3",
        "portolan_workloads{state=\"starting\"} 1",
        "portolan_workloads{state=\"paused\"} 0",
        "portolan_services{state=\"ready\"} 1",
        "portolan_services{state=\"partly\"} 0",
        "portolan_services{state=\"down\"} 1",
        "portolan_endpoints{state=\"ready\"} 2",
        "portolan_hosts 1",
        "portolan_routes 2",
        "portolan_problems 1",
        "portolan_xds_clients{state=\"current\"} 0",
        "portolan_xds_streams{protocol=\"delta\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in:\n{text}");
    }
}

#[test]
fn the_process_is_told_by_the_names_that_all_processes_have() {
    let text = Bench::new().text();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 1e6, "{text}");
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"), "{text}");
    assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") > value("process_open_fds"));
    assert!(value("process_threads") >= 1.0 && value("process_cpu_seconds_total") >= 0.0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    // Not after now, give or take the kernel's rounding, and not before this year's tests were thought of.
    assert!((1.6e9..=now + 2.0).contains(&value("process_start_time_seconds")), "{text}");
}

#[test]
fn who_asks_for_open_metrics_gets_it_and_everybody_else_the_older_text() {
    // What Prometheus 2.42 sends.
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, format) in [
        ("", Format::Prometheus),
        ("*/*", Format::Prometheus),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Prometheus),
        ("text/plain", Format::Prometheus),
        (prometheus, Format::OpenMetrics),
        ("Application/OpenMetrics-Text; Version=\"1.0.0\"", Format::OpenMetrics),
        ("application/openmetrics-text", Format::OpenMetrics),
        ("application/openmetrics-text;version=2.0.0", Format::Prometheus),
        ("text/plain;q=0.9,application/openmetrics-text;q=0.5", Format::Prometheus),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.9", Format::OpenMetrics),
        ("application/openmetrics-text;q=0", Format::Prometheus),
        ("application/openmetrics-text;q=x", Format::Prometheus),
    ] {
        assert_eq!(Format::of(accept), format, "{accept}");
    }
    let bench = Bench::new();
    let of = |accept: &str| {
        let response = answer(&bench.registry, accept);
        let media_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        assert_eq!(response.headers()[header::VARY], "accept");
        (media_type, response.into_body())
    };
    let (media_type, text) = of("*/*");
    assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.contains("# TYPE portolan_snapshots_total counter\n") && !text.contains("# EOF"), "{text}");
    let (media_type, text) = of(prometheus);
    assert_eq!(media_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.contains("# TYPE portolan_snapshots counter\n") && text.ends_with("# EOF\n"), "{text}");
}

/// A metric: its name, its type, and the labels that are its own.
type Row = (String, String, String);

/// Of a page of Prometheus text.
fn told(text: &str) -> BTreeSet<Row> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let row = |(name, of_type): (&str, &str)| {
        let mut labels = BTreeSet::new();
        for line in text.lines().filter_map(|line| line.strip_prefix(name)) {
            let suffixes = ["", "_bucket", "_sum", "_count"];
            let inside = suffixes.iter().find_map(|suffix| line.strip_prefix(suffix)?.strip_prefix('{'));
            let Some((inside, _)) = inside.and_then(|line| line.split_once('}')) else { continue };
            labels.extend(inside.split(',').filter_map(|pair| pair.split_once('=')).map(|(key, _)| key));
        }
        labels.remove("le");
        let labels: Vec<&str> = labels.into_iter().collect();
        (name.to_owned(), of_type.to_owned(), labels.join(", "))
    };
    types.map(row).collect()
}

/// Of the table in docs/metrics.md.
fn written() -> BTreeSet<Row> {
    let page = include_str!("../../../../docs/metrics.md");
    let cells = |line: &str| -> Option<Row> {
        let cells: Vec<String> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
        let [name, of_type, labels, meaning] = <[String; 4]>::try_from(cells).ok()?;
        let is_metric = name.starts_with("portolan_") || name.starts_with("process_");
        assert!(!is_metric || !meaning.is_empty(), "{name} means nothing");
        is_metric.then_some((name, of_type, labels))
    };
    page.lines().filter(|line| line.starts_with('|')).filter_map(cells).collect()
}

#[tokio::test]
async fn the_table_of_metrics_is_what_is_told() {
    let bench = Bench::new();
    bench.see(three_services());
    let (told, written) = (told(&bench.text()), written());
    assert!(told.len() > 20, "{told:?}");
    let missing: Vec<_> = told.difference(&written).collect();
    let invented: Vec<_> = written.difference(&told).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "docs/metrics.md lacks {missing:#?}, and has without there being any {invented:#?}"
    );
}
