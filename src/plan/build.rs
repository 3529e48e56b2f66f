//! From decisions to a plan: names, order, dependencies, held sets.

use std::collections::{BTreeMap, BTreeSet};

use super::impact::{Affected, Impacts, Newly};
use super::order::{Slot, Wait, order};
use super::{BlockedOp, HeldOp, Op, PendingOp, Plan, PlannedAct, Subjects, TrippedLimit};
use crate::approved::Approved;
use crate::diff::{Act, Blocked, Cause, Draft, MemberRef, Step};
use crate::evidence::Evidence;
use crate::fingerprint::Fingerprint;
use crate::guard::{Judgement, LimitName, Measured, Trip};
use crate::id::{Issuer, SourceAnchor};
use crate::links::Links;
use crate::model::{Kind, Origin, Timestamp};
use crate::object::Objects;
use crate::options::Extent;
use crate::run::{Memory, Seen};
use crate::snapshot::NONE;
use crate::store::{Change, MembershipsOnDelete};
use crate::value::Rules;
use crate::version::version_of;

/// Everything that the plan is made from.
pub(crate) struct Decided<'a> {
    pub(crate) links: &'a Links<'a>,
    pub(crate) users: &'a Objects,
    pub(crate) groups: &'a Objects,
    pub(crate) user_rules: &'a Rules<'a>,
    pub(crate) group_rules: &'a Rules<'a>,
    pub(crate) draft: Draft,
    pub(crate) judgement: Judgement,
    pub(crate) approved: Approved,
    pub(crate) issuer: Issuer,
    pub(crate) now: Timestamp,
    /// What created users are marked with.
    pub(crate) origin: Origin,
    pub(crate) extent: Extent,
    pub(crate) memory: Memory,
    pub(crate) seen: Seen,
    /// Which limits are set.
    pub(crate) counted: BTreeSet<LimitName>,
    /// None for a sign-in.
    pub(crate) evidence: Option<&'a Evidence>,
}

/// Somebody the plan mentions: an object, or a store id of nobody we manage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Object(Kind, u32),
    Stored(u32),
}

/// Makes the plan. `O(n log n)` in what it mentions, not in the directory.
pub(crate) fn build(mut decided: Decided<'_>) -> Plan {
    let mut seen = std::mem::replace(&mut decided.seen, Seen::nothing());
    let Decided { draft, judgement, .. } = &decided;
    let naming = Naming::new(&decided);
    let ordered = Sequence::new(&decided, &naming);
    let mut emitter = Emitter {
        measured: Measured {
            links: decided.links,
            users: decided.users,
            groups: decided.groups,
            user_rules: decided.user_rules,
            group_rules: decided.group_rules,
        },
        naming: &naming,
        decided: &decided,
        sequence: &ordered,
        operations: Vec::new(),
        held: Vec::new(),
        position: BTreeMap::new(),
        held_position: BTreeMap::new(),
    };
    for &slot in &ordered.slots {
        emitter.emit(slot);
    }
    let Emitter { operations, mut held, .. } = emitter;
    let number = |kind, object| naming.number(Who::Object(kind, object));
    // The limits in an order that does not depend on that of the input (rule P2).
    let mut order: Vec<u32> = (0..judgement.trips.len() as u32).collect();
    order.sort_by_key(|&trip| {
        let trip = &judgement.trips[trip as usize];
        (trip.limit, trip.attribute.clone(), trip.group.map(|group| number(Kind::Group, group)))
    });
    let tripped = order.iter().map(|&trip| tripped(&decided, &judgement.trips[trip as usize])).collect();
    let mut rank = vec![0; order.len()];
    for (place, &trip) in order.iter().enumerate() {
        rank[trip as usize] = place as u32;
    }
    for by in held.iter_mut().map(|held| &mut held.by) {
        by.iter_mut().for_each(|trip| *trip = rank[*trip as usize]);
        by.sort_unstable();
    }
    for held in &mut held {
        let operation = held_name(&held.op, &naming.subjects);
        held.since = decided.memory.held_since(operation);
        seen.held.insert(operation, held.since);
    }
    let mut pending: Vec<PendingOp> = Vec::new();
    for (kind, objects) in [(Kind::User, decided.users), (Kind::Group, decided.groups)] {
        let reported = objects.waiting.iter().filter(|_| decided.extent != Extent::NewEntitlements);
        pending.extend(reported.filter(|waiting| !objects.all[waiting.object as usize].protected).map(
            |waiting| PendingOp {
                subject: number(kind, waiting.object),
                cause: waiting.reason.into(),
                deprovision: waiting.deprovision,
                since: waiting.since,
                due: waiting.due,
            },
        ));
    }
    pending.sort_unstable_by_key(|pending| (pending.subject, pending.cause));
    let mut kept: Vec<u32> = draft.kept.iter().map(|&(kind, object)| number(kind, object)).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut blocked: Vec<(u32, Option<u32>, _)> = draft
        .blocked
        .iter()
        .map(|b| (number(b.kind, b.object), b.member.map(|m| naming.number(who(m))), b.because))
        .collect();
    blocked.sort_unstable();
    blocked.dedup();
    let mut diagnostics = draft.diagnostics.clone();
    diagnostics.sort_unstable();
    diagnostics.dedup();
    let sensitive = [(Kind::User, decided.user_rules), (Kind::Group, decided.group_rules)];
    let sensitive = sensitive.into_iter().flat_map(|(kind, rules)| {
        rules.rules.iter().filter(|rule| rule.sensitive).map(move |rule| (kind, rule.target.to_owned()))
    });
    let impacts = Impacts::new(&decided, &naming);
    let held_impact = impacts.of(held.iter().map(|held| &held.op), Newly::LeftOut);
    let mut impact = impacts.of(operations.iter(), Newly::Told);
    // Whoever loses something only if that is approved is told there.
    let waits: BTreeSet<&Affected> = held_impact.loses_last_entitlement.iter().collect();
    impact.loses_last_entitlement.retain(|one| !waits.contains(one));
    Plan {
        impact,
        held_impact,
        pending,
        extent: decided.extent,
        by_sign_in: decided.origin == Origin::Jit,
        counted: decided.counted,
        run: decided.memory.into_state(seen),
        sensitive: sensitive.collect(),
        tripped,
        operations,
        held,
        kept,
        blocked: blocked
            .into_iter()
            .map(|(subject, member, because)| BlockedOp { subject, member, because })
            .collect(),
        diagnostics,
        subjects: naming.subjects,
        store: decided.links.store.capabilities.identity.clone(),
        issuer: decided.issuer,
        planned_at: decided.now,
        values: decided.draft.values,
    }
}

/// What is held, whatever its values: who is asked "since when" means that.
fn held_name(op: &Op, subjects: &Subjects) -> Fingerprint {
    let action = match &op.act {
        PlannedAct::Adopt => "adopt",
        PlannedAct::Create { .. } => "create",
        PlannedAct::Update { .. } => "update",
        PlannedAct::Deactivate => "deactivate",
        PlannedAct::Reactivate => "reactivate",
        PlannedAct::Delete => "delete",
        PlannedAct::AddMembers(_) => "add",
        PlannedAct::RemoveMembers(_) => "remove",
    };
    let kind = match subjects.kinds.get(op.subject as usize) {
        Some(Kind::Group) => "group",
        _ => "user",
    };
    Fingerprint::of([action, kind, subjects.anchors.at(op.subject as usize)])
}

fn who(member: MemberRef) -> Who {
    match member {
        MemberRef::Object(object) => Who::Object(Kind::User, object),
        MemberRef::Stored(id) => Who::Stored(id),
    }
}

fn tripped(decided: &Decided<'_>, trip: &Trip) -> TrippedLimit {
    let anchor =
        |group: u32| SourceAnchor::from(decided.links.anchor(decided.groups.all[group as usize].node));
    TrippedLimit {
        limit: trip.limit,
        group: trip.group.map(anchor),
        kind: trip.attribute.as_ref().map(|(kind, _)| *kind),
        attribute: trip.attribute.as_ref().map(|(_, attribute)| attribute.clone()),
        planned: trip.planned,
        allowed: trip.allowed,
        base: trip.base,
        window: trip.window.map(|(period, _)| period),
        spent: trip.window.map_or(0, |(_, spent)| spent),
    }
}

/// Everybody whom the plan mentions, numbered in the order of kind, anchor, store id.
pub(super) struct Naming {
    pub(super) subjects: Subjects,
    users: Vec<u32>,
    groups: Vec<u32>,
    stored: BTreeMap<u32, u32>,
    /// Per subject its object, `NONE` where it is nobody of ours.
    pub(super) objects: Vec<u32>,
}

impl Naming {
    fn new(decided: &Decided<'_>) -> Self {
        let mut mentioned = Mentioned {
            users: vec![false; decided.users.all.len()],
            groups: vec![false; decided.groups.all.len()],
            stored: BTreeSet::new(),
        };
        for step in &decided.draft.steps {
            mentioned.add(Who::Object(step.kind, step.object));
            if let Act::Add(members) | Act::Remove(members) = &step.act {
                members.iter().for_each(|&member| mentioned.add(who(member)));
            }
        }
        for &(kind, object) in &decided.draft.kept {
            mentioned.add(Who::Object(kind, object));
        }
        for (kind, objects) in [(Kind::User, decided.users), (Kind::Group, decided.groups)] {
            objects.waiting.iter().for_each(|waiting| mentioned.add(Who::Object(kind, waiting.object)));
        }
        for Blocked { member, kind, object, .. } in &decided.draft.blocked {
            mentioned.add(Who::Object(*kind, *object));
            member.iter().for_each(|&member| mentioned.add(who(member)));
        }
        let mut all: Vec<(Kind, &str, &str, Who)> = Vec::new();
        for (kind, flags, objects) in
            [(Kind::User, &mentioned.users, decided.users), (Kind::Group, &mentioned.groups, decided.groups)]
        {
            for (number, _) in flags.iter().enumerate().filter(|&(_, &flag)| flag) {
                let object = &objects.all[number];
                let anchor = decided.links.anchor(object.node);
                all.push((
                    kind,
                    anchor,
                    record_id(decided, kind, object.record),
                    Who::Object(kind, number as u32),
                ));
            }
        }
        for &id in &mentioned.stored {
            let store = decided.links.store;
            let group = store.group_of.get(id as usize).is_some_and(|&row| row != NONE)
                && store.user_of.get(id as usize).is_none_or(|&row| row == NONE);
            let kind = if group { Kind::Group } else { Kind::User };
            all.push((kind, "", store.ids.text(id), Who::Stored(id)));
        }
        all.sort_unstable();
        let mut naming = Self {
            subjects: Subjects::default(),
            users: vec![NONE; mentioned.users.len()],
            groups: vec![NONE; mentioned.groups.len()],
            stored: BTreeMap::new(),
            objects: Vec::with_capacity(all.len()),
        };
        let user_name = name_rule(decided.user_rules);
        let group_name = name_rule(decided.group_rules);
        for (number, (kind, anchor, id, who)) in all.into_iter().enumerate() {
            let rule = if kind == Kind::User { user_name } else { group_name };
            let subjects = &mut naming.subjects;
            subjects.kinds.push(kind);
            subjects.anchors.push(anchor);
            subjects.ids.push(id);
            subjects.names.push(&name(decided, kind, who, rule));
            let record = record_row(decided, kind, who);
            match record.filter(|_| matches!(who, Who::Object(..))) {
                Some(row) => subjects.versions.push(&version_of(decided.links.store, kind, row as usize)),
                None => subjects.versions.push(""),
            };
            let number = number as u32;
            naming.objects.push(match who {
                Who::Object(_, object) => object,
                Who::Stored(_) => NONE,
            });
            match who {
                Who::Object(Kind::User, object) => naming.users[object as usize] = number,
                Who::Object(Kind::Group, object) => naming.groups[object as usize] = number,
                Who::Stored(id) => {
                    naming.stored.insert(id, number);
                }
            }
        }
        naming
    }

    fn number(&self, who: Who) -> u32 {
        match who {
            Who::Object(Kind::User, object) => self.users.get(object as usize).copied().unwrap_or(NONE),
            Who::Object(Kind::Group, object) => self.groups.get(object as usize).copied().unwrap_or(NONE),
            Who::Stored(id) => self.stored.get(&id).copied().unwrap_or(NONE),
        }
    }
}

struct Mentioned {
    users: Vec<bool>,
    groups: Vec<bool>,
    stored: BTreeSet<u32>,
}

impl Mentioned {
    fn add(&mut self, who: Who) {
        match who {
            Who::Object(Kind::User, object) => self.users[object as usize] = true,
            Who::Object(Kind::Group, object) => self.groups[object as usize] = true,
            Who::Stored(id) => {
                self.stored.insert(id);
            }
        }
    }
}

/// The attribute that a person knows an object by: the first unique one, unless it is sensitive.
fn name_rule<'r, 'a>(rules: &'r Rules<'a>) -> Option<&'r crate::value::Rule<'a>> {
    let unique = rules.rules.iter().find(|rule| rule.schema.unique);
    unique.or(rules.rules.first()).filter(|rule| !rule.sensitive)
}

fn record_row(decided: &Decided<'_>, kind: Kind, who: Who) -> Option<u32> {
    let row = match (who, kind) {
        (Who::Object(Kind::User, object), _) => decided.users.all[object as usize].record,
        (Who::Object(Kind::Group, object), _) => decided.groups.all[object as usize].record,
        (Who::Stored(id), Kind::User) => {
            decided.links.store.user_of.get(id as usize).copied().unwrap_or(NONE)
        }
        (Who::Stored(id), Kind::Group) => {
            decided.links.store.group_of.get(id as usize).copied().unwrap_or(NONE)
        }
    };
    (row != NONE).then_some(row)
}

fn record_id<'a>(decided: &Decided<'a>, kind: Kind, record: u32) -> &'a str {
    let store = decided.links.store;
    store.records(kind).get(record as usize).map_or("", |record| store.id(record))
}

pub(super) fn object_name(decided: &Decided<'_>, kind: Kind, object: u32) -> String {
    let rules = if kind == Kind::User { decided.user_rules } else { decided.group_rules };
    name(decided, kind, Who::Object(kind, object), name_rule(rules))
}

fn name(decided: &Decided<'_>, kind: Kind, who: Who, rule: Option<&crate::value::Rule<'_>>) -> String {
    let Some(rule) = rule else { return String::new() };
    if let Some(row) = record_row(decided, kind, who) {
        let stored = decided.links.store.attributes(kind, row as usize);
        return rule.held(stored).min().unwrap_or_default().to_owned();
    }
    let source = match who {
        Who::Object(Kind::User, object) => decided.users.all[object as usize].source,
        Who::Object(Kind::Group, object) => decided.groups.all[object as usize].source,
        Who::Stored(_) => NONE,
    };
    if source == NONE {
        return String::new();
    }
    let attributes = match kind {
        Kind::User => decided.links.source.user_row(source as usize),
        Kind::Group => decided.links.source.group_row(source as usize),
    };
    rule.desired(attributes).values().next().unwrap_or_default().to_owned()
}

/// Steps in the order of rule P6, and what waits for what.
struct Sequence {
    /// Step numbers, temporary values before their update.
    slots: Vec<Slot>,
    temporary: BTreeMap<u32, BTreeSet<String>>,
    /// Per step the steps that must come first, for values.
    waits: BTreeMap<u32, BTreeSet<u32>>,
    /// Per step the limits that hold it, dependents included.
    held: BTreeMap<u32, BTreeSet<u32>>,
    /// The same, without those that hold the step for its own sake: what an approval does not lift (rule D5).
    inherited: BTreeMap<u32, BTreeSet<u32>>,
    /// Steps that give an object its record: creates and adoptions.
    creates: BTreeMap<(Kind, u32), u32>,
    deletes: BTreeMap<u32, u32>,
}

impl Sequence {
    fn new(decided: &Decided<'_>, naming: &Naming) -> Self {
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

/// Writes steps out as operations, run or held.
struct Emitter<'a, 'd> {
    measured: Measured<'a>,
    naming: &'a Naming,
    decided: &'a Decided<'d>,
    sequence: &'a Sequence,
    operations: Vec<Op>,
    held: Vec<HeldOp>,
    /// Where the operations of a step stand: its temporary values, or itself; a list may be in parts.
    position: BTreeMap<Slot, Vec<u32>>,
    held_position: BTreeMap<Slot, Vec<u32>>,
}

impl Emitter<'_, '_> {
    fn emit(&mut self, slot: Slot) {
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
        self.put(slot, Op { act, subject, cause, after: Vec::new(), approved, loses }, &by);
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
            self.put(slot, Op { act, subject, cause, after: Vec::new(), approved, loses: 0 }, by);
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
