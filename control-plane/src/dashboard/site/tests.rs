use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Map as Object;
use xds_server::{ClientStream, Clients, Snapshot};

use super::api::API;
use super::*;
use crate::file;
use crate::model;
use crate::overrides::Overrides;
use crate::progress::tests::{envoy, progress};
use crate::provider::port;
use crate::publish::View;
use crate::timeline::{Recorder, Timeline};

const SHOP: &str = r#"
    shop: {labels: {portolan.host: "shop.localhost, *.shop.localhost"}, endpoints: ["127.0.0.1:1", {address: "127.0.0.1:2", name: ill, health: unhealthy}]}
    cart: {labels: {portolan.host: shop.localhost, portolan.path: /cart}, endpoints: []}
    mail: {labels: {portolan.host: mail.localhost, portolan.path: "<script>alert(1)</script>"}, endpoints: ["127.0.0.1:3"]}"#;

fn view(services: &str) -> (Arc<Inventory>, Arc<View>) {
    view_by(services, "")
}

fn view_by(services: &str, policies: &str) -> (Arc<Inventory>, Arc<View>) {
    let inventory = Arc::new(file::parse(&format!("services:\n{services}")).unwrap());
    let options = model::Options {
        label_prefix: "portolan".to_owned(),
        reserved_host: "dashboard.localhost".to_owned(),
        policies: Arc::new(crate::policies::parse(policies).unwrap()),
    };
    let model = model::build(&inventory, &options, None);
    (inventory, Arc::new(View::of(model, Snapshot::default())))
}

fn picture_with(services: &str, clients: &[ClientStream]) -> Picture {
    let (inventory, view) = view(services);
    Picture::of(&Facts {
        view: &view,
        inventory: &inventory,
        decisions: &Overrides::default(),
        clients,
        traffic: &Traffic::Missing("nobody was asked".to_owned()),
        lags: &BTreeMap::new(),
        age: None,
        stale: false,
        now: SystemTime::UNIX_EPOCH,
    })
}

/// What the entries of a services file look like.
pub(crate) fn picture(services: &str) -> Picture {
    picture_with(services, &[])
}

fn site(services: Option<&str>) -> Site {
    site_by(services, "")
}

fn site_by(services: Option<&str>, policies: &str) -> Site {
    let seen = services.map(|services| view_by(services, policies));
    let (inventory, view) = seen.map_or((None, None), |(inventory, view)| (Some(inventory), Some(view)));
    let (_, _, freshness) = port(Duration::from_secs(60));
    let sources = Sources {
        views: watch::channel(view).1,
        inventories: watch::channel(inventory).1,
        decisions: watch::channel(Overrides::default()).1,
        clients: Clients::default(),
        freshness,
        timeline: Timeline::default(),
    };
    let traffic = watch::channel(Traffic::Missing("nobody was asked".to_owned())).1;
    let revision = watch::channel(0).1;
    let host = "dashboard.localhost".to_owned();
    Site::new(sources, (traffic, Interest::new()), revision, host, CancellationToken::new()).unwrap()
}

fn ask(site: &Site, method: Method, url: &str) -> Response {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let headers =
        [(header::HOST, HeaderValue::from_static("dashboard.localhost:8080"))].into_iter().collect();
    site.answer(&Call { method, path: path.to_owned(), query: query.to_owned(), headers })
}

async fn read(site: &Site, url: &str) -> (u16, String) {
    use http_body_util::BodyExt;
    let response = ask(site, Method::GET, url);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_page_is_rendered_and_escapes_what_containers_say() {
    let site = site(Some(SHOP));
    for (path, ..) in PAGES {
        let (status, html) = read(&site, path).await;
        assert_eq!(status, 200, "{path}: {html}");
        assert!(!html.contains("<script>"), "{path}: {html}");
        assert!(html.contains("aria-current=\"page\""), "{path}");
    }
    let (_, html) = read(&site, "/?q=%3Cscript%3E").await;
    assert!(html.contains("value=\"&lt;script&gt;\"") && !html.contains("<script>"), "{html}");
    let (_, problems) = read(&site, "/problems").await;
    assert!(
        problems.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && problems.contains("write /api"),
        "{problems}"
    );
    let (_, overview) = read(&site, "/").await;
    assert!(
        overview.contains("href=\"http://shop.localhost:8080/\""),
        "by the port the page was asked for: {overview}"
    );
    assert!(!overview.contains("style=\""), "the policy would refuse it");
}

#[tokio::test]
async fn an_answer_to_a_url_stands_on_the_page_whatever_the_filter() {
    let site = site(Some(SHOP));
    let (_, html) = read(&site, "/routes?url=shop.localhost/x&q=mail").await;
    assert!(html.contains("The route shop takes it, to shop: 1 of 2 endpoints ready."), "{html}");
    let (_, html) = read(&site, "/routes?url=shop.localhost/cart/1").await;
    assert!(html.contains("Envoy answers 503"), "{html}");
    let (_, html) = read(&site, "/routes?url=b%20ad").await;
    assert!(html.contains("is not a host"), "{html}");
}

#[tokio::test]
async fn nothing_can_be_changed_and_every_answer_is_guarded() {
    let site = site(Some(SHOP));
    for url in ["/", "/api/services", "/events", "/no-such-page", "/live.js", "/api/nothing"] {
        for method in
            [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::CONNECT]
        {
            let answer = ask(&site, method, url);
            assert_eq!(
                (answer.status(), &answer.headers()["allow"]),
                (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET, HEAD"))
            );
        }
        let answer = ask(&site, Method::GET, url);
        for (name, value) in SECURITY_HEADERS {
            assert_eq!(answer.headers()[name], value, "{url}");
        }
    }
    assert_eq!(read(&site, "/no-such-page").await.0, 404);
    assert_eq!(read(&site, "/api/nothing").await.0, 404);
}

#[tokio::test]
async fn before_the_first_view_it_says_so_and_when_to_come_again() {
    let site = site(None);
    for url in ["/", "/problems", "/api/services", "/api/match?url=a"] {
        let answer = ask(&site, Method::GET, url);
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &HeaderValue::from_static("1")),
            "{url}"
        );
        assert!(read(&site, url).await.1.contains(NO_VIEW), "{url}");
    }
    assert_eq!(ask(&site, Method::GET, "/style.css").status(), 200);
}

#[tokio::test]
async fn a_filter_keeps_a_service_with_its_routes() {
    let site = site(Some(SHOP));
    let names = async |url: &str, list: &str, name: &str| -> Vec<String> {
        let body: Value = serde_json::from_str(&read(&site, url).await.1).unwrap();
        body[list].as_array().unwrap().iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/api/services?q=CART", "services", "name").await, ["cart"]);
    assert_eq!(names("/api/services?q=ill", "services", "name").await, ["shop"]);
    assert_eq!(names("/api/routes?q=ill", "routes", "host").await, ["shop.localhost", "*.shop.localhost"]);
    assert_eq!(names("/api/routes?q=/cart", "routes", "service").await, ["cart"]);
}

#[test]
fn what_an_envoy_refused_is_shown_with_its_words() {
    let picture = picture_with(SHOP, &[envoy()]);
    let client = &picture.clients[0];
    assert_eq!((client.state, client.types[0].state, picture.summary.refused), ("refused", "refused", 1));
    let page = Page {
        name: "problems",
        title: "Problems",
        path: "/problems",
        menu: menu("/problems", 1),
        filter: String::new(),
        url: String::new(),
        port: String::new(),
        version: "1",
        summary: Some(&picture.summary),
        body: json!({ "problems": picture.problems, "clients": picture.clients }),
    };
    let templates = Templates::new().unwrap();
    let html = templates.render(&page).unwrap();
    assert!(html.contains("it has &lt;no&gt; name") && html.contains("cluster shop"), "{html}");
    let html = templates.render(&Page { name: "envoys", ..page }).unwrap();
    assert!(html.contains("it has &lt;no&gt; name") && html.contains("10.0.0.1:1234"), "{html}");
}

#[tokio::test]
async fn as_many_watch_as_there_are_places() {
    let site = site(Some(SHOP));
    let watching: Vec<Response> = std::iter::from_fn(|| {
        let answer = ask(&site, Method::GET, "/events");
        (answer.status() == 200).then_some(answer)
    })
    .take(1_000)
    .collect();
    assert_eq!(watching.len(), 100);
    drop(watching);
    assert_eq!(ask(&site, Method::GET, "/events").status(), 200, "their places are free again");
}

/// Whether `value` is what `schema` says, and has nothing besides; where it is not, and why.
fn check(api: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = api.pointer(name.trim_start_matches('#')).ok_or(format!("{at}: there is no {name}"))?;
        return check(api, target, value, at);
    }
    if let Some(options) = schema["oneOf"].as_array() {
        let fits = options.iter().filter(|option| check(api, option, value, at).is_ok()).count();
        return if fits == 1 { Ok(()) } else { Err(format!("{at}: {value} fits {fits} of {options:?}")) };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let fits = |wanted: &Value| wanted == kind || (wanted == "number" && kind == "integer");
    if !kinds.iter().any(fits) {
        return Err(format!("{at}: {value} is {kind}, not {kinds:?}"));
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        return Err(format!("{at}: {value} is none of {allowed:?}"));
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        check(api, &schema["items"], item, &format!("{at}[{number}]"))?;
    }
    let nothing = Object::new();
    let (is, said) =
        (value.as_object().unwrap_or(&nothing), schema["properties"].as_object().unwrap_or(&nothing));
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        is.get(name).ok_or(format!("{at}: there is no {name}"))?;
    }
    for (name, item) in is {
        let schema = said.get(name).or(schema.get("additionalProperties"));
        let schema = schema.ok_or(format!("{at}: nothing is said of {name}"))?;
        check(api, schema, item, &format!("{at}.{name}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn the_json_is_what_its_description_says() {
    let api: Value = serde_saphyr::from_str(OPENAPI).unwrap();
    let site = site(Some(SHOP));
    let (inventory, view) = view(SHOP);
    let mut recorder = Recorder::new(site.sources.timeline.clone());
    recorder.see_containers(&inventory, SystemTime::UNIX_EPOCH);
    recorder.see_view(&view, SystemTime::UNIX_EPOCH);
    recorder.see_clients(&[progress()], &view.snapshot, SystemTime::UNIX_EPOCH);
    let paths = api["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().map(|path| path.trim_start_matches("/api/")).collect();
    assert_eq!(described, API.into_iter().collect());
    let urls = [
        "shop.localhost/cart",
        "shop.localhost/x",
        "nobody.localhost",
        "mail.localhost/",
        "dashboard.localhost",
        "a/%2F",
        "tcp://:5432",
    ];
    for (path, item) in paths {
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let queries: &[&str] = if path == "/api/match" { &urls } else { &[""] };
        for query in queries {
            let (status, body) = read(&site, &format!("{path}?url={query}&service=shop")).await;
            assert_eq!(status, 200, "{path}: {body}");
            let value = serde_json::from_str(&body).unwrap();
            check(&api, schema, &value, path).unwrap();
        }
    }
    let schema = json!({ "$ref": "#/components/schemas/Client" });
    let client = &picture_with(SHOP, &[envoy()]).clients[0];
    check(&api, &schema, &json!(client), "client").unwrap();
    let schema = json!({ "$ref": "#/components/schemas/Traffic" });
    check(&api, &schema, &json!(super::super::traffic::Rates::default()), "traffic").unwrap();
    let (status, refused) = read(&site, "/api/match?url=ftp://a").await;
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    check(&api, &schema, &serde_json::from_str(&refused).unwrap(), "error").unwrap();
    assert_eq!(status, 400);
}

/// What is answered, and its status.
async fn json(site: &Site, url: &str) -> (u16, Value) {
    let (status, body) = read(site, url).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn containers_are_told_with_their_way_as_over_grpc() {
    let site = site(Some(SHOP));
    let (status, all) = json(&site, "/api/workloads").await;
    let names = |all: &Value| -> Vec<String> {
        all["workloads"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!((status, names(&all)), (200, ["cart", "ill", "mail-1", "shop-1"].map(str::to_owned).to_vec()));
    let (_, shop) = json(&site, "/api/workloads?name=shop").await;
    assert_eq!(names(&shop), ["ill", "shop-1"]);
    let ill = &shop["workloads"][0];
    assert_eq!((&ill["takes_requests"], &ill["service"]), (&json!(false), &json!("shop")));
    let health = ill["chain"].as_array().unwrap().iter().find(|step| step["step"] == "health").unwrap();
    assert_eq!(
        (&health["outcome"], &health["reason"]),
        (&json!("stopped"), &json!("it is unhealthy: its health check fails"))
    );
    assert_eq!(names(&json(&site, "/api/workloads?q=fails").await.1), ["ill"]);
    let (status, told) = json(&site, "/api/workloads?name=nobody").await;
    assert_eq!(
        (status, &told["error"]),
        (404, &json!("no container has the name or id \"nobody\", or one that begins so"))
    );
    let (status, told) = json(&site, "/api/workloads?name=shop/").await;
    assert!(status == 409 && told["error"].as_str().unwrap().contains("the beginning of several"), "{told}");
}

#[tokio::test]
async fn a_request_is_matched_by_its_headers_and_told_with_who_would_answer() {
    let site = site(Some(
        r#"
    new: {labels: {portolan.host: a.localhost, portolan.header.x-canary: "yes", portolan.methods: POST}, endpoints: ["127.0.0.1:1"]}
    old: {labels: {portolan.host: a.localhost}, endpoints: ["127.0.0.1:2", {address: "127.0.0.1:3", name: ill, health: unhealthy}]}"#,
    ));
    let (status, old) = json(&site, "/api/match?url=a.localhost&method=POST").await;
    assert_eq!((status, &old["service"]), (200, &json!("old")));
    assert_eq!(
        old["endpoints"],
        json!([{ "container": "old-1", "address": "127.0.0.1:2", "state": "ready" }])
    );
    assert_eq!(old["absent"], json!([{ "container": "ill", "why": "is unhealthy: its health check fails" }]));
    let (_, new) =
        json(&site, "/api/match?url=a.localhost&method=post&header=x-other:1&header=X-Canary:%20yes").await;
    assert_eq!((&new["service"], &new["endpoints"][0]["container"]), (&json!("new"), &json!("new-1")));
    let (status, told) = json(&site, "/api/match?url=a.localhost&header=x").await;
    assert!(status == 400 && told["error"].as_str().unwrap().contains("write NAME:VALUE"), "{told}");
}

#[tokio::test]
async fn containers_and_policies_are_told_without_secrets() {
    let policies = "defaults: {timeout: 7s, request-header.x-key: S3CRET}\nprojects: {shop: {hosts: [a.localhost]}, own: {listen: [db]}}\n\
                    entry-points: {db: {listen: '0.0.0.0:5432', protocol: tcp}}";
    let services = r#"
    web: {labels: {portolan.host: b.localhost, portolan.request-header.authorization: "Bearer S3CRETS3CRET", other: S3CRET}, endpoints: ["127.0.0.1:1"]}"#;
    let site = site_by(Some(services), policies);
    let (status, told) = json(&site, "/api/containers").await;
    let labels = &told["containers"][0]["labels"];
    assert_eq!((status, &labels["portolan.host"]), (200, &json!("b.localhost")));
    assert!(
        labels["portolan.request-header.authorization"].as_str().unwrap().starts_with("hidden-"),
        "{told}"
    );
    assert_eq!(json(&site, "/api/containers").await.1, told, "what stands for a secret stays");
    let (_, policies) = json(&site, "/api/policies").await;
    assert_eq!((&policies["given"], &policies["defaults"]["timeout"]), (&json!(true), &json!("7s")));
    let api: Value = serde_saphyr::from_str(OPENAPI).unwrap();
    check(&api, &json!({ "$ref": "#/components/schemas/Policies" }), &policies, "policies").unwrap();
    assert_eq!(policies["projects"], json!([{ "name": "shop", "hosts": ["a.localhost"] }]));
    assert_eq!(policies["project_ports"], json!([{ "name": "own", "entry_points": ["db"] }]));
    let carries = |number: usize| policies["entry_points"][number]["carries"].as_str();
    assert_eq!([carries(0), carries(1)], [Some("tcp"), Some("http")]);
    assert!(!format!("{told}{policies}").contains("S3CRET"), "{told}{policies}");
}

#[tokio::test]
async fn a_service_is_told_with_how_far_each_client_is() {
    let site = site(Some(SHOP));
    let (status, told) = json(&site, "/api/routed?service=shop").await;
    assert_eq!((status, &told["service"]["endpoints_ready"], &told["clients"]), (200, &json!(1), &json!([])));
    assert_eq!(json(&site, "/api/routed?service=nobody").await.0, 404);
    assert_eq!(json(&site, "/api/routed").await.0, 400);
}
