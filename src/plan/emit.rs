//! Steps written out as operations.

use std::collections::{BTreeMap, BTreeSet};

use super::build::Decided;
use super::naming::{Naming, Who, who};
use super::order::Slot;
use super::sequence::Sequence;
use super::{HeldOp, Op, PlannedAct};
use crate::diff::{Act, Cause, MemberRef, Step};
use crate::guard::Measured;
use crate::model::{Kind, Origin, Timestamp};
use crate::store::Change;

/// Writes steps out as operations, run or held.
pub(super) struct Emitter<'a, 'd> {
    pub(super) measured: Measured<'a>,
    pub(super) naming: &'a Naming,
    pub(super) decided: &'a Decided<'d>,
    pub(super) sequence: &'a Sequence,
    pub(super) operations: Vec<Op>,
    pub(super) held: Vec<HeldOp>,
    /// Where the operations of a step stand: its temporary values, or itself; a list may be in parts.
    pub(super) position: BTreeMap<Slot, Vec<u32>>,
    pub(super) held_position: BTreeMap<Slot, Vec<u32>>,
}

impl Emitter<'_, '_> {
    pub(super) fn emit(&mut self, slot: Slot) {
        let (Slot::Temporary(number) | Slot::Update(number)) = slot;
        let step = &self.decided.draft.steps[number as usize];
        let subject = self.naming.number(Who::Object(step.kind, step.object));
        let mut cause = step.cause;
        let act = match (&step.act, slot) {
            (Act::Update { changes, .. }, Slot::Temporary(_)) => {
                cause = Cause::Swap;
                let changes = self.temporary(number, changes, subject);
                PlannedAct::Update { changes, origin: None }
            }
            (Act::Update { changes, adopt }, Slot::Update(_)) => {
                let mut changes = changes.clone();
                // The record has the temporary value by then (rule A6).
                for temporary in self.temporary(number, &changes, subject) {
                    if let Some(change) = changes.iter_mut().find(|c| c.attribute == temporary.attribute) {
                        change.old = temporary.new;
                    }
                }
                PlannedAct::Update { changes, origin: adopt.then_some(Origin::Synced) }
            }
            (Act::Create { row, active }, _) => {
                PlannedAct::Create { row: *row, active: *active, origin: self.decided.origin }
            }
            (Act::Adopt, _) => PlannedAct::Adopt,
            (Act::Deactivate, _) => PlannedAct::Deactivate,
            (Act::Reactivate, _) => PlannedAct::Reactivate,
            (Act::Delete, _) => PlannedAct::Delete,
            (Act::Add(members), _) => {
                return self.members(slot, step, subject, members, PlannedAct::AddMembers);
            }
            (Act::Remove(members), _) => {
                return self.members(slot, step, subject, members, PlannedAct::RemoveMembers);
            }
        };
        let by = self.sequence.held.get(&number).cloned().unwrap_or_default();
        let loses = self.measured.lost_with(step);
        let approved = self.decided.approved.shown(number, None);
        self.put(slot, Op { act, subject, cause, after: Vec::new(), approved, loses, was_held: None }, &by);
    }

    /// Splits a member list into what runs and what is held with the create or delete of a member (rule D5).
    fn members(
        &mut self,
        slot: Slot,
        step: &Step,
        subject: u32,
        members: &[MemberRef],
        act: impl Fn(Vec<u32>) -> PlannedAct,
    ) {
        let (Slot::Temporary(number) | Slot::Update(number)) = slot;
        let held = &self.sequence.held;
        let of = |step: Option<&u32>| step.and_then(|step| held.get(step)).cloned().unwrap_or_default();
        let mut whole = of(Some(&number));
        let mut inherited = self.sequence.inherited.get(&number).cloned().unwrap_or_default();
        if matches!(step.act, Act::Add(_)) {
            let group = of(self.sequence.creates.get(&(Kind::Group, step.object)));
            whole.extend(&group);
            inherited.extend(&group);
        }
        let mut lists: BTreeMap<(bool, Option<Timestamp>), Vec<u32>> = BTreeMap::new();
        let mut held_by = BTreeSet::new();
        for &member in members {
            let approved = self.decided.approved.shown(number, Some(member));
            let mut by = if approved.is_some() { inherited.clone() } else { whole.clone() };
            if let MemberRef::Object(object) = member {
                match step.cause {
                    Cause::MemberDeleted => by.extend(of(self.sequence.deletes.get(&object))),
                    // The group stays for now, but he goes.
                    Cause::GroupDeleted
                        if self.sequence.deletes.get(&object).is_some_and(|d| !held.contains_key(d)) =>
                    {
                        by.clear();
                    }
                    _ => {}
                }
                // Whoever is to be adopted leaves a group only once he is ours, too; with a deleted one anybody goes.
                if step.cause != Cause::GroupDeleted {
                    by.extend(of(self.sequence.creates.get(&(Kind::User, object))));
                }
            }
            let runs = by.is_empty();
            lists
                .entry((!runs, approved.filter(|_| runs)))
                .or_default()
                .push(self.naming.number(who(member)));
            held_by.extend(by);
        }
        let none = BTreeSet::new();
        for ((waits, approved), mut members) in lists {
            members.sort_unstable();
            let by = if waits { &held_by } else { &none };
            let (act, cause) = (act(members), step.cause);
            self.put(
                slot,
                Op { act, subject, cause, after: Vec::new(), approved, loses: 0, was_held: None },
                by,
            );
        }
    }

    fn put(&mut self, slot: Slot, mut op: Op, by: &BTreeSet<u32>) {
        let (Slot::Temporary(number) | Slot::Update(number)) = slot;
        let runs = by.is_empty();
        let position = if runs { &self.position } else { &self.held_position };
        let mut after: BTreeSet<u32> = BTreeSet::new();
        if let Slot::Update(_) = slot {
            let before = self.sequence.waits.get(&number).into_iter().flatten();
            // Within a cycle only the temporary value has been written by now, and that is what frees the old one.
            for step in before {
                after.extend(position.get(&Slot::Temporary(*step)).into_iter().flatten());
                after.extend(position.get(&Slot::Update(*step)).into_iter().flatten());
            }
            after.extend(position.get(&Slot::Temporary(number)).into_iter().flatten());
        } else {
            let step = &self.decided.draft.steps[number as usize];
            let given = self.sequence.creates.get(&(step.kind, step.object));
            after.extend(given.and_then(|&given| position.get(&Slot::Update(given))).into_iter().flatten());
        }
        op.after = after.into_iter().collect();
        if runs {
            self.position.entry(slot).or_default().push(self.operations.len() as u32);
            self.operations.push(op);
        } else {
            self.held_position.entry(slot).or_default().push(self.held.len() as u32);
            self.held.push(HeldOp { op, by: by.iter().copied().collect(), since: self.decided.now });
        }
    }

    /// `~{anchor in hex}`, for mail as the local part (rule P6).
    fn temporary(&self, number: u32, changes: &[Change], subject: u32) -> Vec<Change> {
        let Some(attributes) = self.sequence.temporary.get(&number) else { return Vec::new() };
        let anchor = self.naming.subjects.anchors.at(subject as usize);
        let hex: String = anchor.bytes().map(|byte| format!("{byte:02x}")).collect();
        let given = changes.iter().filter(|change| attributes.contains(&change.attribute));
        given
            .map(|change| {
                let domain =
                    change.new.first().and_then(|value| value.split_once('@')).map(|(_, domain)| domain);
                let is_mail = change.attribute.to_ascii_lowercase().contains("mail");
                let value = match domain.filter(|_| is_mail) {
                    Some(domain) => format!("~{hex}@{domain}"),
                    None => format!("~{hex}"),
                };
                Change { attribute: change.attribute.clone(), old: change.old.clone(), new: vec![value] }
            })
            .collect()
    }
}
