//! What a person is told when something cannot be done.

use lifecycle::http::BodyError;
use warp::http::StatusCode;

use crate::backend::Failure;
use crate::list::named;
use crate::page::Problem;

/// A status, and what the page says about it.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) problem: Problem,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, title: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status, problem: Problem { title: title.into(), advice: advice.into(), again: None } }
    }

    /// The same, with a link to where it can be tried again.
    pub(crate) fn again(mut self, at: String) -> Self {
        self.problem.again = Some(at);
        self
    }

    /// There is no message of this name.
    pub(crate) fn unknown(key: &str) -> Self {
        let title = format!("There is no message “{}”", named(key));
        Self::new(StatusCode::NOT_FOUND, title, "Somebody may have deleted it meanwhile.")
    }

    /// The backend did not do it; `what` says what that is, as a sentence.
    pub(crate) fn failed(what: &str, failure: Failure) -> Self {
        let away = |who: &str| {
            let advice = format!("{who} does not answer. Nothing is lost that was saved.");
            Self::new(StatusCode::SERVICE_UNAVAILABLE, what, advice)
        };
        match failure {
            Failure::Away => away("The backend"),
            Failure::StoreAway => away("Redis, where they are kept,"),
            Failure::Refused { status, error, fix } => Self::new(
                StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST),
                format!("{what}: {error}"),
                sentence(&fix),
            ),
        }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Missing => Self::new(
                StatusCode::LENGTH_REQUIRED,
                "The form is empty",
                "Send it with its Content-Length.",
            ),
            BodyError::TooLarge => {
                let advice = "Nothing was saved. A value has at most 64 KiB.";
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The form is too long", advice)
            }
            BodyError::Broken => {
                Self::new(StatusCode::BAD_REQUEST, "The form did not arrive whole", "Send it again.")
            }
        }
    }
}

/// The backend's words begin small and end without a stop.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
