//! SQL with the schema and the kind filled in, and the texts that PostgreSQL can hold.
//!
//! Every table is named with its schema: a session whose search path is changed, by a pool or an administrator, can then
//! not reach a table of somebody else.

use crate::model::Kind;

use super::fault::Fault;

/// Longest text that is part of an index. PostgreSQL takes some 2,700 bytes for all columns of one together.
pub(super) const INDEXED: usize = 1_200;

/// A schema's name as it stands in SQL.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) name: String,
    quoted: String,
}

impl Schema {
    /// # Errors
    ///
    /// A name that PostgreSQL would cut, cannot hold, or keeps for itself.
    pub(super) fn new(name: &str) -> Result<Self, Fault> {
        if name.is_empty() || name.len() > 63 || name.contains('\0') || name.starts_with("pg_") {
            return Err(Fault::SchemaName);
        }
        Ok(Self { name: name.to_owned(), quoted: format!("\"{}\"", name.replace('"', "\"\"")) })
    }

    /// Fills in `{s}` (schema), `{r}` (table of records), `{a}` (of their attributes), `{pk}` and `{own}`.
    pub(super) fn fill(&self, template: &str, kind: Kind) -> String {
        let [records, attributes, pk, own] = match kind {
            Kind::User => ["users", "user_attributes", "user_pk", "h.active, h.origin, h.inactive_by"],
            Kind::Group => ["groups", "group_attributes", "group_pk", "true, NULL::text, NULL::text"],
        };
        let text = template.replace("{r}", records).replace("{a}", attributes).replace("{pk}", pk);
        // Last, so that nothing in the schema's own name is taken for a place to be filled.
        text.replace("{own}", own).replace("{s}", &self.quoted)
    }
}

/// A text that can be a parameter.
pub(super) fn storable(text: &str) -> Result<&str, Fault> {
    if text.contains('\0') { Err(Fault::Nul) } else { Ok(text) }
}

/// A text that can stand in an index.
pub(super) fn indexable(text: &str) -> Result<&str, Fault> {
    if text.len() > INDEXED { Err(Fault::TooLong(None)) } else { storable(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::unwrap_used, reason = "a test that panics has found something")]
    fn a_schemas_name_is_quoted_and_never_filled() {
        let schema = Schema::new("{r}\"; DROP SCHEMA x; --").unwrap();
        let sql = schema.fill("SELECT pk FROM {s}.{r}", Kind::User);
        assert_eq!(sql, "SELECT pk FROM \"{r}\"\"; DROP SCHEMA x; --\".users");
        for name in ["", "a\0", "pg_catalog", &"x".repeat(64)] {
            assert!(Schema::new(name).is_err());
        }
    }
}
