//! The limits of rule D4, judged over the whole plan and over the runs of a period, and what a tripped one holds by
//! itself (rule D5).

use super::super::world::{Limit, OnTrip};
use super::facts::{Fate, Managed, listed_members};
use super::holding::Op;
use super::members::{Removal, Why};
use super::memory::Memory;
use super::source::{Kind, View};
use super::values::canonical;
use super::writes::Writes;
use std::collections::{BTreeMap, BTreeSet};

/// Which limits tripped, what they hold, and what each operation takes from them.
#[derive(Debug, Default)]
pub struct Trips {
    pub names: BTreeSet<String>,
    pub held: BTreeSet<Op>,
    /// By operation and by the name under which the memory keeps the limit.
    pub costs: BTreeMap<Op, BTreeMap<String, u64>>,
}

/// One limit, as far as this plan has to do with it.
struct Count {
    /// As diagnostics name it, and as the memory does.
    name: String,
    remembered: String,
    limit: Option<Limit>,
    base: usize,
    /// The operations that count, each so many times.
    operations: BTreeMap<Op, usize>,
}

impl Trips {
    fn judge(&mut self, view: &View<'_>, memory: &Memory, approved: &BTreeSet<Op>, count: Count) {
        let Some(limit) = count.limit else { return };
        let counted: BTreeMap<&Op, u64> = count
            .operations
            .iter()
            .filter(|(op, times)| !approved.contains(op) && **times > 0)
            .map(|(op, times)| (op, *times as u64))
            .collect();
        for (op, times) in &counted {
            self.costs.entry((*op).clone()).or_default().insert(count.remembered.clone(), *times);
        }
        let planned: u64 = counted.values().sum();
        let base = count.base as u64;
        let over_window = view.world.options.guards.window.is_some_and(|window| {
            let spent = memory.spent_on(&count.remembered, window.period);
            // What was granted or adopted is in the base by now.
            let grows = ["adoptions", "grants"].contains(&count.name.as_str());
            let whole = if grows { base.saturating_sub(spent) } else { base + spent };
            planned + spent > allowed(limit, whole) * window.percent / 100
        });
        if planned > 0 && (planned > allowed(limit, base) || over_window) {
            self.names.insert(count.name);
            self.held.extend(counted.into_keys().cloned());
        }
    }
}

fn allowed(limit: Limit, base: u64) -> u64 {
    let share = limit.percent * base / 100;
    limit.floor.max(limit.count.map_or(share, |count| count.min(share)))
}

fn once(ops: impl Iterator<Item = Op>) -> BTreeMap<Op, usize> {
    ops.map(|op| (op, 1)).collect()
}

/// What is judged.
pub struct Planned<'p> {
    pub removals: &'p [Removal<'p>],
    pub users: &'p Writes,
    pub groups: &'p Writes,
    /// All that can be held by itself.
    pub ops: &'p BTreeSet<Op>,
}

/// Judges every limit. Operations that are approved are neither counted nor held.
pub fn trips(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    planned: &Planned<'_>,
    memory: &Memory,
    approved: &BTreeSet<Op>,
) -> Trips {
    let mut counts = whole_records(view, records);
    counts.extend(clears(view, records, planned.users, planned.groups));
    counts.extend(member_counts(view, records, planned.removals));
    counts.push(growth(view, records, planned.ops));
    let mut trips = Trips::default();
    for count in counts {
        trips.judge(view, memory, approved, count);
    }
    trips
}

impl Trips {
    /// Nothing runs but what is approved.
    pub fn aborts(&self, view: &View<'_>) -> bool {
        !self.names.is_empty() && view.world.options.on_trip == OnTrip::Abort
    }
}

/// D4 counts what there is before the plan: an adopted record is not ours then.
fn in_base(record: &Managed<'_>) -> bool {
    !record.adopted
}

fn whole_records(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>) -> Vec<Count> {
    let guards = &view.world.options.guards;
    let of_kind = |kind| records.values().filter(move |record| record.kind == kind);
    let count = |name: &str, limit, base, operations| {
        let name = name.to_owned();
        Count { remembered: name.clone(), name, limit, base, operations }
    };
    let deletes = |kind| {
        let deleted = of_kind(kind).filter(|record| record.fate == Fate::Deleted);
        once(deleted.map(|record| Op::Delete(record.id.to_owned())))
    };
    let base = |kind| of_kind(kind).filter(|record| in_base(record)).count();
    let active = of_kind(Kind::User).filter(|record| record.active);
    let deactivated = active.clone().filter(|record| record.fate == Fate::Deactivated);
    let deactivated = once(deactivated.map(|record| Op::Deactivate(record.id.to_owned())));
    let active = active.filter(|record| in_base(record)).count();
    let adopted = records.values().filter(|record| record.adopted);
    let adopted = once(adopted.map(|record| Op::Adopt(record.id.to_owned())));
    let linked_before = records.len() - adopted.len();
    vec![
        count("user_deletes", guards.user_deletes, base(Kind::User), deletes(Kind::User)),
        count("group_deletes", guards.group_deletes, base(Kind::Group), deletes(Kind::Group)),
        count("deactivations", guards.deactivations, active, deactivated),
        count("adoptions", guards.adoptions, linked_before, adopted),
    ]
}

fn clears(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    users: &Writes,
    groups: &Writes,
) -> Vec<Count> {
    let mut counts = Vec::new();
    for (kind, writes) in [(Kind::User, users), (Kind::Group, groups)] {
        let mut clears: BTreeMap<&String, BTreeMap<Op, usize>> = BTreeMap::new();
        for (id, update) in &writes.updates {
            for (attribute, _) in update.changes.iter().filter(|(_, (_, new))| new.is_empty()) {
                clears.entry(attribute).or_default().insert(Op::Update(id.clone()), 1);
            }
        }
        for (attribute, operations) in clears {
            let holds = |r: &&Managed<'_>| {
                r.kind == kind && in_base(r) && !canonical(r.attributes.get(attribute)).is_empty()
            };
            let name = format!("clears {kind} {attribute}");
            counts.push(Count {
                remembered: name.clone(),
                name,
                limit: view.world.options.guards.clears_per_attribute,
                base: records.values().filter(holds).count(),
                operations,
            });
        }
    }
    counts
}

/// Everything that gives somebody access, against what there was.
fn growth(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>, ops: &BTreeSet<Op>) -> Count {
    let gives = |op: &&Op| matches!(op, Op::Create(Kind::User, _) | Op::Add(..) | Op::Reactivate(_));
    let ours = |kind| records.values().filter(move |record| record.kind == kind && in_base(record));
    let members = |group: &str| {
        let listed = listed_members(view.world, group);
        listed.into_iter().filter(|id| records.get(id).is_some_and(in_base)).count()
    };
    Count {
        name: "grants".to_owned(),
        remembered: "grants".to_owned(),
        limit: view.world.options.guards.grants,
        base: ours(Kind::User).count() + ours(Kind::Group).map(|group| members(group.id)).sum::<usize>(),
        operations: once(ops.iter().filter(gives).cloned()),
    }
}

fn member_counts(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    removals: &[Removal<'_>],
) -> Vec<Count> {
    let guards = &view.world.options.guards;
    let mut counts = Vec::new();
    let mut base = 0;
    let mut all: BTreeMap<Op, usize> = BTreeMap::new();
    for group in records.values().filter(|record| record.kind == Kind::Group) {
        let listed = listed_members(view.world, group.id);
        let members: BTreeSet<&str> = listed.into_iter().filter(|id| records.contains_key(id)).collect();
        let before = members.iter().filter(|id| in_base(&records[**id])).count();
        base += if in_base(group) { before } else { 0 };
        let with = |why| {
            let own = removals.iter().filter(move |removal| removal.group == group.id);
            own.filter(move |removal| removal.why.contains(&why)).map(op_of)
        };
        let ordinary = once(with(Why::Ordinary));
        all.extend(ordinary.clone());
        all.extend(once(with(Why::Emptied)));
        if group.fate == Fate::Deleted {
            // A member who is deleted himself only precedes his own delete.
            let deleted_user = |m: &Managed<'_>| m.kind == Kind::User && m.fate == Fate::Deleted;
            let lost = members.iter().filter(|member| !deleted_user(&records[*member])).count();
            all.insert(Op::Delete(group.id.to_owned()), lost);
        }
        counts.push(Count {
            name: format!("removals {}", group.id),
            remembered: format!("removals {}", group.anchor()),
            limit: guards.removals_per_group,
            base: before,
            operations: ordinary,
        });
    }
    let name = "removals_in_all".to_owned();
    counts.push(Count {
        remembered: name.clone(),
        name,
        limit: guards.removals_in_all,
        base,
        operations: all,
    });
    counts
}

fn op_of(removal: &Removal<'_>) -> Op {
    Op::Remove(removal.group.to_owned(), removal.member.to_owned())
}
