//! Everything that can go wrong here, mapped once to what the caller may do about it.

use rusqlite::ErrorCode;

use crate::adapter::sql::Refusal;
use crate::error::{ErrorKind, StoreError};

/// What went wrong. It names attributes and kinds, never a value of a record (rule S2).
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// Refused for a reason that has nothing to do with SQLite.
    Refused(Refusal),
    /// The file is no identity store of ours.
    Foreign,
    /// The file was written by a later version of this program.
    Newer(i64),
    /// Other connections were faster too often.
    Locked,
    /// The file lies where SQLite can keep no write-ahead log.
    NoWal,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let (kind, message) = match fault {
            Fault::Sqlite(error) => {
                let (kind, message) = sqlite(&error);
                return Self::new(kind, message).caused_by(error);
            }
            Fault::Refused(refusal) => return refusal.into(),
            Fault::Foreign => (ErrorKind::Invalid, "the file is not an identity store".into()),
            Fault::Newer(version) => (
                ErrorKind::Unsupported,
                format!("the file has schema version {version}, newer than this program's"),
            ),
            Fault::Locked => (ErrorKind::Transient, LOCKED.into()),
            Fault::NoWal => (
                ErrorKind::Unsupported,
                "no write-ahead log can be kept here: not a file, or a network share".into(),
            ),
        };
        Self::new(kind, message)
    }
}

const LOCKED: &str = "another connection holds the database";

/// The text of SQLite's own errors names tables and columns only, since every value is bound; it becomes the source.
fn sqlite(error: &rusqlite::Error) -> (ErrorKind, &'static str) {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            (ErrorKind::Transient, LOCKED)
        }
        Some(ErrorCode::OperationInterrupted) => (ErrorKind::Transient, "the operation was interrupted"),
        Some(ErrorCode::DiskFull) => (ErrorKind::QuotaExceeded, "there is no room left for the database"),
        Some(ErrorCode::TooBig) => (ErrorKind::Invalid, "a value is larger than the database can take"),
        Some(ErrorCode::NotADatabase) => (ErrorKind::Invalid, "the file is not an SQLite database"),
        Some(
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied,
        ) => (ErrorKind::Unauthorized, "the database may not be written"),
        _ => (ErrorKind::Permanent, "the database failed"),
    }
}
