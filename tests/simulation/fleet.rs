//! Many seeds on all cores, and what they met on their way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use identity_sync::{ApplyReport, Cause, Outcome, Plan};

use super::run::Verdict;

/// How often each situation came up.
#[derive(Clone, Debug, Default)]
pub struct Seen(pub BTreeMap<&'static str, u64>);

impl Seen {
    pub fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn plan(&mut self, plan: &Plan) {
        if plan.is_empty() {
            self.note("nothing to do");
        }
        if plan.held().len() > 0 {
            self.note("held by a limit");
        }
        if plan.blocked().len() > 0 {
            self.note("removal blocked");
        }
        plan.operations().for_each(|operation| self.note(cause_name(operation.cause())));
    }

    pub fn report(&mut self, report: &ApplyReport) {
        if report.stopped.is_some() {
            self.note("apply stopped early");
        }
        for outcome in &report.outcomes {
            self.note(match outcome {
                Outcome::Applied => "applied",
                Outcome::Failed(_) => "failed",
                Outcome::Skipped { .. } => "skipped",
                Outcome::NotTried => "not tried",
                _ => "unknown",
            });
        }
    }

    fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

/// Every cause that a reconcile gives.
pub const CAUSES: [Cause; 16] = [
    Cause::Entitled,
    Cause::Matched,
    Cause::Changed,
    Cause::Adopted,
    Cause::Enabled,
    Cause::DeletedInSource,
    Cause::LeftScope,
    Cause::DisabledInSource,
    Cause::NoPath,
    Cause::MemberLeaving,
    Cause::Unmanaged,
    Cause::MemberDeleted,
    Cause::GroupDeleted,
    Cause::GroupRetired,
    Cause::Swap,
    Cause::NameReleased,
];

pub fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Entitled => "cause: entitled",
        Cause::Matched => "cause: matched",
        Cause::Changed => "cause: changed",
        Cause::Adopted => "cause: came by sign-in",
        Cause::Enabled => "cause: enabled",
        Cause::DeletedInSource => "cause: deleted in source",
        Cause::LeftScope => "cause: left scope",
        Cause::DisabledInSource => "cause: disabled in source",
        Cause::NoPath => "cause: no path",
        Cause::MemberLeaving => "cause: member leaving",
        Cause::Unmanaged => "cause: unmanaged member",
        Cause::MemberDeleted => "cause: member deleted",
        Cause::GroupDeleted => "cause: group deleted",
        Cause::GroupRetired => "cause: group retired",
        Cause::Swap => "cause: swap",
        Cause::NameReleased => "cause: name released",
        Cause::SignIn => "cause: sign-in",
        _ => "cause: another",
    }
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Fleet {
    pub seen: Seen,
    /// The seeds that failed, with what is wrong; not more than a few.
    pub failed: Vec<(u64, String)>,
}

/// A seed that panics has failed.
pub fn guarded(work: impl FnOnce() -> Verdict) -> Verdict {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(verdict) => verdict,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panics: {}", text.unwrap_or_default()))
        }
    }
}

/// Works through the seeds, some at a time, and stops after a few failures.
pub fn sail(seeds: Range<u64>, work: impl Fn(u64, &mut Seen) -> Verdict + Sync) -> Fleet {
    const CHUNK: u64 = 64;
    const ENOUGH: usize = 5;
    let next = AtomicU64::new(seeds.start);
    let failures = AtomicUsize::new(0);
    let fleet = Mutex::new(Fleet::default());
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut seen, mut failed) = (Seen::default(), Vec::new());
                loop {
                    let first = next.fetch_add(CHUNK, Ordering::SeqCst);
                    if first >= seeds.end || failures.load(Ordering::SeqCst) >= ENOUGH {
                        break;
                    }
                    for seed in first..(first + CHUNK).min(seeds.end) {
                        if let Err(what) = guarded(|| work(seed, &mut seen)) {
                            failures.fetch_add(1, Ordering::SeqCst);
                            failed.push((seed, what));
                        }
                    }
                }
                let mut fleet = fleet.lock().unwrap();
                fleet.seen.merge(&seen);
                fleet.failed.extend(failed);
            });
        }
    });
    let mut fleet = fleet.into_inner().unwrap();
    fleet.failed.sort();
    fleet
}

/// The seeds to look at: `IDENTITY_SYNC_WORLDS` many, from `IDENTITY_SYNC_FIRST` on.
pub fn seeds(default: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("IDENTITY_SYNC_FIRST").unwrap_or(0);
    first..first.saturating_add(number("IDENTITY_SYNC_WORLDS").unwrap_or(default))
}
