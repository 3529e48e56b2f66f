//! Everything that can go wrong here, mapped once to what the caller may do about it.

use std::error::Error as _;
use std::{fmt, io};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::WrongType;

use crate::adapter::sql::Refusal;
use crate::error::{ErrorKind, StoreError};
use crate::model::Kind;

/// What went wrong. It names attributes and kinds, never a value of a record (rule S2).
#[derive(Debug)]
pub(super) enum Fault {
    /// Refused for a reason that has nothing to do with PostgreSQL.
    Refused(Refusal),
    /// The server refused a statement.
    Server(SqlState, Cause),
    /// The connection is gone. What was under way may have happened or not.
    Lost(Cause),
    /// The call took too long; its connection is given up.
    TimedOut,
    /// A cell has not the type that the schema gives it.
    Cell,
    /// A text that PostgreSQL cannot hold.
    Nul,
    /// A name, or a value of this attribute, is longer than an index can take.
    TooLong(Option<(Kind, String)>),
    /// A statement of the batch took too long: what was done is answered, and there is no time for the rest.
    HeldUp,
    /// Another runner holds the store.
    Busy,
    /// The connection that held the store was lost, and another session may hold it.
    NotBack,
    /// Another runner has taken the store over since.
    TakenOver,
    /// The connection is gone, and the host gave no way to make another.
    NoWay,
    /// There is no Tokio runtime around the call.
    NoRuntime,
    /// The name cannot be that of a schema.
    SchemaName,
    /// After a connection was lost, the schema is not the store that was opened: replaced, restored or migrated.
    Replaced,
    /// The schema holds tables that are not ours.
    Foreign,
    /// The schema was written by a later version of this program.
    Newer(i64),
    /// The database has another encoding than UTF-8.
    Encoding,
    /// The server is older than this adapter can use.
    OldServer,
}

/// What is known about an error of the client or the server, without what the server says in its own words: its messages
/// and details quote values (rule S2).
#[derive(Debug)]
pub(super) struct Cause {
    /// An SQLSTATE, or a kind of `io::Error`.
    code: String,
    constraint: Option<String>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.constraint {
            Some(constraint) => write!(f, "{} at {constraint}", self.code),
            None => f.write_str(&self.code),
        }
    }
}

impl std::error::Error for Cause {}

impl Fault {
    /// Whether the connection must not be used again.
    pub(super) fn ends_session(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::TimedOut | Self::NotBack | Self::TakenOver | Self::Replaced)
    }

    /// Whether it is about one item, and says nothing about the others of its batch.
    pub(super) fn is_of_item(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Nul | Self::TooLong(_) => true,
            // Data exceptions, integrity constraints, limits of a program, and what somebody's trigger raises.
            Self::Server(state, _) => {
                let class = state.code().get(..2).unwrap_or_default();
                // Somebody else holds what it needs, or its statement took too long: another item may need neither (rule X1).
                let waited = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED].contains(state);
                waited || ["22", "23", "54", "P0"].contains(&class)
            }
            _ => false,
        }
    }

    /// Whether the fast way of a batch may be left for the slow one.
    pub(super) fn allows_slow_way(&self) -> bool {
        self.is_of_item() || self.is_denied()
    }

    /// Whether a right is missing.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self, Self::Server(state, _) if *state == SqlState::INSUFFICIENT_PRIVILEGE)
    }

    /// An error from making a connection. Here alone an error that is neither the server's nor of the network is the host's:
    /// a missing password, a certificate that is not trusted.
    pub(super) fn connecting(error: &tokio_postgres::Error) -> Self {
        let network = source_of::<io::Error>(error).is_some_and(|e| e.kind() != io::ErrorKind::InvalidData);
        if error.as_db_error().is_some() || network || error.source().is_none() {
            return Self::from_error(error);
        }
        let code = "the client refused to connect".to_owned();
        Self::Server(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, Cause { code, constraint: None })
    }

    fn from_error(error: &tokio_postgres::Error) -> Self {
        if source_of::<WrongType>(error).is_some() {
            return Self::Cell;
        }
        let Some(server) = error.as_db_error() else {
            let code = match source_of::<io::Error>(error) {
                Some(error) => error.kind().to_string(),
                None if error.is_closed() => "closed".to_owned(),
                None => "no word from the server".to_owned(),
            };
            return Self::Lost(Cause { code, constraint: None });
        };
        let state = server.code().clone();
        let code = format!("SQLSTATE {}", state.code());
        let cause = Cause { code, constraint: server.constraint().map(str::to_owned) };
        if ends_connection(&state) { Self::Lost(cause) } else { Self::Server(state, cause) }
    }
}

fn source_of<E: std::error::Error + 'static>(error: &tokio_postgres::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// After these the server has hung up, or will refuse every write: it is a standby now.
fn ends_connection(state: &SqlState) -> bool {
    let states = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::DATABASE_DROPPED,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ];
    state.code().starts_with("08") || states.contains(state)
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::from_error(&error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        use ErrorKind::{Invalid, Permanent, Transient, Unauthorized, Unsupported};
        let (kind, message) = match fault {
            Fault::Refused(refusal) => return refusal.into(),
            Fault::Server(state, cause) => {
                let (kind, message) = server(&state);
                return Self::new(kind, message).caused_by(cause);
            }
            Fault::Lost(cause) => {
                let message = "the connection to the database was lost";
                return Self::new(Transient, message).caused_by(cause);
            }
            Fault::TimedOut => {
                (Transient, "the database took too long, and its connection was given up".into())
            }
            Fault::Cell => (Permanent, "a cell of the store has another type than its schema says".into()),
            Fault::Nul => (Invalid, "the database cannot hold a text with a null character".into()),
            Fault::TooLong(None) => {
                (Invalid, "an external id or a principal is too long to be kept unique".into())
            }
            Fault::TooLong(Some((kind, attribute))) => (
                Invalid,
                format!("the name or a value of attribute {attribute} of a {kind} is too long to be indexed"),
            ),
            Fault::HeldUp => {
                (Transient, "another record took too long: there was no time for this one".into())
            }
            Fault::Busy => (Transient, "another runner holds the store".into()),
            Fault::NotBack => (
                Transient,
                "the connection that held the store was lost, and it is not free again yet".into(),
            ),
            Fault::TakenOver => (
                Unauthorized,
                "another runner has taken the store over; this one may not write any more".into(),
            ),
            Fault::NoWay => {
                (Transient, "the connection is closed, and the host gave no way to make another".into())
            }
            Fault::NoRuntime => (Unsupported, "the store needs a Tokio runtime around its calls".into()),
            Fault::SchemaName => (Invalid, "this cannot be the name of a schema".into()),
            Fault::Replaced => {
                (Permanent, "the schema does not hold the store that was opened any more".into())
            }
            Fault::Foreign => (Invalid, "the schema holds tables that are not an identity store's".into()),
            Fault::Newer(version) => {
                (Unsupported, format!("the store has schema version {version}, newer than this program's"))
            }
            Fault::Encoding => (Unsupported, "the database must have the encoding UTF-8".into()),
            Fault::OldServer => (Unsupported, "the server is older than PostgreSQL 14".into()),
        };
        Self::new(kind, message)
    }
}

fn server(state: &SqlState) -> (ErrorKind, &'static str) {
    match *state {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => {
            (ErrorKind::Transient, "another connection was writing the same")
        }
        SqlState::LOCK_NOT_AVAILABLE => {
            (ErrorKind::Transient, "another connection holds what this one needs")
        }
        SqlState::QUERY_CANCELED => (ErrorKind::Transient, "a statement took too long, or was cancelled"),
        SqlState::UNIQUE_VIOLATION => (ErrorKind::AlreadyExists, "another record has the same unique value"),
        SqlState::FOREIGN_KEY_VIOLATION => {
            (ErrorKind::Conflict, "a record that this one belongs to went at the same time")
        }
        SqlState::DISK_FULL => (ErrorKind::QuotaExceeded, "there is no room left for the database"),
        SqlState::INSUFFICIENT_PRIVILEGE => {
            (ErrorKind::Unauthorized, "the role lacks a right in the database")
        }
        _ => match state.code().get(..2).unwrap_or_default() {
            "28" => (ErrorKind::Unauthorized, "the database does not let this role in"),
            "22" | "23" | "54" | "P0" => (ErrorKind::Invalid, "the database refuses this record"),
            // Too many connections, no memory; an object that somebody is changing.
            "53" | "55" | "57" => (ErrorKind::Transient, "the database cannot do this now"),
            _ => (ErrorKind::Permanent, "the database failed"),
        },
    }
}
