//! What the SQL stores share: everything but the SQL. The tables of both have the same columns and the same words in them.

mod place;
mod record;
mod refusal;
mod schema;
mod values;
mod words;

pub(super) use place::{place, token};
pub use record::{Counts, NewRecord};
pub(super) use refusal::Refusal;
pub(super) use schema::{capabilities, default_schema, meta_name, parse_schema, print_schema};
pub(super) use values::{grouped, rows_of};
pub(super) use words::{deactivated_by, origin, origin_text, who_text};

/// The version of a record that was just made. Each write to it adds one.
pub(super) const FIRST_VERSION: i64 = 1;

/// Records, and assignments, in a page.
pub(super) const ROWS: usize = 1_000;

/// A page of groups ends early once it holds so many members; the group at hand is still given whole.
pub(super) const MEMBERS: usize = 100_000;
