//! What goes into planning beside data and options: the time, what was remembered from earlier runs, and what a person has
//! approved (rules D5, D7).

mod clock;
mod memory;

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::apply::ApplyReport;
use crate::approval::Approval;
use crate::correlate::Reason;
use crate::fingerprint::{Digest, Fingerprint};
use crate::guard::LimitName;
use crate::id::{Issuer, SourceAnchor};
use crate::model::{Kind, Timestamp};
use crate::options::Extent;
use crate::source::SourceIdentity;
use clock::Clock;
pub(crate) use memory::{Ended, Left, Memory, Misfit, Seen, Spending};

/// The format of [`RunState`] that this version writes.
const FORMAT: u32 = 1;

/// What a host keeps from one run to the next (rule D7): since when a record is wanted no more and why, what was taken away in
/// the window of the limits, who the source is, which values do not stay as they are written, what was reported as done last,
/// what is held and since when, which approvals were used, and when the last runs were.
///
/// Opaque, serialisable, versioned. Keep it where no other runner writes: `found.run` after planning, the report's after
/// applying. A state that is lost restarts all periods and budgets; the plan says so ([`Diagnostic::NoMemory`]). One of
/// another issuer, store or format is refused.
///
/// [`Diagnostic::NoMemory`]: crate::Diagnostic::NoMemory
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RunState {
    format: u32,
    #[serde(default)]
    issuer: Option<Issuer>,
    #[serde(default)]
    store: Option<String>,
    #[serde(default)]
    source: Option<SourceIdentity>,
    /// The greatest generation of each replica of the source.
    #[serde(default)]
    generations: BTreeMap<String, u64>,
    #[serde(default)]
    clock: Clock,
    #[serde(default)]
    runs: Runs,
    /// Sorted by kind, anchor and cause.
    #[serde(default)]
    pending: Vec<Pending>,
    #[serde(default)]
    spent: Vec<Spent>,
    /// Per record the values that were written without being seen to stay, by attribute (rule A4).
    #[serde(default)]
    written: BTreeMap<Fingerprint, WrittenValues>,
    /// Per record all values that its create wrote, until they are looked at.
    #[serde(default)]
    created: BTreeMap<Fingerprint, Fingerprint>,
    /// Since when an operation is held.
    #[serde(default)]
    held: BTreeMap<Fingerprint, Timestamp>,
    /// Which operations ran under an approval, and when that was shown.
    #[serde(default)]
    approved: BTreeMap<Fingerprint, Timestamp>,
    /// What was reported as done in the last run, and in how many runs; kept while it is planned again. A part that is younger than
    /// the digest is not written while it is empty: the digest of an older state has to fit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    done: BTreeMap<Fingerprint, u8>,
    /// Over all of the above; only in files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Fingerprint>,
}

impl Serialize for RunState {
    /// Writes the state, and a digest of it by which damage is noticed when it is read.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digest = Some(self.digest().map_err(S::Error::custom)?);
        Self::serialize(&Self { digest, ..self.clone() }, serializer)
    }
}

impl<'de> Deserialize<'de> for RunState {
    /// Refuses a state that is not as it was written: one wrong figure could end a grace period, or widen a window. One without a
    /// digest is taken as it is. One of another format may be digested in another way, and is refused where it is used.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut state = Self::deserialize(deserializer)?;
        match state.digest.take() {
            Some(written)
                if state.format == FORMAT && written != state.digest().map_err(D::Error::custom)? =>
            {
                Err(D::Error::custom("the state is not as it was written: its digest differs"))
            }
            _ => Ok(state),
        }
    }
}

/// When runs ended, for the schedule (rule I3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Runs {
    pub(crate) full: Option<Timestamp>,
    pub(crate) new_entitlements: Option<Timestamp>,
    /// Runs since the last one that ended, and when the last of them was.
    pub(crate) failures: u32,
    pub(crate) failed: Option<Timestamp>,
}

/// A cause for taking a record out of use, and since when it is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pending {
    pub(crate) kind: Kind,
    pub(crate) anchor: SourceAnchor,
    pub(crate) cause: Reason,
    pub(crate) since: Timestamp,
    /// The age of the state then.
    pub(crate) age: u64,
}

/// What an earlier run took away, by limit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spent {
    pub(crate) limit: LimitName,
    /// The group of a limit per group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<SourceAnchor>,
    /// Kind and attribute of a limit per attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attribute: Option<(Kind, String)>,
    pub(crate) count: u64,
    pub(crate) age: u64,
}

/// The values of one record that were written, by attribute.
pub(crate) type WrittenValues = BTreeMap<String, WrittenValue>;

/// A value that was written, and in how many runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenValue {
    pub(crate) value: Fingerprint,
    pub(crate) times: u8,
}

impl WrittenValue {
    /// Whether it was written so often, without staying, that it is left alone now (rule A4).
    pub(crate) fn is_flapping(self) -> bool {
        self.times >= 2
    }
}

impl Default for RunState {
    fn default() -> Self {
        Self {
            format: FORMAT,
            issuer: None,
            store: None,
            source: None,
            generations: BTreeMap::new(),
            clock: Clock::default(),
            runs: Runs::default(),
            pending: Vec::new(),
            spent: Vec::new(),
            written: BTreeMap::new(),
            created: BTreeMap::new(),
            held: BTreeMap::new(),
            approved: BTreeMap::new(),
            done: BTreeMap::new(),
            digest: None,
        }
    }
}

/// The form without a digest, as the file has it.
struct Plain<'s>(&'s RunState);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RunState::serialize(self.0, serializer)
    }
}

impl RunState {
    /// Of all but the digest itself, which is set only while it is written.
    fn digest(&self) -> Result<Fingerprint, serde_json::Error> {
        let mut digest = Digest::default();
        digest.add(&Plain(self))?;
        Ok(digest.finish())
    }

    /// Whether it remembers nothing: a first run, or a state that was lost.
    pub fn is_fresh(&self) -> bool {
        self.issuer.is_none()
    }

    /// Pauses (rule I3): from `now` on no period and no window grows older, and [`apply`](crate::apply) refuses plans that are made
    /// with this state. Plans can still be made. Nothing changes where it is paused already. A plan that was made before the
    /// pause knows nothing of it: look at the kept state before you apply one, and [`absorb`](Self::absorb) its report.
    pub fn pause(&mut self, now: Timestamp) {
        self.clock.pause(now);
    }

    /// Ends a pause: periods and windows go on from where they stood.
    pub fn resume(&mut self, now: Timestamp) {
        self.clock.resume(now);
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.clock.is_paused()
    }

    /// Takes `now` for the time from which periods and windows go on, after a clock that had run ahead was put right. What it had
    /// counted too much is taken back, so that no period ends early by it; what was first seen meanwhile counts from `now` on; what
    /// has run meanwhile has run. Without this everything stands still until the time that was told before is reached.
    pub fn accept_time(&mut self, now: Timestamp) {
        self.clock.set(now);
        // What was first seen, or spent, under the wrong time counts from now on, or it would last until that time is reached.
        let age = self.clock.age();
        for pending in &mut self.pending {
            pending.age = pending.age.min(age);
            pending.since = pending.since.min(now);
        }
        self.spent.iter_mut().for_each(|spent| spent.age = spent.age.min(age));
        self.held.values_mut().for_each(|since| *since = now.min(*since));
        // Approvals that were used under the wrong time must not shut out those to come.
        self.approved.values_mut().for_each(|shown| *shown = now.min(*shown));
    }

    /// Takes the next source as it is, whoever it says it is and however far it has come: after a domain was renamed, or its
    /// backup restored (rule C6). All else is kept.
    pub fn accept_source(&mut self) {
        self.source = None;
        self.generations.clear();
    }

    /// Takes in what applying a plan has done, where this state is newer than the one that the plan was made with: another run was
    /// planned or applied since, or somebody paused. All that was added here stays.
    ///
    /// Two reports of the same plan are two runs: absorb each once.
    pub fn absorb(&mut self, report: &ApplyReport) {
        if let Some(left) = &report.left {
            *self = self.after(left);
        }
    }

    /// Notes that a run ended without a report, so that the [`Schedule`](crate::Schedule) does not try again at once.
    pub fn note_failure(&mut self, now: Timestamp) {
        self.runs.failures = self.runs.failures.saturating_add(1);
        self.runs.failed = Some(now);
    }

    /// When a run of this extent last ended.
    pub fn last_run(&self, extent: Extent) -> Option<Timestamp> {
        match extent {
            Extent::NewEntitlements => self.runs.new_entitlements.max(self.runs.full),
            _ => self.runs.full,
        }
    }

    /// How many runs in a row did not come to their end.
    pub fn failures(&self) -> u32 {
        self.runs.failures
    }

    /// How many operations were held when a full plan was last made, and in quick passes since.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// How many causes are known for taking a record out of use, whatever the policy does about them.
    pub fn causes(&self) -> usize {
        self.pending.len()
    }

    /// A state that remembers only whose it is.
    pub(crate) fn of(issuer: Issuer, store: String) -> Self {
        Self { issuer: Some(issuer), store: Some(store), ..Self::default() }
    }

    /// Whether it is one of this issuer and store, or (after a sign-in) of none.
    pub(crate) fn belongs_to(&self, issuer: &Issuer, store: &str) -> bool {
        self.issuer.as_ref().is_none_or(|known| known == issuer)
            && self.store.as_ref().is_none_or(|known| known == store)
    }

    pub(crate) fn runs(&self) -> &Runs {
        &self.runs
    }
}

/// One run: its time, what is remembered, and what was approved.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// What earlier runs left.
    pub state: RunState,
    /// The time of this run, from the host. It is written into the plan.
    pub now: Timestamp,
    /// Held operations that a person has approved (rule D5).
    pub approvals: Vec<Approval>,
}

impl Run {
    /// A run at this time, with what earlier runs left.
    pub fn new(state: RunState, now: Timestamp) -> Self {
        Self { state, now, approvals: Vec::new() }
    }

    /// A first run at this time.
    pub fn at(now: Timestamp) -> Self {
        Self::new(RunState::default(), now)
    }

    /// With an approval.
    #[must_use]
    pub fn approving(mut self, approval: Approval) -> Self {
        self.approvals.push(approval);
        self
    }
}
