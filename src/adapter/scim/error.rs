//! Everything that can go wrong here, mapped once to what the caller may do about it (rule X3).

use std::time::Duration;

use crate::error::{ErrorKind, StoreError};
use crate::id::StoreId;

/// What went wrong. It holds no value of a record, no address and no token (rule S2): not even what the server says about it,
/// which often quotes a name.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer, or half of one: what was asked for may have happened.
    NoAnswer(&'static str),
    /// The server answered with an error.
    Refused(Refusal),
    /// An answer that is no SCIM.
    Malformed(&'static str),
    /// An answer beyond its bound.
    TooLarge(&'static str, usize),
    /// The provider has no token.
    Token(StoreError),
    /// Refused by this adapter, before anything was sent.
    Invalid(String),
    /// The server, or the options, lack what is asked for.
    Unsupported(&'static str),
    /// A record with this unique value or external id is there.
    Exists(&'static str),
    /// The record is not as it should be.
    Conflict(&'static str),
    /// The record is not there.
    NotFound,
    /// A fault of somebody else's making that trying again does not mend.
    Permanent(&'static str),
    /// From the ledger.
    Ledger(StoreError),
    /// Some of a request's parts were done before this.
    Half(Box<Fault>),
    /// Of members that should go out one by one, some are out, and some were refused.
    Partly { out: Vec<StoreId>, refused: Vec<StoreId> },
}

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// One of the words of RFC 7644, table 9.
    pub(super) scim_type: Option<&'static str>,
    pub(super) wait: Option<Duration>,
}

const SCIM_TYPES: [&str; 10] = [
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "sensitive",
];

impl Refusal {
    pub(super) fn new(status: u16, scim_type: Option<&str>, wait: Option<Duration>) -> Self {
        let known = SCIM_TYPES.into_iter();
        let scim_type =
            scim_type.and_then(|said| known.into_iter().find(|word| word.eq_ignore_ascii_case(said)));
        Self { status, scim_type, wait }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self.status {
            _ if self.scim_type == Some("uniqueness") => ErrorKind::AlreadyExists,
            401 | 403 => ErrorKind::Unauthorized,
            404 | 410 => ErrorKind::NotFound,
            409 => ErrorKind::AlreadyExists,
            412 | 428 => ErrorKind::Conflict,
            402 | 507 => ErrorKind::QuotaExceeded,
            405 | 501 | 505 => ErrorKind::Unsupported,
            // Before the request is ready (425) and where the answer was not (408, 5xx).
            408 | 425 | 429 => ErrorKind::Transient,
            status if status >= 500 => ErrorKind::Transient,
            400 | 406 | 411..=417 | 422 | 431 => ErrorKind::Invalid,
            _ => ErrorKind::Permanent,
        }
    }
}

impl Fault {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAnswer(_) | Self::Partly { .. } => ErrorKind::Transient,
            Self::Refused(refusal) => refusal.kind(),
            Self::Token(error) | Self::Ledger(error) => error.kind(),
            Self::Half(fault) => fault.kind(),
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Exists(_) => ErrorKind::AlreadyExists,
            Self::Conflict(_) => ErrorKind::Conflict,
            Self::NotFound => ErrorKind::NotFound,
            Self::Malformed(_) | Self::TooLarge(..) | Self::Permanent(_) => ErrorKind::Permanent,
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::Half(fault) => fault.status(),
            _ => None,
        }
    }

    /// How long the server wants to be left alone.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.wait,
            Self::Half(fault) => fault.wait(),
            _ => None,
        }
    }

    /// Whether the next request would meet the same: no connection, too many requests, no rights.
    pub(super) fn concerns_all(&self) -> bool {
        match self {
            Self::NoAnswer(_) | Self::Token(_) | Self::Ledger(_) => true,
            Self::Half(fault) => fault.concerns_all(),
            Self::Refused(refusal) => matches!(refusal.status, 401 | 403 | 429 | 502 | 503 | 504),
            _ => false,
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let kind = fault.kind();
        match fault {
            Fault::NoAnswer(why) => Self::new(kind, why),
            Fault::Partly { .. } => {
                Self::new(kind, "some of the members were taken out, and others were refused")
            }
            Fault::Refused(refusal) => {
                let message = match refusal.scim_type {
                    Some(word) => format!("the server answered {} ({word})", refusal.status),
                    None => format!("the server answered {}", refusal.status),
                };
                let error = Self::new(kind, message);
                match refusal.wait {
                    Some(wait) if kind == ErrorKind::Transient => error.retry_after(wait),
                    _ => error,
                }
            }
            Fault::Malformed(what) => Self::new(kind, format!("the server's answer is no SCIM: {what}")),
            Fault::TooLarge(what, limit) => {
                Self::new(kind, format!("the server's answer has more than {limit} {what}"))
            }
            Fault::Token(error) => error,
            Fault::Ledger(error) => error,
            Fault::Half(fault) => (*fault).into(),
            Fault::Invalid(message) => Self::new(kind, message),
            Fault::Unsupported(message)
            | Fault::Exists(message)
            | Fault::Conflict(message)
            | Fault::Permanent(message) => Self::new(kind, message),
            Fault::NotFound => Self::new(kind, "the record is not there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_says_what_may_be_done_about_it() {
        // rule X3
        let kind = |status| Refusal::new(status, None, None).kind();
        for (status, expected) in [
            (400, ErrorKind::Invalid),
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Unauthorized),
            (404, ErrorKind::NotFound),
            (409, ErrorKind::AlreadyExists),
            (412, ErrorKind::Conflict),
            (413, ErrorKind::Invalid),
            (418, ErrorKind::Permanent),
            (429, ErrorKind::Transient),
            (500, ErrorKind::Transient),
            (501, ErrorKind::Unsupported),
            (503, ErrorKind::Transient),
            (507, ErrorKind::QuotaExceeded),
            (302, ErrorKind::Permanent),
        ] {
            assert_eq!(kind(status), expected, "{status}");
        }
        assert_eq!(Refusal::new(400, Some("uniqueness"), None).kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_a_server_says_is_not_repeated() {
        // rule S2
        let refusal = Refusal::new(409, Some("ada@example.com is taken"), Some(Duration::from_secs(3)));
        let error = StoreError::from(Fault::Refused(refusal));
        assert_eq!(error.to_string(), "the server answered 409");
        assert_eq!(error.wait(), None);
        let busy = Refusal::new(429, None, Some(Duration::from_secs(3)));
        assert_eq!(StoreError::from(Fault::Refused(busy)).wait(), Some(Duration::from_secs(3)));
    }
}
