//! The pages, over real sockets, before a backend of these tests.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use lifecycle::http::{Body, Call, Options, serve, with_type};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use warp::http::Method;

const EVIL: &str = "<script>alert(1)</script>\" onfocus='x' {{replica}} </textarea>";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    backend: frontend::BackendOptions,
}

/// A frontend and its backend, on ports of their own.
struct World {
    url: String,
    stored: Arc<Mutex<BTreeMap<String, String>>>,
    client: Client,
    /// Ends the backend.
    away: CancellationToken,
    servers: JoinSet<anyhow::Result<()>>,
}

impl World {
    async fn start() -> Self {
        let stored = Arc::<Mutex<BTreeMap<String, String>>>::default();
        let (away, mut servers) = (CancellationToken::new(), JoinSet::new());
        let (listener, options) = bind("backend-1").await;
        let cli = Cli::parse_from(["frontend", "--backend-url", &format!("http://{}", options.listen)]);
        let (token, messages) = (away.clone(), Arc::clone(&stored));
        servers.spawn(async move {
            let handler = move |call| {
                let messages = Arc::clone(&messages);
                async move { backend(call, &mut *messages.lock().await).await }
            };
            serve(listener, &options, token, handler).await
        });
        let (listener, options) = bind("frontend-1").await;
        let url = format!("http://{}", options.listen);
        let open = cli.backend.open().unwrap();
        servers
            .spawn(async move { frontend::serve(listener, &options, open, CancellationToken::new()).await });
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { url, stored, client, away, servers }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).form(fields)
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.form(path, fields).send().await.unwrap()
    }

    /// Sends a form that succeeds, and follows to where it leads.
    async fn follow(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 303, "a reload must not send it again");
        let (status, page) = self.get(&location).await;
        assert_eq!(status, 200, "{location}: {page}");
        page
    }

    async fn store(&self, key: &str, value: &str) {
        self.stored.lock().await.insert(key.to_owned(), value.to_owned());
    }
}

async fn bind(replica: &str) -> (TcpListener, Options) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options {
        listen: listener.local_addr().unwrap(),
        replica: Some(replica.to_owned()),
        drain_delay: Duration::ZERO,
        stop_timeout: Duration::ZERO,
    };
    (listener, options)
}

/// What the real one does. A key that says so makes it fail.
async fn backend(call: Call, messages: &mut BTreeMap<String, String>) -> Body {
    let answer = |status: u16, body: serde_json::Value| {
        with_type(StatusCode::from_u16(status).unwrap(), "application/json", body.to_string())
    };
    let one = call.path.strip_prefix("/messages/").map(str::to_owned);
    let one = one.map(|key| percent_encoding::percent_decode_str(&key).decode_utf8().unwrap().into_owned());
    if messages.contains_key("store-is-away") {
        return answer(503, serde_json::json!({ "error": "the store is away", "fix": "try again" }));
    }
    match (call.method.clone(), one) {
        (Method::GET, None) => {
            let query: BTreeMap<String, String> =
                form_urlencoded::parse(call.query.as_bytes()).into_owned().collect();
            let (after, before) = (query.get("after"), query.get("before"));
            let fits = |key: &String| {
                after.is_none_or(|after| key > after) && before.is_none_or(|before| key < before)
            };
            let mut found: Vec<(&String, &String)> = messages.iter().filter(|(key, _)| fits(key)).collect();
            let limit = query["limit"].parse().unwrap();
            if before.is_some() {
                found.drain(..found.len().saturating_sub(limit));
            }
            found.truncate(limit);
            let page = found.into_iter().collect::<BTreeMap<_, _>>();
            let mut answer = answer(200, serde_json::json!(page));
            answer.headers_mut().insert("x-total-count", messages.len().into());
            answer
        }
        (Method::GET, Some(key)) => match messages.get(&key) {
            Some(value) => answer(200, serde_json::json!({ "key": key, "value": value })),
            None => answer(404, serde_json::json!({ "error": "nothing is stored", "fix": "see /messages" })),
        },
        (Method::DELETE, Some(key)) => match messages.remove(&key) {
            Some(_) => answer(204, serde_json::Value::Null),
            None => answer(404, serde_json::json!({ "error": "nothing is stored", "fix": "see /messages" })),
        },
        _ => {
            let body: BTreeMap<String, String> =
                serde_json::from_slice(&call.body(1 << 20).await.unwrap()).unwrap();
            if body["value"].len() > 65_536 {
                let error = format!("the value has {} bytes", body["value"].len());
                let fix = "send at most 65536 bytes";
                return answer(422, serde_json::json!({ "error": error, "fix": fix }));
            }
            let old = messages.insert(body["key"].clone(), body["value"].clone());
            answer(if old.is_none() { 201 } else { 200 }, serde_json::json!(body))
        }
    }
}

/// The values of every `name="..."`.
fn attributes(page: &str, name: &str) -> Vec<String> {
    let start = format!("{name}=\"");
    let values = page.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
    values.map(|value| value.replace("&amp;", "&").replace("&#x3D;", "=")).collect()
}

#[tokio::test]
async fn a_message_is_saved_changed_and_deleted() {
    let world = World::start().await;
    let (_, empty) = world.get("/").await;
    assert!(empty.contains("Nothing yet") && empty.contains("<strong>frontend-1</strong>"), "{empty}");

    let saved = world.follow("/messages", &[("key", "ship"), ("value", "Santa\r\nMaria")]).await;
    assert!(saved.contains("“<b>ship</b>” is saved."), "{saved}");
    assert!(saved.contains(">Santa\nMaria</td>") && saved.contains("1 message<"), "{saved}");
    assert!(saved.contains("<b>backend-1</b>"), "which backend answered: {saved}");

    let (_, form) = world.get("/?key=ship").await;
    assert!(form.contains("Change “ship”") && form.contains("\nSanta\nMaria</textarea>"), "{form}");
    let changed = world.follow("/messages?key=ship", &[("value", "Pinta")]).await;
    assert!(
        changed.contains("“<b>ship</b>” has its new value.") && changed.contains(">Pinta</td>"),
        "{changed}"
    );

    let (_, question) = world.get("/delete?key=ship").await;
    assert!(question.contains("Delete “ship”?") && question.contains(">Pinta</blockquote>"), "{question}");
    assert_eq!(world.stored.lock().await.len(), 1, "it only asks");
    let deleted = world.follow("/delete?key=ship", &[]).await;
    assert!(deleted.contains("“<b>ship</b>” is deleted.") && deleted.contains("Nothing yet"), "{deleted}");
    let again = world.follow("/delete?key=ship", &[]).await;
    assert!(again.contains("is deleted"), "somebody else was faster: {again}");
}

#[tokio::test]
async fn an_address_that_is_not_true_any_more_says_nothing() {
    let world = World::start().await;
    world.store("ship", "Nina").await;
    for path in ["/?saved=gone", "/?changed=gone", "/?deleted=ship"] {
        let (status, page) = world.get(path).await;
        assert!(status == 200 && !page.contains("role=\"status\""), "{path}: {page}");
    }
    for path in ["/?key=gone", "/delete?key=gone"] {
        let (status, page) = world.get(path).await;
        assert!(status == 404 && page.contains("There is no message “gone”"), "{path}: {page}");
    }
}

#[tokio::test]
async fn what_is_refused_stays_in_the_form() {
    let world = World::start().await;
    // As long as the form lets anybody type, of the letters that are longest when they are sent.
    let long = "€".repeat(65_536);
    let answer = world.post("/messages", &[("key", "ship"), ("value", &long)]).await;
    assert_eq!(answer.status(), 422);
    let page = answer.text().await.unwrap();
    assert!(page.contains("The message could not be saved: the value has 196608 bytes"), "{page:.9000}");
    assert!(page.contains("Send at most 65536 bytes. What you typed is still here."));
    assert!(page.contains("value=\"ship\"") && page.contains(&format!("\n{long}</textarea>")));
    assert!(page.contains("<title>The message could not be saved: "));

    let answer = world.post("/messages", &[("key", "ship"), ("value", &"€".repeat(90_000))]).await;
    assert_eq!(answer.status(), 413);
    assert!(answer.text().await.unwrap().contains("The form is too long"));
    assert!(world.stored.lock().await.is_empty());
}

#[tokio::test]
async fn without_its_store_the_page_says_what_does_not_answer() {
    let world = World::start().await;
    world.store("store-is-away", "").await;
    let answer = world.post("/messages", &[("key", "k"), ("value", "typed")]).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    let page = answer.text().await.unwrap();
    assert!(page.contains("The message could not be saved") && page.contains("typed</textarea>"), "{page}");
    let (status, page) = world.get("/").await;
    assert!(status == 503 && page.contains("The messages cannot be shown"), "{page}");
    assert!(page.contains("Redis, where they are kept, does not answer"), "{page}");
    assert!(page.contains("class=\"away\"><small>store</small> <b>Redis: no answer</b>"), "{page}");
    assert!(page.contains("<a href=\"/\">Try again</a>"), "{page}");
    assert!(!page.contains("Nothing yet"), "nobody knows");
    for (status, page) in [world.get("/delete?key=a").await, world.get("/?key=a").await] {
        assert!(status == 503 && page.contains("does not answer") && page.contains("key&#x3D;a"), "{page}");
    }
}

#[tokio::test]
async fn without_its_backend_the_page_says_so() {
    let mut world = World::start().await;
    world.away.cancel();
    world.servers.join_next().await.unwrap().unwrap().unwrap();
    let (status, page) = world.get("/").await;
    assert!(status == 503 && page.contains("The backend does not answer"), "{page}");
    assert!(page.contains("class=\"away\"><small>backend</small> <b>no answer</b>"), "{page}");
    let answer = world.post("/delete?key=ship", &[]).await;
    assert_eq!(answer.status(), 503);
    let page = answer.text().await.unwrap();
    assert!(
        page.contains("The message could not be deleted") && page.contains("/delete?key&#x3D;ship"),
        "{page}"
    );
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_each_message_is_on_one() {
    let world = World::start().await;
    for number in 0..120 {
        world.store(&format!("k{number:03}"), "v").await;
    }
    let (mut path, mut seen, mut back) = ("/".to_owned(), Vec::new(), Vec::new());
    loop {
        let (status, page) = world.get(&path).await;
        assert!(status == 200 && page.contains(">120 messages<"), "{path}: {page}");
        let keys: Vec<String> =
            page.split("dir=\"auto\">k").skip(1).map(|rest| rest[..3].to_owned()).collect();
        assert!(keys.len() <= 50 && !keys.is_empty());
        seen.extend(keys);
        back.push(path);
        match page.split("rel=\"next\"").next().filter(|_| page.contains("rel=\"next\"")) {
            Some(before) => path = attributes(before, "href").pop().unwrap(),
            None => break,
        }
    }
    let all: Vec<String> = (0..120).map(|number| format!("{number:03}")).collect();
    assert_eq!((seen, back.len()), (all, 3));

    // What is deleted on the second page leads back there, and so does what is saved.
    let (_, page) = world.get("/?after=k049").await;
    let delete = attributes(&page, "href").into_iter().find(|link| link.starts_with("/delete?key=k060"));
    let page = world.follow(&delete.unwrap(), &[]).await;
    assert!(
        page.contains(">k059<") && !page.contains("dir=\"auto\">k060<") && page.contains(">k100<"),
        "{page}"
    );
    let page = world.follow("/messages?key=k061&after=k049", &[("value", "w")]).await;
    assert!(
        page.contains("class=\"subject\"><th role=\"rowheader\" scope=\"row\" dir=\"auto\">k061<"),
        "{page}"
    );
    // Back is the first page, however little is before it.
    let answer = world.client.get(format!("{}/?before=k010&deleted=x", world.url)).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (302, &"/?deleted=x".parse().unwrap())
    );
}

#[tokio::test]
async fn everything_that_was_typed_is_escaped_and_every_link_leads_somewhere() {
    let world = World::start().await;
    for (key, value) in
        [(EVIL, EVIL), ("../a b&c=d#e?f+ü", ""), (" ", "\nfirst line is empty"), ("a\r\nb", "x")]
    {
        world.store(key, value).await;
    }
    world.store("long", &"€ ".repeat(9_000)).await;
    let (mut open, mut seen) = (vec!["/".to_owned()], BTreeSet::new());
    while let Some(path) = open.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let (status, page) = world.get(&path).await;
        assert_eq!(status, 200, "{path}: {page}");
        assert!(
            !page.contains("<script") && !page.contains("\" onfocus") && !page.contains("</textarea> "),
            "{page}"
        );
        open.extend(attributes(&page, "href").into_iter().filter(|link| link.starts_with('/')));
        open.extend(attributes(&page, "src"));
        open.extend(attributes(&page, "action").into_iter().filter(|link| link.starts_with("/delete")));
    }
    assert!(seen.len() > 12, "a change and a deletion for each: {seen:?}");
    let (_, page) = world.get("/?key=%20").await;
    assert!(page.contains(">\n\nfirst line is empty</textarea>"), "HTML takes one line break away: {page}");
    let (_, page) = world.get("/").await;
    assert!(page.contains("all 36,000 bytes"), "how long the rest is: {page}");
    assert!(page.len() < 20_000, "{}", page.len());
    for path in seen.iter().filter(|path| path.starts_with("/delete")) {
        world.follow(path, &[]).await;
    }
    assert!(world.stored.lock().await.is_empty(), "each link meant its own: {:?}", world.stored.lock().await);
}

#[tokio::test]
async fn a_page_that_is_loaded_again_is_one_request() {
    let world = World::start().await;
    let (_, page) = world.get("/").await;
    let (style, icon) = (attributes(&page, "href").swap_remove(0), attributes(&page, "src").swap_remove(0));
    // Where each request goes to the next of three replicas, a page of three requests would always come from the same.
    for path in [&style, &icon] {
        let answer = world.client.get(format!("{}{path}", world.url)).send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "max-age=31536000, immutable", "{path}");
    }
    for path in ["/style.css", "/style.css?of-another-edition"] {
        let answer = world.client.get(format!("{}{path}", world.url)).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["cache-control"]),
            (200, &"no-store".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn what_is_no_page_of_ours_is_told() {
    let world = World::start().await;
    let (status, page) = world.get("/nothing").await;
    assert!(
        status == 404 && page.contains("There is no such page") && page.contains("To the messages"),
        "{page}"
    );
    let elsewhere = |request: RequestBuilder| async {
        let answer = request.header("sec-fetch-site", "cross-site").send().await.unwrap();
        assert_eq!(answer.status(), 403);
    };
    world.store("ship", "Nina").await;
    elsewhere(world.form("/messages", &[("key", "k"), ("value", "v")])).await;
    elsewhere(world.form("/delete?key=ship", &[])).await;
    assert_eq!(world.stored.lock().await.len(), 1, "nothing came, nothing went");
    let json = world.client.post(format!("{}/messages", world.url)).json(&1).send().await.unwrap();
    assert_eq!(json.status(), 415);
    let put = world.client.put(format!("{}/delete", world.url)).send().await.unwrap();
    assert_eq!((put.status().as_u16(), &put.headers()["allow"]), (405, &"GET, HEAD, POST".parse().unwrap()));
    let policy = put.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script"), "{policy}");
}
