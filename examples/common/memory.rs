//! What is kept between runs, beside the records that it is about.

use std::fs;

use identity_sync::adapter::sqlite::SqliteStore;
use identity_sync::{Approval, HeldSet, Issuer, Run, RunState, StoreError, Timestamp};

use super::Trouble;

/// What earlier runs left; nothing, before the first.
pub(crate) fn recall(store: &SqliteStore, issuer: &Issuer) -> Result<RunState, StoreError> {
    Ok(store.run_state(issuer)?.unwrap_or_default())
}

/// Keeps what a run left. Somebody may have paused or resumed while it ran: that stands.
pub(crate) fn keep(
    store: &SqliteStore,
    issuer: &Issuer,
    run: &Run,
    mut after: RunState,
    now: Timestamp,
) -> Result<(), StoreError> {
    let paused = recall(store, issuer)?.is_paused();
    if paused != run.state.is_paused() {
        if paused { after.pause(now) } else { after.resume(now) }
    }
    store.keep_run_state(issuer, &after)
}

/// What a person left in a file of held operations.
pub(crate) fn held_set(file: &str) -> Result<HeldSet, Trouble> {
    let text = fs::read_to_string(file).map_err(|error| format!("held operations {file}: {error}"))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("held operations {file}: {error}"))?)
}

/// The approvals that these files give.
pub(crate) fn approvals(files: &[String]) -> Result<Vec<Approval>, Trouble> {
    files.iter().map(|file| Ok(held_set(file)?.approve())).collect()
}
