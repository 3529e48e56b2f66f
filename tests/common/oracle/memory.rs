//! What is remembered between runs (rule D7), as this model keeps it, and what planning and applying add to it.

use super::super::world::{Deprovision, Extent, World};
use super::Decision;
use super::approvals::Names;
use super::facts::{Fate, Managed};
use super::fates::{Cause, Shown, grace, policy, shown};
use super::flapping::{Created, Written};
use super::source::{Kind, View};
use std::collections::{BTreeMap, BTreeSet};

/// The memory of all runs so far. The default is the memory of none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The greatest `now` seen; `None`: no run and no pause was ever seen.
    pub latest: Option<u64>,
    /// Seconds that passed while not paused.
    pub age: u64,
    pub paused: bool,
    /// Who the source is (rule C6).
    pub source: Option<String>,
    /// The greatest generation number seen of each replica.
    pub generations: BTreeMap<String, u64>,
    /// Causes that were seen and not contradicted since, by kind and anchor (rule D1).
    pub pending: BTreeMap<(Kind, String, Cause), Since>,
    /// What earlier runs did that a limit counts (rule D4).
    pub spent: Vec<Spent>,
    /// Values that were written and not seen settled since, by kind, anchor and attribute (rule A4).
    pub written: BTreeMap<(Kind, String, String), Written>,
    /// The same for records that were created.
    pub created: BTreeMap<(Kind, String), Created>,
    /// Approvals that were used: the key of the operation, and when it was shown (rule D5).
    pub used: BTreeMap<String, u64>,
    /// Since when an operation (action, kind, anchor) is held.
    pub held: BTreeMap<String, u64>,
}

/// When a cause was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// By the host's clock.
    pub now: u64,
    /// By the memory's own.
    pub age: u64,
}

/// An applied operation, as one limit counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    pub limit: String,
    pub count: u64,
    pub age: u64,
}

impl Memory {
    /// The clock goes on, unless paused. True: the host's clock went back.
    pub fn tick(&mut self, now: u64) -> bool {
        if self.paused {
            return false;
        }
        let latest = self.latest.unwrap_or(now);
        self.age += now.saturating_sub(latest);
        self.latest = Some(latest.max(now));
        now < latest
    }

    /// Rule I3: from here on nothing ages, and nothing is applied.
    pub fn pause(&mut self, now: u64) {
        self.tick(now);
        self.paused = true;
    }

    pub fn resume(&mut self, now: u64) {
        if self.paused {
            self.latest = Some(self.latest.unwrap_or(now).max(now));
            self.paused = false;
        }
    }

    /// The host says that another source, or an older state of it, is meant (rule C6).
    pub fn accept_source(&mut self) {
        self.source = None;
        self.generations.clear();
    }

    /// Rule C6: remembers who answered. True: an older state of the same replica than one seen before.
    pub fn meet(&mut self, world: &World) -> bool {
        self.source = Some(world.source.identity.clone());
        let Some(generation) = &world.source.generation else { return false };
        let seen = self.generations.entry(generation.replica.clone()).or_default();
        let older = generation.number < *seen;
        *seen = generation.number.max(*seen);
        older
    }

    /// Notes which causes this run shows, and forgets what it contradicts. The quick pass does neither.
    pub fn observe(&mut self, view: &View<'_>, records: &BTreeMap<&str, Managed<'_>>, now: u64) {
        if view.world.options.extent == Extent::NewEntitlements {
            return;
        }
        let of_record = |record: &Managed<'_>| (record.kind, record.anchor().to_owned());
        let present: BTreeSet<(Kind, String)> = records.values().map(of_record).collect();
        let here = |kind: Kind, anchor: &String| present.contains(&(kind, anchor.clone()));
        self.pending.retain(|(kind, anchor, _), _| here(*kind, anchor));
        self.written.retain(|(kind, anchor, _), _| here(*kind, anchor));
        self.created.retain(|(kind, anchor), _| here(*kind, anchor));
        let since = Since { now, age: self.age };
        for (kind, anchor) in &present {
            for cause in Cause::ALL {
                let same = records.values().filter(|r| r.kind == *kind && r.anchor() == anchor);
                let seen: Vec<Shown> = same.map(|record| shown(view, record, cause)).collect();
                let key = (*kind, anchor.clone(), cause);
                if seen.contains(&Shown::Holds) {
                    self.pending.entry(key).or_insert(since);
                } else if seen.contains(&Shown::Contradicted) {
                    self.pending.remove(&key);
                }
            }
        }
    }

    /// How long a cause must still last, as far as it was ever seen.
    fn remaining(&self, view: &View<'_>, record: &Managed<'_>, cause: Cause) -> u64 {
        let grace = grace(&view.world.options, record.kind, cause);
        let since = self.pending.get(&(record.kind, record.anchor().to_owned(), cause));
        grace.saturating_sub(since.map_or(0, |since| self.age - since.age))
    }

    /// The causes of each record, by store id, that have lasted long enough to count, if they hold.
    pub fn due(
        &self,
        view: &View<'_>,
        records: &BTreeMap<&str, Managed<'_>>,
    ) -> BTreeMap<String, BTreeSet<Cause>> {
        let of_record = |record: &Managed<'_>| {
            Cause::ALL.into_iter().filter(|cause| self.remaining(view, record, *cause) == 0).collect()
        };
        records.values().map(|record| (record.id.to_owned(), of_record(record))).collect()
    }

    /// The lines `user|group ID CAUSE SINCE DUE` of a plan: what will be done when its time has come.
    pub fn pending_lines(
        &self,
        view: &View<'_>,
        records: &BTreeMap<&str, Managed<'_>>,
        now: u64,
    ) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        if view.world.options.extent == Extent::NewEntitlements {
            return lines;
        }
        for record in records.values().filter(|record| record.fate != Fate::Untouched) {
            for cause in Cause::ALL {
                let remaining = self.remaining(view, record, cause);
                let wanted = policy(&view.world.options, record.kind, cause);
                let waits = remaining > 0
                    && wanted != Deprovision::Keep
                    && shown(view, record, cause) == Shown::Holds;
                let since = self.pending.get(&(record.kind, record.anchor().to_owned(), cause));
                if let (true, Some(since)) = (waits, since) {
                    // Where the clock went back the period stands still until it has caught up.
                    let due = now.max(self.latest.unwrap_or(now)) + remaining;
                    let (kind, id) = (record.kind, record.id);
                    lines.insert(format!("{kind} {id} {cause} {} {due}", since.now));
                }
            }
        }
        lines
    }

    /// What earlier runs used up of a limit within the period.
    pub fn spent_on(&self, limit: &str, period: u64) -> u64 {
        let young = self.spent.iter().filter(|spent| self.age - spent.age < period);
        young.filter(|spent| spent.limit == limit).map(|spent| spent.count).sum()
    }

    /// Since when operations are held; what is not held any more is forgotten.
    pub fn note_held(&mut self, decision: &Decision, names: &Names<'_>, now: u64) {
        let known = std::mem::take(&mut self.held);
        for operation in &decision.held {
            let subject = names.held_as(operation);
            let since = known.get(&subject).copied().unwrap_or(now);
            self.held.insert(subject, since);
        }
    }

    /// The memory after this plan was applied as far as the lines of its operations say: `applied` are those
    /// that were seen to succeed, `unknown` those of which it is not known.
    pub fn after_apply(
        &self,
        decision: &Decision,
        applied: &BTreeSet<String>,
        unknown: &BTreeSet<String>,
    ) -> Self {
        let mut memory = self.clone();
        for operation in &decision.operations {
            let line = operation.to_string();
            let Some(note) = decision.notes.get(operation) else { continue };
            if applied.contains(&line) {
                memory.note_wrote(&note.wrote);
            } else if !unknown.contains(&line) {
                continue;
            }
            for (limit, count) in &note.costs {
                memory.spent.push(Spent { limit: limit.clone(), count: *count, age: self.age });
            }
            for (key, shown) in &note.approved {
                let used = memory.used.entry(key.clone()).or_default();
                *used = (*used).max(*shown);
            }
        }
        memory
    }
}
