//! Step 5, first half: how much is taken away, and what is held because of it (rules D4, D5).
//!
//! Judged over the whole plan, before any write.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::approved::Approved;
use crate::diff::{Act, Cause, Draft, MemberRef, Step};
use crate::links::Links;
use crate::model::{Kind, Period};
use crate::object::{Object, Objects};
use crate::options::{Guards, Limit, OnTrip, Window};
use crate::run::{Memory, Spending};
use crate::snapshot::NONE;
use crate::value::Rules;

/// Which limit of [`Guards`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitName {
    /// Deleted users.
    UserDeletes,
    /// Users made inactive.
    Deactivations,
    /// Deleted groups.
    GroupDeletes,
    /// Removed members in all.
    RemovalsInAll,
    /// Members removed from one group.
    RemovalsPerGroup,
    /// Cleared values of one attribute.
    ClearsPerAttribute,
    /// Adopted records.
    Adoptions,
    /// Growth.
    Grants,
}

/// Which limits a host has set.
pub(crate) fn set_limits(guards: &Guards) -> BTreeSet<LimitName> {
    let limits = [
        (LimitName::UserDeletes, guards.user_deletes),
        (LimitName::Deactivations, guards.deactivations),
        (LimitName::GroupDeletes, guards.group_deletes),
        (LimitName::RemovalsInAll, guards.removals_in_all),
        (LimitName::RemovalsPerGroup, guards.removals_per_group),
        (LimitName::ClearsPerAttribute, guards.clears_per_attribute),
        (LimitName::Adoptions, guards.adoptions),
        (LimitName::Grants, guards.grants),
    ];
    limits.into_iter().filter(|(_, limit)| limit.is_some()).map(|(name, _)| name).collect()
}

/// A limit that tripped, before it has names.
#[derive(Clone, Debug)]
pub(crate) struct Trip {
    pub(crate) limit: LimitName,
    /// The group (an object) of a limit per group.
    pub(crate) group: Option<u32>,
    /// The attribute of a limit per attribute.
    pub(crate) attribute: Option<(Kind, String)>,
    pub(crate) planned: u64,
    pub(crate) allowed: u64,
    pub(crate) base: u64,
    /// Where the limit over several runs tripped: its window, and what earlier runs took of it.
    pub(crate) window: Option<(Period, u64)>,
}

/// Which limits tripped, and for each step by which of them it is held; dependents are not in it yet.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) trips: Vec<Trip>,
    pub(crate) held: BTreeMap<u32, Vec<u32>>,
}

/// What the limits are measured against.
pub(crate) struct Measured<'a> {
    pub(crate) links: &'a Links<'a>,
    pub(crate) users: &'a Objects,
    pub(crate) groups: &'a Objects,
    pub(crate) user_rules: &'a Rules<'a>,
    pub(crate) group_rules: &'a Rules<'a>,
}

impl Measured<'_> {
    fn managed(&self, kind: Kind) -> u64 {
        let objects = if kind == Kind::User { self.users } else { self.groups };
        objects.all.iter().filter(|object| object.is_managed()).count() as u64
    }

    fn active_users(&self) -> u64 {
        let store = &self.links.store.users;
        let active = |object: &&Object| object.is_managed() && store[object.record as usize].active;
        self.users.all.iter().filter(active).count() as u64
    }

    /// Managed records among the members of a group record.
    fn managed_members(&self, group: u32) -> u64 {
        self.members_where(group, Object::is_managed)
    }

    fn members_where(&self, group: u32, counts: impl Fn(&Object) -> bool) -> u64 {
        let store = self.links.store;
        let object = |rows: &[u32], objects: &'_ Objects, id: u32| {
            let row = rows.get(id as usize).copied().filter(|&row| row != NONE)?;
            objects.of_record(row).map(|object| object as usize)
        };
        let members = store.members_of(group as usize).iter().filter(|&&id| {
            match (object(&store.user_of, self.users, id), object(&store.group_of, self.groups, id)) {
                (Some(user), _) => counts(&self.users.all[user]),
                (None, Some(group)) => counts(&self.groups.all[group]),
                (None, None) => false,
            }
        });
        members.count() as u64
    }

    fn memberships(&self) -> u64 {
        let managed = self.groups.all.iter().filter(|group| group.is_managed());
        managed.map(|group| self.managed_members(group.record)).sum()
    }

    /// Managed records that have a value.
    fn with_value(&self, kind: Kind, attribute: &str) -> u64 {
        let (objects, rules) = match kind {
            Kind::User => (self.users, self.user_rules),
            Kind::Group => (self.groups, self.group_rules),
        };
        let Some(rule) = rules.rules.iter().find(|rule| rule.target == attribute) else { return 0 };
        let has = |object: &&Object| {
            rule.held(self.links.store.attributes(kind, object.record as usize)).next().is_some()
        };
        objects.all.iter().filter(|object| object.is_managed()).filter(has).count() as u64
    }

    /// Managed members that go with a deleted group, but for those who are deleted themselves.
    pub(crate) fn lost_with(&self, step: &Step) -> u64 {
        if step.kind != Kind::Group || !matches!(step.act, Act::Delete) {
            return 0;
        }
        // A deleted user only precedes his own delete.
        let stays = |member: &Object| member.is_group || !member.is_deleted();
        self.members_where(self.groups.all[step.object as usize].record, stays)
    }
}

/// Most limits that are named with each operation where a tripped one holds all (rule D5).
const NAMED_TRIPS: usize = 8;

/// Whether members that leave for this cause leave for its own sake, and not only before a delete.
pub(crate) fn is_ordinary_removal(cause: Cause) -> bool {
    matches!(cause, Cause::NoPath | Cause::MemberLeaving | Cause::Unmanaged | Cause::GroupRetired)
}

fn ordinary_removals(step: &Step) -> Option<&[MemberRef]> {
    match &step.act {
        Act::Remove(members) if is_ordinary_removal(step.cause) => Some(members),
        _ => None,
    }
}

/// Judges a draft, but for what was approved. Linear in steps; bases are counted only for limits that could trip.
pub(crate) fn judge(
    draft: &Draft,
    measured: &Measured<'_>,
    guards: &Guards,
    memory: &Memory,
    approved: &Approved,
) -> Judgement {
    let window = guards.window.map(|window| (window, memory.spending(window.period)));
    let mut judge = Judge {
        steps: &draft.steps,
        measured,
        guards,
        window: window.as_ref(),
        approved,
        judgement: Judgement::default(),
    };
    let user_delete = |step: &Step| step.kind == Kind::User && matches!(step.act, Act::Delete);
    judge.each(LimitName::UserDeletes, guards.user_deletes, user_delete, || measured.managed(Kind::User));
    let deactivation = |step: &Step| matches!(step.act, Act::Deactivate);
    judge.each(LimitName::Deactivations, guards.deactivations, deactivation, || measured.active_users());
    let group_delete = |step: &Step| step.kind == Kind::Group && matches!(step.act, Act::Delete);
    judge.each(LimitName::GroupDeletes, guards.group_deletes, group_delete, || measured.managed(Kind::Group));
    judge.removals_in_all();
    judge.removals_per_group();
    judge.clears_per_attribute();
    let adoption = |step: &Step| matches!(step.act, Act::Adopt);
    judge.each(LimitName::Adoptions, guards.adoptions, adoption, || {
        measured.managed(Kind::User) + measured.managed(Kind::Group)
    });
    judge.grants();
    let mut judgement = judge.judgement;
    if guards.on_trip == OnTrip::Abort && !judgement.trips.is_empty() {
        let mut all: Vec<u32> = (0..judgement.trips.len() as u32).collect();
        let group = |trip: &Trip| {
            trip.group.map(|group| measured.links.anchor(measured.groups.all[group as usize].node))
        };
        // Each operation is held by all of them; so many are named with each that a person sees why.
        all.sort_by_key(|&trip| {
            let trip = &judgement.trips[trip as usize];
            (trip.limit, trip.attribute.clone(), group(trip))
        });
        all.truncate(NAMED_TRIPS);
        // What only precedes a delete goes with that delete, approved or not (rule D5).
        let precedes = |step: &Step| matches!(step.cause, Cause::MemberDeleted | Cause::GroupDeleted);
        let steps = (0..).zip(&draft.steps).filter(|&(n, step)| !approved.is_step(n) && !precedes(step));
        judgement.held = steps.map(|(number, _)| (number, all.clone())).collect();
    }
    judgement
}

struct Judge<'a> {
    steps: &'a [Step],
    measured: &'a Measured<'a>,
    guards: &'a Guards,
    /// The window of the limits, and what earlier runs spent in it.
    window: Option<&'a (Window, Spending<'a>)>,
    approved: &'a Approved,
    judgement: Judgement,
}

/// Which limit, and of what.
#[derive(Clone, Debug)]
struct Of {
    limit: LimitName,
    group: Option<u32>,
    attribute: Option<(Kind, String)>,
}

impl Of {
    fn all(limit: LimitName) -> Self {
        Self { limit, group: None, attribute: None }
    }
}

impl Judge<'_> {
    /// A limit that counts steps.
    fn each(
        &mut self,
        name: LimitName,
        limit: Option<Limit>,
        counts: impl Fn(&Step) -> bool,
        base: impl Fn() -> u64,
    ) {
        let numbers = 0..self.steps.len() as u32;
        let counted = numbers.filter(|&n| !self.approved.is_step(n) && counts(&self.steps[n as usize]));
        let counted: Vec<u32> = counted.collect();
        self.trip(Of::all(name), limit, counted.len() as u64, base, &counted);
    }

    /// A limit that counts what each step is worth.
    fn sum(
        &mut self,
        name: LimitName,
        limit: Option<Limit>,
        worth: impl Fn(u32, &Step) -> u64,
        base: impl Fn() -> u64,
    ) {
        let mut counted = Vec::new();
        let mut planned = 0;
        for (number, step) in (0..).zip(self.steps) {
            let worth = worth(number, step);
            if worth > 0 {
                counted.push(number);
                planned += worth;
            }
        }
        self.trip(Of::all(name), limit, planned, base, &counted);
    }

    fn removals_in_all(&mut self) {
        let (measured, approved) = (self.measured, self.approved);
        let lost = |number, step: &Step| match ordinary_removals(step) {
            Some(members) => approved.others(number, members),
            None if approved.is_step(number) => 0,
            None => measured.lost_with(step),
        };
        let limit = self.guards.removals_in_all;
        self.sum(LimitName::RemovalsInAll, limit, lost, || measured.memberships());
    }

    fn removals_per_group(&mut self) {
        for (number, step) in (0..).zip(self.steps) {
            let Some(members) = ordinary_removals(step).filter(|_| step.cause != Cause::GroupRetired) else {
                continue;
            };
            let planned = self.approved.others(number, members);
            let record = self.measured.groups.all[step.object as usize].record;
            let of = Of { group: Some(step.object), ..Of::all(LimitName::RemovalsPerGroup) };
            let measured = self.measured;
            let base = || measured.managed_members(record);
            self.trip(of, self.guards.removals_per_group, planned, base, &[number]);
        }
    }

    fn clears_per_attribute(&mut self) {
        let mut cleared: BTreeMap<(Kind, &str), Vec<u32>> = BTreeMap::new();
        for (number, step) in (0..).zip(self.steps) {
            let Act::Update { changes, .. } = &step.act else { continue };
            if self.approved.is_step(number) {
                continue;
            }
            for change in changes.iter().filter(|change| change.new.is_empty()) {
                cleared.entry((step.kind, &change.attribute)).or_default().push(number);
            }
        }
        for ((kind, attribute), steps) in cleared {
            let of = Of {
                attribute: Some((kind, attribute.to_owned())),
                ..Of::all(LimitName::ClearsPerAttribute)
            };
            let measured = self.measured;
            let base = || measured.with_value(kind, attribute);
            self.trip(of, self.guards.clears_per_attribute, steps.len() as u64, base, &steps);
        }
    }

    fn grants(&mut self) {
        let (measured, approved) = (self.measured, self.approved);
        let granted = |number, step: &Step| match &step.act {
            Act::Add(members) => approved.others(number, members),
            _ if approved.is_step(number) => 0,
            Act::Create { .. } if step.kind == Kind::User => 1,
            Act::Reactivate => 1,
            _ => 0,
        };
        self.sum(LimitName::Grants, self.guards.grants, granted, || {
            measured.managed(Kind::User) + measured.memberships()
        });
    }

    /// Compares what is planned with what one run may do, then with what all runs of the window may do.
    fn trip(&mut self, of: Of, limit: Option<Limit>, planned: u64, base: impl Fn() -> u64, steps: &[u32]) {
        let Some(limit) = limit.filter(|_| planned > 0) else { return };
        let spent = self.window.map(|(window, spending)| {
            let group = of
                .group
                .map(|group| self.measured.links.anchor(self.measured.groups.all[group as usize].node));
            let attribute = of.attribute.as_ref().map(|(kind, name)| (*kind, name.as_str()));
            (*window, spending.of(of.limit, group, attribute))
        });
        // What the floor allows needs no base.
        let narrow = spent.is_some_and(|(window, spent)| spent > 0 || window.percent < 100);
        if planned <= limit.floor && !narrow {
            return;
        }
        let base = base();
        let mut trip = Trip {
            limit: of.limit,
            group: of.group,
            attribute: of.attribute,
            planned,
            allowed: limit.allowed(base),
            base,
            window: None,
        };
        if planned <= trip.allowed {
            let Some((window, spent)) = spent else { return };
            // What was taken away in the window belonged to what there was; what was granted did not.
            trip.base = match trip.limit {
                LimitName::Grants | LimitName::Adoptions => base.saturating_sub(spent),
                _ => base.saturating_add(spent),
            };
            trip.allowed = window.allowed(limit, trip.base);
            trip.window = Some((window.period, spent));
            if planned.saturating_add(spent) <= trip.allowed {
                return;
            }
        }
        let number = self.judgement.trips.len() as u32;
        self.judgement.trips.push(trip);
        for &step in steps {
            self.judgement.held.entry(step).or_default().push(number);
        }
    }
}
