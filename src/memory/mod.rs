//! A source, a store and an assignment set in memory: for tests, for first steps, and as a model of the contracts.

mod assignments;
mod directory;
mod state;
mod store;

pub use assignments::MemoryAssignments;
pub use directory::{MemoryDirectory, MemoryGroup, MemoryUser};
pub use state::{MemoryRecord, MemoryState};
pub use store::MemoryStore;

use std::collections::BTreeMap;

use crate::error::{ErrorKind, StoreError};
use crate::page::PageToken;

type Values = BTreeMap<String, Vec<String>>;

fn values(attributes: &[(&str, &str)]) -> Values {
    let mut values = Values::new();
    for (name, value) in attributes {
        values.entry((*name).to_owned()).or_default().push((*value).to_owned());
    }
    values
}

/// The keys behind a token, for keyset paging.
fn after<'m, V>(
    map: &'m BTreeMap<String, V>,
    at: Option<&PageToken>,
) -> Result<impl Iterator<Item = (&'m String, &'m V)> + use<'m, V>, StoreError> {
    let start = match at {
        None => None,
        Some(token) => {
            Some(token.as_text().ok_or_else(|| StoreError::new(ErrorKind::Invalid, "unknown page token"))?)
        }
    };
    let bound = start.map_or(std::ops::Bound::Unbounded, |key| std::ops::Bound::Excluded(key.to_owned()));
    Ok(map.range((bound, std::ops::Bound::Unbounded)))
}
