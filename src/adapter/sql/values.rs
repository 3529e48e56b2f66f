//! The values of a record as rows: one a value, with the match key where the attribute is unique (rule M2).

use std::borrow::Cow;

use indexmap::{IndexMap, IndexSet};

use super::Refusal;
use crate::model::Kind;
use crate::store::StoreCapabilities;

/// One value of one attribute.
#[derive(Clone)]
pub(in crate::adapter) struct ValueRow<'v> {
    pub(in crate::adapter) ordinal: i64,
    pub(in crate::adapter) value: &'v str,
    /// Unique attributes only: what no other record of the kind may have. Of two values of one record with the same key, the
    /// first one has it.
    pub(in crate::adapter) key: Option<Cow<'v, str>>,
}

/// The values of a record to be made, by attribute. Required attributes come first, also those without a value.
pub(in crate::adapter) fn grouped<'v>(
    capabilities: &'v StoreCapabilities,
    kind: Kind,
    attributes: impl Iterator<Item = (&'v str, &'v str)>,
) -> IndexMap<&'v str, Vec<&'v str>> {
    let known = match kind {
        Kind::User => &capabilities.users,
        Kind::Group => &capabilities.groups,
    };
    let required = known.iter().filter(|(_, schema)| schema.required);
    let mut values: IndexMap<&str, Vec<&str>> =
        required.map(|(name, _)| (name.as_str(), Vec::new())).collect();
    for (name, value) in attributes {
        values.entry(name).or_default().push(value);
    }
    values
}

/// The rows of one attribute, in the order of its values; refuses what the schema forbids.
pub(in crate::adapter) fn rows_of<'v>(
    capabilities: &StoreCapabilities,
    kind: Kind,
    name: &str,
    values: impl ExactSizeIterator<Item = &'v str>,
) -> Result<Vec<ValueRow<'v>>, Refusal> {
    let schema = capabilities.schema(kind, name);
    if schema.required && values.len() == 0 {
        return Err(Refusal::Required(kind, name.to_owned()));
    }
    if !schema.multi_valued && values.len() > 1 {
        return Err(Refusal::SingleValued(kind, name.to_owned()));
    }
    let mut keys = IndexSet::new();
    let rows = values.enumerate().map(|(ordinal, value)| {
        let key = schema.unique.then(|| schema.matching.fold(value));
        let key = key.filter(|key| keys.insert(key.clone()));
        ValueRow { ordinal: ordinal as i64, value, key }
    });
    Ok(rows.collect())
}
