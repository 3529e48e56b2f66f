//! Step 3, second half: records without a link that may become ours (rule M3, "soft match"). Off by default.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::correlate::Fate;
use crate::diagnostic::{Diagnostic, NotAdopted};
use crate::graph::Graph;
use crate::id::{SourceAnchor, StoreId};
use crate::intern::Interner;
use crate::links::Links;
use crate::model::Kind;
use crate::object::{Object, Objects, ProtectedRecords};
use crate::options::{Extent, Options};
use crate::run::Memory;
use crate::snapshot::NONE;
use crate::value::{Rule, Rules};

/// Most combinations of values of the named attributes in one object or record. Nobody has so many but to do harm.
const MOST_COMBINATIONS: usize = 4_096;

/// Gives records to objects that have none, and bars objects of whom nobody can tell which record is meant.
///
/// Linear in objects, records and their combinations of values of the named attributes.
pub(crate) fn adopt(
    objects: &mut Objects,
    graph: &Graph<'_>,
    rules: &Rules<'_>,
    protected: &ProtectedRecords,
    (options, memory): (&Options, &Memory),
    diagnostics: &mut Vec<Diagnostic>,
) {
    let links = graph.links;
    let named = options.soft_match.of(objects.kind);
    if named.is_empty() {
        return;
    }
    let quick = options.extent == Extent::NewEntitlements;
    let rules: Vec<&Rule<'_>> = rules.rules.iter().filter(|rule| named.contains(rule.target)).collect();
    let candidates = Candidates::new(objects, links, &rules);
    for (number, keys) in candidates.seeking(objects) {
        let (kind, store) = (objects.kind, links.store);
        let object = &mut objects.all[number as usize];
        let record = match candidates.of(keys) {
            Found::Nothing => continue,
            Found::Several => {
                (object.barred, object.unclear) = (true, true);
                continue;
            }
            Found::One(record) => record,
        };
        let refused = if candidates.is_linked_too(keys) {
            Some(NotAdopted::LinkedToo)
        } else if protected.record(kind, record) {
            Some(NotAdopted::Protected)
        } else if kind == Kind::User && !store.users[record as usize].active {
            Some(NotAdopted::Inactive)
        } else {
            None
        };
        // In a quick pass nobody is linked who would be made inactive at once, and none is made beside his own record (rule I3).
        if quick && object.disabled {
            object.barred = true;
            continue;
        }
        match refused {
            None => objects.give(graph, options, memory, number, record),
            Some(because) => {
                let anchor = SourceAnchor::from(links.anchor(object.node));
                let id = StoreId::from(store.id(&store.records(kind)[record as usize]));
                diagnostics.push(Diagnostic::NotAdopted { kind, anchor, id, because });
            }
        }
    }
}

/// What an object or a record has of the named attributes.
#[derive(Debug)]
enum Keys {
    /// One number for each combination of one value per attribute; none where an attribute has no value.
    Combinations(Vec<u32>),
    /// There are too many: only the values of the first attribute are looked at, and those forbid more than they allow.
    TooMany(Vec<u32>),
}

/// Who has one combination of values.
#[derive(Debug, Default)]
struct Sharing {
    /// The first two objects, whatever becomes of them: also one that cannot be linked now may be the right one.
    objects: Vec<u32>,
    /// The first two records without a link.
    unlinked: Vec<u32>,
    /// A record with a link of somebody's has it, too.
    linked: bool,
}

/// The record of an object.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    One(u32),
    /// More than one record, or one that others match as well.
    Several,
}

#[derive(Debug, Default)]
struct Candidates {
    /// Per object what it has, in the order of the objects; more than once where nobody knows which of its rows counts.
    of_object: Vec<(u32, Keys)>,
    sharing: Vec<Sharing>,
    /// Records that more than one object matches.
    contested: BTreeSet<u32>,
    /// Values of the first attribute that an object or a record with too many combinations has.
    doubtful: BTreeSet<u32>,
    /// Per combination the value of the first attribute in it.
    first_of: Vec<u32>,
}

/// Numbers for values and for combinations of them, so that long values are held once.
#[derive(Default)]
struct Numbers {
    values: Interner,
    combinations: BTreeMap<Vec<u32>, u32>,
}

impl Numbers {
    /// The combinations of these values, attribute by attribute.
    fn keys(&mut self, attributes: impl Iterator<Item = Vec<String>>) -> Keys {
        let numbered: Vec<Vec<u32>> =
            attributes.map(|values| values.iter().map(|value| self.values.intern(value)).collect()).collect();
        let count = numbered.iter().try_fold(1usize, |product, values| product.checked_mul(values.len()));
        if count.is_none_or(|count| count > MOST_COMBINATIONS) {
            return Keys::TooMany(numbered.into_iter().next().unwrap_or_default());
        }
        let mut all = vec![Vec::new()];
        for values in &numbered {
            all = all
                .iter()
                .flat_map(|start: &Vec<u32>| {
                    values.iter().map(move |&value| start.iter().copied().chain([value]).collect())
                })
                .collect();
        }
        let combinations = all.into_iter().map(|combination| {
            let next = self.combinations.len() as u32;
            *self.combinations.entry(combination).or_insert(next)
        });
        Keys::Combinations(combinations.collect())
    }
}

impl Candidates {
    fn new(objects: &Objects, links: &Links<'_>, rules: &[&Rule<'_>]) -> Self {
        let kind = objects.kind;
        let mut candidates = Self::default();
        // Who takes nothing needs no look at the others.
        if !objects.all.iter().any(may_adopt) {
            return candidates;
        }
        let mut numbers = Numbers::default();
        for (number, object) in (0..).zip(&objects.all).filter(|(_, object)| object.source != NONE) {
            for source in links.source.every_row(kind, object.source) {
                let keys = numbers.keys(rules.iter().map(|rule| rule.owned_keys(&rule.desired(source))));
                candidates.of_object.push((number, keys));
            }
        }
        let owned = |keys: Vec<Cow<'_, str>>| keys.into_iter().map(Cow::into_owned).collect();
        let of_record: Vec<Keys> = (0..links.store.records(kind).len())
            .map(|row| {
                let stored = links.store.attributes(kind, row);
                numbers.keys(rules.iter().map(|rule| owned(rule.keys(rule.held(stored)))))
            })
            .collect();
        candidates.sharing.resize_with(numbers.combinations.len(), Sharing::default);
        candidates.first_of = vec![NONE; numbers.combinations.len()];
        for (combination, &number) in &numbers.combinations {
            candidates.first_of[number as usize] = combination.first().copied().unwrap_or(NONE);
        }
        for (number, keys) in &candidates.of_object {
            match keys {
                Keys::Combinations(keys) => {
                    keys.iter().for_each(|&key| put(&mut candidates.sharing[key as usize].objects, *number));
                }
                Keys::TooMany(values) => candidates.doubtful.extend(values),
            }
        }
        for (row, keys) in (0..).zip(&of_record) {
            let keys = match keys {
                Keys::Combinations(keys) => keys,
                Keys::TooMany(values) => {
                    candidates.doubtful.extend(values);
                    continue;
                }
            };
            let mut matching: BTreeSet<u32> = BTreeSet::new();
            for &key in keys {
                let sharing = &mut candidates.sharing[key as usize];
                matching.extend(&sharing.objects);
                match is_unlinked(links, kind, row) {
                    true => put(&mut sharing.unlinked, row),
                    false => sharing.linked = true,
                }
            }
            if matching.len() > 1 {
                candidates.contested.insert(row);
            }
        }
        candidates
    }

    /// The objects that have no record and may be given one, with what they have.
    fn seeking<'c>(&'c self, objects: &Objects) -> Vec<(u32, &'c Keys)> {
        let all = self.of_object.iter().filter(|(number, _)| may_adopt(&objects.all[*number as usize]));
        all.map(|(number, keys)| (*number, keys)).collect()
    }

    fn of(&self, keys: &Keys) -> Found {
        let Keys::Combinations(keys) = keys else { return Found::Several };
        let mut records: BTreeSet<u32> = BTreeSet::new();
        let mut doubtful = false;
        for &key in keys {
            records.extend(&self.sharing[key as usize].unlinked);
            doubtful |= self.doubtful.contains(&self.first_of[key as usize]);
        }
        match records.first() {
            None => Found::Nothing,
            Some(record) if records.len() == 1 && !doubtful && !self.contested.contains(record) => {
                Found::One(*record)
            }
            Some(_) => Found::Several,
        }
    }

    fn is_linked_too(&self, keys: &Keys) -> bool {
        match keys {
            Keys::Combinations(keys) => keys.iter().any(|&key| self.sharing[key as usize].linked),
            Keys::TooMany(_) => true,
        }
    }
}

/// Two are enough to know that there is not one.
fn put(list: &mut Vec<u32>, number: u32) {
    if list.len() < 2 && !list.contains(&number) {
        list.push(number);
    }
}

/// Rule M3: no external id of anybody.
fn is_unlinked(links: &Links<'_>, kind: Kind, row: u32) -> bool {
    let store = links.store;
    store.links(&store.records(kind)[row as usize]).next().is_none()
}

fn may_adopt(object: &Object) -> bool {
    object.fate == Fate::Create
        && object.record == NONE
        && object.source != NONE
        && !object.barred
        && !object.protected
        && !object.unknown
}
