//! From decisions to a plan: names, order, dependencies, held sets.

use std::collections::{BTreeMap, BTreeSet};

use super::emit::{Emitter, SetAside};
use super::impact::{Affected, Impacts, Newly};
use super::naming::{Naming, Who, who};
use super::repeat::repeated;
use super::sequence::Sequence;
use super::{BlockedOp, Op, PendingOp, Plan, PlannedAct, Subjects, TrippedLimit};
use crate::approved::Approved;
use crate::diff::Draft;
use crate::evidence::Evidence;
use crate::fingerprint::Fingerprint;
use crate::guard::{Judgement, LimitName, Measured, Trip};
use crate::id::{Issuer, SourceAnchor};
use crate::links::Links;
use crate::model::{Kind, Origin, Timestamp};
use crate::object::Objects;
use crate::options::Extent;
use crate::run::{Memory, Seen};
use crate::value::Rules;

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

impl<'a> Decided<'a> {
    pub(super) fn objects(&self, kind: Kind) -> &'a Objects {
        match kind {
            Kind::User => self.users,
            Kind::Group => self.groups,
        }
    }

    pub(super) fn rules(&self, kind: Kind) -> &'a Rules<'a> {
        match kind {
            Kind::User => self.user_rules,
            Kind::Group => self.group_rules,
        }
    }
}

/// Makes the plan. `O(n log n)` in what it mentions, not in the directory.
pub(crate) fn build(mut decided: Decided<'_>) -> Plan {
    let mut seen = std::mem::replace(&mut decided.seen, Seen::nothing());
    let Decided { draft, judgement, .. } = &decided;
    let naming = Naming::new(&decided);
    let ordered = Sequence::new(&decided, &naming);
    let set_aside = SetAside::of(&decided, &ordered);
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
        set_aside: &set_aside,
        operations: Vec::new(),
        held: Vec::new(),
        position: BTreeMap::new(),
        held_position: BTreeMap::new(),
    };
    for &slot in &ordered.slots {
        emitter.emit(slot);
    }
    let Emitter { mut operations, mut held, .. } = emitter;
    for op in &mut operations {
        op.was_held = decided.memory.was_held(|| held_name(op, &naming.subjects));
    }
    let (known, again) = repeated(&operations, &naming.subjects, &decided.memory);
    seen.done = known;
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
    let mut blocked: Vec<(u32, Option<u32>, _)> = draft
        .blocked
        .iter()
        .map(|b| (number(b.kind, b.object), b.member.map(|m| naming.number(who(m))), b.because))
        .collect();
    blocked.sort_unstable();
    blocked.dedup();
    let mut diagnostics = draft.diagnostics.clone();
    diagnostics.extend(again);
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
