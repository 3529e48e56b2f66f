//! The words that stand in the columns `origin` and `inactive_by`.

use crate::model::{DeactivatedBy, Origin};

pub(in crate::adapter) fn origin_text(origin: Origin) -> &'static str {
    match origin {
        Origin::Synced => "synced",
        Origin::Jit => "jit",
    }
}

pub(in crate::adapter) fn origin(text: &str) -> Origin {
    if text == "jit" { Origin::Jit } else { Origin::Synced }
}

pub(in crate::adapter) fn who_text(who: DeactivatedBy) -> &'static str {
    match who {
        DeactivatedBy::Sync => "sync",
        DeactivatedBy::Other => "other",
    }
}

/// Whoever made a user inactive without a word was not this engine (rule A7).
pub(in crate::adapter) fn deactivated_by(text: Option<&str>) -> DeactivatedBy {
    match text {
        Some("sync") => DeactivatedBy::Sync,
        _ => DeactivatedBy::Other,
    }
}
