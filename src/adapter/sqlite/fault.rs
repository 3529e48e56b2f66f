//! Everything that can go wrong here, mapped once to what the caller may do about it.

use rusqlite::ErrorCode;

use crate::error::{ErrorKind, StoreError};
use crate::model::Kind;

/// What went wrong. It names attributes and kinds, never a value of a record (rule S2).
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// There is no record with the id that was given.
    NoRecord(Kind),
    /// One of the members to be added is no user.
    NoMember,
    /// The record has another version than the one given (rule P7).
    OtherVersion(Kind),
    /// Another record holds the value.
    NameTaken(Kind, String),
    /// Another record, user or group, holds the external id (rule J4).
    LinkTaken,
    /// The record to be adopted has an external id (rule M3).
    Linked(Kind),
    /// The attribute must have a value.
    Required(Kind, String),
    /// The attribute takes one value.
    SingleValued(Kind, String),
    /// A look-up by the value of an attribute that is not unique.
    NotUnique(Kind, String),
    /// A page token that this store never gave.
    Token,
    /// The file is no identity store of ours.
    Foreign,
    /// The file was written by a later version of this program.
    Newer(i64),
    /// The file was created with another attribute schema.
    OtherSchema(Kind),
    /// Other connections were faster too often.
    Locked,
    /// The file lies where SQLite can keep no write-ahead log.
    NoWal,
    /// A schema could not be turned into text or back.
    Meta(serde_json::Error),
    /// A run state could not be turned into text or back. What serde says about it is left out: it quotes the text.
    RunState,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let (kind, message) = match fault {
            Fault::Sqlite(error) => {
                let (kind, message) = sqlite(&error);
                return Self::new(kind, message).caused_by(error);
            }
            Fault::Meta(error) => {
                let message = "the attribute schema in the file cannot be read by this program";
                return Self::new(ErrorKind::Unsupported, message).caused_by(error);
            }
            Fault::NoRecord(kind) => (ErrorKind::NotFound, format!("there is no {kind} with this id")),
            Fault::NoMember => {
                (ErrorKind::NotFound, "a member to be added is not a user of this store".into())
            }
            Fault::OtherVersion(kind) => {
                (ErrorKind::Conflict, format!("the {kind} has another version by now"))
            }
            Fault::NameTaken(kind, attribute) => {
                (ErrorKind::AlreadyExists, format!("another {kind} has this value of attribute {attribute}"))
            }
            Fault::LinkTaken => (ErrorKind::AlreadyExists, "another record has this external id".into()),
            Fault::Linked(kind) => (ErrorKind::Conflict, format!("the {kind} has an external id by now")),
            Fault::Required(kind, attribute) => {
                (ErrorKind::Invalid, format!("a {kind} must have a value of attribute {attribute}"))
            }
            Fault::SingleValued(kind, attribute) => {
                (ErrorKind::Invalid, format!("a {kind} can have only one value of attribute {attribute}"))
            }
            Fault::NotUnique(kind, attribute) => {
                (ErrorKind::Invalid, format!("attribute {attribute} of a {kind} is not unique"))
            }
            Fault::Token => (ErrorKind::Invalid, "this page token is not from this store".into()),
            Fault::Foreign => (ErrorKind::Invalid, "the file is not an identity store".into()),
            Fault::Newer(version) => (
                ErrorKind::Unsupported,
                format!("the file has schema version {version}, newer than this program's"),
            ),
            Fault::OtherSchema(kind) => (
                ErrorKind::Invalid,
                format!("the file was created with another attribute schema for a {kind}"),
            ),
            Fault::RunState => (
                ErrorKind::Invalid,
                "the run state cannot be turned into text or back by this program".into(),
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
