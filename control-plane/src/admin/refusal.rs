//! Errors that a person can read and a program can tell apart: a sentence, and `google.rpc.ErrorInfo` or `BadRequest` beside it.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::naming::NotFound;

/// Whose reasons they are (`ErrorInfo.domain`).
pub(super) const DOMAIN: &str = "portolan.v1";

/// An error with a reason that never changes its spelling.
pub(super) fn refused(code: Code, reason: &str, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

/// A field that has a value it cannot have.
pub(super) fn invalid(field: &str, message: impl Into<String>) -> Status {
    let message = message.into();
    let details = ErrorDetails::with_bad_request_violation(field, message.clone());
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Nothing can be said or changed yet.
pub(super) fn no_view() -> Status {
    let message = "no complete view of the containers yet; the log says what is waited for";
    refused(Code::Unavailable, "NO_VIEW", message)
}

pub(super) fn not_found(error: &NotFound) -> Status {
    let (code, reason) = match error {
        NotFound::NoContainer(_) => (Code::NotFound, "NO_SUCH_CONTAINER"),
        NotFound::SeveralContainers(..) => (Code::FailedPrecondition, "SEVERAL_CONTAINERS"),
        NotFound::NoService(..) => (Code::NotFound, "NO_SUCH_SERVICE"),
        NotFound::SeveralServices(..) => (Code::FailedPrecondition, "SEVERAL_SERVICES"),
    };
    refused(code, reason, error.to_string())
}
