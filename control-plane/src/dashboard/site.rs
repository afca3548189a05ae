//! What a request to the dashboard means. Everything here reads; there is nothing that changes anything.

mod api;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;
use warp::Reply;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

use crate::explain::{self, Verdict};
use crate::inventory::Inventory;
use crate::model::Model;
use crate::policies::{Auth, Jwt, KEYS_PATH, Keys};
use crate::recording::Hide;
use crate::sources::Sources;
use crate::timeline::Entry;

use super::live;
use super::map::Map;
use super::pages::{Link, Page, Templates};
use super::picture::{Facts, Picture, says};
use super::traffic::{Interest, Traffic};

/// What every answer says to the browser: nothing is loaded from elsewhere, and nobody may frame it.
const SECURITY_HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];
const STYLE: &str = include_str!("style.css");
const LIVE: &str = include_str!("live.js");
const THEME: &str = include_str!("theme.js");
const ICON: &str = include_str!("icon.svg");
const OPENAPI: &str = include_str!("openapi.yaml");

/// A page's path, template and title, in the order of the menu.
const PAGES: [(&str, &str, &str); 6] = [
    ("/", "overview", "Overview"),
    ("/routes", "routes", "Routes"),
    ("/services", "services", "Services"),
    ("/problems", "problems", "Problems"),
    ("/envoys", "envoys", "Envoys"),
    ("/timeline", "timeline", "Timeline"),
];

/// So many of the newest entries of the timeline stand on the overview.
const RECENT: usize = 8;
const NO_VIEW: &str = "No complete view of the containers yet";

/// A request, as far as this looks at it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
}

impl Call {
    fn parameter(&self, wanted: &str) -> Option<String> {
        self.parameters(wanted).next()
    }

    /// All that have this name.
    fn parameters(&self, wanted: &str) -> impl Iterator<Item = String> {
        let pairs = form_urlencoded::parse(self.query.as_bytes());
        let values = pairs.filter(move |(name, _)| name == wanted).map(|(_, value)| value.into_owned());
        values.filter(|value| !value.trim().is_empty())
    }

    /// What becomes of the URL that is asked about, if one is.
    fn verdict(&self, model: &Model, dashboard_host: &str) -> Option<Verdict> {
        let url = self.parameter("url")?;
        let method = self.parameter("method").unwrap_or_else(|| "GET".to_owned());
        let headers: Result<BTreeMap<String, String>, String> =
            self.parameters("header").map(|text| explain::header(&text)).collect();
        Some(match headers {
            Ok(headers) => explain::of(&url, &method, headers, model, dashboard_host),
            Err(error) => Verdict { url, method, error: Some(error), ..Verdict::default() },
        })
    }

    /// `:8080` where the page was asked for by that port: links to hosts of the same edge need it too.
    fn port(&self) -> String {
        let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let port = host.rsplit_once(':').map(|(_, port)| port);
        let port = port.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        port.map(|port| format!(":{port}")).unwrap_or_default()
    }
}

/// Answers.
#[derive(Debug)]
pub(super) struct Site {
    sources: Sources,
    traffic: watch::Receiver<Traffic>,
    interest: Interest,
    revision: watch::Receiver<u64>,
    places: Arc<Semaphore>,
    templates: Templates,
    host: String,
    /// One for all answers, so that two of them can be compared.
    hide: OnceLock<Hide>,
    stop: CancellationToken,
}

/// What there is to see, and the answer where a URL was asked for.
struct Seen {
    picture: Picture,
    verdict: Option<Verdict>,
}

impl Site {
    pub(super) fn new(
        sources: Sources,
        (traffic, interest): (watch::Receiver<Traffic>, Interest),
        revision: watch::Receiver<u64>,
        host: String,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let (places, templates) = (live::places(), Templates::new()?);
        Ok(Self {
            sources,
            traffic,
            interest,
            revision,
            places,
            templates,
            host,
            hide: OnceLock::new(),
            stop,
        })
    }

    pub(super) fn answer(&self, call: &Call) -> Response {
        let mut response = match call.method {
            Method::GET | Method::HEAD => self.read(call),
            _ => {
                let mut response = plain(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "The dashboard is for reading: GET and HEAD only.\n",
                );
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        };
        for (name, value) in SECURITY_HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn read(&self, call: &Call) -> Response {
        match call.path.as_str() {
            "/events" => self.events(),
            "/style.css" => typed(StatusCode::OK, "text/css; charset=utf-8", STYLE),
            "/live.js" => typed(StatusCode::OK, "text/javascript; charset=utf-8", LIVE),
            "/theme.js" => typed(StatusCode::OK, "text/javascript; charset=utf-8", THEME),
            "/icon.svg" => typed(StatusCode::OK, "image/svg+xml", ICON),
            "/api/openapi.yaml" => typed(StatusCode::OK, "application/yaml", OPENAPI),
            path => match (path.strip_prefix("/api/"), path.strip_prefix(KEYS_PATH)) {
                (Some(what), _) => self.api(what, call),
                (None, Some(policy)) => self.keys(policy),
                (None, None) => self.page(call),
            },
        }
    }

    /// The public keys of a policy, for Envoy.
    fn keys(&self, policy: &str) -> Response {
        let view = self.sources.views.borrow().clone();
        let auth = view.as_ref().and_then(|view| view.model.topology.policies.auth.get(policy));
        match auth {
            Some(Auth::Jwt(Jwt { keys: Keys::File { set: Some(set), .. }, .. })) => {
                typed(StatusCode::OK, "application/json", &**set)
            }
            _ => plain(StatusCode::NOT_FOUND, "No policy of this name has keys here.\n"),
        }
    }

    fn events(&self) -> Response {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "As many pages are open as may be; this one is not live.\n",
            );
        };
        let (revision, traffic) = (self.revision.clone(), self.traffic.clone());
        let events = live::events(revision, traffic, self.interest.clone(), place, self.stop.clone());
        warp::sse::reply(warp::sse::keep_alive().stream(events)).into_response()
    }

    /// Nothing before the first complete view.
    fn see(&self, call: &Call) -> Option<Seen> {
        self.interest.show();
        let view = self.sources.views.borrow().clone()?;
        let nothing = Arc::<Inventory>::default();
        let inventory = self.sources.inventories.borrow().clone().unwrap_or(nothing);
        let mut picture = Picture::of(&Facts {
            view: &view,
            inventory: &inventory,
            decisions: &self.sources.decisions.borrow(),
            clients: &self.sources.clients.list(),
            traffic: &self.traffic.borrow(),
            lags: &self.sources.timeline.lags(),
            age: self.sources.freshness.age(),
            stale: self.sources.freshness.is_stale(),
            now: SystemTime::now(),
        });
        // Of everything, whatever is shown.
        let verdict = call.verdict(&view.model, &self.host);
        if let Some(text) = call.parameter("q") {
            picture.filter(&text);
        }
        Some(Seen { picture, verdict })
    }

    fn entries(&self, call: &Call) -> Vec<Entry> {
        let mut entries = self.sources.timeline.entries();
        if let Some(text) = call.parameter("q") {
            entries.retain(|entry| says(entry, &text.trim().to_lowercase()));
        }
        entries
    }

    fn page(&self, call: &Call) -> Response {
        let Some((path, name, title)) = PAGES.into_iter().find(|(path, ..)| *path == call.path) else {
            let advice = "The pages are in the menu above; Envoy's own are under /envoy/.";
            return self.message(StatusCode::NOT_FOUND, "There is no such page", advice);
        };
        let Some(Seen { picture, verdict }) = self.see(call) else {
            let advice = "The control plane has not seen all containers yet; its log says what it waits for. \
                          This page follows by itself.";
            return self.message(StatusCode::SERVICE_UNAVAILABLE, NO_VIEW, advice);
        };
        let Picture { summary, routes, services, problems, clients } = &picture;
        let body = match name {
            "overview" => {
                let recent: Vec<Entry> = self.entries(call).into_iter().take(RECENT).collect();
                json!({ "map": Map::of(&picture), "services": services, "recent": recent })
            }
            "routes" => json!({ "routes": routes, "verdict": verdict }),
            "services" => json!({ "services": services }),
            "problems" => json!({ "problems": problems, "clients": clients }),
            "envoys" => json!({ "clients": clients }),
            _ => json!({ "entries": self.entries(call) }),
        };
        self.render(
            StatusCode::OK,
            &Page {
                name,
                title,
                path,
                menu: menu(path, summary.problems + summary.refused),
                filter: call.parameter("q").unwrap_or_default(),
                url: call.parameter("url").unwrap_or_default(),
                port: call.port(),
                version: env!("CARGO_PKG_VERSION"),
                summary: Some(summary),
                body,
            },
        )
    }

    fn message(&self, status: StatusCode, title: &'static str, advice: &str) -> Response {
        self.render(
            status,
            &Page {
                name: "message",
                title,
                path: "",
                menu: menu("", 0),
                filter: String::new(),
                url: String::new(),
                port: String::new(),
                version: env!("CARGO_PKG_VERSION"),
                summary: None,
                body: json!({ "advice": advice }),
            },
        )
    }

    fn render(&self, status: StatusCode, page: &Page<'_>) -> Response {
        match self.templates.render(page) {
            Ok(html) => retry(typed(status, "text/html; charset=utf-8", html)),
            Err(error) => {
                error!("the page {} cannot be rendered: {error}", page.name);
                plain(StatusCode::INTERNAL_SERVER_ERROR, "The page cannot be shown; the log says why.\n")
            }
        }
    }
}

fn menu(path: &str, problems: usize) -> Vec<Link> {
    let link = |(href, name, title): (&'static str, &str, &'static str)| Link {
        href,
        title,
        here: href == path,
        problems: if name == "problems" { problems } else { 0 },
    };
    PAGES.into_iter().map(link).collect()
}

fn typed(status: StatusCode, media_type: &'static str, body: impl Into<String>) -> Response {
    let mut response = warp::http::Response::new(body.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn plain(status: StatusCode, body: &'static str) -> Response {
    typed(status, "text/plain; charset=utf-8", body)
}

fn json_of(status: StatusCode, body: &Value) -> Response {
    typed(status, "application/json", format!("{body:#}\n"))
}

/// Says when to come again, where it is worth it.
fn retry(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
pub(super) mod tests;
