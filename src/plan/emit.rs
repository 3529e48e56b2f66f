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
use crate::value::Rule;

/// Writes steps out as operations, run or held.
pub(super) struct Emitter<'a, 'd> {
    pub(super) measured: Measured<'a>,
    pub(super) naming: &'a Naming,
    pub(super) decided: &'a Decided<'d>,
    pub(super) sequence: &'a Sequence,
    pub(super) set_aside: &'a SetAside,
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

    /// `~{anchor in hex}`, for mail as the local part (rule P6); where another record has that very value, with a number
    /// behind it.
    fn temporary(&self, number: u32, changes: &[Change], subject: u32) -> Vec<Change> {
        let Some(attributes) = self.sequence.temporary.get(&number) else { return Vec::new() };
        let step = &self.decided.draft.steps[number as usize];
        let record = self.decided.objects(step.kind).all[step.object as usize].record;
        let anchor = self.naming.subjects.anchors.at(subject as usize);
        let hex: String = anchor.bytes().map(|byte| format!("{byte:02x}")).collect();
        let given = changes.iter().filter(|change| attributes.contains(&change.attribute));
        let value = |change: &Change, rule: &Rule<'_>| {
            let domain =
                change.new.first().and_then(|value| value.rsplit_once('@')).map(|(_, domain)| domain);
            let numbered = |local: &str| match domain.filter(|_| rule.is_mail()) {
                Some(domain) => format!("{local}@{domain}"),
                None => local.to_owned(),
            };
            let first = numbered(&format!("~{hex}"));
            let further = (2..).map(|n: u64| numbered(&format!("~{hex}~{n}")));
            // It ends: every number that is passed over is one that a record has.
            let mut all = std::iter::once(first).chain(further);
            all.find(|value| !self.set_aside.has_another(step.kind, rule, value, record)).unwrap_or_default()
        };
        given
            .filter_map(|change| {
                let mut rules = self.decided.rules(step.kind).rules.iter();
                let rule = rules.find(|rule| rule.target == change.attribute)?;
                let new = vec![value(change, rule)];
                Some(Change { attribute: change.attribute.clone(), old: change.old.clone(), new })
            })
            .collect()
    }
}

/// What records have that looks like a temporary value, by attribute and match key.
#[derive(Debug, Default)]
pub(super) struct SetAside(BTreeMap<(Kind, String, String), Vec<u32>>);

impl SetAside {
    /// Looks only where a cycle is broken up at all.
    pub(super) fn of(decided: &Decided<'_>, sequence: &Sequence) -> Self {
        let mut found = Self::default();
        let attributes: BTreeSet<(Kind, &str)> = sequence
            .temporary
            .iter()
            .flat_map(|(&number, attributes)| {
                let kind = decided.draft.steps[number as usize].kind;
                attributes.iter().map(move |attribute| (kind, attribute.as_str()))
            })
            .collect();
        let store = decided.links.store;
        for (kind, attribute) in attributes {
            let mut rules = decided.rules(kind).rules.iter();
            let Some(rule) = rules.find(|rule| rule.target == attribute) else { continue };
            for row in 0..store.records(kind).len() {
                for key in rule.keys(rule.held(store.attributes(kind, row))) {
                    if key.starts_with('~') {
                        let place = (kind, attribute.to_owned(), key.into_owned());
                        found.0.entry(place).or_default().push(row as u32);
                    }
                }
            }
        }
        found
    }

    fn has_another(&self, kind: Kind, rule: &Rule<'_>, value: &str, record: u32) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let key = rule.schema.matching.fold(value).into_owned();
        let holders = self.0.get(&(kind, rule.target.to_owned(), key));
        holders.is_some_and(|rows| rows.iter().any(|&row| row != record))
    }
}
