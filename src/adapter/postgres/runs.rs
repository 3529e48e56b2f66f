//! What is remembered between runs, kept beside the records it is about.

use super::fault::Fault;
use super::session::{Session, cell};
use super::sql::indexable;
use crate::adapter::sql::Refusal;
use crate::id::Issuer;
use crate::model::Kind;
use crate::run::RunState;

const READ: &str = "SELECT state FROM {s}.run_states WHERE issuer = $1";
const KEEP: &str = "INSERT INTO {s}.run_states (issuer, state) VALUES ($1, $2)
    ON CONFLICT (issuer) DO UPDATE SET state = excluded.state";
const FORGET: &str = "DELETE FROM {s}.run_states WHERE issuer = $1";

/// The state that was kept for this issuer, if one was.
pub(super) async fn read(session: &mut Session, issuer: &Issuer) -> Result<Option<RunState>, Fault> {
    let Ok(issuer) = indexable(issuer.as_str()) else { return Ok(None) };
    let rows = session.query(Kind::User, READ, &[&issuer]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    serde_json::from_str(cell(row, 0)?).map(Some).map_err(|_| Refusal::RunState.into())
}

/// Keeps a state in the place of the one before.
pub(super) async fn keep(session: &mut Session, issuer: &Issuer, state: &RunState) -> Result<(), Fault> {
    let issuer = indexable(issuer.as_str())?;
    let json = serde_json::to_string(state).map_err(|_| Refusal::RunState)?;
    let mut work = session.begin().await?;
    work.execute(Kind::User, KEEP, &[&issuer, &json]).await?;
    work.commit().await
}

/// Forgets a state and answers whether there was one.
pub(super) async fn forget(session: &mut Session, issuer: &Issuer) -> Result<bool, Fault> {
    let Ok(issuer) = indexable(issuer.as_str()) else { return Ok(false) };
    let mut work = session.begin().await?;
    let forgotten = work.execute(Kind::User, FORGET, &[&issuer]).await?;
    work.commit().await?;
    Ok(forgotten > 0)
}
