//! What must hold of the dashboard and of Envoy's own pages behind it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;
use stack::site::Site;
use stack::wait::until;

use super::{DASHBOARD, FRONTEND, LIMIT, header, status};

pub fn the_dashboard_reads_and_changes_nothing(site: &Site) -> Result<()> {
    let bare = site.get(DASHBOARD, "/envoy")?;
    ensure!(status(&bare) == 302 && header(&bare, "location").ends_with("/envoy/"), "{bare:?}");
    let admin = site.get(DASHBOARD, "/envoy/")?.text()?;
    ensure!(admin.contains("<title>Envoy Admin</title>"), "{admin}");
    let links: BTreeSet<&str> =
        admin.split("href='").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
    ensure!(links.len() > 10, "the admin page has its links: {links:?}");
    for link in &links {
        ensure!(!link.starts_with('/'), "{link} would leave /envoy/");
        let found = status(&site.get(DASHBOARD, &format!("/envoy/{link}"))?);
        ensure!(found == 200 || found == 400 || found == 503 || found == 501, "GET /envoy/{link}: {found}");
    }
    for path in
        ["/clusters", "/config_dump", "/listeners", "/ready", "/server_info", "/stats", "/stats/prometheus"]
    {
        ensure!(status(&site.get(DASHBOARD, path)?) == 200, "GET {path}");
    }
    let changes = [
        "quitquitquit",
        "drain_listeners",
        "healthcheck/fail",
        "logging?level=debug",
        "reset_counters",
        "runtime_modify?a=b",
        // What the control plane lets an admin do, by any name it could have here.
        "drain",
        "undrain",
        "api/drain",
        "portolan.v1.AdminService/Drain",
    ];
    for change in changes {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            for prefix in ["/envoy/", "/", "/envoy//", "/envoy/../envoy/", "/stats/../"] {
                let path = format!("{prefix}{change}");
                let found = status(&site.request(method.clone(), DASHBOARD, &path).send()?);
                // A GET of what does not change anything by GET is a page like any other; none may be a success.
                let refused =
                    matches!(found, 403..=405) || (method == Method::GET && change.starts_with("logging"));
                ensure!(refused, "{method} {path}: {found}");
            }
        }
    }
    ensure!(status(&site.get(DASHBOARD, "/ready")?) == 200, "Envoy is as it was");
    Ok(())
}

/// The dashboard's own pages, through Envoy.
pub fn the_dashboard_shows_what_is_routed(site: &Site) -> Result<()> {
    for (path, words) in [
        ("/", &["frontend.localhost", "backend.localhost", "Endpoints"][..]),
        ("/routes", &["frontend.localhost", "backend.localhost"]),
        ("/services", &["frontend-1", "frontend-3", "backend-1", "healthy"]),
        ("/problems", &["Every label is understood"]),
        ("/envoys", &["edge", "up to date", "cluster", "endpoint", "listener", "route"]),
        ("/timeline", &["published", "acknowledged"]),
    ] {
        let page = site.get(DASHBOARD, path)?;
        ensure!(status(&page) == 200, "GET {path}: {page:?}");
        let policy = header(&page, "content-security-policy");
        ensure!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        ensure!(header(&page, "x-content-type-options") == "nosniff", "{path}: {page:?}");
        let text = page.text()?;
        for word in words {
            ensure!(text.contains(word), "{path} does not say {word:?}:\n{text}");
        }
    }
    let unknown = site.get(DASHBOARD, "/no-such-page")?;
    ensure!(status(&unknown) == 404 && unknown.text()?.contains("There is no such page"), "it says so");
    let services: Value = site.get(DASHBOARD, "/api/services")?.json()?;
    let frontend = services["services"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|service| service["name"].as_str().is_some_and(|name| name.ends_with("frontend")));
    let frontend = frontend.context("no frontend")?;
    ensure!(frontend["endpoints_ready"] == 3 && frontend["state"] == "ready", "{frontend}");
    let clients = until("Envoy is up to date", LIMIT, || {
        let clients: Value = site.get(DASHBOARD, "/api/clients")?.json()?;
        ensure!(clients["clients"][0]["state"] == "current", "{clients}");
        Ok(clients)
    })?;
    ensure!(
        clients["clients"][0]["agent"].as_str().is_some_and(|agent| agent.starts_with("envoy 1.")),
        "{clients}"
    );
    let rates = || {
        site.get(FRONTEND, "/")?;
        let services: Value = site.get(DASHBOARD, "/api/services?q=frontend")?.json()?;
        let rate = &services["services"][0]["traffic"]["requests_per_second"];
        ensure!(rate.as_f64().is_some_and(|rate| rate > 0.0), "{services}");
        Ok(())
    };
    until("Envoy's statistics are shown", LIMIT, rates)
}
