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
                let created = Created { wanted: attributes.clone() };
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
            let as_created = self.take_created(kind, party);
            for (attribute, wanted) in &party.wanted {
                let Some(new) = target(wanted) else { continue };
                let key = (kind, party.anchor.clone(), attribute.clone());
                if settled(record, attribute, &new, schema)
                    || self.written.get(&key).is_some_and(|written| written.wanted != new)
                {
                    self.written.remove(&key);
                }
                if settled(record, attribute, &new, schema) {
                    continue;
                }
                if as_created {
                    let entry = self.written.entry(key.clone());
                    entry.or_insert(Written { wanted: new.clone(), runs: 0 }).runs += 1;
                }
                if self.written.get(&key).is_some_and(|written| written.runs >= 2) {
                    result.insert((party.anchor.clone(), attribute.clone()));
                }
            }
        }
        result
    }

    /// A create counts as one write of each value, the first time that the record is looked at, if exactly what it
    /// wrote is still wanted.
    fn take_created(&mut self, kind: Kind, party: &Party) -> bool {
        let Some(created) = self.created.remove(&(kind, party.anchor.clone())) else { return false };
        let wanted: Attributes = party
            .wanted
            .iter()
            .filter_map(|(attribute, wanted)| Some((attribute.clone(), target(wanted)?)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        created.wanted == wanted
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
