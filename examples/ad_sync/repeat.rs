//! The loop of runs: when the next one is, whatever the last one met.

use std::process::ExitCode;
use std::time::Duration;

use identity_sync::{Due, Extent, Period, RunState, Schedule, Timer as _, Timestamp};

use crate::common::review::extent_name;
use crate::common::{self, Trouble};
use crate::run::Program;
use crate::store;
use crate::watch::Watch;

/// How long to wait while nothing tells when a run is due.
const BLIND: Duration = Duration::from_secs(60);
/// A loop looks at its clock at least so often: machines sleep.
const LONGEST_WAIT: u64 = 3600;
/// More failures in a row than that make no wait longer.
const LONG_ROW: u32 = 64;

impl Program {
    /// Runs until it is asked to stop; no error ends it.
    pub(crate) async fn serve(&self, schedule: Schedule) -> Result<ExitCode, Trouble> {
        let mut next = Some(Extent::Full);
        let mut watch = Watch::default();
        let mut met = Met::none(self.clock.now());
        while !self.stop.is_asked() {
            match next.take() {
                Some(extent) => {
                    // Before the run reads: what changes meanwhile is seen again rather than never.
                    watch.begin(self).await;
                    met.begun = self.clock.now();
                    match self.run(extent).await {
                        Ok(answer) => {
                            met.failed = RunState::default();
                            let how = if answer == 1 { "not everything was applied" } else { "done" };
                            self.log(&format!("{}: {how}", extent_name(extent)));
                        }
                        Err(error) => {
                            self.log(&format!("{}: error: {}", extent_name(extent), common::line(&error)));
                            met.failure(self.clock.now());
                        }
                    }
                }
                None => next = self.rest(&schedule, &mut watch, &mut met).await,
            }
        }
        self.log("stopped");
        Ok(ExitCode::SUCCESS)
    }

    /// Waits, and says what to run then, if anything.
    async fn rest(&self, schedule: &Schedule, watch: &mut Watch, met: &mut Met) -> Option<Extent> {
        let kept = if self.arguments.apply { self.kept().await.map(Some) } else { Ok(None) };
        let (kept, now) = (kept.map_err(|error| met.complain(self, &error)).ok().flatten(), self.clock.now());
        if let Some(kept) = &kept {
            met.learn(kept);
        }
        let due = met.due(schedule, kept.as_ref(), now, self.clock.jitter());
        let until = match due {
            Due::Now(extent) => return Some(extent),
            Due::At(at, _) => at.since(now),
            _ => BLIND.as_secs(),
        };
        let failing = met.failed.failures() > 0;
        // After a failure changes wait with everything else: the next run is a full one.
        let watched = self.config.watch.filter(|_| !failing).map_or(LONGEST_WAIT, Period::seconds);
        self.stop.wait(Duration::from_secs(until.min(watched).clamp(1, LONGEST_WAIT))).await;
        (!failing && !self.stop.is_asked() && watch.look(self).await).then_some(Extent::Full)
    }

    /// What earlier runs left.
    async fn kept(&self) -> Result<RunState, Trouble> {
        let read = self.stop.or(store::kept(&self.config)).await;
        read.unwrap_or_else(|| Err("stopped".into()))
    }
}

/// What a loop has met itself. Where a store cannot be opened, or has no room for what a run leaves, nobody else counts.
struct Met {
    /// When the last run began.
    begun: Timestamp,
    /// Holds nothing but the failures in a row.
    failed: RunState,
    last_failure: Timestamp,
}

impl Met {
    fn none(begun: Timestamp) -> Self {
        Self { begun, failed: RunState::default(), last_failure: begun }
    }

    fn failure(&mut self, now: Timestamp) {
        self.failed.note_failure(now);
        self.last_failure = now;
    }

    /// What earlier runs left cannot be read: a failure of its own, unless a run has just met it.
    fn complain(&mut self, program: &Program, error: &Trouble) {
        if self.failed.failures() == 0 && !program.stop.is_asked() {
            program.log(&format!("error: {}", common::line(error)));
            self.failure(program.clock.now());
        }
    }

    /// After a failure that was kept, too, the longer of the two rows counts: the program may have been started in the middle.
    fn learn(&mut self, kept: &RunState) {
        let counted = self.failed.failures();
        if counted > 0 {
            (counted..kept.failures().min(LONG_ROW))
                .for_each(|_| self.failed.note_failure(self.last_failure));
        }
    }

    /// What is due by the schedule; after a failure a full run as soon as the schedule's own rule lets it be tried again, and
    /// never before. Without writing nothing is kept that would tell when the last run was.
    fn due(&self, schedule: &Schedule, kept: Option<&RunState>, now: Timestamp, jitter: f64) -> Due {
        if kept.is_some_and(RunState::is_paused) {
            return Due::Paused;
        }
        if self.failed.failures() > 0 {
            return schedule.next(&self.failed, now, jitter);
        }
        match kept {
            Some(kept) => schedule.next(kept, now, jitter),
            None => {
                let due = self.begun.after(schedule.changed_data.min(schedule.new_entitlements));
                if due <= now { Due::Now(Extent::Full) } else { Due::At(due, Extent::Full) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: u64 = 300;

    fn failed(times: u32, at: i64) -> RunState {
        let mut state = RunState::default();
        (0..times).for_each(|_| state.note_failure(Timestamp(at)));
        state
    }

    fn due(met: &Met, kept: Option<&RunState>, now: i64) -> Due {
        met.due(&Schedule::default(), kept, Timestamp(now), 0.0)
    }

    #[test]
    fn after_a_failure_that_nothing_could_keep_a_loop_waits_longer_each_time() {
        // rule I3: what is kept says that a run is due since long ago
        let kept = RunState::default();
        let mut met = Met::none(Timestamp(0));
        assert_eq!(due(&met, Some(&kept), 0), Due::Now(Extent::Full));
        let (mut now, mut waits) = (1_000, Vec::new());
        for _ in 0..12 {
            met.failure(Timestamp(now));
            // Whether or not what is kept can be read, and in a dry run, which keeps nothing.
            let Due::At(at, Extent::Full) = due(&met, Some(&kept), now) else { panic!("at once") };
            assert_eq!(due(&met, None, now), Due::At(at, Extent::Full));
            assert_eq!(due(&met, None, at.0), Due::Now(Extent::Full));
            waits.push(at.since(Timestamp(now)));
            now = at.0;
        }
        assert_eq!(waits[..5], [RETRY, 2 * RETRY, 4 * RETRY, 8 * RETRY, 16 * RETRY]);
        assert!(waits[5..].iter().all(|&wait| wait == 7200), "{waits:?}");
    }

    #[test]
    fn of_the_failures_that_are_kept_and_those_that_were_met_the_longer_row_counts() {
        // Whatever the run took, the wait begins with its end.
        let mut met = Met::none(Timestamp(-5_000));
        met.failure(Timestamp(1_000));
        met.learn(&failed(3, 1_000));
        assert_eq!(
            due(&met, Some(&failed(3, 1_000)), 1_000),
            Due::At(Timestamp(1_000 + 4 * 300), Extent::Full)
        );
        met.learn(&failed(2, 1_000));
        assert_eq!(met.failed.failures(), 3);
        met.learn(&failed(u32::MAX, 1_000));
        assert_eq!(met.failed.failures(), LONG_ROW);
        // A run that succeeded since has forgotten its own, and what is kept counts alone.
        let mut met = Met::none(Timestamp(1_000));
        met.learn(&failed(3, 1_000));
        assert_eq!(met.failed.failures(), 0);
        assert_eq!(
            due(&met, Some(&failed(3, 1_000)), 1_000),
            Due::At(Timestamp(1_000 + 4 * 300), Extent::Full)
        );
    }

    #[test]
    fn nothing_is_due_while_runs_are_paused() {
        let mut kept = RunState::default();
        kept.pause(Timestamp(0));
        for times in [0, 1] {
            let met = Met { failed: failed(times, 0), ..Met::none(Timestamp(0)) };
            assert_eq!(due(&met, Some(&kept), 100_000), Due::Paused);
        }
    }

    #[test]
    fn a_dry_run_is_due_a_period_after_the_last_one_began() {
        let met = Met::none(Timestamp(1_000));
        assert_eq!(due(&met, None, 1_000), Due::At(Timestamp(8_200), Extent::Full));
        assert_eq!(due(&met, None, 8_200), Due::Now(Extent::Full));
    }
}
