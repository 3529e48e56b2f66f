//! The order of steps, what waits for what, and what is held with what (rules P6, D5).

use std::collections::{BTreeMap, BTreeSet};

use super::build::Decided;
use super::naming::{Naming, Who};
use super::order::{Slot, Wait, order};
use crate::diff::{Act, Cause, MemberRef, Step};
use crate::model::Kind;
use crate::snapshot::NONE;
use crate::store::MembershipsOnDelete;

/// Steps in the order of rule P6, and what waits for what.
pub(super) struct Sequence {
    /// Step numbers, temporary values before their update.
    pub(super) slots: Vec<Slot>,
    pub(super) temporary: BTreeMap<u32, BTreeSet<String>>,
    /// Per step the steps that must come first, for values.
    pub(super) waits: BTreeMap<u32, BTreeSet<u32>>,
    /// Per step the limits that hold it, dependents included.
    pub(super) held: BTreeMap<u32, BTreeSet<u32>>,
    /// The same, without those that hold the step for its own sake: what an approval does not lift (rule D5).
    pub(super) inherited: BTreeMap<u32, BTreeSet<u32>>,
    /// Steps that give an object its record: creates and adoptions.
    pub(super) creates: BTreeMap<(Kind, u32), u32>,
    pub(super) deletes: BTreeMap<u32, u32>,
}

impl Sequence {
    pub(super) fn new(decided: &Decided<'_>, naming: &Naming) -> Self {
        let steps = &decided.draft.steps;
        let key = |number: u32| {
            let step = &steps[number as usize];
            // Among updates names are given up first: a run that was cut sees no other choice of names then (rule X4).
            let later = step.cause != Cause::NameReleased;
            (phase(step), later, step.kind, naming.number(Who::Object(step.kind, step.object)), step.cause)
        };
        let mut sorted: Vec<u32> = (0..steps.len() as u32).collect();
        sorted.sort_by_cached_key(|&number| key(number));
        let (mut creates, mut deletes, mut group_deletes) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut writes: BTreeMap<(Kind, u32), u32> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            let number = number as u32;
            match step.act {
                Act::Create { .. } | Act::Adopt => {
                    creates.insert((step.kind, step.object), number);
                }
                Act::Delete if step.kind == Kind::User => {
                    deletes.insert(step.object, number);
                }
                Act::Delete => {
                    group_deletes.insert(step.object, number);
                }
                _ => {}
            }
            if matches!(step.act, Act::Create { .. } | Act::Update { .. } | Act::Delete) {
                writes.insert((step.kind, step.object), number);
            }
        }
        let mut waits: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        let mut names: Vec<(u32, u32, &str)> = Vec::new();
        for (kind, taker, holder, attribute) in &decided.draft.frees {
            let objects = if *kind == Kind::User { decided.users } else { decided.groups };
            let Some(holder) = objects.of_record(*holder) else { continue };
            let (Some(&taker), Some(&holder)) = (writes.get(&(*kind, *taker)), writes.get(&(*kind, holder)))
            else {
                continue;
            };
            waits.entry(taker).or_default().insert(holder);
            names.push((taker, holder, attribute));
        }
        // Whatever is done to an adopted record is done after it has our link (rule M7).
        for (number, step) in steps.iter().enumerate().filter(|(_, step)| !matches!(step.act, Act::Adopt)) {
            let Some(&given) = creates.get(&(step.kind, step.object)) else { continue };
            if matches!(steps[given as usize].act, Act::Adopt) {
                waits.entry(number as u32).or_default().insert(given);
            }
        }
        let (held, inherited) = held(decided, &waits, &writes, &group_deletes);
        // Memberships go before the delete that they stand in the way of (rule D2); they hold nothing up themselves.
        for (number, step) in steps.iter().enumerate() {
            let Act::Remove(members) = &step.act else { continue };
            if step.cause == Cause::GroupDeleted {
                if let Some(&delete) = group_deletes.get(&step.object) {
                    waits.entry(delete).or_default().insert(number as u32);
                }
            }
            // So it is with a group that is deleted and is a member elsewhere.
            let remove_first = MembershipsOnDelete::RemoveFirst;
            let elsewhere = decided.links.store.capabilities.memberships_on_delete == remove_first;
            for member in members.iter().filter(|_| elsewhere) {
                let MemberRef::Stored(id) = member else { continue };
                let row = decided.links.store.group_of.get(*id as usize).filter(|&&row| row != NONE);
                let group = row.and_then(|&row| decided.groups.of_record(row));
                if let Some(&delete) = group.and_then(|group| group_deletes.get(&group)) {
                    waits.entry(delete).or_default().insert(number as u32);
                }
            }
            if matches!(step.cause, Cause::GroupDeleted | Cause::MemberDeleted) {
                for member in members {
                    let MemberRef::Object(object) = member else { continue };
                    if let Some(&delete) = deletes.get(object) {
                        waits.entry(delete).or_default().insert(number as u32);
                    }
                }
            }
        }
        let (slots, temporary) = with_names_in_order(steps, &sorted, &names);
        Self { slots, temporary, waits, held, inherited, creates, deletes }
    }
}

/// Replaces the updates of the sorted steps by an order in which every value is free before it is taken.
fn with_names_in_order(
    steps: &[Step],
    sorted: &[u32],
    names: &[(u32, u32, &str)],
) -> (Vec<Slot>, BTreeMap<u32, BTreeSet<String>>) {
    let updates: Vec<u32> = sorted
        .iter()
        .copied()
        .filter(|&number| matches!(steps[number as usize].act, Act::Update { .. }))
        .collect();
    let place: BTreeMap<u32, u32> =
        updates.iter().enumerate().map(|(i, &number)| (number, i as u32)).collect();
    let mut waits: Vec<Wait> = names
        .iter()
        .filter_map(|&(taker, holder, attribute)| {
            let (taker, holder) = (*place.get(&taker)?, *place.get(&holder)?);
            Some(Wait { taker, holder, attribute: attribute.to_owned() })
        })
        .collect();
    waits.sort_unstable();
    waits.dedup();
    let ordered = order(updates.len(), &waits);
    let step = |place: u32| updates[place as usize];
    let temporary =
        ordered.temporary.into_iter().map(|(place, attributes)| (step(place), attributes)).collect();
    let in_order = ordered.slots.into_iter().map(|slot| match slot {
        Slot::Temporary(place) => Slot::Temporary(step(place)),
        Slot::Update(place) => Slot::Update(step(place)),
    });
    let before = sorted.iter().take_while(|&&number| phase(&steps[number as usize]) < UPDATES);
    let behind = sorted.iter().filter(|&&number| phase(&steps[number as usize]) > UPDATES);
    let slots = before.copied().map(Slot::Update).chain(in_order).chain(behind.copied().map(Slot::Update));
    (slots.collect(), temporary)
}

const UPDATES: u8 = 4;

/// The order of rule P6: whoever stops half-way has taken away before he gave. Adoptions give nobody anything, and all that is
/// taken away from an adopted record needs its link.
fn phase(step: &Step) -> u8 {
    match (&step.act, step.kind) {
        (Act::Adopt, _) => 0,
        (Act::Deactivate, _) => 1,
        (Act::Remove(_), _) => 2,
        (Act::Delete, _) => 3,
        (Act::Update { .. }, _) => UPDATES,
        (Act::Create { .. }, Kind::User) => 5,
        (Act::Create { .. }, Kind::Group) => 6,
        (Act::Add(_), _) => 7,
        (Act::Reactivate, _) => 8,
    }
}

/// Per step the limits that hold it.
type HeldBy = BTreeMap<u32, BTreeSet<u32>>;

/// What is held, with all that depends on it (rule D5); and of that, what is held only because of something else.
fn held(
    decided: &Decided<'_>,
    waits: &BTreeMap<u32, BTreeSet<u32>>,
    writes: &BTreeMap<(Kind, u32), u32>,
    group_deletes: &BTreeMap<u32, u32>,
) -> (HeldBy, HeldBy) {
    let steps = &decided.draft.steps;
    let (mut held, mut inherited) = (HeldBy::new(), HeldBy::new());
    let mut queue: Vec<u32> = Vec::new();
    for (&step, by) in &decided.judgement.held {
        held.entry(step).or_default().extend(by);
        queue.push(step);
    }
    if held.is_empty() {
        return (held, inherited);
    }
    let mut dependents: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (&step, befores) in waits {
        for &before in befores {
            dependents.entry(before).or_default().push(step);
        }
    }
    // What only precedes a delete of a group is held with it.
    for (number, step) in steps.iter().enumerate() {
        if step.cause == Cause::GroupDeleted {
            if let Some(&delete) = group_deletes.get(&step.object) {
                dependents.entry(delete).or_default().push(number as u32);
            }
        }
    }
    let mut spread = |held: &mut HeldBy, mut queue: Vec<u32>| {
        while let Some(step) = queue.pop() {
            let by = held.get(&step).cloned().unwrap_or_default();
            for &dependent in dependents.get(&step).into_iter().flatten() {
                let known = held.entry(dependent).or_default();
                let before = known.len();
                known.extend(&by);
                inherited.entry(dependent).or_default().extend(&by);
                if known.len() > before {
                    queue.push(dependent);
                }
            }
        }
    };
    spread(&mut held, queue);
    // A name is given up for those who take it: once none of them does, it is held with them. What waits for it is among them.
    let mut queue = Vec::new();
    for (kind, object, takers) in &decided.draft.released {
        let Some(&release) = writes.get(&(*kind, *object)) else { continue };
        let takers: Vec<Option<&BTreeSet<u32>>> = takers
            .iter()
            .filter_map(|&taker| writes.get(&(*kind, taker)))
            .map(|taker| held.get(taker))
            .collect();
        if !held.contains_key(&release) && !takers.is_empty() && takers.iter().all(Option::is_some) {
            let by: BTreeSet<u32> = takers.into_iter().flatten().flatten().copied().collect();
            held.insert(release, by);
            queue.push(release);
        }
    }
    spread(&mut held, queue);
    (held, inherited)
}
