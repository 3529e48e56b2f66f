//! Who was given access, kept beside the records.

use rusqlite::{Connection, Row, TransactionBehavior};

use super::fault::Fault;
use crate::adapter::sql::{ROWS, place, token};
use crate::assignment::AssignmentPage;
use crate::id::{ExternalId, StoreId};
use crate::model::Principal;
use crate::page::{PageEnd, PageToken};

const INSERT: &str = "INSERT INTO assignments (issuer, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const DELETE: &str = "DELETE FROM assignments WHERE issuer IS ?1 AND value = ?2";
const PAGE: &str = "SELECT pk, issuer, value FROM assignments WHERE pk > ?1 ORDER BY pk LIMIT ?2";

/// Adds those that are not there yet, all or none, and answers how many they were.
pub(super) fn assign(connection: &mut Connection, principals: &[&Principal]) -> Result<usize, Fault> {
    change(connection, INSERT, principals)
}

/// Takes out those that are there, all or none, and answers how many they were.
pub(super) fn unassign(connection: &mut Connection, principals: &[&Principal]) -> Result<usize, Fault> {
    change(connection, DELETE, principals)
}

fn change(connection: &mut Connection, sql: &str, principals: &[&Principal]) -> Result<usize, Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut changed = 0;
    for principal in principals {
        let columns = match principal {
            Principal::External(id) => (Some(id.issuer.as_str()), id.value.as_str()),
            Principal::Stored(id) => (None, id.as_str()),
        };
        changed += transaction.prepare_cached(sql)?.execute(columns)?;
    }
    transaction.commit()?;
    Ok(changed)
}

/// All of them, in the order in which they were given.
pub(super) fn all(connection: &Connection) -> Result<Vec<Principal>, Fault> {
    let mut statement = connection.prepare_cached(PAGE)?;
    let rows = statement.query_map((0, i64::MAX), |row| Ok(principal(row)?.1))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One page of them.
pub(super) fn read(
    connection: &Connection,
    at: Option<&PageToken>,
    page: &mut AssignmentPage,
) -> Result<PageEnd, Fault> {
    let after = at.map_or(Ok(0), place)?;
    let mut statement = connection.prepare_cached(PAGE)?;
    let mut rows = statement.query((after, ROWS as i64))?;
    let (mut count, mut last) = (0, after);
    while let Some(row) = rows.next()? {
        let (pk, principal) = principal(row)?;
        page.assign(principal);
        (count, last) = (count + 1, pk);
    }
    if count == ROWS { Ok(PageEnd::More(token(last))) } else { Ok(PageEnd::COMPLETE) }
}

fn principal(row: &Row<'_>) -> rusqlite::Result<(i64, Principal)> {
    let (issuer, value): (Option<String>, String) = (row.get(1)?, row.get(2)?);
    let principal = match issuer {
        Some(issuer) => Principal::External(ExternalId::new(issuer, value)),
        None => Principal::Stored(StoreId::new(value)),
    };
    Ok((row.get(0)?, principal))
}
