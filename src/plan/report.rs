//! What a plan that was applied leaves for the next run (rule D7).

use std::collections::BTreeMap;

use super::document::OperationDocument;
use super::{Op, Plan, PlannedAct, held};
use crate::apply::{Outcome, Stop};
use crate::diff::Cause;
use crate::flapping::{record_name, value_name, values_name};
use crate::guard::{LimitName, is_ordinary_removal};
use crate::id::SourceAnchor;
use crate::model::Kind;
use crate::run::{Done, Ended, RunState, Spent};

/// What counts together: the limit, and the group or the attribute that it is about.
type Budget = (LimitName, Option<SourceAnchor>, Option<(Kind, String)>);

impl Plan {
    /// The state after this plan was applied with these outcomes. Linear in the operations.
    pub(crate) fn state_after(&self, outcomes: &[Outcome], stopped: Option<Stop>) -> RunState {
        if self.by_sign_in {
            return self.run.clone();
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
        let mut done = Done { ended, ..Done::default() };
        let mut spent: BTreeMap<Budget, u64> = BTreeMap::new();
        for (op, outcome) in self.operations.iter().zip(outcomes) {
            // Whatever may have happened has been spent; of a list that was skipped in part, all of it.
            let happened = matches!(outcome, Outcome::Applied | Outcome::Unknown);
            if op.approved.is_none() && (happened || matches!(outcome, Outcome::Skipped { .. })) {
                self.spend(op, happened, &mut spent);
            }
            if outcome.is_applied() {
                self.wrote(op, &mut done);
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
        done.spent = spent.collect();
        self.used(outcomes, &mut done);
        self.run.after(done, self.extent, self.planned_at)
    }

    /// Adds what an operation takes from the budgets of the limits (rule D4).
    fn spend(&self, op: &Op, happened: bool, spent: &mut BTreeMap<Budget, u64>) {
        let subject = self.subject(op.subject);
        let (user, anchor) = (subject.kind() == Kind::User, subject.anchor().map(SourceAnchor::from));
        let mut add = |limit, group, attribute, count: u64| {
            if count > 0 && self.counted.contains(&limit) {
                *spent.entry((limit, group, attribute)).or_default() += count;
            }
        };
        match &op.act {
            PlannedAct::RemoveMembers(members) if is_ordinary_removal(op.cause) => {
                let count = members.len() as u64;
                add(LimitName::RemovalsInAll, None, None, count);
                if op.cause != Cause::GroupRetired {
                    add(LimitName::RemovalsPerGroup, anchor, None, count);
                }
            }
            PlannedAct::AddMembers(members) => add(LimitName::Grants, None, None, members.len() as u64),
            _ if !happened => {}
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
    fn wrote(&self, op: &Op, done: &mut Done) {
        let subject = self.subject(op.subject);
        let (kind, anchor) = (subject.kind(), subject.anchor().unwrap_or_default());
        match &op.act {
            PlannedAct::Update { changes, .. } if !matches!(op.cause, Cause::Swap | Cause::NameReleased) => {
                let values = changes.iter().map(|change| {
                    let value = value_name(change.new.iter().map(String::as_str));
                    (record_name(kind, anchor), change.attribute.clone(), value)
                });
                done.written.extend(values);
            }
            PlannedAct::Create { row, .. } => {
                let values = self.values.row(*row as usize).iter();
                done.created.push((record_name(kind, anchor), values_name(values)));
            }
            _ => {}
        }
    }

    /// Notes which approvals were used: each is good for one time (rule D5).
    fn used(&self, outcomes: &[Outcome], done: &mut Done) {
        if self.operations.iter().all(|op| op.approved.is_none()) {
            return;
        }
        let documents: Vec<OperationDocument> = self.operations().map(OperationDocument::from).collect();
        let keys = held::keys(&documents);
        for ((op, outcome), keys) in self.operations.iter().zip(outcomes).zip(keys) {
            let Some(shown) = op.approved else { continue };
            if matches!(outcome, Outcome::Applied | Outcome::Unknown) {
                done.approved.extend(keys.iter().map(|key| (key.fingerprint(), shown)));
            }
        }
    }
}
