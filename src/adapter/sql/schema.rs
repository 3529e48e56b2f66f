//! What an SQL store can do, and the attribute schemas that it keeps as text.

use indexmap::IndexMap;

use super::Refusal;
use crate::model::Kind;
use crate::store::{
    Adoption, AttributeSchema, Concurrency, DeactivationMemory, Members, MembershipsOnDelete,
    StoreCapabilities,
};

/// What each of these stores can do.
pub(in crate::adapter) fn capabilities(
    identity: String,
    users: IndexMap<String, AttributeSchema>,
    groups: IndexMap<String, AttributeSchema>,
) -> StoreCapabilities {
    StoreCapabilities {
        users,
        groups,
        members: Members::WithGroups,
        concurrency: Concurrency::Conditional,
        memberships_on_delete: MembershipsOnDelete::Cascade,
        deactivation: DeactivationMemory::Remembered,
        adoption: Adoption::Supported,
        batch: 1_000,
        members_per_write: 10_000,
        ..StoreCapabilities::named(identity)
    }
}

/// Under which name the schema of a kind is kept.
pub(in crate::adapter) fn meta_name(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user_schema",
        Kind::Group => "group_schema",
    }
}

/// The schema of a new store, where the host names none.
pub(in crate::adapter) fn default_schema(kind: Kind) -> IndexMap<String, AttributeSchema> {
    let StoreCapabilities { users, groups, .. } = StoreCapabilities::default();
    match kind {
        Kind::User => users,
        Kind::Group => groups,
    }
}

pub(in crate::adapter) fn print_schema(
    schema: &IndexMap<String, AttributeSchema>,
) -> Result<String, Refusal> {
    serde_json::to_string(schema).map_err(Refusal::Meta)
}

/// The schema that is kept, which must be the one that the host names, where it names one.
pub(in crate::adapter) fn parse_schema(
    kind: Kind,
    kept: &str,
    named: Option<&IndexMap<String, AttributeSchema>>,
) -> Result<IndexMap<String, AttributeSchema>, Refusal> {
    let kept = serde_json::from_str(kept).map_err(Refusal::Meta)?;
    if named.is_some_and(|named| *named != kept) {
        return Err(Refusal::OtherSchema(kind));
    }
    Ok(kept)
}
