//! What can be wrong with an export as a whole.

use std::io;

use thiserror::Error;

use crate::error::{AdapterError, ErrorKind};

/// An export that cannot be read. Its message names the line and the fault, never a value of an entry (rule S2).
#[derive(Debug, Error)]
#[error(transparent)]
pub struct LdifError(Inner);

#[derive(Debug, Error)]
enum Inner {
    #[error("the export cannot be read from its file")]
    File(#[source] io::Error),
    #[error("line {line}: {fault}")]
    Text { line: usize, fault: Fault },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Fault {
    #[error("a colon is missing after the attribute name")]
    NoColon,
    #[error("this is no attribute name")]
    Name,
    #[error("the value is no valid base64")]
    Base64,
    #[error("values from a url are not read")]
    Url,
    #[error("the line is longer than 64 MiB")]
    Long,
    #[error("a continued line follows no line")]
    Continuation,
    #[error("a record must begin with its dn")]
    NoDn,
    #[error("a second dn in one record: the empty line between two records is missing")]
    SecondDn,
    #[error("this is no distinguished name")]
    Dn,
    #[error("a change record was found where content records are expected")]
    Change,
    #[error("only version 1 of the format is known")]
    Version,
    #[error("the result of the search has no code")]
    ResultCode,
    #[error("the text is no valid UTF-16")]
    Utf16,
    #[error("there are more entries than can be numbered")]
    Entries,
}

impl LdifError {
    pub(super) fn file(error: io::Error) -> Self {
        Self(Inner::File(error))
    }

    pub(super) fn at(line: usize, fault: Fault) -> Self {
        Self(Inner::Text { line, fault })
    }

    /// The line of the fault, counted from 1; of a folded line the first. `None` where the file could not be read.
    pub fn line(&self) -> Option<usize> {
        match &self.0 {
            Inner::File(_) => None,
            Inner::Text { line, .. } => Some(*line),
        }
    }
}

impl From<LdifError> for AdapterError {
    /// For a host that opens the export inside a source of its own; the line stays in the cause.
    fn from(error: LdifError) -> Self {
        AdapterError::new(ErrorKind::Invalid, "the LDIF export cannot be used").caused_by(error)
    }
}
