//! Step 6: writes exactly the plan that was shown (rules X1–X6).
//!
//! Architecture invariant: nothing in here decides what should be; it only finds out what happened.

mod send;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::diff::Cause;
use crate::error::{ErrorKind, StoreError};
use crate::host::{Boxed, Event, Host, Retry};
use crate::id::{Issuer, SourceAnchor, StoreId, Version};
use crate::model::Kind;
use crate::options::Protected;
use crate::plan::{Op, Plan, PlannedAct};
use crate::run::{Left, RunState};
use crate::store::{IdentityStore, StoreCapabilities};
use crate::trace::{self, Step};
use send::{Prepared, Sender};

/// How a plan is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApplyOptions {
    /// Refuse plans of any other issuer.
    pub issuer: Option<Issuer>,
    /// How to try again.
    pub retry: Retry,
    /// Apply stops when more than this percentage of the operations tried so far failed, … Default 40. What failed because the
    /// store is full does not count.
    pub failure_percent: u32,
    /// … once so many were tried. Default 50.
    pub failure_floor: u32,
    /// Records that no operation may touch (rule M8), as things stand now: the plan may be older than the protection. An
    /// operation that names one, as its object or among its members, fails whole. By store id and anchor; a record that has
    /// no link is known to a plan only by its store id.
    pub protected: Protected,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        Self {
            issuer: None,
            retry: Retry::default(),
            failure_percent: 40,
            failure_floor: 50,
            protected: Protected::default(),
        }
    }
}

/// Why a plan was not applied at all; nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// It was made for another store (rule P7).
    #[error("the plan was made for another store")]
    OtherStore,
    /// Runs are paused (rule I3); a plan that was made during a pause is only to be looked at.
    #[error("runs are paused")]
    Paused,
    /// It was made for another issuer (rule P7).
    #[error("the plan was made for issuer {issuer}")]
    OtherIssuer {
        /// Whose plan it is.
        issuer: Issuer,
    },
}

/// What came of one operation (rule X1).
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Seen to succeed, or found done already (rule X2).
    Applied,
    /// The store said no.
    Failed(StoreError),
    /// Another operation that it needs did not succeed. Of a member list the others were written.
    Skipped {
        /// Position of that operation.
        because: usize,
    },
    /// Apply stopped before its turn.
    NotTried,
    /// Sent, and no answer came: it may or may not have happened. The next reconcile finds out (rule X4).
    Unknown,
}

impl Outcome {
    /// Whether it was seen to succeed.
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied => f.write_str("applied"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Skipped { because } => write!(f, "skipped because of operation {because}"),
            Self::NotTried => f.write_str("not tried"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Why apply stopped early (rule X1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The store does not accept our credentials any more.
    Unauthorized,
    /// Too many operations failed.
    FailureBudget,
    /// The host asked for it.
    Cancelled,
}

/// What came of a plan.
#[derive(Debug)]
#[non_exhaustive]
pub struct ApplyReport {
    /// One outcome per operation, in the order of the plan.
    pub outcomes: Vec<Outcome>,
    /// Why it ended early, where it did.
    pub stopped: Option<Stop>,
    /// What to remember for the next run (rule D7): the state that the plan was made with, and what was done since. Where another
    /// run was planned or applied between this plan and its end, give it to [`RunState::absorb`] of the state that is kept.
    pub run: RunState,
    /// What was done, apart from the state; none for a sign-in.
    pub(crate) left: Option<Left>,
}

impl ApplyReport {
    /// Whether every operation was applied.
    pub fn is_success(&self) -> bool {
        self.outcomes.iter().all(Outcome::is_applied)
    }

    /// Number of operations applied.
    pub fn applied(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_applied()).count()
    }
}

impl fmt::Display for ApplyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wanted: fn(&Outcome) -> bool| self.outcomes.iter().filter(|o| wanted(o)).count();
        write!(f, "{} applied", self.applied())?;
        for (n, what) in [
            (count(|o| matches!(o, Outcome::Failed(_))), "failed"),
            (count(|o| matches!(o, Outcome::Skipped { .. })), "skipped"),
            (count(|o| matches!(o, Outcome::NotTried)), "not tried"),
            (count(|o| matches!(o, Outcome::Unknown)), "unknown"),
        ] {
            if n > 0 {
                write!(f, ", {n} {what}")?;
            }
        }
        for (i, outcome) in self.outcomes.iter().enumerate() {
            if let Outcome::Failed(error) = outcome {
                write!(f, "\noperation {i} failed: {error}")?;
            }
        }
        match self.stopped {
            Some(Stop::Unauthorized) => f.write_str("\nstopped: the store does not accept the credentials"),
            Some(Stop::FailureBudget) => f.write_str("\nstopped: too many operations failed"),
            Some(Stop::Cancelled) => f.write_str("\nstopped: cancelled"),
            None => Ok(()),
        }
    }
}

/// Writes a plan: every operation that runs, none that is held, in its order.
///
/// Safe to stop anywhere, and safe to drop: a new reconcile converges to the same end (rule X4).
///
/// # Errors
///
/// The plan belongs to another store, or to another issuer than [`ApplyOptions::issuer`] where that is set, or it was made
/// during a pause. Failures of single operations are outcomes, not errors.
pub async fn apply<S: IdentityStore + ?Sized>(
    plan: &Plan,
    store: &S,
    options: &ApplyOptions,
    host: &Host<'_>,
) -> Result<ApplyReport, ApplyError> {
    let capabilities = store.capabilities();
    if plan.store != capabilities.identity {
        return Err(ApplyError::OtherStore);
    }
    if options.issuer.as_ref().is_some_and(|issuer| *issuer != plan.issuer) {
        return Err(ApplyError::OtherIssuer { issuer: plan.issuer.clone() });
    }
    if plan.run.is_paused() && !plan.by_sign_in {
        return Err(ApplyError::Paused);
    }
    Ok(boxed(plan, &store, capabilities, options, host).await)
}

/// With a trait object: compiled with this crate, and not anew for each host and each of its stores.
fn boxed<'a>(
    plan: &'a Plan,
    store: &'a dyn IdentityStore,
    capabilities: StoreCapabilities,
    options: &'a ApplyOptions,
    host: &'a Host<'_>,
) -> Boxed<'a, ApplyReport> {
    Box::pin(trace::within(Step::Apply, write_all(plan, store, capabilities, options, host)))
}

async fn write_all(
    plan: &Plan,
    store: &dyn IdentityStore,
    capabilities: StoreCapabilities,
    options: &ApplyOptions,
    host: &Host<'_>,
) -> ApplyReport {
    host.tell(Event::Started { operations: plan.operations.len() });
    let budget = options.retry.budget.unwrap_or_else(|| 10.max(plan.operations.len() as u32 / 100));
    let mut sender = Sender::new(plan, store, capabilities, options.retry, budget, *host);
    let mut applier = Applier::new(plan, &options.protected);
    let mut next = 0;
    while next < plan.operations.len() && applier.stopped.is_none() {
        if host.is_cancelled() {
            applier.stopped = Some(Stop::Cancelled);
            break;
        }
        let (batch, end) = applier.next_batch(next, &sender);
        next = end;
        for (prepared, result) in sender.send(batch).await {
            applier.take(&prepared, result);
        }
        applier.settle(next, host);
        applier.judge(options);
    }
    let outcomes: Vec<Outcome> = std::mem::take(&mut applier.outcomes)
        .into_iter()
        .map(|outcome| outcome.unwrap_or(Outcome::NotTried))
        .collect();
    let left = plan.left_by(&outcomes, &applier.moved, applier.stopped);
    let run = match &left {
        Some(left) => plan.run.after(left),
        None => plan.run.clone(),
    };
    let report = ApplyReport { outcomes, stopped: applier.stopped, run, left };
    trace::applied(&report);
    host.tell(Event::Finished { applied: report.applied() });
    report
}

/// Whether the store may have done it, whatever it answered.
pub(crate) fn may_have_happened(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Applied | Outcome::Unknown => true,
        Outcome::Failed(error) => error.is_transient(),
        Outcome::Skipped { .. } | Outcome::NotTried => false,
    }
}

/// What is known about each subject and each operation so far.
struct Applier<'p> {
    plan: &'p Plan,
    protected: &'p Protected,
    outcomes: Vec<Option<Outcome>>,
    /// What was heard of each operation of this batch that is sent in several writes.
    parts: BTreeMap<usize, Part>,
    /// How many members of each list have moved, or may have.
    moved: BTreeMap<usize, u64>,
    told: usize,
    /// What gives a subject its record: its create, or its adoption.
    creates: BTreeMap<u32, usize>,
    subjects: BTreeMap<u32, Known>,
    /// The ids of all records that this plan names or has made; filled at the first create.
    taken: Option<BTreeSet<(Kind, StoreId)>>,
    tried: u32,
    failed: u32,
    quota: bool,
    stopped: Option<Stop>,
}

/// What earlier writes of this plan answered about a subject.
#[derive(Clone, Debug, Default)]
struct Known {
    id: Option<StoreId>,
    version: Option<Version>,
    written: bool,
}

/// An operation that is sent in several writes, or that left members out.
#[derive(Debug, Default)]
struct Part {
    left_out: Option<usize>,
    /// What came of the last write that was answered.
    last: Option<Outcome>,
}

impl<'p> Applier<'p> {
    fn new(plan: &'p Plan, protected: &'p Protected) -> Self {
        let gives = |op: &Op| matches!(op.act, PlannedAct::Create { .. } | PlannedAct::Adopt);
        let creates = plan.operations.iter().enumerate().filter(|(_, op)| gives(op));
        Self {
            plan,
            protected,
            outcomes: plan.operations.iter().map(|_| None).collect(),
            parts: BTreeMap::new(),
            moved: BTreeMap::new(),
            told: 0,
            creates: creates.map(|(i, op)| (op.subject, i)).collect(),
            subjects: BTreeMap::new(),
            taken: None,
            tried: 0,
            failed: 0,
            quota: false,
            stopped: None,
        }
    }

    /// The next operations that do not wait for each other, and where the one after them stands.
    fn next_batch(&mut self, from: usize, sender: &Sender<'_>) -> (Vec<Prepared>, usize) {
        let room = sender.capabilities.batch.max(1);
        let mut batch: Vec<Prepared> = Vec::new();
        let mut touched: Vec<u32> = Vec::new();
        let mut at = from;
        while at < self.plan.operations.len() && batch.len() < room {
            let op = &self.plan.operations[at];
            // Versions and freed values come with answers: whoever needs one waits for the next batch.
            // The first of a batch has nothing left to wait for: `prepare` skips it where a create is missing.
            let waits = at > from
                && (op.after.iter().any(|&before| before as usize >= from)
                    || touched.contains(&op.subject)
                    || self.needs(op).any(|create| create >= from));
            if waits {
                break;
            }
            touched.push(op.subject);
            match self.prepare(at, op, sender) {
                Ok(prepared) => batch.extend(prepared),
                Err(outcome) => self.outcomes[at] = Some(outcome),
            }
            at += 1;
        }
        (batch, at)
    }

    /// Whether an operation would touch a record that is protected by now.
    fn is_protected(&self, op: &Op) -> bool {
        let Protected { ids, anchors, names: _ } = self.protected;
        if ids.is_empty() && anchors.is_empty() {
            return false;
        }
        let members: &[u32] = match &op.act {
            PlannedAct::AddMembers(members) | PlannedAct::RemoveMembers(members) => members,
            _ => &[],
        };
        members.iter().copied().chain([op.subject]).any(|number| {
            let subject = self.plan.subject(number);
            subject.id().is_some_and(|id| ids.contains(&StoreId::from(id)))
                || subject.anchor().is_some_and(|anchor| anchors.contains(&SourceAnchor::from(anchor)))
        })
    }

    /// The creates in this plan that an operation needs.
    fn needs<'s>(&'s self, op: &'s Op) -> impl Iterator<Item = usize> + 's {
        let members: &[u32] = match &op.act {
            PlannedAct::AddMembers(members) | PlannedAct::RemoveMembers(members) => members,
            _ => &[],
        };
        let gives = matches!(op.act, PlannedAct::Create { .. } | PlannedAct::Adopt);
        let subject = (!gives).then_some(op.subject);
        members.iter().copied().chain(subject).filter_map(|subject| self.creates.get(&subject).copied())
    }

    fn prepare(&mut self, at: usize, op: &Op, sender: &Sender<'_>) -> Result<Vec<Prepared>, Outcome> {
        let failed = |before: usize| !matches!(self.outcomes.get(before), Some(Some(Outcome::Applied)));
        if let Some(&because) = op.after.iter().find(|&&before| failed(before as usize)) {
            return Err(Outcome::Skipped { because: because as usize });
        }
        if self.is_protected(op) {
            let error =
                StoreError::new(ErrorKind::Permanent, "it would touch a record that is protected by now");
            return Err(Outcome::Failed(error));
        }
        let create = matches!(op.act, PlannedAct::Create { .. });
        if create && self.quota {
            return Err(Outcome::NotTried);
        }
        if !create && !matches!(op.act, PlannedAct::Adopt) {
            if let Some(&because) = self.creates.get(&op.subject).filter(|&&create| failed(create)) {
                return Err(Outcome::Skipped { because });
            }
        }
        let known = self.subjects.get(&op.subject).cloned().unwrap_or_default();
        let id = known.id.or_else(|| self.plan.stored_id(op.subject));
        if !create && id.is_none() {
            return Err(Outcome::Failed(StoreError::new(ErrorKind::NotFound, "the plan names no record")));
        }
        let version = if known.written { known.version } else { self.plan.stored_version(op.subject) };
        let base =
            Prepared { op: at, subject: op.subject, id, version, fresh: !known.written, members: Vec::new() };
        let (PlannedAct::AddMembers(members) | PlannedAct::RemoveMembers(members)) = &op.act else {
            return Ok(vec![base]);
        };
        let mut ids = Vec::with_capacity(members.len());
        let mut left_out = None;
        for &member in members {
            // With a deleted group anybody goes, ours or not (rule D2).
            let needed = op.cause != Cause::GroupDeleted;
            let missing = self.creates.get(&member).filter(|&&create| needed && failed(create));
            if let Some(&because) = missing {
                left_out = Some(because);
                continue;
            }
            let id = self.subjects.get(&member).and_then(|known| known.id.clone());
            match id.or_else(|| self.plan.stored_id(member)) {
                Some(id) => ids.push(id),
                None => left_out = self.creates.get(&member).copied().or(left_out).or(Some(at)),
            }
        }
        if let (true, Some(because)) = (ids.is_empty(), left_out) {
            return Err(Outcome::Skipped { because });
        }
        let part = self.parts.entry(at).or_default();
        part.left_out = left_out;
        let chunks = ids.chunks(sender.capabilities.members_per_write.max(1));
        Ok(chunks.map(|chunk| Prepared { members: chunk.to_vec(), ..base.clone() }).collect())
    }

    fn take(&mut self, prepared: &Prepared, result: Result<send::Done, Outcome>) {
        let op = &self.plan.operations[prepared.op];
        let created = matches!(op.act, PlannedAct::Create { .. });
        let kind = self.plan.subject(op.subject).kind();
        let outcome = match result {
            // Whatever this plan still has for the new record would go to somebody else.
            Ok(done) if created && done.id.as_ref().is_some_and(|id| !self.is_new(kind, id)) => {
                let message = "the store answered a create with the id of another record";
                Outcome::Failed(StoreError::new(ErrorKind::Permanent, message))
            }
            Ok(done) => {
                let known = self.subjects.entry(op.subject).or_default();
                // Only a create tells an id.
                if created {
                    known.id = done.id;
                }
                known.version = done.version;
                known.written = true;
                Outcome::Applied
            }
            Err(outcome) => outcome,
        };
        if let Outcome::Failed(error) = &outcome {
            match error.kind() {
                ErrorKind::Unauthorized => self.stopped = Some(Stop::Unauthorized),
                ErrorKind::QuotaExceeded => self.quota = true,
                _ => {}
            }
        }
        if may_have_happened(&outcome) {
            *self.moved.entry(prepared.op).or_default() += prepared.members.len() as u64;
        }
        match self.parts.get_mut(&prepared.op) {
            None => self.outcomes[prepared.op] = Some(outcome),
            // One write of several. After one that failed no other goes out: the last one tells what came of them all.
            Some(part) => part.last = Some(outcome),
        }
    }

    /// Whether no other record of this plan has this id, and none that it made.
    fn is_new(&mut self, kind: Kind, id: &StoreId) -> bool {
        let plan = self.plan;
        let taken = self.taken.get_or_insert_with(|| {
            let subjects = (0..plan.subjects.kinds.len() as u32).map(|number| plan.subject(number));
            subjects.filter_map(|subject| Some((subject.kind(), StoreId::from(subject.id()?)))).collect()
        });
        taken.insert((kind, id.clone()))
    }

    /// Gives the operations of the last batch their outcomes, and tells them in order.
    fn settle(&mut self, end: usize, host: &Host<'_>) {
        for (at, part) in std::mem::take(&mut self.parts) {
            let outcome = match (part.last, part.left_out) {
                (Some(Outcome::Applied), Some(because)) => Outcome::Skipped { because },
                (last, _) => last.unwrap_or(Outcome::NotTried),
            };
            self.outcomes[at] = Some(outcome);
        }
        for at in self.told..end {
            if let Some(outcome) = &self.outcomes[at] {
                host.tell(Event::Outcome { operation: at, outcome });
                trace::outcome(self.plan, at, outcome);
                match outcome {
                    Outcome::Applied => self.tried += 1,
                    // A full store says nothing about what else would fail: revocations make room.
                    Outcome::Failed(error) if error.kind() == ErrorKind::QuotaExceeded => {}
                    Outcome::Failed(_) | Outcome::Unknown => {
                        self.tried += 1;
                        self.failed += 1;
                    }
                    Outcome::Skipped { .. } | Outcome::NotTried => {}
                }
            }
        }
        self.told = end;
    }

    fn judge(&mut self, options: &ApplyOptions) {
        let beyond =
            u64::from(self.failed) * 100 > u64::from(self.tried) * u64::from(options.failure_percent);
        if self.stopped.is_none() && self.tried >= options.failure_floor && beyond {
            self.stopped = Some(Stop::FailureBudget);
        }
    }
}
