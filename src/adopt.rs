//! Step 3, second half: records without a link that may become ours (rule M3, "soft match"). Off by default.

use std::collections::BTreeSet;

use crate::attributes::Attributes;
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
    let rules: Vec<&Rule<'_>> = rules.rules.iter().filter(|rule| named.contains(rule.target)).collect();
    let quick = options.extent == Extent::NewEntitlements;
    let candidates = Candidates::new(objects, links, &rules);
    for (number, keys) in &candidates.of_object {
        let shared = || keys.iter().map(|&key| &candidates.sharing[key as usize]);
        let records: BTreeSet<u32> = shared().flat_map(|sharing| sharing.unlinked.iter().copied()).collect();
        let contested = records.iter().any(|record| candidates.contested.contains(record));
        let record = match records.first() {
            None if !keys.is_empty() => continue,
            Some(&record) if records.len() == 1 && !contested => record,
            _ => {
                let object = &mut objects.all[*number as usize];
                (object.barred, object.unclear) = (true, true);
                continue;
            }
        };
        let (kind, store) = (objects.kind, links.store);
        let refused = if shared().any(|sharing| sharing.linked) {
            Some(NotAdopted::LinkedToo)
        } else if protected.record(kind, record) {
            Some(NotAdopted::Protected)
        } else if kind == Kind::User && !store.users[record as usize].active {
            Some(NotAdopted::Inactive)
        } else {
            None
        };
        // In a quick pass nobody is linked who would be made inactive at once, and none is made beside his own record (rule I3).
        if quick && objects.all[*number as usize].disabled {
            objects.all[*number as usize].barred = true;
            continue;
        }
        match refused {
            None => objects.give(graph, options, memory, *number, record),
            Some(because) => {
                let anchor = SourceAnchor::from(links.anchor(objects.all[*number as usize].node));
                let id = StoreId::from(store.id(&store.records(kind)[record as usize]));
                diagnostics.push(Diagnostic::NotAdopted { kind, anchor, id, because });
            }
        }
    }
}

/// Rule M3: no external id of anybody.
fn is_unlinked(links: &Links<'_>, kind: Kind, row: u32) -> bool {
    let store = links.store;
    store.links(&store.records(kind)[row as usize]).next().is_none()
}

/// Who has the same combination of values of the named attributes.
#[derive(Debug, Default)]
struct Sharing {
    /// Objects without a record: the first two.
    objects: Vec<u32>,
    unlinked: Vec<u32>,
    /// A record with a link of somebody's has it, too.
    linked: bool,
}

#[derive(Debug, Default)]
struct Candidates {
    /// Per object its combinations, in the order of the objects; none where there are too many.
    of_object: Vec<(u32, Vec<u32>)>,
    /// Records that more than one object has a combination in common with.
    contested: BTreeSet<u32>,
    sharing: Vec<Sharing>,
}

impl Candidates {
    fn new(objects: &Objects, links: &Links<'_>, rules: &[&Rule<'_>]) -> Self {
        let kind = objects.kind;
        let mut known = Interner::default();
        let mut candidates = Self::default();
        for (number, object) in objects.all.iter().enumerate().filter(|(_, object)| may_adopt(object)) {
            let source = source(links, kind, object);
            let keys = rules.iter().map(|rule| rule.owned_keys(&rule.desired(source)));
            let combinations = match combinations(keys) {
                Some(combinations) if combinations.is_empty() => continue,
                Some(combinations) => combinations,
                None => Vec::new(),
            };
            let numbers: Vec<u32> = combinations.iter().map(|key| known.intern(key)).collect();
            candidates.sharing.resize_with(known.len(), Sharing::default);
            for &key in &numbers {
                let objects = &mut candidates.sharing[key as usize].objects;
                if objects.len() < 2 {
                    objects.push(number as u32);
                }
            }
            candidates.of_object.push((number as u32, numbers));
        }
        if candidates.of_object.is_empty() {
            return candidates;
        }
        for row in 0..links.store.records(kind).len() as u32 {
            let stored = links.store.attributes(kind, row as usize);
            let keys = rules.iter().map(|rule| {
                rule.keys(rule.held(stored)).into_iter().map(std::borrow::Cow::into_owned).collect()
            });
            let mut wanting: BTreeSet<u32> = BTreeSet::new();
            for key in combinations(keys).unwrap_or_default() {
                let Some(key) = known.find(&key) else { continue };
                wanting.extend(candidates.sharing[key as usize].objects.iter().copied());
                let sharing = &mut candidates.sharing[key as usize];
                match is_unlinked(links, kind, row) {
                    true => sharing.unlinked.push(row),
                    false => sharing.linked = true,
                }
            }
            if wanting.len() > 1 {
                candidates.contested.insert(row);
            }
        }
        candidates
    }
}

/// Every choice of one key for each attribute, none where an attribute has no value; `None`: too many.
fn combinations(attributes: impl Iterator<Item = Vec<String>>) -> Option<Vec<String>> {
    let mut all = vec![String::new()];
    for keys in attributes {
        if keys.len().saturating_mul(all.len()) > MOST_COMBINATIONS {
            return None;
        }
        let longer = |start: &String| {
            let start = start.clone();
            keys.iter().map(move |key| format!("{start}{}:{key}", key.len())).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    Some(all)
}

fn may_adopt(object: &Object) -> bool {
    object.fate == Fate::Create
        && object.record == NONE
        && object.source != NONE
        && !object.barred
        && !object.protected
        && !object.unknown
}

fn source<'s>(links: &Links<'s>, kind: Kind, object: &Object) -> Attributes<'s> {
    match (kind, object.source) {
        (_, NONE) => Attributes::EMPTY,
        (Kind::User, row) => links.source.user_row(row as usize),
        (Kind::Group, row) => links.source.group_row(row as usize),
    }
}
