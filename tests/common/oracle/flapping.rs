//! Rule A4: a value that comes back different after two runs is left out until the source value changes.

use super::super::world::{Attributes, Schema};
use super::facts::Managed;
use super::memory::Memory;
use super::operation::Changes;
use super::source::Kind;
use super::values::{Party, Wanted, canonical, keys};
use std::collections::{BTreeMap, BTreeSet};

/// A value that updates wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Empty: cleared.
    pub wanted: Vec<String>,
    /// In how many runs.
    pub runs: u32,
}

/// What a create wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub wanted: Attributes,
    /// The attributes that were not seen settled since.
    pub unsettled: BTreeSet<String>,
}

/// What an operation writes, for the memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Wrote {
    #[default]
    Nothing,
    Update(Kind, String, Changes),
    Create(Kind, String, Attributes),
}

impl Memory {
    /// An applied operation wrote this.
    pub fn note_wrote(&mut self, wrote: &Wrote) {
        match wrote {
            Wrote::Nothing => {}
            Wrote::Update(kind, anchor, changes) => {
                for (attribute, (_, new)) in changes {
                    let key = (*kind, anchor.clone(), attribute.clone());
                    let entry = self.written.entry(key).or_insert(Written { wanted: new.clone(), runs: 0 });
                    if entry.wanted != *new {
                        *entry = Written { wanted: new.clone(), runs: 0 };
                    }
                    entry.runs += 1;
                }
            }
            Wrote::Create(kind, anchor, attributes) => {
                let created =
                    Created { wanted: attributes.clone(), unsettled: attributes.keys().cloned().collect() };
                self.created.insert((*kind, anchor.clone()), created);
                self.written.retain(|(k, a, _), _| (k, a) != (kind, anchor));
            }
        }
    }

    /// Compares what is wanted with what is there: forgets what has settled or is wanted no more, and returns
    /// the attributes, by anchor, that were written in two runs or more and are different all the same.
    pub fn flapping(
        &mut self,
        kind: Kind,
        parties: &[Party],
        records: &BTreeMap<&str, Managed<'_>>,
        schema: &Schema,
    ) -> BTreeSet<(String, String)> {
        let mut result = BTreeSet::new();
        for party in parties.iter().filter(|party| party.writable) {
            let Some(record) = party.record.as_deref().and_then(|id| records.get(id)) else { continue };
            self.compare_created(kind, party, record, schema);
            for (attribute, wanted) in &party.wanted {
                let Some(new) = target(wanted) else { continue };
                let key = (kind, party.anchor.clone(), attribute.clone());
                if settled(record, attribute, &new, schema)
                    || self.written.get(&key).is_some_and(|written| written.wanted != new)
                {
                    self.written.remove(&key);
                }
                let updates = self.written.get(&key).map_or(0, |written| written.runs);
                let created = self.created.get(&(kind, party.anchor.clone()));
                let create = created.is_some_and(|created| created.unsettled.contains(attribute));
                if updates + u32::from(create) >= 2 && !settled(record, attribute, &new, schema) {
                    result.insert((party.anchor.clone(), attribute.clone()));
                }
            }
        }
        result
    }

    /// A create counts as long as all that it wrote is still wanted.
    fn compare_created(&mut self, kind: Kind, party: &Party, record: &Managed<'_>, schema: &Schema) {
        let key = (kind, party.anchor.clone());
        let Some(created) = self.created.get_mut(&key) else { return };
        let wanted = |attribute| party.wanted.get(attribute).and_then(target);
        if created.wanted.iter().any(|(attribute, values)| wanted(attribute).as_ref() != Some(values)) {
            self.created.remove(&key);
            return;
        }
        let wanted = &created.wanted;
        created.unsettled.retain(|attribute| !settled(record, attribute, &wanted[attribute], schema));
    }
}

/// What the attribute shall hold; `None`: it stays as it is.
fn target(wanted: &Wanted) -> Option<Vec<String>> {
    match wanted {
        Wanted::Values(values) => Some(values.clone()),
        Wanted::Clear => Some(Vec::new()),
        Wanted::Leave | Wanted::RequiredEmpty => None,
    }
}

fn settled(record: &Managed<'_>, attribute: &str, new: &[String], schema: &Schema) -> bool {
    let old = canonical(record.attributes.get(attribute));
    keys(&old, attribute, schema) == keys(new, attribute, schema)
}
