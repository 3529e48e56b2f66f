//! The limits of rule D4, judged over the whole plan, and what a tripped one holds by itself (rule D5).

use super::super::world::Limit;
use super::decide::Writes;
use super::facts::{Fate, Managed, Removal, Why, listed_members};
use super::source::{Kind, View};
use super::values::canonical;
use std::collections::{BTreeMap, BTreeSet};

/// An operation that can be held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Delete(String),
    Deactivate(String),
    Update(String),
    Create(Kind, String),
    /// Group and member, for a removal that does not only precede a delete.
    Remove(String, String),
}

/// Which limits tripped, and what they hold.
#[derive(Debug, Default)]
pub struct Trips {
    pub names: BTreeSet<String>,
    pub held: BTreeSet<Op>,
}

impl Trips {
    fn judge(&mut self, name: &str, limit: Option<Limit>, base: usize, counted: BTreeSet<Op>) {
        self.judge_count(name, limit, base, counted.len(), counted);
    }

    fn judge_count(&mut self, name: &str, limit: Option<Limit>, base: usize, n: usize, holds: BTreeSet<Op>) {
        let Some(limit) = limit else { return };
        let share = limit.percent * base as u64 / 100;
        let allowed = limit.floor.max(limit.count.map_or(share, |count| count.min(share)));
        if n as u64 > allowed {
            self.names.insert(name.to_owned());
            self.held.extend(holds);
        }
    }
}

pub fn trips(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    removals: &[Removal<'_>],
    users: &Writes,
    groups: &Writes,
) -> Trips {
    let guards = &view.world.options.guards;
    let mut trips = Trips::default();
    let of_kind = |kind| records.values().filter(move |record| record.kind == kind);
    let deletes = |kind| {
        let deleted = of_kind(kind).filter(|record| record.fate == Fate::Deleted);
        deleted.map(|record| Op::Delete(record.id.to_owned())).collect::<BTreeSet<_>>()
    };
    trips.judge("user_deletes", guards.user_deletes, of_kind(Kind::User).count(), deletes(Kind::User));
    trips.judge("group_deletes", guards.group_deletes, of_kind(Kind::Group).count(), deletes(Kind::Group));
    let active = of_kind(Kind::User).filter(|record| record.active);
    let deactivated = active.clone().filter(|record| record.fate == Fate::Deactivated);
    let deactivated = deactivated.map(|record| Op::Deactivate(record.id.to_owned())).collect();
    trips.judge("deactivations", guards.deactivations, active.count(), deactivated);
    judge_removals(view, records, removals, &mut trips);
    for (kind, name, writes) in [(Kind::User, "user", users), (Kind::Group, "group", groups)] {
        let mut clears: BTreeMap<&String, BTreeSet<Op>> = BTreeMap::new();
        for (id, update) in &writes.updates {
            for (attribute, _) in update.changes.iter().filter(|(_, (_, new))| new.is_empty()) {
                clears.entry(attribute).or_default().insert(Op::Update(id.clone()));
            }
        }
        for (attribute, ops) in clears {
            let base = of_kind(kind).filter(|r| !canonical(r.attributes.get(attribute)).is_empty()).count();
            trips.judge(&format!("clears {name} {attribute}"), guards.clears_per_attribute, base, ops);
        }
    }
    trips
}

fn judge_removals(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    removals: &[Removal<'_>],
    trips: &mut Trips,
) {
    let guards = &view.world.options.guards;
    let managed = |group: &str| -> BTreeSet<&str> {
        listed_members(view.world, group).into_iter().filter(|member| records.contains_key(member)).collect()
    };
    let op = |removal: &Removal<'_>| Op::Remove(removal.group.to_owned(), removal.member.to_owned());
    let mut base = 0;
    let mut n = 0;
    let mut holds = BTreeSet::new();
    for group in records.values().filter(|record| record.kind == Kind::Group) {
        let members = managed(group.id);
        base += members.len();
        let own = removals.iter().filter(|removal| removal.group == group.id);
        let ordinary: BTreeSet<Op> = own.clone().filter(|r| r.why.contains(&Why::Ordinary)).map(op).collect();
        let emptied: BTreeSet<Op> = own.filter(|r| r.why.contains(&Why::Emptied)).map(op).collect();
        n += ordinary.len() + emptied.len();
        holds.extend(ordinary.iter().cloned());
        holds.extend(emptied);
        if group.fate == Fate::Deleted {
            // A member who is deleted himself only precedes his own delete.
            let deleted_user = |m: &Managed<'_>| m.kind == Kind::User && m.fate == Fate::Deleted;
            let lost = members.iter().filter(|member| !deleted_user(&records[*member])).count();
            n += lost;
            if lost > 0 {
                holds.insert(Op::Delete(group.id.to_owned()));
            }
        }
        let name = format!("removals {}", group.id);
        trips.judge(&name, guards.removals_per_group, members.len(), ordinary);
    }
    trips.judge_count("removals_in_all", guards.removals_in_all, base, n, holds);
}
