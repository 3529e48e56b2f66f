//! What earlier runs left, as planning and applying use it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{FORMAT, Pending, Run, RunState, Spent, WrittenValue, WrittenValues};
use crate::correlate::Reason;
use crate::diagnostic::Diagnostic;
use crate::fingerprint::Fingerprint;
use crate::guard::LimitName;
use crate::id::{Issuer, SourceAnchor};
use crate::model::{Kind, Period, Timestamp};
use crate::options::Extent;
use crate::plan::MOST_REMEMBERED;
use crate::source::{Generation, SourceIdentity};

/// How long an approval that was used is remembered, and how old one may be: a year, with a margin.
const APPROVAL_LASTS: Period = Period::of_days(366);

/// Why a state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It belongs to another issuer, store or format.
    Foreign,
    /// Another source than the one that was read before (rule C6).
    OtherSource(SourceIdentity),
}

/// The state of a run while it is planned: what was known before, and what this run adds.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    state: RunState,
    now: Timestamp,
    fresh: bool,
    /// Nothing of it is looked at, and nothing is added (sign-ins).
    idle: bool,
}

impl Memory {
    /// Moves the state on to this run.
    pub(crate) fn begin(
        run: &Run,
        issuer: &Issuer,
        store: &str,
        source: &SourceIdentity,
    ) -> Result<Self, Misfit> {
        let mut state = run.state.clone();
        let fits = state.format == FORMAT
            && state.issuer.as_ref().is_none_or(|known| known == issuer)
            && state.store.as_ref().is_none_or(|known| known == store);
        if !fits {
            return Err(Misfit::Foreign);
        }
        if let Some(known) = state.source.as_ref().filter(|&known| known != source) {
            return Err(Misfit::OtherSource(known.clone()));
        }
        let fresh = state.is_fresh();
        state.issuer = Some(issuer.clone());
        state.store = Some(store.to_owned());
        state.source = Some(source.clone());
        state.pending.sort_unstable();
        state.clock.advance(run.now);
        Ok(Self { state, now: run.now, fresh, idle: false })
    }

    /// For a sign-in, which neither needs nor changes what is remembered: it may run beside a reconcile.
    pub(crate) fn idle(self, run: &Run) -> Self {
        Self { state: run.state.clone(), idle: true, ..self }
    }

    /// Whether anything is known of earlier runs.
    pub(crate) fn remembers(&self) -> bool {
        !self.fresh && !self.idle
    }

    /// Whether a cause was first seen in this run.
    pub(crate) fn is_new(&self, pending: &Pending) -> bool {
        !self.is_pending(pending.kind, pending.anchor.as_str(), pending.cause)
    }

    /// The time from which a period that has not lasted long enough goes on: where the clock went back, the latest time told.
    pub(crate) fn clock(&self) -> Timestamp {
        self.state.clock.ahead_of(self.now).unwrap_or(self.now)
    }

    /// What a person should know about the state itself. `managed`: whether the store holds records that an earlier run left.
    pub(crate) fn diagnostics(&self, managed: bool) -> Vec<Diagnostic> {
        let lost = (self.fresh && managed).then_some(Diagnostic::NoMemory {});
        let back = self.state.clock.ahead_of(self.now).map(|latest| Diagnostic::ClockWentBack { latest });
        lost.into_iter().chain(back).filter(|_| !self.idle).collect()
    }

    /// Remembers how far the source has come; `Err` with the greater number where it had come further before (rule C6).
    pub(crate) fn meet(&mut self, generation: &Generation) -> Result<(), u64> {
        let known = self.state.generations.entry(generation.replica.clone()).or_default();
        if generation.number < *known {
            return Err(*known);
        }
        *known = generation.number;
        Ok(())
    }

    fn known(&self, kind: Kind, anchor: &str, cause: Reason) -> Option<&Pending> {
        let key = |pending: &Pending| (pending.kind, pending.cause);
        let at = self
            .state
            .pending
            .binary_search_by(|pending| {
                let order = pending.kind.cmp(&kind).then_with(|| pending.anchor.as_str().cmp(anchor));
                order.then_with(|| key(pending).1.cmp(&cause))
            })
            .ok()?;
        self.state.pending.get(at)
    }

    pub(crate) fn is_pending(&self, kind: Kind, anchor: &str, cause: Reason) -> bool {
        self.known(kind, anchor, cause).is_some()
    }

    /// Since when a cause is known: now, where it is new.
    pub(crate) fn since(&self, kind: Kind, anchor: &str, cause: Reason) -> Timestamp {
        self.known(kind, anchor, cause).map_or(self.now, |pending| pending.since)
    }

    /// How long a cause has lasted, in seconds that count (rule D1).
    pub(crate) fn waited(&self, kind: Kind, anchor: &str, cause: Reason) -> u64 {
        let known = self.known(kind, anchor, cause);
        known.map_or(0, |pending| self.state.clock.age().saturating_sub(pending.age))
    }

    /// A cause that holds, with what is known of it.
    pub(crate) fn pending(&self, kind: Kind, anchor: SourceAnchor, cause: Reason) -> Pending {
        let (since, age) = match self.known(kind, anchor.as_str(), cause) {
            Some(known) => (known.since, known.age),
            None => (self.now, self.state.clock.age()),
        };
        Pending { kind, anchor, cause, since, age }
    }

    /// What was spent of each limit in the window (rule D4).
    pub(crate) fn spending(&self, period: Period) -> Spending<'_> {
        let age = self.state.clock.age();
        let mut spending = Spending::default();
        for spent in self.state.spent.iter().filter(|spent| age.saturating_sub(spent.age) < period.seconds())
        {
            let group = spent.group.as_ref().map(SourceAnchor::as_str);
            let attribute = spent.attribute.as_ref().map(|(kind, name)| (*kind, name.as_str()));
            let sum = spending.0.entry((spent.limit, group, attribute)).or_default();
            *sum = sum.saturating_add(spent.count);
        }
        spending
    }

    /// The values of a record that were written without being seen to stay.
    pub(crate) fn written(&self, record: Fingerprint) -> Option<&WrittenValues> {
        self.state.written.get(&record)
    }

    /// All values that the create of a record wrote, where nobody has looked at them since.
    pub(crate) fn created(&self, record: Fingerprint) -> Option<Fingerprint> {
        self.state.created.get(&record).copied()
    }

    /// Whether any value was written that might not have stayed.
    pub(crate) fn has_written(&self) -> bool {
        let nothing = self.state.written.is_empty() && self.state.created.is_empty();
        !self.idle && !nothing
    }

    /// Whether anything is remembered that was reported as done.
    pub(crate) fn has_done(&self) -> bool {
        !self.idle && !self.state.done.is_empty()
    }

    /// In how many runs in a row something was reported as done.
    pub(crate) fn done(&self, name: Fingerprint) -> u8 {
        self.state.done.get(&name).copied().unwrap_or(0)
    }

    /// Whether an approval that was shown then may still be used for an operation: once, not for ever, and not before anybody
    /// can have seen what it covers (rule D5).
    pub(crate) fn may_use(&self, operation: Fingerprint, shown: Timestamp) -> bool {
        let used = self.state.approved.get(&operation).is_some_and(|&used| used >= shown);
        !used && shown <= self.clock() && self.now.since(shown) <= APPROVAL_LASTS.seconds()
    }

    /// Since when an operation was held that runs now.
    pub(crate) fn was_held(&self, operation: impl FnOnce() -> Fingerprint) -> Option<Timestamp> {
        if self.idle || self.state.held.is_empty() {
            return None;
        }
        self.state.held.get(&operation()).copied()
    }

    /// Since when an operation is held: now, where it is new.
    pub(crate) fn held_since(&self, operation: Fingerprint) -> Timestamp {
        self.state.held.get(&operation).copied().unwrap_or(self.now)
    }

    /// The state after planning.
    pub(crate) fn into_state(self, seen: Seen) -> RunState {
        let Self { mut state, now, idle, .. } = self;
        if idle {
            return state;
        }
        let age = state.clock.age();
        // What is older than the window counts for nothing any more.
        match seen.window {
            Some(period) => state.spent.retain(|spent| age.saturating_sub(spent.age) < period.seconds()),
            None => state.spent.clear(),
        }
        state.approved.retain(|_, shown| now.since(*shown) <= APPROVAL_LASTS.seconds());
        if seen.extent == Extent::NewEntitlements {
            state.held.extend(seen.held);
            return state;
        }
        state.pending = seen.pending;
        state.pending.sort_unstable();
        state.pending.dedup();
        if seen.extent == Extent::Full {
            state.held = seen.held;
            state.written = seen.written;
            state.created = seen.created;
            state.done = seen.done;
        }
        state
    }
}

/// What earlier runs spent: by limit, and the group or the attribute that it is about.
#[derive(Debug, Default)]
pub(crate) struct Spending<'m>(BTreeMap<Budget<'m>, u64>);

type Budget<'m> = (LimitName, Option<&'m str>, Option<(Kind, &'m str)>);

impl Spending<'_> {
    pub(crate) fn of(&self, limit: LimitName, group: Option<&str>, attribute: Option<(Kind, &str)>) -> u64 {
        self.0.get(&(limit, group, attribute)).copied().unwrap_or(0)
    }
}

/// What planning saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) extent: Extent,
    pub(crate) pending: Vec<Pending>,
    /// Values that differ although they were written, and those that were not looked at.
    pub(crate) written: BTreeMap<Fingerprint, WrittenValues>,
    pub(crate) created: BTreeMap<Fingerprint, Fingerprint>,
    pub(crate) held: BTreeMap<Fingerprint, Timestamp>,
    /// What was reported as done before, and is planned again.
    pub(crate) done: BTreeMap<Fingerprint, u8>,
    /// How far back spending is remembered.
    pub(crate) window: Option<Period>,
}

impl Seen {
    /// Nothing was seen.
    pub(crate) fn nothing() -> Self {
        Self {
            extent: Extent::NewEntitlements,
            pending: Vec::new(),
            written: BTreeMap::new(),
            created: BTreeMap::new(),
            held: BTreeMap::new(),
            done: BTreeMap::new(),
            window: None,
        }
    }
}

/// What applying a plan adds.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) spent: Vec<Spent>,
    /// Record, attribute and value.
    pub(crate) written: Vec<(Fingerprint, String, Fingerprint)>,
    pub(crate) created: Vec<(Fingerprint, Fingerprint)>,
    pub(crate) approved: BTreeMap<Fingerprint, Timestamp>,
    pub(crate) done: BTreeSet<Fingerprint>,
    pub(crate) ended: Ended,
    pub(crate) extent: Extent,
    pub(crate) planned_at: Timestamp,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    /// The host stopped it.
    Cancelled,
    Failed,
}

impl RunState {
    /// The age that operations of the run being applied have.
    pub(crate) fn age(&self) -> u64 {
        self.clock.age()
    }

    /// This state, and what applying a plan has added to it.
    pub(crate) fn after(&self, left: &Left) -> Self {
        let mut state = self.clone();
        // The plan may have been made before a wrong time was put right.
        let age = state.clock.age();
        state.spent.extend(left.spent.iter().map(|spent| Spent { age: spent.age.min(age), ..spent.clone() }));
        for (record, values) in &left.created {
            state.written.remove(record);
            state.created.insert(*record, *values);
        }
        for (record, attribute, value) in &left.written {
            let values = state.written.entry(*record).or_default();
            let known = values.entry(attribute.clone()).or_insert(WrittenValue { value: *value, times: 0 });
            if known.value != *value {
                *known = WrittenValue { value: *value, times: 0 };
            }
            known.times = known.times.saturating_add(1);
        }
        for name in &left.done {
            let times = state.done.entry(*name).or_default();
            *times = times.saturating_add(1);
        }
        forget_beyond(MOST_REMEMBERED, &mut state.done);
        for (operation, shown) in &left.approved {
            let known = state.approved.entry(*operation).or_insert(*shown);
            *known = (*shown).max(*known);
        }
        match left.ended {
            Ended::Whole => {}
            Ended::Cancelled => return state,
            Ended::Failed => {
                state.note_failure(left.planned_at);
                return state;
            }
        }
        state.runs.failures = 0;
        state.runs.failed = None;
        let last = match left.extent {
            Extent::Full => &mut state.runs.full,
            Extent::NewEntitlements => &mut state.runs.new_entitlements,
            Extent::ProvenRemovals => return state,
        };
        *last = (*last).max(Some(left.planned_at));
        state
    }
}

/// Keeps so many, rather those that came back already.
fn forget_beyond(most: usize, done: &mut BTreeMap<Fingerprint, u8>) {
    if done.len() <= most {
        return;
    }
    let mut all: Vec<(Fingerprint, u8)> = std::mem::take(done).into_iter().collect();
    all.sort_unstable_by_key(|&(name, times)| (Reverse(times), name));
    all.truncate(most);
    done.extend(all);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_names_those_are_kept_that_came_back_most_often() {
        // rules D7, X1
        let named = |names: &[(&str, u8)]| -> BTreeMap<Fingerprint, u8> {
            names.iter().map(|&(name, times)| (Fingerprint::of([name]), times)).collect()
        };
        let mut done = named(&[("a", 1), ("b", 3), ("c", 2)]);
        forget_beyond(3, &mut done);
        assert_eq!(done, named(&[("a", 1), ("b", 3), ("c", 2)]));
        forget_beyond(2, &mut done);
        assert_eq!(done, named(&[("b", 3), ("c", 2)]));
    }
}
