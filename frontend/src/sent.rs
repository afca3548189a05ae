//! A form that was sent.

use lifecycle::http::{BodyError, Call};
use warp::http::{HeaderMap, StatusCode, header};

use crate::place::{self, Place};
use crate::refusal::Refusal;

/// Most bytes of a form. Whatever the page's own form lets somebody type arrives, so that it can stay there when it is
/// refused: 65,536 letters of three bytes, each of them written as %XX.
const MAX_BODY: usize = 640 * 1024;

/// What the address and the form say.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Where the reader was.
    pub(crate) place: Place,
    /// The message that is meant, where the address says so.
    pub(crate) about: Option<String>,
    pub(crate) key: String,
    pub(crate) value: String,
}

impl Sent {
    pub(crate) async fn read(call: Call) -> Result<Self, Refusal> {
        if is_from_elsewhere(&call.headers) {
            let title = "The form was sent from another site";
            return Err(Refusal::new(StatusCode::FORBIDDEN, title, "Use the form on this page."));
        }
        if call.media_type() != "application/x-www-form-urlencoded" {
            let advice =
                "Send application/x-www-form-urlencoded with key and value; the backend takes JSON as well.";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "That is not a form", advice));
        }
        let query = place::pairs(call.query.as_bytes());
        let body = match call.body(MAX_BODY).await {
            // Not a field is a form too: the address says it all.
            Err(BodyError::Missing) => Vec::new(),
            body => body?,
        };
        let form = place::pairs(&body);
        let field = |name| place::value(&form, name).unwrap_or_default();
        Ok(Self {
            place: Place::of(&query),
            about: place::value(&query, "key").map(str::to_owned),
            key: field("key").to_owned(),
            // A form's lines end with CR LF, whatever was typed (HTML, section 4.10.22.4).
            value: field("value").replace("\r\n", "\n"),
        })
    }

    /// The key of the message it is about.
    pub(crate) fn key(&self) -> &str {
        self.about.as_deref().unwrap_or(&self.key)
    }
}

/// Browsers say where a form comes from; a form of another site must not change anything here. Programs say nothing.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    if let Some(site) = site {
        return !matches!(site, "same-origin" | "none");
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    origin.is_some_and(|origin| origin.split_once("://").map(|(_, host)| host) != host)
}
