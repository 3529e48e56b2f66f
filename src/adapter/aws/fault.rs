//! What an answer of AWS means to the engine.

use std::error::Error;
use std::time::Duration;

use aws_sdk_identitystore::config::http::HttpResponse;
use aws_sdk_identitystore::error::{ProvideErrorMetadata, SdkError};
use http_body_util::LengthLimitError;
use serde::Deserialize;

use crate::error::{AdapterError, ErrorKind};

/// Longest wait that is taken over from an answer; a longer one is for the next run.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What the body of an error may hold beside code and message.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Details {
    reason: Option<String>,
    resource_type: Option<String>,
    retry_after_seconds: Option<u64>,
}

/// An error of the adapter for one of the SDK. Neither message nor cause holds what AWS wrote, which may name a person (rule S2):
/// they say what was asked, and the code of the answer.
pub(super) fn of<E>(what: &str, error: &SdkError<E>) -> AdapterError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => no_answer(what),
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            AdapterError::new(ErrorKind::Invalid, format!("{what}: the request cannot be sent as it is"))
        }
        SdkError::DispatchFailure(_) => {
            AdapterError::new(ErrorKind::Transient, format!("{what}: the connection to aws failed"))
        }
        SdkError::ServiceError(answer) => answered(what, answer.err().code(), answer.raw()),
        SdkError::ResponseError(answer) if is_too_long(error) => {
            let status = answer.raw().status().as_u16();
            AdapterError::new(ErrorKind::Permanent, format!("{what}: the answer {status} is too long"))
        }
        // Cut in its middle, or no JSON at all: what it would have said is not known.
        SdkError::ResponseError(answer) => unreadable(what, answer.raw().status().as_u16()),
        // The SDK met no service at all: no credentials, no region, a bad endpoint.
        _ => AdapterError::new(
            ErrorKind::Unauthorized,
            format!("{what}: the request cannot be made; are credentials, region and endpoint there?"),
        ),
    }
}

/// Nothing came back in time.
pub(super) fn no_answer(what: &str) -> AdapterError {
    AdapterError::new(ErrorKind::Transient, format!("{what}: no answer in time"))
}

/// An answer that says it succeeded, and lacks what the API says it holds. It is never taken for an empty one (rule C1).
pub(super) fn incomplete(what: &str, lacks: &str) -> AdapterError {
    AdapterError::new(ErrorKind::Permanent, format!("{what}: the answer has no {lacks}"))
}

/// The page token of the answer was used before: going on would never end, or leave something out (rule C1).
pub(super) fn repeated(what: &str) -> AdapterError {
    AdapterError::new(ErrorKind::Permanent, format!("{what}: a page token came again"))
}

fn answered(what: &str, code: Option<&str>, raw: &HttpResponse) -> AdapterError {
    let status = raw.status().as_u16();
    let Some(code) = code.filter(|code| !code.is_empty()) else { return unreadable(what, status) };
    let details: Details =
        raw.body().bytes().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let kind = match details.resource_type.as_deref() {
        // That there is no such store says nothing about any one record: none of them is gone.
        Some("IDENTITY_STORE") if code == "ResourceNotFoundException" => ErrorKind::Permanent,
        _ => kind_of(code, details.reason.as_deref(), status),
    };
    let error = AdapterError::new(kind, format!("{what}: aws answered {status} {}", plain(code)));
    match wait(&details, raw).filter(|_| kind == ErrorKind::Transient) {
        Some(wait) => error.retry_after(wait),
        None => error,
    }
}

/// An answer without a code: a gateway's page, or a part of an answer.
fn unreadable(what: &str, status: u16) -> AdapterError {
    let kind = match status {
        401 | 403 => ErrorKind::Unauthorized,
        404 | 405 | 501 => ErrorKind::Unsupported,
        // Also 200: an answer that was cut is asked for again.
        _ => ErrorKind::Transient,
    };
    AdapterError::new(kind, format!("{what}: the answer {status} cannot be read"))
}

fn kind_of(code: &str, reason: Option<&str>, status: u16) -> ErrorKind {
    match code {
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "InternalServerException"
        | "InternalServerError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => ErrorKind::Transient,
        "AccessDeniedException"
        | "AccessDenied"
        | "NotAuthorized"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => ErrorKind::Unauthorized,
        "ResourceNotFoundException" => ErrorKind::NotFound,
        // The one code stands for two situations; only the reason tells them apart.
        "ConflictException" if reason == Some("CONCURRENT_MODIFICATION") => ErrorKind::Conflict,
        "ConflictException" => ErrorKind::AlreadyExists,
        "ServiceQuotaExceededException" => ErrorKind::QuotaExceeded,
        "ValidationException" | "ValidationError" | "SerializationException" => ErrorKind::Invalid,
        "UnknownOperationException" | "UnsupportedOperation" | "NotImplemented" | "InvalidAction" => {
            ErrorKind::Unsupported
        }
        _ if status == 429 || status >= 500 => ErrorKind::Transient,
        _ => ErrorKind::Permanent,
    }
}

fn wait(details: &Details, raw: &HttpResponse) -> Option<Duration> {
    let header = || raw.headers().get("retry-after").and_then(|value| value.trim().parse().ok());
    let seconds = details.retry_after_seconds.or_else(header).filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// A code is a word; what is not one is left out of the message.
fn plain(code: &str) -> &str {
    let is_word = code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_word { code } else { "with a code that is no word" }
}

fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    let mut cause = error.source();
    while let Some(one) = cause {
        if one.is::<LengthLimitError>() {
            return true;
        }
        cause = one.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_says_what_may_be_done_about_it() {
        // rules X1, X3
        for (code, status, expected) in [
            ("ThrottlingException", 400, ErrorKind::Transient),
            ("InternalServerException", 500, ErrorKind::Transient),
            ("AccessDeniedException", 400, ErrorKind::Unauthorized),
            ("ExpiredTokenException", 400, ErrorKind::Unauthorized),
            ("ResourceNotFoundException", 400, ErrorKind::NotFound),
            ("ServiceQuotaExceededException", 402, ErrorKind::QuotaExceeded),
            ("ValidationException", 400, ErrorKind::Invalid),
            ("UnknownOperationException", 404, ErrorKind::Unsupported),
            ("OfTomorrowException", 503, ErrorKind::Transient),
            ("OfTomorrowException", 400, ErrorKind::Permanent),
        ] {
            assert_eq!(kind_of(code, None, status), expected, "{code} {status}");
        }
        // One code, two situations.
        let conflict = |reason| kind_of("ConflictException", reason, 409);
        assert_eq!(conflict(Some("CONCURRENT_MODIFICATION")), ErrorKind::Conflict);
        assert_eq!(conflict(Some("UNIQUENESS_CONSTRAINT_VIOLATION")), ErrorKind::AlreadyExists);
        assert_eq!(conflict(None), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_code_that_is_no_word_is_not_repeated() {
        // rule S2
        assert_eq!(plain("ThrottlingException"), "ThrottlingException");
        assert_eq!(plain("ada@example.com"), "with a code that is no word");
        assert_eq!(plain(&"x".repeat(65)), "with a code that is no word");
    }

    #[test]
    fn a_wait_has_an_end() {
        let details = |seconds| Details { retry_after_seconds: seconds, ..Details::default() };
        let raw = || HttpResponse::new(400.try_into().unwrap(), aws_smithy_types::body::SdkBody::empty());
        assert_eq!(wait(&details(None), &raw()), None);
        assert_eq!(wait(&details(Some(0)), &raw()), None);
        assert_eq!(wait(&details(Some(7)), &raw()), Some(Duration::from_secs(7)));
        assert_eq!(wait(&details(Some(u64::MAX)), &raw()), Some(LONGEST_WAIT));
    }
}
