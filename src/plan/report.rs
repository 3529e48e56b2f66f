//! What a plan that was applied leaves for the next run (rule D7).

use std::collections::BTreeMap;

use super::document::OperationDocument;
use super::{Op, Plan, PlannedAct, held};
use crate::apply::{Outcome, Stop, may_have_happened};
use crate::diff::Cause;
use crate::flapping::{record_name, value_name, values_name};
use crate::guard::{LimitName, is_ordinary_removal};
use crate::id::SourceAnchor;
use crate::model::{Kind, Timestamp};
use crate::run::{Ended, Left, Spent};

/// What counts together: the limit, and the group or the attribute that it is about.
type Budget = (LimitName, Option<SourceAnchor>, Option<(Kind, String)>);

impl Plan {
    /// What is left behind by applying this plan with these outcomes; `moved` tells, for lists, how many members may have moved.
    /// None for a sign-in. Linear in the operations.
    pub(crate) fn left_by(
        &self,
        outcomes: &[Outcome],
        moved: &BTreeMap<usize, u64>,
        stopped: Option<Stop>,
    ) -> Option<Left> {
        if self.by_sign_in {
            return None;
        }
        let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_) | Outcome::Unknown);
        let nothing_works = !outcomes.iter().any(Outcome::is_applied) && outcomes.iter().any(failed);
        let ended = match stopped {
            None if nothing_works => Ended::Failed,
            None => Ended::Whole,
            // Whoever stops a run knows when he wants the next one.
            Some(Stop::Cancelled) => Ended::Cancelled,
            Some(Stop::Unauthorized | Stop::FailureBudget) => Ended::Failed,
        };
        let mut left = Left {
            spent: Vec::new(),
            written: Vec::new(),
            created: Vec::new(),
            approved: BTreeMap::new(),
            done: self.done(outcomes),
            ended,
            extent: self.extent,
            planned_at: self.planned_at,
        };
        let mut spent: BTreeMap<Budget, u64> = BTreeMap::new();
        let mut used = Vec::new();
        for (number, (op, outcome)) in self.operations.iter().zip(outcomes).enumerate() {
            let moved = moved.get(&number).copied().unwrap_or(0);
            let happened = moved > 0 || may_have_happened(outcome);
            match op.approved {
                Some(shown) if happened => used.push((number, shown)),
                None if happened => self.spend(op, moved, &mut spent),
                _ => {}
            }
            if outcome.is_applied() {
                self.wrote(op, &mut left);
            }
        }
        let age = self.run.age();
        let spent = spent.into_iter().map(|((limit, group, attribute), count)| Spent {
            limit,
            group,
            attribute,
            count,
            age,
        });
        left.spent = spent.collect();
        self.note_used(&used, &mut left);
        Some(left)
    }

    /// Adds what an operation takes from the budgets of the limits (rule D4).
    fn spend(&self, op: &Op, moved: u64, spent: &mut BTreeMap<Budget, u64>) {
        let subject = self.subject(op.subject);
        let (user, anchor) = (subject.kind() == Kind::User, subject.anchor().map(SourceAnchor::from));
        let mut add = |limit, group, attribute, count: u64| {
            if count > 0 && self.counted.contains(&limit) {
                let sum = spent.entry((limit, group, attribute)).or_default();
                *sum = u64::saturating_add(*sum, count);
            }
        };
        match &op.act {
            PlannedAct::RemoveMembers(_) if is_ordinary_removal(op.cause) => {
                add(LimitName::RemovalsInAll, None, None, moved);
                if op.cause != Cause::GroupRetired {
                    add(LimitName::RemovalsPerGroup, anchor, None, moved);
                }
            }
            PlannedAct::AddMembers(_) => add(LimitName::Grants, None, None, moved),
            PlannedAct::RemoveMembers(_) => {}
            PlannedAct::Delete if user => add(LimitName::UserDeletes, None, None, 1),
            PlannedAct::Delete => {
                add(LimitName::GroupDeletes, None, None, 1);
                add(LimitName::RemovalsInAll, None, None, op.loses);
            }
            PlannedAct::Deactivate => add(LimitName::Deactivations, None, None, 1),
            PlannedAct::Adopt => add(LimitName::Adoptions, None, None, 1),
            PlannedAct::Create { .. } if user => add(LimitName::Grants, None, None, 1),
            PlannedAct::Create { .. } => {}
            PlannedAct::Reactivate => add(LimitName::Grants, None, None, 1),
            PlannedAct::Update { changes, .. } => {
                for change in changes.iter().filter(|change| change.new.is_empty()) {
                    let attribute = Some((subject.kind(), change.attribute.clone()));
                    add(LimitName::ClearsPerAttribute, None, attribute, 1);
                }
            }
        }
    }

    /// Notes the values that were written, so that one which does not stay is noticed (rule A4).
    fn wrote(&self, op: &Op, left: &mut Left) {
        let subject = self.subject(op.subject);
        let (kind, anchor) = (subject.kind(), subject.anchor().unwrap_or_default());
        match &op.act {
            PlannedAct::Update { changes, .. } if !matches!(op.cause, Cause::Swap | Cause::NameReleased) => {
                let values = changes.iter().map(|change| {
                    let value = value_name(change.new.iter().map(String::as_str));
                    (record_name(kind, anchor), change.attribute.clone(), value)
                });
                left.written.extend(values);
            }
            PlannedAct::Create { row, .. } => {
                let values = self.values.row(*row as usize).iter();
                left.created.push((record_name(kind, anchor), values_name(values)));
            }
            _ => {}
        }
    }

    /// Notes which approvals were used, by number of operation: each is good for one time (rule D5).
    fn note_used(&self, used: &[(usize, Timestamp)], left: &mut Left) {
        if used.is_empty() {
            return;
        }
        let documents: Vec<OperationDocument> = self.operations().map(OperationDocument::from).collect();
        let keys = held::keys(&documents);
        for &(number, shown) in used {
            let keys = keys.get(number).into_iter().flatten();
            left.approved.extend(keys.map(|key| (key.fingerprint(), shown)));
        }
    }
}
