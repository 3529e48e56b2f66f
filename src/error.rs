//! Errors of the three traits, each with what a caller may do about it (rule X3).

use std::time::Duration;

use thiserror::Error;

use crate::escape::Escaped;

/// What kind of trouble an adapter met. It decides what the engine does next; the message is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// May work when tried again: time-out, connection lost, busy, throttled.
    Transient,
    /// The credentials are refused or lack a right. Apply stops.
    Unauthorized,
    /// The record is not there.
    NotFound,
    /// A record with this unique value or external id exists already.
    AlreadyExists,
    /// The record has another version than the one expected (rule P7).
    Conflict,
    /// The other side refuses this very input; trying again is useless.
    Invalid,
    /// No room for more records: creates stop, revocations go on.
    QuotaExceeded,
    /// The other side cannot do this at all.
    Unsupported,
    /// A fault that fits nowhere else; not tried again.
    Permanent,
}

/// An error of an adapter.
///
/// The message must hold no secret and no whole record; it is shown escaped.
#[derive(Debug, Error)]
#[error("{}", Escaped(message))]
pub struct AdapterError {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl AdapterError {
    /// An error of this kind, with a message in lower case and without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, source: None }
    }

    /// The other side said how long to wait before the next try.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds the cause. The message must not repeat it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How long the other side wants to be left alone, where it said so.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether another try may help.
    pub fn is_transient(&self) -> bool {
        self.kind == ErrorKind::Transient
    }
}

/// An error of a [`DirectorySource`](crate::DirectorySource).
pub type SourceError = AdapterError;
/// An error of an [`IdentityStore`](crate::IdentityStore).
pub type StoreError = AdapterError;
/// An error of an [`AssignmentSet`](crate::AssignmentSet).
pub type AssignmentError = AdapterError;
