//! What a request means.

use std::hash::{DefaultHasher, Hash, Hasher};

use lifecycle::http::{Body, Call, text, with_type};
use lifecycle::trace::Origin;
use tracing::error;
use warp::http::{HeaderValue, Method, StatusCode, header};

use crate::backend::{Backend, Failure, Listed};
use crate::list::{List, SHOWN, named};
use crate::page::{Doomed, Form, Notice, Page, Templates, Way};
use crate::place::{self, Place};
use crate::refusal::Refusal;
use crate::sent::Sent;

const NOT_SHOWN: &str = "The messages cannot be shown";
const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

/// What every page says to the browser: nothing is loaded from elsewhere, nothing runs, nobody may frame it.
const SECURITY_HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Names and values.
type Query = [(String, String)];

#[derive(Debug)]
pub(crate) struct Site {
    replica: String,
    backend: Backend,
    templates: Templates,
    /// Of what goes with the pages: it is part of the address, so that no page is shown with an old one, and whoever has it
    /// need not ask again.
    edition: String,
}

/// What the address of the page asks for besides the list.
#[derive(Debug, PartialEq, Eq)]
enum About {
    Nothing,
    /// To change a message.
    Change(String),
    /// To say that one was saved just now: a new one,
    Saved(String),
    /// or one that was there;
    Changed(String),
    /// or that one was deleted.
    Deleted(String),
}

impl About {
    fn of(query: &Query) -> Self {
        let key = |name| place::value(query, name).map(str::to_owned);
        let change = key("key").map(Self::Change);
        let saved = || key("saved").map(Self::Saved);
        let changed = || key("changed").map(Self::Changed);
        let deleted = || key("deleted").map(Self::Deleted);
        change.or_else(saved).or_else(changed).or_else(deleted).unwrap_or(Self::Nothing)
    }

    /// What says so in a query.
    fn pair(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Nothing => None,
            Self::Change(key) => Some(("key", key)),
            Self::Saved(key) => Some(("saved", key)),
            Self::Changed(key) => Some(("changed", key)),
            Self::Deleted(key) => Some(("deleted", key)),
        }
    }

    /// What is said of it, if it is so: an address is old soon, and anybody can make one up.
    fn notice(&self, is_there: bool) -> Option<Notice> {
        let (key, text) = match self {
            Self::Saved(key) if is_there => (key, "is saved."),
            Self::Changed(key) if is_there => (key, "has its new value."),
            Self::Deleted(key) if !is_there => (key, "is deleted."),
            _ => return None,
        };
        Some(Notice { subject: named(key), text })
    }
}

impl Site {
    pub(crate) fn new(replica: String, backend: Backend) -> anyhow::Result<Self> {
        let mut hasher = DefaultHasher::new();
        (STYLE, ICON).hash(&mut hasher);
        let edition = format!("{:x}", hasher.finish());
        Ok(Self { replica, backend, templates: Templates::new()?, edition })
    }

    pub(crate) async fn answer(&self, call: Call) -> Body {
        let query = place::pairs(call.query.as_bytes());
        let mut response = match (call.path.as_str(), call.verb()) {
            ("/", Method::GET) => self.messages(&query, &call.origin).await,
            ("/messages", Method::POST) => self.save(call).await,
            ("/delete", Method::GET) => self.ask_to_delete(&query, &call.origin).await,
            ("/delete", Method::POST) => self.delete(call).await,
            ("/messages", Method::GET) => redirect(StatusCode::FOUND, "/"),
            ("/style.css", Method::GET) => return self.fixed(&call, "text/css; charset=utf-8", STYLE),
            ("/icon.svg", Method::GET) => return self.fixed(&call, "image/svg+xml", ICON),
            ("/" | "/style.css" | "/icon.svg", _) => self.method("GET, HEAD"),
            ("/messages" | "/delete", _) => self.method("GET, HEAD, POST"),
            _ => self.refuse(Refusal::new(
                StatusCode::NOT_FOUND,
                "There is no such page",
                "Its address may be mistyped.",
            )),
        };
        for (name, value) in SECURITY_HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    async fn messages(&self, query: &Query, origin: &Origin) -> Body {
        let (place, about) = (Place::of(query), About::of(query));
        let looked_up = async {
            match about.pair() {
                Some((_, key)) => self.backend.get(key, origin).await,
                None => Ok(None),
            }
        };
        let (listed, value) = tokio::join!(self.backend.list(&place, SHOWN + 1, origin), looked_up);
        let mut page = self.page("messages", "Messages");
        page.form = Form::new(&place, String::new(), String::new());
        let mut refused = None;
        match (value, &about) {
            (Ok(Some(value)), About::Change(key)) => page.form = Form::changing(&place, key, value),
            (Ok(None), About::Change(key)) => refused = Some(Refusal::unknown(key)),
            (Ok(value), about) => page.notice = about.notice(value.is_some()),
            // The list fails for the same reason.
            (Err(Failure::Away | Failure::StoreAway), _) => {}
            (Err(failure), _) => refused = Some(Refusal::failed(NOT_SHOWN, failure)),
        }
        self.finish(page, (&place, &about), listed, refused)
    }

    /// The form was sent: store, and lead back to the page, so that a reload does not send it again.
    async fn save(&self, call: Call) -> Body {
        let origin = call.origin.clone();
        let sent = match Sent::read(call).await {
            Ok(sent) => sent,
            Err(refusal) => return self.refuse(refusal),
        };
        let failure = match self.backend.save(sent.key(), &sent.value, &origin).await {
            Ok(new) => {
                let about = if new { "saved" } else { "changed" };
                let back = sent.place.link("/", Some((about, sent.key())));
                return redirect(StatusCode::SEE_OTHER, &back);
            }
            Err(failure) => failure,
        };
        let listed = self.backend.list(&sent.place, SHOWN + 1, &origin).await;
        let mut page = self.page("messages", "Messages");
        page.form = match &sent.about {
            Some(key) => Form::changing(&sent.place, key, sent.value),
            None => Form::new(&sent.place, sent.key, sent.value),
        };
        let mut refusal = Refusal::failed("The message could not be saved", failure);
        refusal.problem.advice += " What you typed is still here.";
        self.finish(page, (&sent.place, &About::Nothing), listed, Some(refusal))
    }

    async fn ask_to_delete(&self, query: &Query, origin: &Origin) -> Body {
        let key = place::value(query, "key").unwrap_or_default();
        self.doom(&Place::of(query), key, origin, None).await
    }

    async fn delete(&self, call: Call) -> Body {
        let origin = call.origin.clone();
        let sent = match Sent::read(call).await {
            Ok(sent) => sent,
            Err(refusal) => return self.refuse(refusal),
        };
        match self.backend.delete(sent.key(), &origin).await {
            Ok(()) => {
                let back = sent.place.link("/", Some(("deleted", sent.key())));
                redirect(StatusCode::SEE_OTHER, &back)
            }
            Err(failure) => {
                let refusal = Refusal::failed("The message could not be deleted", failure);
                self.doom(&sent.place, sent.key(), &origin, Some(refusal)).await
            }
        }
    }

    /// The page that asks whether a message shall be deleted.
    async fn doom(&self, place: &Place, key: &str, origin: &Origin, refused: Option<Refusal>) -> Body {
        let again = place.link("/delete", Some(("key", key)));
        let value = match self.backend.get(key, origin).await {
            Ok(Some(value)) => value,
            Ok(None) => return self.refuse(refused.unwrap_or_else(|| Refusal::unknown(key))),
            Err(failure) => {
                let refusal = refused.unwrap_or_else(|| Refusal::failed(NOT_SHOWN, failure));
                return self.refuse(refusal.again(again));
            }
        };
        let mut page = self.page("delete", format!("Delete “{}”?", named(key)));
        page.doomed = Some(Doomed::of(place, key, &value));
        self.render(page, refused)
    }

    /// The page with its list. Where the list cannot be had, that is what the page says.
    fn finish(
        &self,
        mut page: Page<'_>,
        (place, about): (&Place, &About),
        listed: Result<Listed, Failure>,
        refused: Option<Refusal>,
    ) -> Body {
        page.way = Some(Way::of(&listed, |listed| &listed.by));
        let refused = match listed {
            Ok(listed) => {
                let subject = about.pair().map(|(_, key)| key);
                let Some(list) = List::of(place, listed, subject) else {
                    return redirect(StatusCode::FOUND, &Place::First.link("/", about.pair()));
                };
                page.list = Some(list);
                refused
            }
            Err(failure) => refused
                .or_else(|| Some(Refusal::failed(NOT_SHOWN, failure).again(place.link("/", about.pair())))),
        };
        self.render(page, refused)
    }

    /// A page that says what is wrong, and nothing else.
    fn refuse(&self, refusal: Refusal) -> Body {
        let page = self.page("lost", refusal.problem.title.clone());
        self.render(page, Some(refusal))
    }

    fn method(&self, allowed: &'static str) -> Body {
        let refusal = Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "This page does not know that method",
            format!("It knows {allowed}."),
        );
        let mut response = self.refuse(refusal);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        response
    }

    /// What is compiled in. A replica of another edition answers with its own, which nobody keeps.
    fn fixed(&self, call: &Call, media_type: &'static str, body: &'static str) -> Body {
        let keep = if call.query == self.edition { "max-age=31536000, immutable" } else { "no-store" };
        let mut response = with_type(StatusCode::OK, media_type, body);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
        response
    }

    fn page(&self, name: &'static str, title: impl Into<String>) -> Page<'_> {
        Page {
            name,
            title: title.into(),
            edition: &self.edition,
            replica: &self.replica,
            notice: None,
            problem: None,
            way: None,
            form: Form::default(),
            list: None,
            doomed: None,
        }
    }

    fn render(&self, mut page: Page<'_>, refused: Option<Refusal>) -> Body {
        let mut status = StatusCode::OK;
        if let Some(refusal) = refused {
            // The first that is read out.
            if page.name != "lost" {
                page.title = format!("{}: {}", refusal.problem.title, page.title);
            }
            status = refusal.status;
            page.problem = Some(refusal.problem);
        }
        let mut response = match self.templates.render(&page) {
            Ok(html) => with_type(status, "text/html; charset=utf-8", html),
            Err(error) => {
                error!("the page {} cannot be rendered: {error}", page.name);
                text(StatusCode::SERVICE_UNAVAILABLE, "The page cannot be shown at the moment.\n")
            }
        };
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn redirect(status: StatusCode, to: &str) -> Body {
    let mut response = Body::default();
    *response.status_mut() = status;
    // A link is percent-encoded, and so it is a header.
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, to);
    response
}
