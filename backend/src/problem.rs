//! What a client is told when a request cannot be served.

use lifecycle::http::{Body, BodyError, with_type};
use serde_json::json;
use warp::http::{HeaderValue, StatusCode, header};

/// A status, what is wrong, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    error: String,
    fix: String,
    header: Option<(header::HeaderName, &'static str)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { status, error: error.into(), fix: fix.into(), header: None }
    }

    /// The store does not answer.
    pub(crate) fn away() -> Self {
        let problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store is away", "try again in a moment");
        Self { header: Some((header::RETRY_AFTER, "1")), ..problem }
    }

    /// The path knows other methods only.
    pub(crate) fn method(allowed: &'static str) -> Self {
        let problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not know that method",
            format!("it knows {allowed}"),
        );
        Self { header: Some((header::ALLOW, allowed)), ..problem }
    }

    pub(crate) fn response(&self) -> Body {
        let body = json!({ "error": self.error, "fix": self.fix }).to_string();
        let mut response = with_type(self.status, "application/json", body);
        if let Some((name, value)) = &self.header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Missing => Self::new(
                StatusCode::LENGTH_REQUIRED,
                "the request has no body",
                "send one, with its Content-Length",
            ),
            BodyError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body has more than {} bytes", crate::input::MAX_BODY),
                "send a shorter one",
            ),
            BodyError::Broken => {
                Self::new(StatusCode::BAD_REQUEST, "the body broke off or came too slowly", "send it again")
            }
        }
    }
}
