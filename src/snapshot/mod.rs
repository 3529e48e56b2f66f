//! Step 1: pages become compact snapshots. Ids are turned into numbers here, once; absence gets its meaning here.
//!
//! Architecture invariant: nothing in here knows who is entitled, or what a policy is.

mod builder;
mod document;
mod source;
mod store;
mod unite;

pub use builder::SourceSnapshotBuilder;
pub use source::SourceSnapshot;
pub(crate) use source::{NONE, SourceData};
pub use store::{Assignments, StoreSnapshot, StoreSnapshotBuilder};
pub(crate) use store::{MemberPages, StoreData};

use thiserror::Error;

use crate::attributes::AttributeTable;

/// A total is beyond its bound in [`Limits`](crate::Limits); the memory for it was not taken (rule S1).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("more than {limit} {what}")]
pub struct LimitExceeded {
    /// What there is too much of.
    pub what: &'static str,
    /// The bound.
    pub limit: usize,
}

pub(crate) fn within(count: usize, limit: usize, what: &'static str) -> Result<(), LimitExceeded> {
    if count > limit { Err(LimitExceeded { what, limit }) } else { Ok(()) }
}

/// Which attributes a snapshot keeps: all, or those that the map names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keep(Option<Vec<String>>);

impl Keep {
    pub(crate) fn only(names: impl Iterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names.dedup();
        Self(Some(names))
    }

    /// For each name of a page its number in the snapshot, where it is kept.
    fn translate(&self, from: &AttributeTable, to: &mut AttributeTable) -> Vec<Option<u32>> {
        let wanted = |name: &str| match &self.0 {
            None => true,
            Some(names) => names.binary_search_by(|known| known.as_str().cmp(name)).is_ok(),
        };
        from.names().map(|name| wanted(name).then(|| to.name_index(name))).collect()
    }
}

/// Copies one row, names translated. Values fit: they fitted in the page.
fn copy_row(from: &AttributeTable, row: usize, to: &mut AttributeTable, names: &[Option<u32>]) {
    to.open_row();
    let attributes = from.row(row);
    for (name, value) in attributes.cells() {
        if let Some(Some(name)) = names.get(name as usize) {
            to.push(*name, value);
        }
    }
    for name in attributes.unreadable_cells() {
        if let Some(Some(name)) = names.get(name as usize) {
            to.push_unreadable(*name);
        }
    }
}
