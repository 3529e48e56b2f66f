//! Who was given access, kept beside the records.

use tokio_postgres::Row;

use super::fault::Fault;
use super::session::{Session, cell};
use super::sql::indexable;
use crate::adapter::sql::{place, token};
use crate::assignment::AssignmentPage;
use crate::id::{ExternalId, StoreId};
use crate::model::{Kind, Principal};
use crate::page::{PageEnd, PageToken};

const INSERT: &str = "INSERT INTO {s}.assignments (issuer, value)
    SELECT issuer, value FROM unnest($1::text[], $2::text[]) WITH ORDINALITY t (issuer, value, place) ORDER BY place
    ON CONFLICT DO NOTHING";
const DELETE_EXTERNAL: &str = "DELETE FROM {s}.assignments WHERE issuer = $1 AND value = $2";
const DELETE_STORED: &str = "DELETE FROM {s}.assignments WHERE issuer IS NULL AND value = $1";
const PAGE: &str = "SELECT pk, issuer, value FROM {s}.assignments WHERE pk > $1 ORDER BY pk LIMIT $2";

fn columns(principal: &Principal) -> (Option<&str>, &str) {
    match principal {
        Principal::External(id) => (Some(id.issuer.as_str()), id.value.as_str()),
        Principal::Stored(id) => (None, id.as_str()),
    }
}

/// Adds those that are not there yet, all or none, and answers how many they were.
pub(super) async fn assign(session: &mut Session, principals: &[&Principal]) -> Result<usize, Fault> {
    let (issuers, values): (Vec<_>, Vec<_>) = principals.iter().map(|principal| columns(principal)).unzip();
    for text in issuers.iter().flatten().chain(&values) {
        indexable(text)?;
    }
    let mut work = session.begin().await?;
    let added = work.execute(Kind::User, INSERT, &[&issuers, &values]).await?;
    work.commit().await?;
    Ok(usize::try_from(added).unwrap_or(usize::MAX))
}

/// Takes one out; `false` where it was not there.
pub(super) async fn unassign(session: &mut Session, principal: &Principal) -> Result<bool, Fault> {
    let (issuer, value) = columns(principal);
    // What cannot be held was never given.
    if issuer.iter().chain([&value]).any(|text| indexable(text).is_err()) {
        return Ok(false);
    }
    let mut work = session.begin().await?;
    let taken = match issuer {
        Some(issuer) => work.execute(Kind::User, DELETE_EXTERNAL, &[&issuer, &value]).await?,
        None => work.execute(Kind::User, DELETE_STORED, &[&value]).await?,
    };
    work.commit().await?;
    Ok(taken > 0)
}

/// All of them, in the order in which they were given.
pub(super) async fn all(session: &mut Session) -> Result<Vec<Principal>, Fault> {
    let rows = session.query(Kind::User, PAGE, &[&0_i64, &i64::MAX]).await?;
    rows.iter().map(principal).collect()
}

/// One page of them.
pub(super) async fn read(
    session: &mut Session,
    at: Option<&PageToken>,
    size: usize,
    page: &mut AssignmentPage,
) -> Result<PageEnd, Fault> {
    let after = at.map_or(Ok(0), place)?;
    let rows = session.query(Kind::User, PAGE, &[&after, &(size as i64)]).await?;
    for row in &rows {
        page.assign(principal(row)?);
    }
    match rows.last() {
        Some(last) if rows.len() == size => Ok(PageEnd::More(token(cell(last, 0)?))),
        _ => Ok(PageEnd::COMPLETE),
    }
}

fn principal(row: &Row) -> Result<Principal, Fault> {
    let (issuer, value): (Option<String>, String) = (cell(row, 1)?, cell(row, 2)?);
    Ok(match issuer {
        Some(issuer) => Principal::External(ExternalId::new(issuer, value)),
        None => Principal::Stored(StoreId::new(value)),
    })
}
