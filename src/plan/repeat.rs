//! What a store reports as done, and what has to be done again all the same.

use std::collections::{BTreeMap, BTreeSet};

use super::{Op, Plan, PlannedAct, Subjects};
use crate::apply::Outcome;
use crate::diagnostic::{Diagnostic, Repeated};
use crate::fingerprint::Fingerprint;
use crate::model::Kind;
use crate::run::Memory;

/// So many operations and members are remembered; of more, those with the least fingerprints. What was left out is
/// noticed once there is less to do: in the end only what never stays done is left.
pub(crate) const MOST_REMEMBERED: usize = 1_000;

/// In how many runs an operation must have been reported as done before its return is told.
const TIMES: u8 = 2;

impl Plan {
    /// Stands for what was reported as done: each operation, and of lists each member.
    pub(super) fn done(&self, outcomes: &[Outcome]) -> BTreeSet<Fingerprint> {
        let mut done = BTreeSet::new();
        let applied = self.operations.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_applied());
        for (op, _) in applied {
            each(op, &self.subjects, |name| {
                if done.len() < MOST_REMEMBERED || done.last().is_some_and(|last| name < *last) {
                    done.insert(name);
                }
                if done.len() > MOST_REMEMBERED {
                    done.pop_last();
                }
            });
        }
        done
    }
}

/// Looks each operation up in what was reported as done before. Answers what of that is still planned, and how often it was
/// done; and a finding for each operation that does not stay done.
pub(super) fn repeated(
    operations: &[Op],
    subjects: &Subjects,
    memory: &Memory,
) -> (BTreeMap<Fingerprint, u8>, Vec<Diagnostic>) {
    let (mut known, mut findings) = (BTreeMap::new(), Vec::new());
    if !memory.has_done() {
        return (known, findings);
    }
    for op in operations {
        let mut again = 0;
        each(op, subjects, |name| {
            let times = memory.done(name);
            if times > 0 {
                known.insert(name, times);
            }
            again += u64::from(times >= TIMES);
        });
        if again > 0 {
            let (operation, is_list) = action(op);
            let anchor = subjects.anchors.at(op.subject as usize).into();
            let members = if is_list { again } else { 0 };
            findings.push(Diagnostic::NonConverging { kind: kind(op, subjects), anchor, operation, members });
        }
    }
    (known, findings)
}

fn kind(op: &Op, subjects: &Subjects) -> Kind {
    subjects.kinds.get(op.subject as usize).copied().unwrap_or(Kind::User)
}

fn action(op: &Op) -> (Repeated, bool) {
    match &op.act {
        PlannedAct::Adopt => (Repeated::Adopt, false),
        PlannedAct::Create { .. } => (Repeated::Create, false),
        PlannedAct::Update { .. } => (Repeated::Update, false),
        PlannedAct::Deactivate => (Repeated::Deactivate, false),
        PlannedAct::Reactivate => (Repeated::Reactivate, false),
        PlannedAct::Delete => (Repeated::Delete, false),
        PlannedAct::AddMembers(_) => (Repeated::AddMembers, true),
        PlannedAct::RemoveMembers(_) => (Repeated::RemoveMembers, true),
    }
}

/// What stands for an operation; for each member of a list, where it is one.
fn each(op: &Op, subjects: &Subjects, mut take: impl FnMut(Fingerprint)) {
    let what = match &op.act {
        PlannedAct::Adopt => "adopt",
        PlannedAct::Create { .. } => "create",
        PlannedAct::Update { .. } => "update",
        PlannedAct::Deactivate => "deactivate",
        PlannedAct::Reactivate => "reactivate",
        PlannedAct::Delete => "delete",
        PlannedAct::AddMembers(_) => "add",
        PlannedAct::RemoveMembers(_) => "remove",
    };
    let kind = if kind(op, subjects) == Kind::User { "user" } else { "group" };
    let (anchor, id) = (subjects.anchors.at(op.subject as usize), subjects.ids.at(op.subject as usize));
    match &op.act {
        // A group may have been made by the same plan: it has no id yet.
        PlannedAct::AddMembers(members) | PlannedAct::RemoveMembers(members) => {
            for &member in members {
                let (who, member) = (subjects.anchors.at(member as usize), subjects.ids.at(member as usize));
                // A member is known by his anchor, or is nobody of ours.
                let stored = if who.is_empty() { member } else { "" };
                take(Fingerprint::of([what, kind, anchor, who, stored]));
            }
        }
        PlannedAct::Update { changes, .. } => {
            let values = changes.iter().flat_map(|change| {
                std::iter::once(change.attribute.as_str()).chain(change.new.iter().map(String::as_str))
            });
            take(Fingerprint::of([what, kind, anchor, id].into_iter().chain(values)));
        }
        // Where somebody else made the record anew, it is another one.
        _ => take(Fingerprint::of([what, kind, anchor, id])),
    }
}
