//! Rule D5: which operations a tripped limit holds, with all that depends on them.

use super::super::world::Schema;
use super::facts::{Fate, Managed};
use super::operation::Reference;
use super::source::Kind;
use super::values::Holder;
use super::writes::{Writes, takes};
use std::collections::{BTreeMap, BTreeSet};

/// What can be held by itself. A removal that only precedes a delete goes with the delete.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Adopt(String),
    Delete(String),
    Deactivate(String),
    Reactivate(String),
    Update(String),
    Create(Kind, String),
    /// Group and member, for a removal that does not only precede a delete.
    Remove(String, String),
    Add(Reference, Reference),
}

/// What waits for the names that others give up, as pairs (waiting, first).
pub fn name_edges(
    kind: Kind,
    records: &BTreeMap<&str, Managed<'_>>,
    holders: &[Holder<'_>],
    schema: &Schema,
    writes: &Writes,
) -> BTreeSet<(Op, Op)> {
    let frees = |id: &str| {
        let deleted = records.get(id).is_some_and(|record| record.fate == Fate::Deleted);
        if deleted { Op::Delete(id.to_owned()) } else { Op::Update(id.to_owned()) }
    };
    let mut edges = BTreeSet::new();
    for (op, new, own) in writes.planned(kind) {
        for (holder, _, _) in takes(holders, schema, own, &new) {
            edges.insert((op.clone(), frees(holder)));
        }
    }
    edges
}

/// What waits for the creation or adoption of an object that it names.
pub fn object_edges(ops: &BTreeSet<Op>) -> BTreeSet<(Op, Op)> {
    let mut edges = BTreeSet::new();
    for op in ops {
        let stored = |id: &String| Op::Adopt(id.clone());
        let party = |kind, reference: &Reference| match reference {
            Reference::Created(anchor) => Op::Create(kind, anchor.clone()),
            Reference::Stored(id) => stored(id),
        };
        let needs = match op {
            Op::Adopt(_) | Op::Create(..) => Vec::new(),
            Op::Delete(id) | Op::Deactivate(id) | Op::Reactivate(id) | Op::Update(id) => vec![stored(id)],
            Op::Remove(group, member) => vec![stored(group), stored(member)],
            Op::Add(group, member) => vec![party(Kind::Group, group), party(Kind::User, member)],
        };
        edges.extend(needs.into_iter().filter(|first| ops.contains(first)).map(|first| (op.clone(), first)));
    }
    edges
}

/// Everything that is held when `held` is.
pub fn with_dependents(held: &mut BTreeSet<Op>, edges: &BTreeSet<(Op, Op)>) {
    loop {
        let before = held.len();
        for (waiting, first) in edges {
            if held.contains(first) {
                held.insert(waiting.clone());
            }
        }
        if held.len() == before {
            return;
        }
    }
}

/// A name is not given up when nobody takes it: a release is held with its takers, if all of them are.
pub fn idle_releases(held: &mut BTreeSet<Op>, edges: &BTreeSet<(Op, Op)>, writes: &Writes) {
    for (id, _) in writes.updates.iter().filter(|(_, update)| update.release) {
        let release = Op::Update(id.clone());
        let mut takers = edges.iter().filter(|(_, first)| *first == release).map(|(waiting, _)| waiting);
        if takers.all(|taker| held.contains(taker)) {
            held.insert(release);
        }
    }
}
