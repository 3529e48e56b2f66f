//! Step 5, first half: how much is taken away, and what is held because of it (rules D4, D5).
//!
//! Judged over the whole plan, before any write.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diff::{Act, Cause, Draft, MemberRef, Step};
use crate::links::Links;
use crate::model::Kind;
use crate::object::{Object, Objects};
use crate::options::{Guards, Limit, OnTrip};
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
    /// Growth.
    Grants,
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
        objects.of_record.iter().filter(|&&object| object != NONE).count() as u64
    }

    fn active_users(&self) -> u64 {
        let store = &self.links.store.users;
        store
            .iter()
            .zip(&self.users.of_record)
            .filter(|(user, object)| user.active && **object != NONE)
            .count() as u64
    }

    /// Managed records among the members of a group record.
    fn managed_members(&self, group: u32) -> u64 {
        self.members_where(group, |_| true)
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
                (None, Some(_)) => true,
                (None, None) => false,
            }
        });
        members.count() as u64
    }

    fn memberships(&self) -> u64 {
        let managed = self.groups.of_record.iter().enumerate().filter(|&(_, &object)| object != NONE);
        managed.map(|(group, _)| self.managed_members(group as u32)).sum()
    }

    /// Managed records that have a value.
    fn with_value(&self, kind: Kind, attribute: &str) -> u64 {
        let (objects, rules) = match kind {
            Kind::User => (self.users, self.user_rules),
            Kind::Group => (self.groups, self.group_rules),
        };
        let Some(rule) = rules.rules.iter().find(|rule| rule.target == attribute) else { return 0 };
        let managed = (0..objects.of_record.len()).filter(|&row| objects.of_record[row] != NONE);
        managed.filter(|&row| rule.held(self.links.store.attributes(kind, row)).next().is_some()).count()
            as u64
    }

    /// Managed members that go with a deleted group, but for those who are deleted themselves.
    fn lost_with(&self, step: &Step) -> u64 {
        if step.kind != Kind::Group || !matches!(step.act, Act::Delete) {
            return 0;
        }
        self.members_where(self.groups.all[step.object as usize].record, |user| !user.is_deleted())
    }
}

/// Whether a step removes members for its own sake, and not only before a delete.
fn ordinary_removals(step: &Step) -> Option<&[MemberRef]> {
    match (&step.act, step.cause) {
        (Act::Remove(members), Cause::NoPath | Cause::Unmanaged | Cause::GroupRetired) => Some(members),
        _ => None,
    }
}

/// Judges a draft. Linear in steps; bases are counted only for limits that could trip.
pub(crate) fn judge(draft: &Draft, measured: &Measured<'_>, guards: &Guards) -> Judgement {
    let mut judgement = Judgement::default();
    let steps = &draft.steps;
    let count = |wanted: &dyn Fn(&Step) -> bool| steps.iter().filter(|step| wanted(step)).count() as u64;

    let user_delete = |step: &Step| step.kind == Kind::User && matches!(step.act, Act::Delete);
    judgement.limit(
        LimitName::UserDeletes,
        guards.user_deletes,
        count(&user_delete),
        steps,
        user_delete,
        || measured.managed(Kind::User),
    );
    let deactivation = |step: &Step| matches!(step.act, Act::Deactivate);
    judgement.limit(
        LimitName::Deactivations,
        guards.deactivations,
        count(&deactivation),
        steps,
        deactivation,
        || measured.active_users(),
    );
    let group_delete = |step: &Step| step.kind == Kind::Group && matches!(step.act, Act::Delete);
    judgement.limit(
        LimitName::GroupDeletes,
        guards.group_deletes,
        count(&group_delete),
        steps,
        group_delete,
        || measured.managed(Kind::Group),
    );

    let lost = |step: &Step| {
        ordinary_removals(step).map_or(measured.lost_with(step), |members| members.len() as u64)
    };
    let in_all = steps.iter().map(lost).sum();
    let removal = |step: &Step| lost(step) > 0;
    judgement.limit(LimitName::RemovalsInAll, guards.removals_in_all, in_all, steps, removal, || {
        measured.memberships()
    });
    judgement.per_group(guards.removals_per_group, steps, measured);
    judgement.per_attribute(guards.clears_per_attribute, steps, measured);

    let granted = |step: &Step| match &step.act {
        Act::Add(members) => members.len() as u64,
        Act::Create { .. } if step.kind == Kind::User => 1,
        Act::Reactivate => 1,
        _ => 0,
    };
    let grants = steps.iter().map(granted).sum();
    let grant = |step: &Step| granted(step) > 0;
    judgement.limit(LimitName::Grants, guards.grants, grants, steps, grant, || {
        measured.managed(Kind::User) + measured.memberships()
    });

    if guards.on_trip == OnTrip::Abort && !judgement.trips.is_empty() {
        let all: Vec<u32> = (0..judgement.trips.len() as u32).collect();
        judgement.held = (0..steps.len() as u32).map(|step| (step, all.clone())).collect();
    }
    judgement
}

impl Judgement {
    fn limit(
        &mut self,
        name: LimitName,
        limit: Option<Limit>,
        planned: u64,
        steps: &[Step],
        concerned: impl Fn(&Step) -> bool,
        base: impl Fn() -> u64,
    ) {
        let trip = |base, allowed| Trip { limit: name, group: None, attribute: None, planned, allowed, base };
        self.trip(limit, planned, base, trip, || {
            let concerned = steps.iter().enumerate().filter(|(_, step)| concerned(step));
            concerned.map(|(number, _)| number as u32).collect()
        });
    }

    fn trip(
        &mut self,
        limit: Option<Limit>,
        planned: u64,
        base: impl Fn() -> u64,
        trip: impl Fn(u64, u64) -> Trip,
        steps: impl Fn() -> Vec<u32>,
    ) {
        // What the floor allows needs no base.
        let Some(limit) = limit.filter(|limit| planned > limit.floor) else { return };
        let base = base();
        let allowed = limit.allowed(base);
        if planned <= allowed {
            return;
        }
        let number = self.trips.len() as u32;
        self.trips.push(trip(base, allowed));
        for step in steps() {
            self.held.entry(step).or_default().push(number);
        }
    }

    fn per_group(&mut self, limit: Option<Limit>, steps: &[Step], measured: &Measured<'_>) {
        for (number, step) in steps.iter().enumerate() {
            let Some(members) = ordinary_removals(step).filter(|_| step.cause != Cause::GroupRetired) else {
                continue;
            };
            let planned = members.len() as u64;
            let record = measured.groups.all[step.object as usize].record;
            let name = LimitName::RemovalsPerGroup;
            let trip = |base, allowed| Trip {
                limit: name,
                group: Some(step.object),
                attribute: None,
                planned,
                allowed,
                base,
            };
            self.trip(limit, planned, || measured.managed_members(record), trip, || vec![number as u32]);
        }
    }

    fn per_attribute(&mut self, limit: Option<Limit>, steps: &[Step], measured: &Measured<'_>) {
        let mut cleared: BTreeMap<(Kind, &str), Vec<u32>> = BTreeMap::new();
        for (number, step) in steps.iter().enumerate() {
            let Act::Update { changes, .. } = &step.act else { continue };
            for change in changes.iter().filter(|change| change.new.is_empty()) {
                cleared.entry((step.kind, &change.attribute)).or_default().push(number as u32);
            }
        }
        for ((kind, attribute), steps) in cleared {
            let planned = steps.len() as u64;
            let trip = |base, allowed| Trip {
                limit: LimitName::ClearsPerAttribute,
                group: None,
                attribute: Some((kind, attribute.to_owned())),
                planned,
                allowed,
                base,
            };
            self.trip(limit, planned, || measured.with_value(kind, attribute), trip, || steps.clone());
        }
    }
}
