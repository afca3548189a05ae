//! What a request means.

use lifecycle::http::{Body, BodyError, Call, text, with_type};
use lifecycle::trace::Origin;
use tracing::error;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::backend::{Backend, Failure};
use crate::page::{Form, Message, Page, Problem, Template};

/// Most bytes of a request's body.
const MAX_BODY: usize = 128 * 1024;
/// Most messages on the page.
const SHOWN: usize = 200;
const STYLE: &str = include_str!("style.css");

/// What every page says to the browser: nothing is loaded from elsewhere, nothing runs, nobody may frame it.
const SECURITY_HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

#[derive(Debug)]
pub(crate) struct Site {
    replica: String,
    backend: Backend,
    template: Template,
}

/// A status, and what the page says about it.
type Refusal = (StatusCode, Problem);

impl Site {
    pub(crate) fn new(replica: String, backend: Backend) -> anyhow::Result<Self> {
        Ok(Self { replica, backend, template: Template::new()? })
    }

    pub(crate) async fn answer(&self, call: Call) -> Body {
        let mut response = match (call.path.as_str(), call.verb()) {
            ("/", Method::GET) => self.page(&call.origin, Form::default(), None).await,
            ("/messages", Method::POST) => self.save(call).await,
            ("/messages", Method::GET) => redirect(StatusCode::FOUND),
            ("/style.css", Method::GET) => return style(),
            ("/", _) => self.method("GET, HEAD"),
            ("/messages", _) => self.method("GET, HEAD, POST"),
            ("/style.css", _) => self.method("GET, HEAD"),
            _ => {
                self.refuse(refusal(StatusCode::NOT_FOUND, "There is no such page", "The messages are at /."))
            }
        };
        for (name, value) in SECURITY_HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    /// The form was sent: store, and lead back to the page, so that a reload does not send it again.
    async fn save(&self, call: Call) -> Body {
        if is_from_elsewhere(&call.headers) {
            let advice = "Use the form on this page.";
            return self.refuse(refusal(
                StatusCode::FORBIDDEN,
                "The form was sent from another site",
                advice,
            ));
        }
        if call.media_type() != "application/x-www-form-urlencoded" {
            let advice =
                "Send application/x-www-form-urlencoded with key and value; the backend takes JSON as well.";
            return self.refuse(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "That is not a form", advice));
        }
        let origin = call.origin.clone();
        let body = match call.body(MAX_BODY).await {
            Ok(body) => body,
            Err(error) => return self.refuse(unread(&error)),
        };
        let mut form = Form::default();
        for (name, value) in form_urlencoded::parse(&body) {
            match &*name {
                "key" => form.key = value.into_owned(),
                "value" => form.value = value.into_owned(),
                _ => {}
            }
        }
        match self.backend.save(&form.key, &form.value, &origin).await {
            Ok(()) => redirect(StatusCode::SEE_OTHER),
            Err(failure) => self.page(&origin, form, Some(failed("could not be saved", failure))).await,
        }
    }

    /// The page with its list. Where the list cannot be had, that is what the page says.
    async fn page(&self, origin: &Origin, form: Form, refused: Option<Refusal>) -> Body {
        let list = self.backend.list(SHOWN + 1, origin).await;
        let mut page = Page { replica: &self.replica, form, shown: SHOWN, ..Page::default() };
        let refused = match list {
            Ok(list) => {
                page.listed = true;
                page.more = list.len() > SHOWN;
                page.messages =
                    list.into_iter().take(SHOWN).map(|(key, value)| Message { key, value }).collect();
                refused
            }
            Err(failure) => refused.or_else(|| Some(failed("cannot be shown", failure))),
        };
        let (status, problem) =
            refused.map_or((StatusCode::OK, None), |(status, problem)| (status, Some(problem)));
        page.problem = problem;
        self.render(status, &page)
    }

    /// A page with a problem and nothing else to ask the backend for.
    fn refuse(&self, (status, problem): Refusal) -> Body {
        self.render(status, &Page { replica: &self.replica, problem: Some(problem), ..Page::default() })
    }

    fn method(&self, allowed: &'static str) -> Body {
        let refusal = refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "This page does not know that method",
            "The messages are at /.",
        );
        let mut response = self.refuse(refusal);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        response
    }

    fn render(&self, status: StatusCode, page: &Page<'_>) -> Body {
        let mut response = match self.template.render(page) {
            Ok(html) => with_type(status, "text/html; charset=utf-8", html),
            Err(error) => {
                error!("the page cannot be rendered: {error}");
                text(StatusCode::SERVICE_UNAVAILABLE, "The page cannot be shown at the moment.\n")
            }
        };
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn refusal(status: StatusCode, title: &str, advice: &str) -> Refusal {
    (status, Problem { title: title.to_owned(), advice: advice.to_owned() })
}

fn unread(error: &BodyError) -> Refusal {
    match error {
        BodyError::Missing => {
            refusal(StatusCode::LENGTH_REQUIRED, "The form is empty", "Send it with its Content-Length.")
        }
        BodyError::TooLarge => {
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "The form is too long", "Send at most 128 KiB.")
        }
        BodyError::Broken => {
            refusal(StatusCode::BAD_REQUEST, "The form did not arrive whole", "Send it again.")
        }
    }
}

fn failed(what: &str, failure: Failure) -> Refusal {
    match failure {
        Failure::Away => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("The messages {what}"),
            "The store is away for the moment. Nothing is lost that was saved; try again shortly.",
        ),
        Failure::Refused { status, error, fix } => refusal(
            StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
            &format!("The message {what}: {error}"),
            &fix,
        ),
    }
}

/// Browsers say where a form comes from; a form of another site must not store anything here. Programs say nothing.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    if let Some(site) = site {
        return !matches!(site, "same-origin" | "none");
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin.is_some_and(|origin| origin.split_once("://").map(|(_, host)| host) != host)
}

fn redirect(status: StatusCode) -> Body {
    let mut response = Body::default();
    *response.status_mut() = status;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    response
}

fn style() -> Body {
    let mut response = with_type(StatusCode::OK, "text/css; charset=utf-8", STYLE);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    response
}
