//! When the next run is due (rule I3). Pure: the times of the last runs come with the [`RunState`], `now` from the host.

use serde::{Deserialize, Serialize};

use crate::model::{Period, Timestamp};
use crate::options::Extent;
use crate::run::RunState;

/// How often to run: a quick pass for new entitlements, and a full one for all else.
///
/// ```
/// use identity_sync::{Due, Extent, RunState, Schedule, Timestamp};
///
/// let schedule = Schedule::default();
/// let state = RunState::default();
/// assert_eq!(schedule.due(&state, Timestamp(0)), Due::Now(Extent::Full)); // nothing has ever run
/// ```
///
/// A loop asks [`due`](Self::due) when it wakes, runs what is due with [`Options::extent`](crate::Options::extent) set to it, and
/// sleeps until [`next`](Self::next), or until something else wakes it, such as a changed assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Schedule {
    /// Longest time until a new entitlement is written. Default: 2 hours.
    pub new_entitlements: Period,
    /// Longest time until changed data, and whoever is entitled no more, is followed. Default: 4 hours.
    pub changed_data: Period,
    /// By how much, in percent, a run may be earlier than that, so that many runners do not start together. Default: 10.
    pub spread_percent: u8,
    /// Wait after a run that did not come to its end; doubled for each further one, up to `new_entitlements`. Default: 5 minutes.
    pub retry: Period,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            new_entitlements: Period::of_hours(2),
            changed_data: Period::of_hours(4),
            spread_percent: 10,
            retry: Period::of_seconds(300),
        }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Due {
    /// A run of this extent. A full one includes the quick one.
    Now(Extent),
    /// Nothing before this time, and then a run of this extent.
    At(Timestamp, Extent),
    /// Nothing until [`RunState::resume`].
    Paused,
}

impl Schedule {
    /// A full run at least so often, and no quick ones between.
    pub fn every(period: Period) -> Self {
        Self { new_entitlements: period, changed_data: period, ..Self::default() }
    }

    /// What is due now, at the latest times that the schedule allows.
    pub fn due(&self, state: &RunState, now: Timestamp) -> Due {
        self.next(state, now, 0.0)
    }

    /// When the next run shall start. `jitter`, a number from 0 up to 1 from the host, moves it ahead by up to
    /// [`spread_percent`](Self::spread_percent) of its period; draw it once for each run, not for each question.
    pub fn next(&self, state: &RunState, now: Timestamp, jitter: f64) -> Due {
        if state.is_paused() {
            return Due::Paused;
        }
        let full = self.after(state.last_run(Extent::Full), self.changed_data, now, jitter);
        let quick = self.after(state.last_run(Extent::NewEntitlements), self.new_entitlements, now, jitter);
        let extent = if full <= quick.max(now) { Extent::Full } else { Extent::NewEntitlements };
        let at = full.min(quick).max(self.after_failure(state, now));
        if at <= now { Due::Now(extent) } else { Due::At(at, extent) }
    }

    /// When a period that began with the last run ends: now, where none has run, or where the last one seems to lie ahead, since a
    /// clock that was wrong once must not put off the next run for years.
    fn after(&self, last: Option<Timestamp>, period: Period, now: Timestamp, jitter: f64) -> Timestamp {
        let Some(last) = last.filter(|&last| last <= now) else { return now };
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
        let spread = f64::from(self.spread_percent.min(100)) / 100.0;
        let shorter = (period.seconds() as f64 * spread * jitter) as u64;
        last.after(Period::of_seconds(period.seconds().saturating_sub(shorter)))
    }

    fn after_failure(&self, state: &RunState, now: Timestamp) -> Timestamp {
        let runs = state.runs();
        let Some(failed) = runs.failed.filter(|&failed| failed <= now) else { return now };
        let doubled = 2u64.saturating_pow(runs.failures.saturating_sub(1));
        let longest = self.new_entitlements.seconds().max(self.retry.seconds());
        failed.after(Period::of_seconds(self.retry.seconds().saturating_mul(doubled).min(longest)))
    }
}
