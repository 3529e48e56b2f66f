//! The tables, their version, and which files are refused.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::fault::Fault;
use super::options::SqliteOptions;
use crate::adapter::sql::{self, default_schema, meta_name, print_schema};
use crate::model::Kind;
use crate::store::StoreCapabilities;

/// `idsy`: tells our files from those of other programs, to us and to `file(1)`.
const APPLICATION_ID: i64 = 0x6964_7379;

/// The version of the tables below. A change of the tables raises it and adds a step that migrates from the one before.
const SCHEMA_VERSION: i64 = 2;

/// The oldest version that is migrated.
const OLDEST_VERSION: i64 = 1;

/// Statements that stay prepared; more than this adapter has.
const STATEMENTS: usize = 64;

// `AUTOINCREMENT`: a number is never used again, so "after this number" never changes its meaning while a read lasts,
// and a record made meanwhile comes later in the same read.
const TABLES: &str = "
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    pk          INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    active      INTEGER NOT NULL CHECK (active IN (0, 1)),
    origin      TEXT    CHECK (origin IN ('synced', 'jit')),
    version     INTEGER NOT NULL,
    inactive_by TEXT    CHECK (inactive_by IN ('sync', 'other'))
) STRICT;

CREATE TABLE groups (
    pk      INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT    NOT NULL UNIQUE,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE user_attributes (
    user_pk   INTEGER NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    name      TEXT    NOT NULL,
    ordinal   INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    match_key TEXT,
    PRIMARY KEY (user_pk, name, ordinal)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX user_keys ON user_attributes (name, match_key) WHERE match_key IS NOT NULL;

CREATE TABLE group_attributes (
    group_pk  INTEGER NOT NULL REFERENCES groups (pk) ON DELETE CASCADE,
    name      TEXT    NOT NULL,
    ordinal   INTEGER NOT NULL,
    value     TEXT    NOT NULL,
    match_key TEXT,
    PRIMARY KEY (group_pk, name, ordinal)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX group_keys ON group_attributes (name, match_key) WHERE match_key IS NOT NULL;

CREATE TABLE external_ids (
    issuer   TEXT NOT NULL,
    value    TEXT NOT NULL,
    user_pk  INTEGER REFERENCES users (pk) ON DELETE CASCADE,
    group_pk INTEGER REFERENCES groups (pk) ON DELETE CASCADE,
    PRIMARY KEY (issuer, value),
    CHECK ((user_pk IS NULL) <> (group_pk IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX external_ids_of_users ON external_ids (user_pk) WHERE user_pk IS NOT NULL;
CREATE INDEX external_ids_of_groups ON external_ids (group_pk) WHERE group_pk IS NOT NULL;

CREATE TABLE memberships (
    group_pk INTEGER NOT NULL REFERENCES groups (pk) ON DELETE CASCADE,
    user_pk  INTEGER NOT NULL REFERENCES users (pk) ON DELETE CASCADE,
    PRIMARY KEY (group_pk, user_pk)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_of_users ON memberships (user_pk);

CREATE TABLE assignments (
    pk     INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer TEXT,
    value  TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX assignments_external ON assignments (issuer, value) WHERE issuer IS NOT NULL;
CREATE UNIQUE INDEX assignments_stored ON assignments (value) WHERE issuer IS NULL;

CREATE TABLE run_states (
    issuer TEXT NOT NULL PRIMARY KEY,
    state  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Version 1 did not keep who made a user inactive, and whoever did was taken for us: an entitled user was made active again.
/// `sync` keeps it so (rule A7). Versions of records stay: a plan that is at hand is as good as before.
const FROM_1_TO_2: &str = "
ALTER TABLE users ADD COLUMN inactive_by TEXT CHECK (inactive_by IN ('sync', 'other'));
UPDATE users SET inactive_by = 'sync' WHERE NOT active;

CREATE TABLE run_states (
    issuer TEXT NOT NULL PRIMARY KEY,
    state  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Opens or creates a file; a refused one is left as it was.
pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<(Connection, StoreCapabilities), Fault> {
    // Without SQLITE_OPEN_URI: a path is a path, whatever its first letters.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    inspect(&connection.transaction()?)?;
    switch_to_wal(&mut connection)?;
    prepare(connection, options)
}

/// Connections that may open a new file at the same moment, before one of them is told to try again.
const RIVALS: usize = 16;

fn switch_to_wal(connection: &mut Connection) -> Result<(), Fault> {
    for _ in 0..RIVALS {
        let mode: rusqlite::Result<String> =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => return Err(Fault::NoWal),
            // SQLite does not wait here for a rival that does the same; but it does for the write lock.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?.rollback()?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Fault::Locked)
}

/// A database that lives as long as its connection.
pub(super) fn open_in_memory(options: &SqliteOptions) -> Result<(Connection, StoreCapabilities), Fault> {
    prepare(Connection::open_in_memory()?, options)
}

fn prepare(
    mut connection: Connection,
    options: &SqliteOptions,
) -> Result<(Connection, StoreCapabilities), Fault> {
    // NORMAL would lose the last commits when the power fails, though they were answered already.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A file from elsewhere may hold triggers and views: they get no function with side effects.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if inspect(&connection.transaction()?)? == Found::Store {
        let capabilities = capabilities(&connection, options)?;
        return Ok((connection, capabilities));
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster; only under the write lock is it sure.
    match inspect(&transaction)? {
        Found::Nothing => create(&transaction, options)?,
        Found::Older => migrate(&transaction)?,
        Found::Store => {}
    }
    // Before the commit: a file that is refused for its attributes stays of the version that it had.
    let capabilities = capabilities(&transaction, options)?;
    transaction.commit()?;
    Ok((connection, capabilities))
}

#[derive(PartialEq, Eq)]
enum Found {
    Nothing,
    /// A store of an earlier version.
    Older,
    Store,
}

/// Reads only: whoever opens somebody else's database by mistake must not change it. Reads within one transaction, or a
/// store that a rival creates between two of the queries would look foreign.
fn inspect(connection: &Transaction<'_>) -> Result<Found, Fault> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version) {
        (0, 0) if objects == 0 => Ok(Found::Nothing),
        (APPLICATION_ID, SCHEMA_VERSION) => Ok(Found::Store),
        (APPLICATION_ID, OLDEST_VERSION..SCHEMA_VERSION) => Ok(Found::Older),
        (APPLICATION_ID, newer) if newer > SCHEMA_VERSION => Err(Fault::Newer(newer)),
        _ => Err(Fault::Foreign),
    }
}

fn create(connection: &Connection, options: &SqliteOptions) -> Result<(), Fault> {
    connection.execute_batch(TABLES)?;
    connection.execute("INSERT INTO meta VALUES ('identity', lower(hex(randomblob(16))))", [])?;
    for (kind, named) in [(Kind::User, &options.users), (Kind::Group, &options.groups)] {
        let text = match named {
            Some(schema) => print_schema(schema)?,
            None => print_schema(&default_schema(kind))?,
        };
        connection.execute("INSERT INTO meta VALUES (?1, ?2)", (meta_name(kind), text))?;
    }
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    Ok(())
}

/// From the only earlier version. A further one makes this a sequence of steps.
fn migrate(connection: &Connection) -> Result<(), Fault> {
    connection.execute_batch(FROM_1_TO_2)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(())
}

fn capabilities(connection: &Connection, options: &SqliteOptions) -> Result<StoreCapabilities, Fault> {
    let schema = |kind, named: &Option<_>| -> Result<_, Fault> {
        Ok(sql::parse_schema(kind, &meta(connection, meta_name(kind))?, named.as_ref())?)
    };
    let (users, groups) = (schema(Kind::User, &options.users)?, schema(Kind::Group, &options.groups)?);
    Ok(sql::capabilities(format!("sqlite:{}", meta(connection, "identity")?), users, groups))
}

fn meta(connection: &Connection, name: &str) -> Result<String, Fault> {
    let found = connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0));
    found.optional()?.ok_or(Fault::Foreign)
}
