//! What is remembered between runs, kept beside the records it is about.

use rusqlite::{Connection, OptionalExtension};

use super::fault::Fault;
use crate::adapter::sql::Refusal;
use crate::id::Issuer;
use crate::run::RunState;

/// The state that was kept for this issuer, if one was.
pub(super) fn read(connection: &Connection, issuer: &Issuer) -> Result<Option<RunState>, Fault> {
    let mut statement = connection.prepare_cached("SELECT state FROM run_states WHERE issuer = ?1")?;
    // As bytes: a text that is not UTF-8 is a state that cannot be read, not a database that failed.
    let kept = statement.query_row([issuer.as_str()], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec()));
    let Some(json) = kept.optional()? else { return Ok(None) };
    serde_json::from_slice(&json).map(Some).map_err(|_| Refusal::RunState.into())
}

/// Keeps a state in the place of the one before. One statement outside any other transaction is its own.
pub(super) fn keep(connection: &Connection, issuer: &Issuer, state: &RunState) -> Result<(), Fault> {
    let json = serde_json::to_string(state).map_err(|_| Refusal::RunState)?;
    let sql = "INSERT INTO run_states (issuer, state) VALUES (?1, ?2)
               ON CONFLICT (issuer) DO UPDATE SET state = excluded.state";
    connection.prepare_cached(sql)?.execute((issuer.as_str(), json))?;
    Ok(())
}

/// Forgets a state and answers whether there was one.
pub(super) fn forget(connection: &Connection, issuer: &Issuer) -> Result<bool, Fault> {
    let mut statement = connection.prepare_cached("DELETE FROM run_states WHERE issuer = ?1")?;
    Ok(statement.execute([issuer.as_str()])? > 0)
}
