//! From what is planned and what of it is held to operations, as they run or wait.

use super::super::world::{AccountState, Reactivate};
use super::approvals::{Approved, Names};
use super::facts::{Fate, Managed, state};
use super::flapping::Wrote;
use super::holding::Op;
use super::members::{Removal, Why};
use super::operation::{Changes, Operation, Reference};
use super::source::{Kind, View};
use super::values::{canonical, keys, temporary};
use super::writes::{Update, Writes, holders, schema_and_map, temporaries};
use super::{Adoptions, Note};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that is planned, before limits are asked.
pub struct Draft<'a> {
    pub users: Writes,
    pub groups: Writes,
    pub removals: Vec<Removal<'a>>,
    additions: BTreeSet<(Reference, Reference)>,
    /// Adoptions, updates, creates, and what becomes of whole records: the operations of each.
    whole: BTreeMap<Op, Vec<Operation>>,
}

impl<'a> Draft<'a> {
    pub fn new(
        view: &View<'_>,
        records: &BTreeMap<&str, Managed<'_>>,
        adoptions: &Adoptions,
        users: Writes,
        groups: Writes,
        removals: Vec<Removal<'a>>,
        additions: BTreeSet<(Reference, Reference)>,
    ) -> Self {
        let mut whole = fates(view, records);
        for (id, (kind, anchor)) in &adoptions.adopted {
            let (id, anchor) = (id.clone(), anchor.clone());
            let op = Op::Adopt(id.clone());
            whole.insert(
                op,
                vec![match kind {
                    Kind::User => Operation::AdoptUser { id, anchor },
                    Kind::Group => Operation::AdoptGroup { id, anchor },
                }],
            );
        }
        for (kind, writes) in [(Kind::User, &users), (Kind::Group, &groups)] {
            whole.extend(written(view, records, kind, writes));
        }
        Self { users, groups, removals, additions, whole }
    }

    pub fn ops(&self) -> BTreeSet<Op> {
        let additions = self.additions.iter().map(|(group, member)| Op::Add(group.clone(), member.clone()));
        let removals = self
            .removals
            .iter()
            .filter(|removal| !removal.precedes())
            .map(|removal| Op::Remove(removal.group.to_owned(), removal.member.to_owned()));
        self.whole.keys().cloned().chain(additions).chain(removals).collect()
    }

    fn keys(&self, op: &Op, names: &Names<'_>) -> Vec<String> {
        match op {
            Op::Add(group, member) => vec![names.add_key(group, member)],
            Op::Remove(group, member) => vec![names.remove_key(group, member)],
            _ => {
                self.whole.get(op).into_iter().flatten().flat_map(|operation| names.keys(operation)).collect()
            }
        }
    }

    /// Of an update that takes a temporary value first, the update itself counts: it is what a limit looks at.
    pub fn is_approved(&self, op: &Op, names: &Names<'_>, approved: &Approved<'_>) -> bool {
        self.keys(op, names).last().is_some_and(|key| approved.shown(key).is_some())
    }

    /// What `Abort` holds: all that is not approved as a whole.
    pub fn unapproved(&self, names: &Names<'_>, approved: &Approved<'_>) -> BTreeSet<Op> {
        let mut ops = self.ops();
        ops.retain(|op| self.keys(op, names).iter().any(|key| approved.shown(key).is_none()));
        ops
    }
}

impl Removal<'_> {
    /// It only precedes a delete, and goes with it.
    pub fn precedes(&self) -> bool {
        self.why.contains(&Why::UserDeleted) || self.why.contains(&Why::GroupDeleted)
    }
}

/// Deactivations, reactivations and deletes.
fn fates(view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>) -> BTreeMap<Op, Vec<Operation>> {
    let mut whole = BTreeMap::new();
    for record in records.values() {
        let id = record.id.to_owned();
        let (op, operation) = match (record.fate, record.kind) {
            (Fate::Deleted, Kind::User) => (Op::Delete(id.clone()), Operation::DeleteUser(id)),
            (Fate::Deleted, Kind::Group) => (Op::Delete(id.clone()), Operation::DeleteGroup(id)),
            (Fate::Deactivated, Kind::User) if record.active => {
                (Op::Deactivate(id.clone()), Operation::Deactivate(id))
            }
            (Fate::Entitled, Kind::User) if reactivated(view, record) => {
                (Op::Reactivate(id.clone()), Operation::Reactivate(id))
            }
            _ => continue,
        };
        whole.insert(op, vec![operation]);
    }
    whole
}

/// Rule A7: whoever is entitled and enabled is active, but for an administrator's lock.
pub fn reactivated(view: &View<'_>, record: &Managed<'_>) -> bool {
    let withdrawn = view.users.get(record.anchor()).is_some_and(|user| user.withdrawn);
    !record.active
        && record.read
        && !record.ambiguous
        && !withdrawn
        && state(view, record.anchor()) == AccountState::Enabled
        && (!record.locked || view.world.options.reactivate == Reactivate::Always)
}

/// Updates, those over temporary values first, and creates.
fn written(
    view: &View<'_>,
    records: &BTreeMap<&str, Managed<'_>>,
    kind: Kind,
    writes: &Writes,
) -> BTreeMap<Op, Vec<Operation>> {
    let (schema, _) = schema_and_map(view, kind);
    let temporaries = temporaries(&holders(view, records, kind), schema, &writes.updates);
    let mut whole = BTreeMap::new();
    for (id, update) in &writes.updates {
        let set_aside = temporaries.get(id).cloned().unwrap_or_default();
        whole.insert(Op::Update(id.clone()), update_operations(view, kind, id, update, &set_aside));
    }
    for (anchor, attributes) in &writes.creates {
        let (op, anchor, attributes) = (Op::Create(kind, anchor.clone()), anchor.clone(), attributes.clone());
        whole.insert(
            op,
            vec![match kind {
                Kind::User => {
                    let active = state(view, &anchor) == AccountState::Enabled;
                    Operation::CreateUser { anchor, active, attributes }
                }
                Kind::Group => Operation::CreateGroup { anchor, attributes },
            }],
        );
    }
    whole
}

fn update_operations(
    view: &View<'_>,
    kind: Kind,
    id: &str,
    update: &Update,
    set_aside: &BTreeSet<String>,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut changes = update.changes.clone();
    let mut first = Changes::new();
    for attribute in set_aside {
        // Only what changes is waited for, so the attribute is there.
        let Some((old, new)) = changes.get_mut(attribute) else { continue };
        let value = vec![temporary(&update.anchor, attribute, new, |value| {
            is_held(view, kind, id, attribute, value)
        })];
        first.insert(attribute.clone(), (std::mem::replace(old, value.clone()), value));
    }
    let id = id.to_owned();
    if !first.is_empty() {
        operations.push(Operation::TempUpdate { id: id.clone(), changes: first });
    }
    operations.push(match kind {
        Kind::User => Operation::UpdateUser { id, changes, adopt: update.adopt },
        Kind::Group => Operation::UpdateGroup { id, changes },
    });
    operations
}

/// Another record has the value, by the rule of its attribute.
fn is_held(view: &View<'_>, kind: Kind, id: &str, attribute: &str, value: &str) -> bool {
    let (schema, _) = schema_and_map(view, kind);
    let wanted = keys(&[value.to_owned()], attribute, schema);
    let store = &view.world.store;
    let users = store.users.iter().map(|user| (Kind::User, &user.id, &user.attributes));
    let groups = store.groups.iter().map(|group| (Kind::Group, &group.id, &group.attributes));
    users.chain(groups).filter(|(of, other, _)| *of == kind && other.as_str() != id).any(
        |(_, _, attributes)| {
            !keys(&canonical(attributes.get(attribute)), attribute, schema).is_disjoint(&wanted)
        },
    )
}

/// Operations that run and that wait, with what must be remembered of each.
#[derive(Default)]
pub struct Emitted {
    pub running: BTreeSet<Operation>,
    pub waiting: BTreeSet<Operation>,
    pub notes: BTreeMap<Operation, Note>,
}

pub fn emit(
    draft: &Draft<'_>,
    held: &BTreeSet<Op>,
    costs: &BTreeMap<Op, BTreeMap<String, u64>>,
    names: &Names<'_>,
    approved: &Approved<'_>,
) -> Emitted {
    let mut emitted = Emitted::default();
    let mut put = |operation: Operation, holds: bool, ops: &[&Op], wrote: Wrote| {
        let keys = names.keys(&operation);
        let release = ops.iter().any(|op| draft.is_release(op));
        let mut note = Note { approved: approved.of(&keys), keys, release, wrote, ..Note::default() };
        for (limit, count) in ops.iter().filter_map(|op| costs.get(op)).flatten() {
            *note.costs.entry(limit.clone()).or_default() += count;
        }
        emitted.notes.insert(operation.clone(), note);
        if holds {
            emitted.waiting.insert(operation)
        } else {
            emitted.running.insert(operation)
        };
    };
    for (op, operations) in &draft.whole {
        for (index, operation) in operations.iter().enumerate() {
            // What an update counts, it counts once.
            let last = index + 1 == operations.len();
            let ops = if last { vec![op] } else { Vec::new() };
            let wrote = if last { draft.wrote(op, operation) } else { Wrote::Nothing };
            put(operation.clone(), held.contains(op), &ops, wrote);
        }
    }
    let mut lists: BTreeMap<(&str, bool, bool), BTreeSet<String>> = BTreeMap::new();
    for removal in &draft.removals {
        let (group, member) = (removal.group.to_owned(), removal.member.to_owned());
        let holds = removal.why.iter().all(|why| match why {
            Why::Ordinary | Why::Emptied => held.contains(&Op::Remove(group.clone(), member.clone())),
            Why::UserDeleted => held.contains(&Op::Delete(member.clone())),
            Why::GroupDeleted => held.contains(&Op::Delete(group.clone())),
        });
        // Until it is adopted the list is not ours.
        let holds = holds || held.contains(&Op::Adopt(group.clone()));
        lists.entry((removal.group, removal.precedes(), holds)).or_default().insert(member);
    }
    for ((group, precedes, holds), members) in lists {
        let group = group.to_owned();
        let ops: Vec<Op> = members.iter().map(|member| Op::Remove(group.clone(), member.clone())).collect();
        let operation = if precedes {
            Operation::RemoveMembersBeforeDelete { group, members }
        } else {
            Operation::RemoveMembers { group, members }
        };
        put(operation, holds, &ops.iter().collect::<Vec<_>>(), Wrote::Nothing);
    }
    let mut lists: BTreeMap<(&Reference, bool), BTreeSet<Reference>> = BTreeMap::new();
    for (group, member) in &draft.additions {
        let holds = held.contains(&Op::Add(group.clone(), member.clone()));
        lists.entry((group, holds)).or_default().insert(member.clone());
    }
    for ((group, holds), members) in lists {
        let ops: Vec<Op> = members.iter().map(|member| Op::Add(group.clone(), member.clone())).collect();
        let operation = Operation::AddMembers { group: group.clone(), members };
        put(operation, holds, &ops.iter().collect::<Vec<_>>(), Wrote::Nothing);
    }
    emitted
}

impl Draft<'_> {
    fn is_release(&self, op: &Op) -> bool {
        let Op::Update(id) = op else { return false };
        [&self.users, &self.groups].iter().any(|writes| writes.updates.get(id).is_some_and(|u| u.release))
    }

    /// What the memory keeps of an update or a create (rule A4). A released name is no value that we want.
    fn wrote(&self, op: &Op, operation: &Operation) -> Wrote {
        let anchor = |writes: &Writes, id: &String| {
            let update = writes.updates.get(id).filter(|update| !update.release);
            update.map(|update| update.anchor.clone())
        };
        match (op, operation) {
            (Op::Update(id), Operation::UpdateUser { changes, .. }) => anchor(&self.users, id)
                .map_or(Wrote::Nothing, |anchor| Wrote::Update(Kind::User, anchor, changes.clone())),
            (Op::Update(id), Operation::UpdateGroup { changes, .. }) => anchor(&self.groups, id)
                .map_or(Wrote::Nothing, |anchor| Wrote::Update(Kind::Group, anchor, changes.clone())),
            (Op::Create(kind, anchor), Operation::CreateUser { attributes, .. })
            | (Op::Create(kind, anchor), Operation::CreateGroup { attributes, .. }) => {
                Wrote::Create(*kind, anchor.clone(), attributes.clone())
            }
            _ => Wrote::Nothing,
        }
    }
}
