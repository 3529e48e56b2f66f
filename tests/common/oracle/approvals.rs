//! Rule D5: what a person approved, and by which key an operation is recognised in a later plan.

use super::super::world::Attributes;
use super::Decision;
use super::facts::Managed;
use super::memory::Memory;
use super::operation::{Changes, Operation, Reference, attribute_text, change_text};
use super::source::Kind;
use std::collections::{BTreeMap, BTreeSet};

/// What was approved of a held set that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The host's clock when the plan was made.
    pub shown_at: u64,
    /// The keys of the operations, those of member lists member by member.
    pub keys: BTreeSet<String>,
}

impl Decision {
    /// Approves the held operations whose canonical line is chosen.
    pub fn approve(&self, shown_at: u64, chosen: impl Fn(&str) -> bool) -> Approval {
        let chosen = self.held.iter().filter(|operation| chosen(&operation.to_string()));
        let keys =
            chosen.filter_map(|operation| self.notes.get(operation)).flat_map(|note| note.keys.clone());
        Approval { shown_at, keys: keys.collect() }
    }
}

/// The approvals that count in one run.
pub struct Approved<'a> {
    memory: &'a Memory,
    given: &'a [Approval],
}

impl<'a> Approved<'a> {
    pub fn new(memory: &'a Memory, given: &'a [Approval]) -> Self {
        Self { memory, given }
    }

    /// When the operation of this key was shown to whoever approved it; `None`: not approved, or used up.
    pub fn shown(&self, key: &str) -> Option<u64> {
        let given = self.given.iter().filter(|approval| approval.keys.contains(key));
        let last = given.map(|approval| approval.shown_at).max()?;
        self.memory.used.get(key).is_none_or(|used| last > *used).then_some(last)
    }

    /// Those of the keys that are approved.
    pub fn of(&self, keys: &BTreeSet<String>) -> BTreeMap<String, u64> {
        keys.iter().filter_map(|key| Some((key.clone(), self.shown(key)?))).collect()
    }
}

/// Knows the anchors of records, for keys and for what is remembered of an operation.
pub struct Names<'a> {
    pub records: &'a BTreeMap<&'a str, Managed<'a>>,
    /// How many members each group would lose with its delete: whoever approves it has seen so many.
    pub lost: BTreeMap<String, usize>,
}

impl Names<'_> {
    /// Kind and anchor of a record; what is not managed has none.
    pub fn subject(&self, id: &str) -> (Kind, &str) {
        self.records.get(id).map_or((Kind::User, "-"), |record| (record.kind, record.anchor()))
    }

    fn member(&self, reference: &Reference) -> String {
        match reference {
            Reference::Created(anchor) => format!("{anchor}/-"),
            Reference::Stored(id) => format!("{}/{id}", self.subject(id).1),
        }
    }

    pub fn add_key(&self, group: &Reference, member: &Reference) -> String {
        format!("add {} {}", self.member(group), self.member(member))
    }

    pub fn remove_key(&self, group: &str, member: &str) -> String {
        let of = |id: &str| self.member(&Reference::Stored(id.to_owned()));
        format!("remove {} {}", of(group), of(member))
    }

    pub fn update_key(&self, id: &str, changes: &Changes) -> String {
        self.key("update", id) + " " + &change_text(changes)
    }

    pub fn delete_key(&self, id: &str) -> String {
        format!("{} {}", self.key("delete", id), self.lost.get(id).copied().unwrap_or(0))
    }

    pub fn key(&self, action: &str, id: &str) -> String {
        let (kind, anchor) = self.subject(id);
        format!("{action} {kind} {anchor} {id}")
    }

    pub fn create_key(&self, kind: Kind, anchor: &str, active: bool, attributes: &Attributes) -> String {
        format!("create {kind} {anchor} {active} {}", attribute_text(attributes))
    }

    /// The keys of an operation: one, or one for each member.
    pub fn keys(&self, operation: &Operation) -> BTreeSet<String> {
        let one = match operation {
            Operation::CreateUser { anchor, active, attributes } => {
                self.create_key(Kind::User, anchor, *active, attributes)
            }
            Operation::CreateGroup { anchor, attributes } => {
                self.create_key(Kind::Group, anchor, true, attributes)
            }
            Operation::AdoptUser { id, .. } | Operation::AdoptGroup { id, .. } => self.key("adopt", id),
            Operation::UpdateUser { id, changes, .. }
            | Operation::UpdateGroup { id, changes }
            | Operation::TempUpdate { id, changes } => self.update_key(id, changes),
            Operation::Deactivate(id) => self.key("deactivate", id),
            Operation::Reactivate(id) => self.key("reactivate", id),
            Operation::DeleteUser(id) | Operation::DeleteGroup(id) => self.delete_key(id),
            Operation::AddMembers { group, members } => {
                return members.iter().map(|member| self.add_key(group, member)).collect();
            }
            Operation::RemoveMembers { group, members }
            | Operation::RemoveMembersBeforeDelete { group, members } => {
                return members.iter().map(|member| self.remove_key(group, member)).collect();
            }
        };
        BTreeSet::from([one])
    }

    /// Action, kind and anchor, by which the memory knows that an operation is held.
    pub fn held_as(&self, operation: &Operation) -> String {
        let of = |action: &str, id: &str| {
            let (kind, anchor) = self.subject(id);
            format!("{action} {kind} {anchor}")
        };
        match operation {
            Operation::CreateUser { anchor, .. } => format!("create user {anchor}"),
            Operation::CreateGroup { anchor, .. } => format!("create group {anchor}"),
            Operation::AdoptUser { id, .. } | Operation::AdoptGroup { id, .. } => of("adopt", id),
            Operation::UpdateUser { id, .. }
            | Operation::UpdateGroup { id, .. }
            | Operation::TempUpdate { id, .. } => of("update", id),
            Operation::Deactivate(id) => of("deactivate", id),
            Operation::Reactivate(id) => of("reactivate", id),
            Operation::DeleteUser(id) | Operation::DeleteGroup(id) => of("delete", id),
            Operation::AddMembers { group: Reference::Created(anchor), .. } => {
                format!("add_members group {anchor}")
            }
            Operation::AddMembers { group: Reference::Stored(id), .. } => of("add_members", id),
            Operation::RemoveMembers { group, .. } | Operation::RemoveMembersBeforeDelete { group, .. } => {
                of("remove_members", group)
            }
        }
    }
}
