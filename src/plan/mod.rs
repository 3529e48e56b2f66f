//! Step 5, second half: the plan. Plain data: what is shown is what is applied (rule P1).

mod build;
mod display;
mod document;
mod emit;
mod held;
mod impact;
mod naming;
mod order;
mod repeat;
mod report;
mod sequence;

pub(crate) use build::{Decided, build};
pub use held::HeldSet;
pub use impact::{AccessImpact, Affected, Gain};
pub(crate) use repeat::MOST_REMEMBERED;

use std::collections::BTreeSet;

use crate::attributes::{AttributeTable, Attributes};
use crate::diagnostic::Diagnostic;
use crate::diff::{BlockReason, Cause};
use crate::guard::LimitName;
use crate::id::{ExternalId, Issuer, SourceAnchor, StoreId, Version};
use crate::model::{Kind, Origin, Period, Timestamp};
use crate::options::{Deprovision, Extent};
use crate::page::TextColumn;
use crate::run::RunState;
use crate::store::Change;

/// The format that this version writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// What has to be done, in order, with everything that a person needs to judge it.
///
/// Serialisable (JSON), comparable, printable (`Display`). The same inputs in any order give the same bytes (rule P2).
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) issuer: Issuer,
    pub(crate) store: String,
    pub(crate) planned_at: Timestamp,
    pub(crate) subjects: Subjects,
    pub(crate) operations: Vec<Op>,
    pub(crate) held: Vec<HeldOp>,
    pub(crate) tripped: Vec<TrippedLimit>,
    pub(crate) kept: Vec<u32>,
    pub(crate) pending: Vec<PendingOp>,
    pub(crate) blocked: Vec<BlockedOp>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The values of creates, a row each.
    pub(crate) values: AttributeTable,
    /// Target attributes whose values are not shown (rule S2).
    pub(crate) sensitive: BTreeSet<(Kind, String)>,
    /// How much was planned.
    pub(crate) extent: Extent,
    /// What the operations that run, and those that are held, mean for people.
    pub(crate) impact: AccessImpact,
    pub(crate) held_impact: AccessImpact,
    /// What is to be remembered, whether or not the plan is applied (rule D7).
    pub(crate) run: RunState,
    /// The limits that are set: what they count is remembered (rule D4).
    pub(crate) counted: BTreeSet<LimitName>,
    /// Made for a sign-in, which a pause does not stop.
    pub(crate) by_sign_in: bool,
}

/// Everybody whom the plan mentions, sorted by kind, anchor and store id; a text is empty where there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subjects {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) anchors: TextColumn,
    pub(crate) ids: TextColumn,
    pub(crate) names: TextColumn,
    pub(crate) versions: TextColumn,
}

#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) act: PlannedAct,
    pub(crate) subject: u32,
    pub(crate) cause: Cause,
    /// Operations that must have succeeded before; creates of members and groups are found by their subject.
    pub(crate) after: Vec<u32>,
    /// Under which approval it runs: when the newest that covers it was shown.
    pub(crate) approved: Option<Timestamp>,
    /// For the delete of a group: how many managed members lose it, and are not deleted themselves (rule D4).
    pub(crate) loses: u64,
    /// Since when it was held, where it runs now.
    pub(crate) was_held: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(crate) enum PlannedAct {
    Adopt,
    Create { row: u32, active: bool, origin: Origin },
    Update { changes: Vec<Change>, origin: Option<Origin> },
    Deactivate,
    Reactivate,
    Delete,
    AddMembers(Vec<u32>),
    RemoveMembers(Vec<u32>),
}

#[cfg(feature = "tracing")]
impl PlannedAct {
    /// What is done, without to whom.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Deactivate => "deactivate",
            Self::Reactivate => "reactivate",
            Self::Delete => "delete",
            Self::AddMembers(_) => "add members",
            Self::RemoveMembers(_) => "remove members",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct HeldOp {
    pub(crate) op: Op,
    /// Numbers of tripped limits.
    pub(crate) by: Vec<u32>,
    pub(crate) since: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct PendingOp {
    pub(crate) subject: u32,
    pub(crate) cause: Cause,
    pub(crate) deprovision: Deprovision,
    pub(crate) since: Timestamp,
    pub(crate) due: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct BlockedOp {
    pub(crate) subject: u32,
    /// The member whose removal is blocked; none where it is about the record.
    pub(crate) member: Option<u32>,
    pub(crate) because: BlockReason,
}

/// A limit that was reached, and what it compared (rule D4).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrippedLimit {
    /// Which limit.
    pub limit: LimitName,
    /// The group, for a limit per group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<SourceAnchor>,
    /// The kind of the records, for a limit per attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The attribute, for a limit per attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// How many were planned.
    pub planned: u64,
    /// How many are allowed.
    pub allowed: u64,
    /// Of how many.
    pub base: u64,
    /// Where it is the limit over several runs that tripped: over how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Period>,
    /// What earlier runs of the window took; it counts with what is planned.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spent: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A user or a group that the plan mentions.
#[derive(Clone, Copy)]
pub struct Subject<'p> {
    subjects: &'p Subjects,
    number: u32,
}

impl<'p> Subject<'p> {
    /// A user or a group.
    pub fn kind(self) -> Kind {
        self.subjects.kinds.get(self.number as usize).copied().unwrap_or(Kind::User)
    }

    /// Its anchor; none where the record is not ours.
    pub fn anchor(self) -> Option<&'p str> {
        non_empty(self.subjects.anchors.at(self.number as usize))
    }

    /// Its store id; none where this plan creates it.
    pub fn id(self) -> Option<&'p str> {
        non_empty(self.subjects.ids.at(self.number as usize))
    }

    /// Its name, for a person.
    pub fn name(self) -> Option<&'p str> {
        non_empty(self.subjects.names.at(self.number as usize))
    }

    /// The version, or the hash of the content, that its record had when the plan was made (rule P7).
    pub fn version(self) -> Option<&'p str> {
        non_empty(self.subjects.versions.at(self.number as usize))
    }
}

impl std::fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// One operation of a plan.
#[derive(Clone, Copy)]
pub struct Operation<'p> {
    plan: &'p Plan,
    op: &'p Op,
}

/// What an operation does to its subject.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action<'p> {
    /// Makes a user with these attributes.
    CreateUser {
        /// Its attributes.
        attributes: Attributes<'p>,
        /// Whether it may use the application.
        active: bool,
        /// `Synced`, or `Jit` for a sign-in.
        origin: Origin,
    },
    /// Makes a group with these attributes.
    CreateGroup {
        /// Its attributes.
        attributes: Attributes<'p>,
    },
    /// Gives a record without any external id our link (rule M3).
    Adopt,
    /// Changes mapped attributes, and the origin where a user who came by sign-in is entitled now.
    Update {
        /// Old and new values (rule A6).
        changes: &'p [Change],
        /// The new origin, where it changes.
        origin: Option<Origin>,
    },
    /// Makes a user inactive.
    Deactivate,
    /// Makes a user active again: a grant (rule A7).
    Reactivate,
    /// Deletes the record.
    Delete,
    /// Adds members to a group.
    AddMembers(Members<'p>),
    /// Removes members from a group.
    RemoveMembers(Members<'p>),
}

/// Members that an operation names, in the order of their anchors.
#[derive(Clone, Copy)]
pub struct Members<'p> {
    plan: &'p Plan,
    numbers: &'p [u32],
}

impl<'p> Members<'p> {
    /// How many.
    pub fn len(self) -> usize {
        self.numbers.len()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.numbers.is_empty()
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Subject<'p>> {
        self.numbers.iter().map(move |&number| self.plan.subject(number))
    }
}

impl std::fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'p> Operation<'p> {
    /// To whom it is done.
    pub fn subject(self) -> Subject<'p> {
        self.plan.subject(self.op.subject)
    }

    /// Why.
    pub fn cause(self) -> Cause {
        self.op.cause
    }

    /// What is done.
    pub fn action(self) -> Action<'p> {
        match &self.op.act {
            PlannedAct::Create { row, active, origin } => {
                let attributes = self.plan.values.row(*row as usize);
                match self.subject().kind() {
                    Kind::User => Action::CreateUser { attributes, active: *active, origin: *origin },
                    Kind::Group => Action::CreateGroup { attributes },
                }
            }
            PlannedAct::Update { changes, origin } => Action::Update { changes, origin: *origin },
            PlannedAct::Adopt => Action::Adopt,
            PlannedAct::Deactivate => Action::Deactivate,
            PlannedAct::Reactivate => Action::Reactivate,
            PlannedAct::Delete => Action::Delete,
            PlannedAct::AddMembers(numbers) => Action::AddMembers(Members { plan: self.plan, numbers }),
            PlannedAct::RemoveMembers(numbers) => Action::RemoveMembers(Members { plan: self.plan, numbers }),
        }
    }

    /// Whether it runs because a person approved it (rule D5).
    pub fn is_approved(self) -> bool {
        self.op.approved.is_some()
    }

    /// Since which run it was held, where it runs now: because it was approved, or because it is within the limits by now.
    pub fn was_held(self) -> Option<Timestamp> {
        self.op.was_held
    }

    /// For the delete of a group: how many managed members lose it who are not deleted themselves.
    pub fn members_lost(self) -> u64 {
        self.op.loses
    }

    /// Positions of the operations in the plan that must have succeeded before.
    pub fn after(self) -> &'p [u32] {
        &self.op.after
    }
}

impl std::fmt::Debug for Operation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// An operation that a limit holds, and which limits.
#[derive(Clone, Copy, Debug)]
pub struct Held<'p> {
    /// What does not run.
    pub operation: Operation<'p>,
    /// Since which run it is held, as far as that is remembered.
    pub since: Timestamp,
    by: &'p [u32],
}

impl<'p> Held<'p> {
    /// Positions in [`Plan::tripped`] of the limits that hold it.
    pub fn by(self) -> &'p [u32] {
        self.by
    }
}

/// A delete or a deactivation that waits for its grace period to end (rule D1).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PendingRemoval<'p> {
    /// The record.
    pub subject: Subject<'p>,
    /// Why: `DeletedInSource`, `LeftScope` or `DisabledInSource`.
    pub cause: Cause,
    /// What will be done.
    pub deprovision: Deprovision,
    /// In which run the cause was seen first.
    pub since: Timestamp,
    /// When it will be done, if the cause lasts and nothing is paused.
    pub due: Timestamp,
}

/// A removal that does not happen, because a rule asks for more proof (rule C7).
#[derive(Clone, Copy, Debug)]
#[doc(alias = "blocked removal")]
pub struct RemovalBlocked<'p> {
    /// The record, or the group of the membership.
    pub subject: Subject<'p>,
    /// The member who stays; none where it is about the record itself.
    pub member: Option<Subject<'p>>,
    /// What stands against it.
    pub because: BlockReason,
}

impl Plan {
    /// The issuer of the links that it writes.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Which store it was made for.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// When it was made, as the host said.
    pub fn planned_at(&self) -> Timestamp {
        self.planned_at
    }

    /// Whether nothing runs. Something may be held all the same.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Number of operations that run.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// What runs, in order (rule P6).
    pub fn operations(&self) -> impl ExactSizeIterator<Item = Operation<'_>> {
        self.operations.iter().map(|op| Operation { plan: self, op })
    }

    /// What tripped limits hold (rule D5).
    pub fn held(&self) -> impl ExactSizeIterator<Item = Held<'_>> {
        self.held.iter().map(|held| Held {
            operation: Operation { plan: self, op: &held.op },
            since: held.since,
            by: &held.by,
        })
    }

    /// The limits that tripped.
    pub fn tripped(&self) -> &[TrippedLimit] {
        &self.tripped
    }

    /// Managed records that are wanted no more and stay (rule D3).
    pub fn kept(&self) -> impl ExactSizeIterator<Item = Subject<'_>> {
        self.kept.iter().map(|&number| self.subject(number))
    }

    /// Deletes and deactivations that wait for their grace period to end (rule D1).
    pub fn pending(&self) -> impl ExactSizeIterator<Item = PendingRemoval<'_>> {
        self.pending.iter().map(|pending| PendingRemoval {
            subject: self.subject(pending.subject),
            cause: pending.cause,
            deprovision: pending.deprovision,
            since: pending.since,
            due: pending.due,
        })
    }

    /// Who loses and who gains access by the operations that run.
    pub fn impact(&self) -> &AccessImpact {
        &self.impact
    }

    /// Who would lose and gain access by the operations that are held.
    pub fn held_impact(&self) -> &AccessImpact {
        &self.held_impact
    }

    /// How much was planned.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Removals that a rule blocks (rule C7).
    pub fn blocked(&self) -> impl ExactSizeIterator<Item = RemovalBlocked<'_>> {
        self.blocked.iter().map(|blocked| RemovalBlocked {
            subject: self.subject(blocked.subject),
            member: blocked.member.map(|member| self.subject(member)),
            because: blocked.because,
        })
    }

    /// Whether the values of a target attribute are to be shown to nobody (rule S2). `Display` writes how long they are; JSON,
    /// which is no text for people, holds them.
    pub fn is_sensitive(&self, kind: Kind, attribute: &str) -> bool {
        !self.sensitive.is_empty() && self.sensitive.contains(&(kind, attribute.to_owned()))
    }

    /// What a person should know.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    pub(crate) fn subject(&self, number: u32) -> Subject<'_> {
        Subject { subjects: &self.subjects, number }
    }

    pub(crate) fn external_id(&self, subject: u32) -> ExternalId {
        ExternalId { issuer: self.issuer.clone(), value: self.subjects.anchors.at(subject as usize).into() }
    }

    pub(crate) fn stored_id(&self, subject: u32) -> Option<StoreId> {
        non_empty(self.subjects.ids.at(subject as usize)).map(StoreId::from)
    }

    pub(crate) fn stored_version(&self, subject: u32) -> Option<Version> {
        non_empty(self.subjects.versions.at(subject as usize)).map(Version::from)
    }
}

impl PartialEq for Plan {
    /// Compares what the plans say, not how they are laid out.
    fn eq(&self, other: &Self) -> bool {
        document::PlanDocument::from(self) == document::PlanDocument::from(other)
    }
}
